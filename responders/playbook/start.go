package playbook

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Request asks for a run.
type Request struct {
	Playbook string
	Subject  string
	Batch    string
	Cause    Cause
	Mode     string // observe, propose or enforce
}

// Start begins a run. The error wraps [ErrRefused] when it may not begin, and says
// why. The same incident asks for a playbook on a subject once: asked again, the
// run there was is returned.
func (r *Runner) Start(ctx context.Context, q Request) (Run, error) {
	if strings.TrimSpace(q.Cause.Actor) == "" {
		return Run{}, refuse("a run needs the name of who asks for it")
	}
	if strings.TrimSpace(q.Subject) == "" {
		return Run{}, refuse("a run needs a subject")
	}
	r.starting.Lock()
	defer r.starting.Unlock()
	now := r.opts.Now()
	r.mu.Lock()
	p := r.playbooks[q.Playbook]
	var open, before *Run
	for _, run := range r.view {
		if run.Subject != q.Subject {
			continue
		}
		if !run.State.Over() && run.State != Proposed {
			open = &run
		}
		if run.Name == q.Playbook && q.Cause.Incident != "" && run.Cause.Incident == q.Cause.Incident && run.Mode == q.Mode {
			before = &run
		}
	}
	r.mu.Unlock()
	switch {
	case p == nil:
		return Run{}, refuse("no playbook is called %s", q.Playbook)
	case before != nil:
		return *before, nil
	case open != nil:
		return Run{}, refuse("run %s (%s) on %s is open already: it is %s", open.ID, open.Name, q.Subject, open.State)
	}
	if why := r.opts.Rails.Forbids(p.Subject, q.Subject); why != "" {
		return Run{}, refuse("%s", why)
	}
	run := &Run{ID: RunID(r.opts.Tenant, p.ID, q.Subject, now), Tenant: r.opts.Tenant, Playbook: p, Name: p.ID, Source: string(p.source),
		Subject: q.Subject, Batch: q.Batch, Cause: q.Cause, Mode: q.Mode, Begun: now, Facts: map[string]string{}}
	for i := range p.Steps {
		run.Steps = append(run.Steps, StepRun{ID: p.Steps[i].ID})
	}
	if err := r.admit(ctx, run, now); err != nil {
		return Run{}, err
	}
	if err := r.record(ctx, "run "+run.ID+" begun", run, nil); err != nil {
		return Run{}, err
	}
	if err := r.save(ctx, run); err != nil {
		return Run{}, err
	}
	out := run.copy()
	r.mu.Lock()
	r.fresh = append(r.fresh, run)
	r.mu.Unlock()
	r.opts.Changed(ctx, out)
	r.wakeUp()
	return out, nil
}

// admit decides how a run begins, by its mode and its budget.
func (r *Runner) admit(ctx context.Context, run *Run, now time.Time) error {
	switch run.Mode {
	case "observe":
		run.State = Proposed
		return nil
	case "propose":
		run.State, run.Note = Awaiting, "a person must approve the run"
		return nil
	case "enforce":
	default:
		return fmt.Errorf("begin run %s: unknown mode %q", run.ID, run.Mode)
	}
	run.State = Running
	if run.Playbook.Budget == "" {
		return nil
	}
	why, err := r.opts.Rails.Spend(ctx, run.Playbook.Budget, now)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	if why != "" {
		run.State, run.Note = Awaiting, why
	}
	return nil
}

// Answer is what a person says to a run.
type Answer string

// The answers.
const (
	Approve  Answer = "approve" // go on: with the run, or with the step that asks
	SkipStep Answer = "skip"    // go on without the step that asks
	Abort    Answer = "abort"   // end it here: what was done stays done
)

// Order is a person's answer to a run.
type Order struct {
	Run    string `json:"run"`
	Answer Answer `json:"answer"`
	Plan   string `json:"plan,omitempty"` // the plan's hash as it was shown, to approve a whole run
	Actor  string `json:"actor"`
	Reason string `json:"reason,omitempty"`
}

type order struct {
	Order
	done chan obeyed
}

type obeyed struct {
	run Run
	err error
}

// Give hands a run a person's answer, which Step carries out. The error wraps
// [ErrRefused] when nothing was done.
func (r *Runner) Give(ctx context.Context, o Order) (Run, error) {
	waits := order{o, make(chan obeyed, 1)}
	r.mu.Lock()
	r.orders = append(r.orders, waits)
	r.mu.Unlock()
	r.wakeUp()
	select {
	case got := <-waits.done:
		return got.run, got.err
	case <-ctx.Done():
		return Run{}, fmt.Errorf("%s run %s: %w", o.Answer, o.Run, ctx.Err())
	}
}

func (r *Runner) obey(ctx context.Context, o order) (Run, error) {
	now := r.opts.Now()
	run := r.runs[o.Run]
	switch {
	case strings.TrimSpace(o.Actor) == "":
		return Run{}, refuse("an answer needs the name of who gives it")
	case o.Answer != Approve && o.Answer != SkipStep && o.Answer != Abort:
		return Run{}, refuse("%q is no answer: approve, skip or abort", o.Answer)
	case run == nil:
		return Run{}, refuse("no run is called %q", o.Run)
	case run.State.Over():
		return Run{}, refuse("run %s is over: it is %s", o.Run, run.State)
	}
	who := o.Actor
	if o.Reason != "" {
		who += ": " + o.Reason
	}
	if err := r.answer(run, o.Answer, o.Plan, who, now); err != nil {
		return Run{}, err
	}
	if err := r.record(ctx, fmt.Sprintf("run %s %s %d", run.ID, o.Answer, now.UnixMilli()), run, nil); err != nil {
		return Run{}, err
	}
	if err := r.save(ctx, run); err != nil {
		return Run{}, err
	}
	r.opts.Changed(ctx, run.copy())
	return run.copy(), nil
}

func (r *Runner) answer(run *Run, answer Answer, hash, who string, now time.Time) error {
	if answer == Abort {
		run.State, run.Ended, run.Note = Aborted, now, "aborted by "+who
		return nil
	}
	if run.State != Awaiting {
		return refuse("run %s asks nothing: it is %s", run.ID, run.State)
	}
	i := run.current()
	if i < len(run.Steps) && run.Steps[i].State == StepAsks {
		st := &run.Steps[i]
		if answer == SkipStep {
			st.State, st.Ended, st.Note = StepSkipped, now, "skipped by "+who
			run.Facts = with(run.Facts, "failed."+st.ID, "skipped by "+who)
		} else {
			st.State, st.Approved, st.Note = StepWaits, who, ""
			st.Begun, st.Due, st.Tried, st.Last = now, now, time.Time{}, time.Time{} // it begins anew
		}
		run.State, run.Note = Running, ""
		return nil
	}
	switch {
	case answer == SkipStep:
		return refuse("run %s asks for an approval of the whole: approve or abort it", run.ID)
	case hash != run.Hash():
		return refuse("the plan of run %s is %s, not %q: look at it and approve that", run.ID, run.Hash(), hash)
	}
	run.State, run.Approved, run.Note = Running, who, ""
	return nil
}

// forgetAfter is how long a run is remembered after its end.
const forgetAfter = 90 * 24 * time.Hour

// Forget drops runs that ended long ago; the journal keeps what they did.
func (r *Runner) Forget(ctx context.Context) error {
	now := r.opts.Now()
	for id, run := range r.runs {
		if !(run.State.Over() && now.Sub(run.Ended) > forgetAfter || run.State == Proposed && now.Sub(run.Begun) > forgetAfter) {
			continue
		}
		if err := r.opts.Store.Delete(ctx, id); err != nil {
			return fmt.Errorf("%w: forget run %s: %w", ErrStore, id, err)
		}
		delete(r.runs, id)
		r.mu.Lock()
		delete(r.view, id)
		r.mu.Unlock()
	}
	return nil
}
