package playbook

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// State is where a run stands.
type State string

// The states of a run.
const (
	Proposed State = "proposed" // observe: what would be done
	Awaiting State = "awaiting" // a person must approve the run, or its next step
	Running  State = "running"
	Done     State = "done"    // every step was done or had no reason to be
	Partly   State = "partly"  // it ended, and some of it could not be done
	Stopped  State = "stopped" // a step failed for good, and the run ended there
	Aborted  State = "aborted" // a person ended it
	Moot     State = "moot"    // its subject is gone
)

// Over reports whether a run in this state is past.
func (s State) Over() bool { return s != Proposed && s != Awaiting && s != Running }

// StepState is where a step of a run stands.
type StepState string

// The states of a step.
const (
	StepWaits   StepState = ""        // its turn has not come
	StepTaken   StepState = "taken"   // noted ahead: it may or may not have been done
	StepDone    StepState = "done"    // its effect was seen
	StepSkipped StepState = "skipped" // it had no reason, or failed and the run went on
	StepFailed  StepState = "failed"  // it failed for good
	StepAsks    StepState = "asks"    // a person must decide
)

// Cause says what a run answers.
type Cause struct {
	Actor    string   `json:"actor"` // the person or policy that asked for it
	Reason   string   `json:"reason,omitempty"`
	Incident string   `json:"incident,omitempty"`
	Alert    string   `json:"alert,omitempty"`
	IPs      []string `json:"ips,omitempty"`    // of the attack
	Client   string   `json:"client,omitempty"` // an application that it went through
	// Since is the first event of the attack on this subject; zero when not known.
	Since time.Time `json:"since,omitzero"`
}

// Run is one playbook on one subject.
type Run struct {
	ID       string            `json:"id"`
	Tenant   string            `json:"tenant"`
	Playbook *Playbook         `json:"-"`
	Name     string            `json:"playbook"`
	Source   string            `json:"source"` // the playbook as it was when the run began, in YAML
	Subject  string            `json:"subject"`
	Batch    string            `json:"batch,omitempty"` // runs that were asked for together
	Cause    Cause             `json:"cause"`
	Mode     string            `json:"mode"`
	State    State             `json:"state"`
	Note     string            `json:"note,omitempty"`
	Begun    time.Time         `json:"begun"`
	Ended    time.Time         `json:"ended,omitzero"`
	Approved string            `json:"approved,omitempty"` // by whom the run was
	Facts    map[string]string `json:"facts,omitempty"`    // what steps learned, for later ones
	Steps    []StepRun         `json:"steps"`
}

// StepRun is one step of a run.
type StepRun struct {
	ID       string         `json:"id"`
	State    StepState      `json:"state,omitempty"`
	Note     string         `json:"note,omitempty"`
	Attempts int            `json:"attempts,omitempty"`
	Begun    time.Time      `json:"begun,omitzero"` // when its turn came
	Tried    time.Time      `json:"tried,omitzero"` // when it was first noted ahead
	Last     time.Time      `json:"last,omitzero"`  // likewise, for its latest attempt
	Due      time.Time      `json:"due,omitzero"`   // not before
	Ended    time.Time      `json:"ended,omitzero"`
	Op       string         `json:"op,omitempty"`       // correlation id of its latest attempt
	Waits    bool           `json:"waits,omitempty"`    // for an event
	Approved string         `json:"approved,omitempty"` // by whom
	Event    map[string]any `json:"event,omitempty"`    // what ended a wait
}

// ended reports whether a step needs nothing more.
func (s *StepRun) ended() bool {
	return s.State == StepDone || s.State == StepSkipped || s.State == StepFailed
}

// current is the index of the step whose turn it is; len(Steps) when all ended.
func (r *Run) current() int {
	for i := range r.Steps {
		if !r.Steps[i].ended() {
			return i
		}
	}
	return len(r.Steps)
}

// RunID names the run of a playbook on a subject that was begun at a time.
func RunID(tenant, playbook, subject string, begun time.Time) string {
	sum := sha256.Sum256([]byte(tenant + "\x00" + playbook + "\x00" + subject + "\x00" + begun.UTC().Format(time.RFC3339Nano)))
	return "run_" + hex.EncodeToString(sum[:6])
}

// Hash names the exact plan of a run, for its approval: the steps and the subject.
func (r *Run) Hash() string {
	sum := sha256.Sum256([]byte(r.ID + "\x00" + r.Source))
	return hex.EncodeToString(sum[:6])
}

// Current is the step whose turn it is; nil when all have ended.
func (r *Run) Current() *StepRun {
	if i := r.current(); i < len(r.Steps) {
		return &r.Steps[i]
	}
	return nil
}

// Rests reports whether the run does not go on by itself soon: it is over, asks a
// person, waits for an event, or pauses for longer than given.
func (r *Run) Rests(now time.Time, pause time.Duration) bool {
	if r.State != Running {
		return true
	}
	st := r.Current()
	if st == nil {
		return false
	}
	if st.Begun.IsZero() {
		return false // its pause is part of going on
	}
	return st.Waits || st.Due.Sub(now) > pause
}

// Trouble names the steps that could not be done, with why.
func (r Run) Trouble() []string {
	var out []string
	for i := range r.Steps {
		if why, failed := r.Facts["failed."+r.Steps[i].ID]; failed {
			out = append(out, r.Steps[i].ID+": "+why)
		} else if r.Steps[i].State == StepFailed {
			out = append(out, r.Steps[i].ID+": "+r.Steps[i].Note)
		}
	}
	return out
}
