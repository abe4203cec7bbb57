package detections

import (
	"slices"
	"strconv"
	"strings"

	"portcullis/logstream"
)

func (e *Engine) evaluate(ev *logstream.Event, t int64, late bool, plan *typePlan) {
	e.stats.Evaluated++
	if late {
		e.stats.Late++
	}
	row := e.eval.row
	for _, f := range plan.fields {
		row[f.name] = ev.Lookup(f.path)
	}
	var entity [4]string
	haveEntity := false
	for _, r := range plan.rules {
		ok, err := r.where.holds(&e.eval.vm, row)
		if err != nil {
			e.ruleFailed(r.compiled, err)
			continue
		}
		if !ok {
			continue
		}
		key, ok := e.groupKey(r, ev)
		if !ok {
			continue
		}
		if !haveEntity {
			haveEntity = true
			for i, p := range e.entityAt {
				entity[i], _ = ev.LookupString(p)
			}
		}
		en := entry{t: t, id: ev.ID, entity: entity}
		if late {
			en.behind = e.watermark()
		}
		if len(r.aggs) > 0 {
			en.vals = make([]any, len(r.aggs))
			for i := range r.aggs {
				en.vals[i] = e.aggregateValue(r, i, row)
			}
		}
		e.add(r, key, en)
	}
}

func (e *Engine) aggregateValue(r *ruleState, i int, row env) any {
	a := &r.aggs[i]
	if a.arg == nil {
		return true // count()
	}
	v, err := a.arg.run(&e.eval.vm, row)
	if err != nil {
		e.ruleFailed(r.compiled, err)
		return nil
	}
	return v
}

// keyText writes a value as part of a group key; false when it is missing.
func keyText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, v != ""
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}

// keySeparator stands between the parts of a key.
const keySeparator = "\x1f"

func (e *Engine) groupKey(r *ruleState, ev *logstream.Event) (string, bool) {
	var key string
	for i, f := range r.group {
		text, ok := keyText(ev.Lookup(f.path))
		if !ok && r.MissingKey != "group" {
			return "", false
		}
		if i > 0 {
			key += keySeparator
		}
		if len(r.group) > 1 && strings.ContainsAny(text, keySeparator+keyQuote) {
			text = keyQuote + strconv.Quote(text) // a stranger's text must not end its part
		}
		key += text
	}
	return key, true
}

// keyQuote marks a part of a key that is quoted.
const keyQuote = "\x1e"

func (r *ruleState) groupValues(key string) map[string]string {
	values := map[string]string{}
	switch len(r.group) {
	case 0:
	case 1:
		values[r.group[0].name] = key
	default:
		for i, part := range strings.Split(key, keySeparator) {
			if quoted, ok := strings.CutPrefix(part, keyQuote); ok {
				if text, err := strconv.Unquote(quoted); err == nil {
					part = text
				}
			}
			values[r.group[i].name] = part
		}
	}
	return values
}

// add puts an entry into its group and sees whether the rule now holds.
func (e *Engine) add(r *ruleState, key string, en entry) {
	g := r.groups[key]
	if g == nil {
		g = &group{key: key}
		r.groups[key] = g
	}
	e.evict(r, g)
	if en.isLate() {
		e.addLate(r, g, en)
		return
	}
	pos, inOrder := g.insert(en, r.nHaving)
	w := g.watch
	if w == nil || w.settled == nil {
		if !g.possible(r.compiled, &e.eval) {
			return
		}
		w = e.follow(r, g)
		if w.dirty || slices.ContainsFunc(g.entries, func(en entry) bool { return en.isLate() }) {
			e.lateWalk(w, e.watermark()) // what is behind the watermark is not settled's to tell
		}
		if w.settled == nil {
			w.settled = newMachine(r.compiled)
		}
	}
	if e.opts.Ahead && r.slides() {
		e.lookAhead(w, pos, inOrder)
	}
	e.schedule(w)
}

// lookAhead walks the entries that the watermark has not reached, so that an
// alert opens the moment its evidence is there. It may overlook an episode, for
// which an entry out of order came too late; settled does not. What it finds,
// settled finds: more entries only make the condition hold sooner.
func (e *Engine) lookAhead(w *watch, pos int, inOrder bool) {
	entries := w.group.entries
	m := w.ahead
	switch {
	case m == nil:
		m = w.settled.clone()
		w.ahead = m
		m.advance(entries, entries[len(entries)-1].t, &e.eval, func(outcome) {})
	case inOrder:
		m.advance(entries, entries[pos].t, &e.eval, func(outcome) {})
	default:
		m.slip(entries, pos, &e.eval)
	}
	// While an earlier episode is open, events still under way may show that both
	// are one; and one that is over already needs no haste. The watermark decides.
	next := w.settled.opened
	if w.settled.ep == nil {
		next++
	}
	if m.ep != nil && m.opened == next {
		e.tell(w, m, m.ep)
	}
}
