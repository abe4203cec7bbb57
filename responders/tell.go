package responders

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"portcullis/detections"
	"portcullis/responders/hold"
)

// responseOf says in an alert what became of a hold that was asked for.
func responseOf(h *hold.Hold) detections.Response {
	resp := detections.Response{Kind: "hold", Control: h.Control, Level: h.Level, Subject: h.Subject, Mode: h.Mode, Reason: h.Reason}
	switch {
	case h.State == hold.Failed:
		resp.Outcome, resp.Reason = "failed", h.Note
	case h.State == hold.PendingCapacity || h.State == hold.Overruled:
		resp.Outcome, resp.Reason = "skipped", h.Note
	case Mode(h.Mode) == Enforce && h.State != "":
		resp.Outcome = "done"
	default:
		resp.Outcome = "proposed"
	}
	return resp
}

// line is one sentence of a thread. Lines that differ in their subject alone are
// told as one.
type line struct {
	head    string // "Holds network-acl"
	subject string // what it is aimed at, "" for the tenant
	tail    string // " until 10:45 UTC"
}

// holdLine says something of a hold: Holds network-acl on 198.51.100.7 until
// 10:45 UTC.
func holdLine(verb string, h *hold.Hold, why string) line {
	l := line{head: verb + " " + h.Control, subject: h.Subject}
	if h.Control == "" {
		return line{head: verb + ": " + why} // its policy could not even name a control
	}
	if h.Level != "" {
		l.head += " at " + h.Level
	}
	if h.To != "" && h.Subject == "" && !h.State.Ended() {
		l.tail = " (" + h.To + ")"
	}
	if h.State == hold.Active || h.State == hold.Proposed || h.State == hold.AwaitingApproval {
		l.tail += " until " + h.Expires.UTC().Format("15:04 UTC")
	}
	if why != "" {
		l.tail += ": " + why
	}
	return l
}

// subjectsShown is how many subjects one sentence names.
const subjectsShown = 5

// sentences renders lines in their order, those alike as one. Empty ones are
// left out.
func sentences(lines []line) []string {
	var order []line
	subjects := map[line][]string{}
	for _, l := range lines {
		if l == (line{}) {
			continue
		}
		key := line{head: l.head, tail: l.tail}
		if subjects[key] == nil {
			order = append(order, key)
		}
		subjects[key] = append(subjects[key], l.subject)
	}
	out := make([]string, 0, len(order))
	for _, l := range order {
		text := l.head
		if names := slices.DeleteFunc(subjects[l], func(s string) bool { return s == "" }); len(names) > 0 {
			text += " on " + strings.Join(names[:min(len(names), subjectsShown)], ", ")
			if more := len(names) - subjectsShown; more > 0 {
				text += fmt.Sprintf(" and %d more", more)
			}
		}
		out = append(out, text+l.tail)
	}
	return out
}

// news is what is to be told of incidents, by id.
type news map[string]*item

type item struct {
	lines []line
	loud  bool
}

func (n news) add(incident string, l line) {
	if n[incident] == nil {
		n[incident] = &item{}
	}
	n[incident].lines = append(n[incident].lines, l)
}

// shout adds what a person must look at.
func (n news) shout(incident string, l line) {
	n.add(incident, l)
	n[incident].loud = true
}

// spread tells the news.
func (r *Responder) spread(ctx context.Context, n news) error {
	if len(n) == 0 {
		return nil
	}
	for _, in := range r.incidents.All() {
		if it := n[in.ID]; it != nil {
			if err := r.tell(ctx, in, it.lines, it.loud); err != nil {
				return err
			}
		}
	}
	return nil
}

func groupText(a detections.Alert) string {
	parts := make([]string, 0, len(a.Group))
	for _, k := range sortedKeys(a.Group) {
		parts = append(parts, k+" "+a.Group[k])
	}
	if len(parts) == 0 {
		parts = append(parts, "the whole tenant")
	}
	return fmt.Sprintf("%s, %d events", strings.Join(parts, ", "), a.Count)
}

// stateOf is where an incident stands.
func (r *Responder) stateOf(in detections.Incident) State {
	inForce, running := false, false
	for _, h := range r.holds {
		if r.incidentOf(h) != in.ID || Mode(h.Mode) != Enforce || h.State.Ended() {
			continue
		}
		running = true
		inForce = inForce || h.State == hold.Active || h.Letting()
	}
	switch {
	case in.ResolvedAt == nil && inForce:
		return StateContaining
	case in.ResolvedAt == nil:
		return StateObserving
	case running:
		return StateRelaxing
	}
	return StateClosed
}

// tell saves an incident, and those of its alerts that changed, and shows it to
// people. It is saved first: after a crash between the two a line is missing in
// the thread, and none comes twice.
func (r *Responder) tell(ctx context.Context, in detections.Incident, lines []line, loud bool, changed ...detections.Alert) error {
	state := r.stateOf(in)
	if was := r.told[in.ID]; was != "" && was != state {
		lines = append(lines, line{head: r.stateText(in.ID, state)})
	}
	r.told[in.ID] = state
	if err := r.saveIncident(ctx, in); err != nil {
		return err
	}
	for _, a := range changed {
		if err := r.saveAlert(ctx, in.ID, a); err != nil {
			return err
		}
	}
	r.show(ctx, in, strings.Join(sentences(lines), "\n"), loud)
	return nil
}

// tellStates tells of incidents that stand elsewhere than was last told.
func (r *Responder) tellStates(ctx context.Context) error {
	if !r.moved {
		return nil
	}
	for _, in := range r.incidents.All() {
		if was := r.told[in.ID]; was != "" && was != r.stateOf(in) {
			if err := r.tell(ctx, in, nil, false); err != nil {
				return err
			}
		}
	}
	r.moved = false
	return nil
}

func (r *Responder) stateText(incident string, s State) string {
	switch s {
	case StateObserving:
		return "The attack goes on and nothing is held"
	case StateContaining:
		return "The attack goes on and holds are in force"
	case StateRelaxing:
		return "The attack is over; holds run out by themselves"
	}
	if r.everHeld(incident) {
		return "Closed: every setting is back at the value a human chose"
	}
	return "Closed: nothing was changed"
}

// show hands an incident to the notifiers.
func (r *Responder) show(ctx context.Context, in detections.Incident, transition string, loud bool) {
	tenant, _, feed := r.settings()
	r.notify(ctx, Report{Incident: r.refreshed(in), State: r.told[in.ID], Mode: tenant.Mode, Feed: feed.String(), Outcomes: r.outcomesOf(in.ID),
		Transition: transition, Broadcast: loud})
}

func (r *Responder) notify(ctx context.Context, rep Report) {
	for _, n := range r.opts.Notifiers {
		if err := n.Notify(ctx, rep); err != nil {
			r.log.Error("incident not shown", "incident", rep.Incident.ID, "err", err)
		}
	}
}

// showAll shows the incidents that are not closed as they stand: the run before
// may have ended before it could.
func (r *Responder) showAll(ctx context.Context) error {
	for _, gone := range r.unmarked {
		if err := r.showMerged(ctx, gone); err != nil {
			return err
		}
	}
	r.unmarked = nil
	for _, in := range r.incidents.All() {
		if state := r.told[in.ID]; state != "" && state != StateClosed {
			r.show(ctx, in, "", false)
		}
	}
	return nil
}

// refreshed is an incident whose alerts say what has become of their responses
// since.
func (r *Responder) refreshed(in detections.Incident) detections.Incident {
	for i, a := range in.Alerts {
		ids := r.behind[a.ID]
		if len(ids) != len(a.Responses) || len(ids) == 0 {
			continue
		}
		responses := slices.Clone(a.Responses)
		for j, id := range ids {
			if h := r.holds[id]; h != nil {
				responses[j] = responseOf(h)
			}
		}
		in.Alerts[i].Responses = responses
	}
	return in
}

func (r *Responder) everHeld(incident string) bool {
	for _, h := range r.holds {
		if r.incidentOf(h) == incident && Mode(h.Mode) == Enforce && h.To != "" {
			return true
		}
	}
	return false
}

// outcomesOf lists what was done about an incident, and what was not.
func (r *Responder) outcomesOf(incident string) []Outcome {
	var out []Outcome
	for _, h := range r.sortedHolds() {
		if r.incidentOf(h) != incident {
			continue
		}
		o := Outcome{Response: responseOf(h), HoldID: h.ID, From: h.From, To: h.To, Until: h.Expires, At: h.Created, Ended: h.Ended}
		for _, why := range []string{h.Note, h.Trouble, h.Kept, asking(h)} {
			if why != "" && (h.State == hold.Active || h.Letting()) {
				o.Reason += " (" + why + ")"
			}
		}
		out = append(out, o)
	}
	return append(out, slices.Clone(r.outcomes[incident])...)
}

// asking is what a hold asks a person, until somebody has said yes.
func asking(h *hold.Hold) string {
	if h.Asks == "" || h.Let != "" {
		return ""
	}
	return "asks before it lets go: " + h.Asks
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
