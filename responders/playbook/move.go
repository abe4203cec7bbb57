package playbook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/expr-lang/expr"
)

const (
	// firstRest and lastRest are how long is waited after an attempt that failed,
	// longer each time.
	firstRest, lastRest = 2 * time.Second, 30 * time.Second
	// verifyRest is how long is waited before an effect is looked for again.
	verifyRest = 2 * time.Second
	// stoppedRest is how long a run waits under a freeze before it asks again.
	stoppedRest = 5 * time.Second
)

// takeUp takes up what came meanwhile: runs that begin, answers of people, and
// events, by which waits end.
func (r *Runner) takeUp(ctx context.Context) error {
	r.mu.Lock()
	fresh, orders, events := r.fresh, r.orders, r.events
	r.fresh, r.orders, r.events = nil, nil, nil
	r.mu.Unlock()
	for _, run := range fresh {
		r.runs[run.ID] = run
	}
	for i, o := range orders {
		run, err := r.obey(ctx, o)
		o.done <- obeyed{run, err}
		if errors.Is(err, ErrStore) {
			for _, rest := range orders[i+1:] {
				rest.done <- obeyed{err: err}
			}
			return err
		}
	}
	if len(events) == 0 {
		return nil
	}
	for _, run := range r.runs {
		if run.State.Over() {
			continue
		}
		touched := false
		for _, ev := range events {
			touched = r.offer(run, ev) || touched
		}
		if touched {
			if err := r.save(ctx, run); err != nil {
				return err
			}
		}
	}
	return nil
}

// offer notes what an event tells of a run, and on the waits that it ends, also
// before their turn: the user may be faster than we are.
func (r *Runner) offer(run *Run, ev event) (touched bool) {
	if r.opts.Notes != nil && !ev.at.Before(run.Begun) {
		if fact, value := r.opts.Notes(run.copy(), ev.fields); fact != "" && run.Facts[fact] == "" {
			run.Facts, touched = with(run.Facts, fact, value), true
		}
	}
	for i := range run.Steps {
		step, st := &run.Playbook.Steps[i], &run.Steps[i]
		if step.until == nil || st.ended() || st.Event != nil || ev.at.Before(run.since(step)) || run.since(step).IsZero() {
			continue
		}
		holds, err := expr.Run(step.until, EventEnv{Event: ev.fields, Subject: run.Subject, Facts: run.Facts})
		if err == nil && holds == true {
			st.Event, touched = ev.fields, true
		}
	}
	return touched
}

// since is from when on events end a wait; zero while it cannot be.
func (r *Run) since(step *Step) time.Time {
	if step.After == "" {
		return r.Begun
	}
	for i := range r.Steps {
		if st := &r.Steps[i]; st.ID == step.After && st.State == StepDone {
			if st.Tried.IsZero() {
				return st.Ended
			}
			return st.Tried
		}
	}
	return time.Time{}
}

// move does what there is to do now at the current step of a run, and no more:
// which run moves next is decided anew after each step. It alone has the run
// meanwhile. An error means that the store failed.
func (r *Runner) move(ctx context.Context, run *Run) error {
	was := run.State
	var err error
	if i := run.current(); i == len(run.Steps) {
		err = r.end(ctx, run)
	} else {
		err = r.moveStep(ctx, run, i, r.opts.Now())
	}
	if err == nil && run.State != was {
		r.opts.Changed(ctx, run.copy())
	}
	return err
}

// moveStep does what there is to do at one step.
func (r *Runner) moveStep(ctx context.Context, run *Run, i int, now time.Time) error {
	step, st := &run.Playbook.Steps[i], &run.Steps[i]
	if st.Begun.IsZero() {
		if step.when != nil {
			holds, err := expr.Run(step.when, RunEnv{Subject: run.Subject, Facts: run.Facts})
			if err != nil || holds != true {
				return r.settle(ctx, run, st, StepSkipped, "not needed here", now)
			}
		}
		st.Begun, st.Due, st.Waits = now, now, step.until != nil
		if err := r.save(ctx, run); err != nil {
			return err
		}
	}
	switch {
	case step.Approve && st.Approved == "":
		return r.ask(ctx, run, st, "a person must approve this step", now)
	case step.until != nil && st.Event != nil:
		return r.settle(ctx, run, st, StepDone, "", now)
	case step.until != nil && now.Before(st.Begun.Add(step.Deadline)):
		return nil // its event is still to come
	case step.until != nil:
		return r.fail(ctx, run, step, st, "what it waited for did not come within its time", now)
	case step.Do == "":
		return r.settle(ctx, run, st, StepDone, "", now)
	}
	return r.measure(ctx, run, step, st, now)
}

// measure takes a measure, or looks whether it took effect.
func (r *Runner) measure(ctx context.Context, run *Run, step *Step, st *StepRun, now time.Time) error {
	m := r.opts.Measures[step.Do]
	if m == nil {
		return r.fail(ctx, run, step, st, "no measure is called "+step.Do+" any more", now)
	}
	if why := r.opts.Rails.Stopped(); why != "" {
		return r.wait(ctx, run, st, "waits: "+why, now.Add(stoppedRest))
	}
	if why := r.opts.Rails.Forbids(run.Playbook.Subject, run.Subject); why != "" {
		return r.fail(ctx, run, step, st, why, now)
	}
	c := run.caseOf(step, st, r.opts.Now())
	verdict, err := m.Happened(ctx, c, st.Tried)
	run.Facts = c.Facts
	if err != nil {
		return r.trouble(ctx, run, step, st, err, now)
	}
	late := !now.Before(st.Begun.Add(step.Deadline))
	switch verdict {
	case Yes:
		note := ""
		if st.Attempts == 0 {
			note = "it was so already"
		}
		return r.settle(ctx, run, st, StepDone, note, now)
	case Unknown:
		if late {
			return r.fail(ctx, run, step, st, "its effect was not seen within its time", now)
		}
		return r.wait(ctx, run, st, "", now.Add(verifyRest))
	}
	if late {
		return r.fail(ctx, run, step, st, cmp.Or(st.Note, "it was not done within its time"), now)
	}
	st.State, st.Op = StepTaken, r.opts.Op()
	st.Attempts++
	st.Last = now
	if st.Tried.IsZero() {
		st.Tried = now
	}
	if err := r.save(ctx, run); err != nil { // ahead of the request: a crash asks what happened
		return err
	}
	err = m.Take(ctx, c, st.Op)
	run.Facts = c.Facts
	if ctx.Err() != nil {
		return nil // asked to stop: the next life looks what happened
	}
	if err != nil {
		return r.trouble(ctx, run, step, st, err, now)
	}
	c = run.caseOf(step, st, r.opts.Now())
	verdict, err = m.Happened(ctx, c, st.Tried)
	run.Facts = c.Facts
	switch {
	case err != nil:
		return r.trouble(ctx, run, step, st, err, now)
	case verdict == Yes:
		return r.settle(ctx, run, st, StepDone, "", r.opts.Now())
	}
	return r.wait(ctx, run, st, "", now.Add(verifyRest))
}

func (r *Run) caseOf(step *Step, st *StepRun, now time.Time) *Case {
	c := &Case{Tenant: r.Tenant, Run: r.ID, Subject: r.Subject, Cause: r.Cause, With: step.With, Facts: maps.Clone(r.Facts), Now: now, Begun: r.Begun,
		Last: st.Last, Approved: st.Approved}
	if c.Facts == nil {
		c.Facts = map[string]string{}
	}
	for i := range r.Steps {
		if r.Steps[i].Event != nil {
			c.Event = r.Steps[i].Event // the latest that a wait ended by
		}
	}
	return c
}

// trouble answers the error of a measure.
func (r *Runner) trouble(ctx context.Context, run *Run, step *Step, st *StepRun, err error, now time.Time) error {
	if ctx.Err() != nil {
		return nil
	}
	switch {
	case errors.Is(err, ErrGone):
		run.State, run.Note, run.Ended = Moot, err.Error(), now
		return r.settle(ctx, run, st, StepSkipped, err.Error(), now)
	case errors.Is(err, ErrOverruled):
		return r.ask(ctx, run, st, err.Error(), now)
	case errors.Is(err, ErrImpossible) || !now.Before(st.Begun.Add(step.Deadline)):
		return r.fail(ctx, run, step, st, err.Error(), now)
	}
	r.log.Warn("step not done yet", "run", run.ID, "step", st.ID, "attempts", st.Attempts, "err", err)
	rest := min(firstRest<<min(st.Attempts, 10), lastRest)
	return r.wait(ctx, run, st, err.Error(), earlier(now.Add(rest), st.Begun.Add(step.Deadline)))
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func (r *Runner) wait(ctx context.Context, run *Run, st *StepRun, note string, until time.Time) error {
	st.Due = until
	if note != "" {
		st.Note = note
	}
	return r.save(ctx, run)
}

// settle ends a step. It is recorded before it is kept: after a crash between the
// two the same is recorded under the same id.
func (r *Runner) settle(ctx context.Context, run *Run, st *StepRun, state StepState, note string, now time.Time) error {
	st.State, st.Ended, st.Note = state, now, note
	if err := r.record(ctx, fmt.Sprintf("run %s %s %s", run.ID, st.ID, state), run, st); err != nil {
		return err
	}
	if err := r.save(ctx, run); err != nil {
		return err
	}
	r.opts.Changed(ctx, run.copy())
	return nil
}

// fail does what the step says for when it cannot be done.
func (r *Runner) fail(ctx context.Context, run *Run, step *Step, st *StepRun, why string, now time.Time) error {
	switch step.Failing {
	case Skip:
		run.Facts = with(run.Facts, "failed."+st.ID, why)
		return r.settle(ctx, run, st, StepSkipped, "could not be done: "+why, now)
	case AskA:
		return r.ask(ctx, run, st, why, now)
	}
	run.State, run.Ended = Stopped, now
	run.Note = fmt.Sprintf("%s could not be done: %s", st.ID, why)
	return r.settle(ctx, run, st, StepFailed, why, now)
}

func with(facts map[string]string, key, value string) map[string]string {
	out := maps.Clone(facts)
	if out == nil {
		out = map[string]string{}
	}
	out[key] = value
	return out
}

// ask waits for a person.
func (r *Runner) ask(ctx context.Context, run *Run, st *StepRun, why string, now time.Time) error {
	st.State, st.Note, run.State = StepAsks, why, Awaiting
	if err := r.record(ctx, fmt.Sprintf("run %s %s asks %d", run.ID, st.ID, now.UnixMilli()), run, st); err != nil {
		return err
	}
	return r.save(ctx, run)
}

// end closes a run all of whose steps ended.
func (r *Runner) end(ctx context.Context, run *Run) error {
	run.State, run.Ended = Done, r.opts.Now()
	for i := range run.Steps {
		if _, failed := run.Facts["failed."+run.Steps[i].ID]; failed {
			run.State = Partly
			run.Note = "not everything could be done"
		}
	}
	if err := r.record(ctx, "run "+run.ID+" ended", run, nil); err != nil {
		return err
	}
	return r.save(ctx, run)
}
