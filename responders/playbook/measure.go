package playbook

import (
	"context"
	"errors"
	"time"
)

// Kind is what is known of a measure before it is taken.
type Kind struct {
	Subject      string            // user, client or tenant; "" for any
	Doc          string            // what it does, in one line
	Settings     map[string]string // what a step may set, each with its meaning
	Scopes       []string          // of the Management API
	Irreversible bool              // it cannot be undone
	Approval     bool              // a person must approve it
	Lane         Lane              // what goes first when the quota is short
}

// Lane orders measures over many runs: everybody is contained before anybody's
// recovery begins.
type Lane int

// The lanes, the most urgent first.
const (
	Contain Lane = iota
	Verify
	Recover
	Tell
)

// Measure does one kind of step.
type Measure interface {
	Kind() Kind
	// Happened reads whether the effect is there. It is asked before the measure is
	// taken, after it until it says Yes, and after a crash or an answer that never
	// came. since is when the step first tried; zero before. Until it says Yes the
	// measure is taken again whenever it says No.
	Happened(ctx context.Context, c *Case, since time.Time) (Verdict, error)
	// Take does it once. op is the correlation id of what it writes.
	Take(ctx context.Context, c *Case, op string) error
}

// Planner is a Measure that can say, before anything is done, what it would do.
type Planner interface {
	Plan(ctx context.Context, c *Case) (Plan, error)
}

// Plan is what a step would do to this subject.
type Plan struct {
	Calls  []string `json:"calls"`            // in order, each method and path
	Guards []string `json:"guards,omitempty"` // what must hold, and whether it does now
	Cannot string   `json:"cannot,omitempty"` // why it cannot be done on this tenant
}

// Verdict is whether an effect is there.
type Verdict int

// The verdicts.
const (
	No      Verdict = iota // it is not there, and nothing of ours is under way
	Yes                    // it is there
	Unknown                // it may be under way: look again
)

// Case is what a measure knows of its run. Facts and Kept may be added to; they
// are kept with the step.
type Case struct {
	Tenant  string
	Run     string // the run's id, which marks what it does in the tenant
	Subject string
	Cause   Cause
	With    map[string]string
	Facts   map[string]string
	Now     time.Time
	Begun   time.Time // when the run began
	Last    time.Time // when the step was last tried; zero before
	// Approved is the person who said that the step may be done in spite of what it
	// asked; "" without.
	Approved string
	Event    map[string]any // the latest that a wait of the run ended by
}

var (
	// ErrGone is wrapped by the error of a measure whose subject is no longer there:
	// the run is moot.
	ErrGone = errors.New("the subject is gone")
	// ErrImpossible is wrapped when the tenant refuses for good: plan, scope.
	ErrImpossible = errors.New("cannot be done on this tenant")
	// ErrOverruled is wrapped when a human did otherwise since: the run stops and
	// asks.
	ErrOverruled = errors.New("a person decided otherwise")
	// ErrNotTaken is wrapped when a measure certainly did nothing.
	ErrNotTaken = errors.New("nothing was done")
)
