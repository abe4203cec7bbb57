package detections

import (
	"cmp"
	"slices"
	"time"

	"portcullis/logstream"
)

// A rule may fill a list with values of its alerts' events, for a time. Other
// rules look the list up as of the time of their own events, so an event whose
// condition depends on such a list is judged when the watermark reaches it: by
// then all that was to be published before it is known. It counts sooner only
// where more publications cannot change the answer.

// filledList is a list that a rule fills.
type filledList struct {
	spans map[string][]span // for each value the times in which it is in the list, in order
	shed  int64
}

// maxFilled bounds the values of one list, maxSpans the times kept for each.
const (
	maxFilled = 100_000
	maxSpans  = 4
)

func newFilledList() *filledList { return &filledList{spans: map[string][]span{}} }

// put adds a value from one time until another.
func (l *filledList) put(value string, from, until int64) {
	spans := l.spans[value]
	for i, s := range spans {
		if from <= s.to && until >= s.from {
			from, until = min(from, s.from), max(until, s.to)
			l.spans[value] = nil
			rest := slices.Delete(slices.Clone(spans), i, i+1)
			l.spans[value] = rest
			l.put(value, from, until) // it may touch another
			return
		}
	}
	if len(l.spans) >= maxFilled && spans == nil {
		l.shed++
		return
	}
	spans = append(slices.Clone(spans), span{from, until})
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	if len(spans) > maxSpans {
		spans = spans[1:]
	}
	l.spans[value] = spans
}

// forget drops what ended before a time.
func (l *filledList) forget(before int64) {
	for value, spans := range l.spans {
		kept := slices.DeleteFunc(slices.Clone(spans), func(s span) bool { return s.to < before })
		if len(kept) == 0 {
			delete(l.spans, value)
		} else {
			l.spans[value] = kept
		}
	}
}

func (l *filledList) encode(enc *encoder) {
	enc.int(l.shed)
	enc.len(len(l.spans))
	for _, value := range keys(l.spans) {
		enc.string(value)
		enc.len(len(l.spans[value]))
		for _, s := range l.spans[value] {
			enc.int(s.from)
			enc.int(s.to)
		}
	}
}

func decodeFilledList(d *decoder) *filledList {
	l := newFilledList()
	l.shed = d.int()
	for range d.len() {
		value := d.string()
		for range d.len() {
			l.spans[value] = append(l.spans[value], span{d.int(), d.int()})
		}
	}
	return l
}

// filledAt is a filled list as of a time.
type filledAt struct {
	list *filledList
	t    int64
}

// Contains reports whether a text was in the list then.
func (f filledAt) Contains(text string) bool {
	return slices.ContainsFunc(f.list.spans[text], func(s span) bool { return s.from <= f.t && f.t < s.to })
}

// maybe stands for a list while it is asked whether an event could match at all:
// every value is in it, and is not.
type maybe struct{}

// Contains is never asked: see listed.
func (maybe) Contains(string) bool { return true }

// listName is the name of a filled list in an expression's environment.
func listName(name string) string { return "list:" + name }

// setLists puts the filled lists that a rule names into the row, as of a time.
func (e *Engine) setLists(r *ruleState, t int64) {
	for _, name := range r.filled {
		e.eval.row.set(listName(name), filledAt{e.filled[name], t})
	}
}

func (e *Engine) setMaybe(r *ruleState) {
	for _, name := range r.filled {
		e.eval.row.set(listName(name), maybe{})
	}
}

// waiting is an event whose place in a rule is decided at the watermark.
type waiting struct {
	t  int64
	ev logstream.Event
}

// maxWaiting bounds the events that wait for one rule. Beyond it they are judged
// by what the lists hold when they come.
const maxWaiting = 50_000

// await keeps an event until the watermark reaches it.
func (e *Engine) await(r *ruleState, ev *logstream.Event, t int64) bool {
	if len(r.waiting) >= maxWaiting {
		e.shed(r.ID, shedWaiting, 1)
		return false
	}
	r.waiting = append(r.waiting, waiting{t, ev.Clone()})
	return true
}

// release judges the events that the watermark has reached.
func (e *Engine) release(r *ruleState, wm int64) {
	if len(r.waiting) == 0 {
		return
	}
	var due []waiting
	r.waiting = slices.DeleteFunc(r.waiting, func(w waiting) bool {
		if w.t > wm {
			return false
		}
		due = append(due, w)
		return true
	})
	slices.SortFunc(due, func(a, b waiting) int { return cmp.Or(cmp.Compare(a.t, b.t), cmp.Compare(a.ev.ID, b.ev.ID)) })
	for i := range due {
		w := &due[i]
		e.eval.row.take(&w.ev)
		e.setLists(r, w.t)
		if mask, ok := e.admits(r); ok {
			e.enter(r, &w.ev, w.t, mask, 0)
		}
	}
}

// publish puts the values of an episode's new events into the rule's list, unless
// an exception swallows its alert.
func (e *Engine) publish(w *watch, ep *episode) {
	if ep == nil || len(ep.fresh) == 0 {
		return
	}
	r := w.rule
	if e.swallowsOf(r, w.values, ep.lastTrue) != nil {
		ep.fresh = nil
		return
	}
	list := e.filled[r.Publish.List]
	was := list.shed
	defer func() { e.shed(r.ID, shedValues, list.shed-was) }()
	for _, p := range ep.fresh {
		each(p.value, func(v any) {
			if text, ok := keyText(v); ok {
				from := max(p.t, ep.opened)
				list.put(text, from, from+r.Publish.TTL.Milliseconds())
			}
		})
	}
	ep.fresh = nil
}

// publication is a value that an event of an episode publishes.
type publication struct {
	t     int64
	value any
}

// forgetFilled drops what no event can ask for any more.
func (e *Engine) forgetFilled(wm int64) {
	for _, l := range e.filled {
		l.forget(wm - time.Hour.Milliseconds())
	}
}
