package tenantsim

import (
	"container/heap"
	"context"
	"errors"
	"time"
)

const (
	runTick     = 20 * time.Millisecond // real
	advanceStep = time.Second           // virtual; the lock is released between steps
)

// Now returns the tenant's virtual time.
func (t *Tenant) Now() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.now
}

// Advance moves the virtual clock by d and lets everything due until then happen. A negative d does nothing.
func (t *Tenant) Advance(d time.Duration) {
	for d > 0 {
		step := min(d, advanceStep)
		t.mu.Lock()
		t.runUntil(t.now.Add(step))
		t.mu.Unlock()
		d -= step
	}
}

// Run moves the virtual clock at Options.Speed until ctx ends, then returns nil. With a negative speed it only waits.
// A second Run at the same time is an error.
func (t *Tenant) Run(ctx context.Context) error {
	t.mu.Lock()
	if t.running {
		t.mu.Unlock()
		return errors.New("run simulated tenant: it is running already")
	}
	t.running = true
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		t.running = false
		t.mu.Unlock()
	}()
	t.opts.Logger.Info("simulated tenant runs", "domain", t.opts.Domain, "speed", t.opts.Speed)
	ticker := time.NewTicker(runTick)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			now := time.Now()
			t.Advance(time.Duration(float64(now.Sub(last)) * max(t.opts.Speed, 0)))
			last = now
		}
	}
}

// runUntil does everything due up to and including end, each thing at its own time. The caller holds mu.
func (t *Tenant) runUntil(end time.Time) {
	for len(t.agenda.tasks) > 0 && !t.agenda.tasks[0].at.After(end) {
		next := heap.Pop(&t.agenda).(task)
		if next.at.After(t.now) {
			t.now = next.at
		}
		t.indexDue()
		next.do()
	}
	t.now = end
	t.indexDue()
}

// at schedules do for the virtual time when; tasks of one instant run in the order they were scheduled.
func (t *Tenant) at(when time.Time, do func()) {
	t.agenda.seq++
	heap.Push(&t.agenda, task{at: when, seq: t.agenda.seq, do: do})
}

func (t *Tenant) after(d time.Duration, do func()) { t.at(t.now.Add(d), do) }

type task struct {
	at  time.Time
	seq uint64
	do  func()
}

type agenda struct {
	tasks []task
	seq   uint64
}

func (a *agenda) Len() int { return len(a.tasks) }
func (a *agenda) Less(i, j int) bool {
	if c := a.tasks[i].at.Compare(a.tasks[j].at); c != 0 {
		return c < 0
	}
	return a.tasks[i].seq < a.tasks[j].seq
}
func (a *agenda) Swap(i, j int) { a.tasks[i], a.tasks[j] = a.tasks[j], a.tasks[i] }
func (a *agenda) Push(x any)    { a.tasks = append(a.tasks, x.(task)) }
func (a *agenda) Pop() any {
	last := len(a.tasks) - 1
	x := a.tasks[last]
	a.tasks[last] = task{}
	a.tasks = a.tasks[:last]
	return x
}
