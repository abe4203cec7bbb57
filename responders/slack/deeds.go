package slack

import (
	"cmp"
	"slices"
	"time"

	"portcullis/responders"
)

// shadow is the mode of a hold that is computed and never written.
const shadow = "shadow"

// deeds sorts the outcomes into what was done and what was not. In observe
// mode the first holds what would have been done.
func deeds(r responders.Report) (did, didNot section) {
	did = section{title: "What I did", empty: "Nothing."}
	didNot = section{title: "What I did not do", empty: "Nothing was proposed, refused, skipped or failed."}
	if r.Mode == responders.Observe {
		did.title, didNot.title = "What I would do", "What I would not do"
	}

	// What still runs, and what asks for a person, stays when the rest is cut.
	var running, ended, left []responders.Outcome
	for _, o := range r.Outcomes {
		switch {
		case o.Outcome != "done" && (o.Outcome != "proposed" || !would(r, o)):
			left = append(left, o)
		case o.Ended.IsZero():
			running = append(running, o)
		default:
			ended = append(ended, o)
		}
	}
	done := append(running, ended...)
	slices.SortStableFunc(left, func(a, b responders.Outcome) int {
		return cmp.Compare(urgency(a.Outcome), urgency(b.Outcome))
	})

	now := latest(r)
	did.total, didNot.total = len(done), len(left)
	for _, o := range done[:min(len(done), maxLines)] {
		did.lines = append(did.lines, doneLine(r, o, now))
	}
	for _, o := range left[:min(len(left), maxLines)] {
		didNot.lines = append(didNot.lines, leftLine(o))
	}
	return did, didNot
}

// would tells whether an outcome changed nothing because of its mode.
func would(r responders.Report, o responders.Outcome) bool {
	mode := cmp.Or(o.Mode, string(r.Mode))
	return r.Mode == responders.Observe || mode == string(responders.Observe) || mode == shadow
}

func urgency(outcome string) int {
	order := []string{"failed", "proposed", "refused", "skipped"}
	if i := slices.Index(order, outcome); i >= 0 {
		return i
	}
	return len(order)
}

// doneLine is "set bot-detection: medium → high, until 10:42 UTC".
func doneLine(r responders.Report, o responders.Outcome, now time.Time) line {
	var l line
	hypothetical := would(r, o)
	if hypothetical {
		l.say("WOULD ")
	}
	l.say("%s ", verb(o.Kind, hypothetical))
	l.what(o)
	switch {
	case !o.Ended.IsZero() && hypothetical:
		l.say(", and release it %s", clock(o.Ended, now))
	case !o.Ended.IsZero():
		l.say(", released %s", clock(o.Ended, now))
	case !o.Until.IsZero():
		l.say(", until %s", clock(o.Until, now))
	}
	if o.HoldID != "" {
		l.say(", hold ")
		l = append(l, span{text: cut(visible(o.HoldID), wordSize), value: true})
	}
	if o.Reason != "" {
		l.say(" - ")
		l.prose(o.Reason, reasonSize)
	}
	return l
}

// leftLine is "refused bot-detection: medium → high - the hourly budget is used up".
func leftLine(o responders.Outcome) line {
	var l line
	l.say("%s ", cmp.Or(clean(o.Outcome, wordSize), "not done:"))
	l.what(o)
	l.say(" - ")
	l.prose(cmp.Or(o.Reason, "no reason was given"), reasonSize)
	return l
}

// what names the control, what it changes from and to, and what it is aimed at.
func (l *line) what(o responders.Outcome) {
	l.value(cmp.Or(o.Control, o.Kind, "response"), wordSize)
	switch {
	case o.To != "" && o.From == o.To:
		l.say(": already ")
		l.value(o.To, wordSize)
	case o.To != "" && o.From != "":
		l.say(": ")
		l.value(o.From, wordSize)
		l.say(" → ")
		l.value(o.To, wordSize)
	case o.To != "":
		l.say(": → ")
		l.value(o.To, wordSize)
	case o.Level != "":
		l.say(": level ")
		l.value(o.Level, wordSize)
	}
	if o.Subject != "" {
		l.say(" for ")
		l.value(o.Subject, valueSize)
	}
}

func verb(kind string, hypothetical bool) string {
	switch {
	case kind == "message" && hypothetical:
		return "send"
	case kind == "message":
		return "sent"
	case kind == "hold" || kind == "":
		return "set"
	case hypothetical:
		return "do"
	}
	return "did"
}

// latest is the newest time in a report, by which the dates of others can be
// left out.
func latest(r responders.Report) time.Time {
	_, t := lifetime(r.Incident)
	for _, o := range r.Outcomes {
		if o.At.After(t) {
			t = o.At
		}
	}
	return t
}
