package responders

import (
	"context"
	"time"

	"portcullis/detections"
)

// Report is one incident as people should see it. It is always whole: a
// notifier renders it from scratch and replaces what it showed before.
type Report struct {
	Incident detections.Incident
	State    State
	Mode     Mode   // the tenant's mode, which decides how the state is worded
	Feed     string // verdict of feed health with its reason, for instance "clear"
	Outcomes []Outcome

	// Transition is what has just changed, one line for the thread; empty when
	// only numbers moved.
	Transition string
	// Broadcast asks that the transition also reach the channel: severity rose
	// or a person is needed.
	Broadcast bool
}

// State is where an incident stands between attack and calm.
type State string

// The states in the order an incident passes through them.
const (
	StateObserving  State = "OBSERVING"  // the attack runs and nothing was changed
	StateContaining State = "CONTAINING" // the attack runs and holds are in force
	StateRelaxing   State = "RELAXING"   // the attack is over and holds still run
	StateClosed     State = "CLOSED"     // over, and no hold is left
)

// Outcome is one response with what it changed.
type Outcome struct {
	detections.Response
	HoldID string    `json:"hold_id,omitempty"`
	From   string    `json:"from,omitempty"` // the value before, for instance "medium"
	To     string    `json:"to,omitempty"`   // the value asked for
	Until  time.Time `json:"until,omitzero"` // when it ends by itself
	At     time.Time `json:"at,omitzero"`    // when it was decided
	Ended  time.Time `json:"ended,omitzero"` // when the hold was released; zero while it runs
}

// Notifier shows reports to people. Notify replaces what it showed for the same
// incident before. It must be quick to return: a slow channel never delays
// containment. An error means that people may not have seen the report.
type Notifier interface {
	Notify(ctx context.Context, r Report) error
}

// Mode says how far a response may go.
type Mode string

// The modes, most careful first.
const (
	Observe Mode = "observe" // say what would be done
	Propose Mode = "propose" // ask
	Enforce Mode = "enforce" // do
)
