package detections

import (
	"slices"
	"sort"
	"strconv"
	"strings"

	"portcullis/logstream"
)

// evaluate gives an event to the rules of its type.
func (e *Engine) evaluate(ev *logstream.Event, t int64, late bool, plan *typePlan) {
	e.stats.Evaluated++
	behind := int64(0)
	if late {
		e.stats.Late++
		behind = e.watermark()
	}
	if e.probe != nil && e.probe.rule.On != "signals" {
		e.probe.see(e, ev, t, late)
	}
	e.eval.row.take(ev)
	if e.cover != nil && e.cover.rule.On != "signals" {
		e.cover.event(e, t)
	}
	for _, r := range e.concerned(plan) {
		e.consider(r, ev, t, behind)
	}
	e.eval.row.take(nil)
}

// judge gives an event to one rule.
func (e *Engine) judge(r *ruleState, ev *logstream.Event, t, behind int64) {
	e.eval.row.take(ev)
	if e.cover != nil && e.cover.compiled == r.compiled {
		e.cover.event(e, t)
	}
	e.consider(r, ev, t, behind)
	e.eval.row.take(nil)
}

// consider sees whether an event counts for a rule, and enters it. Where that
// depends on a list that a rule fills it may have to wait for the watermark.
func (e *Engine) consider(r *ruleState, ev *logstream.Event, t, behind int64) {
	if !r.derives {
		if mask, ok := e.admits(r); ok {
			e.enter(r, ev, t, mask, behind)
		}
		return
	}
	e.setMaybe(r)
	most, possible := e.admits(r)
	if !possible {
		return
	}
	e.setLists(r, t)
	mask, ok := e.admits(r)
	sure := ok && mask == most && !r.waits
	if behind == 0 && !sure && e.await(r, ev, t) {
		return
	}
	if ok {
		e.enter(r, ev, t, mask, behind)
	}
}

// admits evaluates the conditions of a rule on the event in the row: the marks
// that it bears, and whether it counts at all.
func (e *Engine) admits(r *ruleState) (mask uint16, ok bool) {
	if r.where != nil {
		ok, err := r.where.holds(e.eval.row)
		if err != nil {
			e.ruleFailed(r.compiled, err)
		}
		if err != nil || !ok {
			return 0, false
		}
	}
	for i, m := range r.marks {
		holds, err := m.holds(e.eval.row)
		if err != nil {
			e.ruleFailed(r.compiled, err)
		}
		if holds {
			mask |= 1 << i
		}
	}
	return mask, mask != 0 || r.marks == nil
}

// enter puts an event that counts for a rule into its group.
func (e *Engine) enter(r *ruleState, ev *logstream.Event, t int64, mask uint16, behind int64) {
	if x := e.leavesOut(r, t); x != nil {
		e.stats.Exceptions[x.Name()].Events++
		return
	}
	key, ok := e.groupKey(r)
	if !ok {
		return
	}
	en := entry{t: t, id: ev.ID, mask: mask, behind: behind, entity: e.entitiesOf(ev)}
	if n := len(r.aggs) + len(r.kept); n > 0 {
		e.vals = slices.Grow(e.vals[:0], n)[:n]
		en.vals = e.vals // a packed group copies them, any other keeps a copy
		for i := range r.aggs {
			en.vals[i] = true // count()
			if arg := r.aggs[i].arg; arg != nil {
				en.vals[i] = e.valueOf(r, arg)
			}
		}
		for i := range r.kept {
			en.vals[len(r.aggs)+i] = e.valueOf(r, r.kept[i].prog)
		}
	}
	e.add(r, key, en)
}

// valueOf evaluates an expression on the event in the row; nil when it fails.
func (e *Engine) valueOf(r *ruleState, p *program) any {
	v, err := p.value(e.eval.row)
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

func (e *Engine) groupKey(r *ruleState) (string, bool) {
	var key string
	for i := range r.group {
		text, ok := keyText(e.valueOf(r, r.group[i].value))
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
	g := r.groups.get(key)
	if g == nil {
		e.makeRoom(r)
		g = &group{key: key, lost: r.gone.has(key), epoch: e.epoch}
		r.groups.put(g)
		r.bytes += g.size()
	}
	e.touch(r, g)
	was := g.size()
	if g.hot != nil || !e.addCold(r, g, &en) {
		en.vals = slices.Clone(en.vals)
		e.addHot(r, g, en)
	}
	r.bytes += g.size() - was
}

// addHot puts an entry into a group that is not packed.
func (e *Engine) addHot(r *ruleState, g *group, en entry) {
	e.heat(r, g)
	e.evict(r, g, min(e.watermark(), en.t-1)) // one that waited for the watermark needs its window
	e.compact(r, g)
	switch {
	case r.remembers():
		e.addRemembered(r, g, en)
		return
	case en.isLate():
		e.addLate(r, g, en)
		return
	}
	pos := g.insert(en, r.nHaving)
	w := g.watch
	if w == nil || w.settled == nil {
		if !g.possible(r.compiled, &e.eval) {
			e.cool(r, g)
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
	if e.opts.Ahead && r.looksAhead() {
		e.lookAhead(w, pos)
	}
	e.schedule(w)
}

// addRemembered takes in an entry of a group that knows more than its entries
// tell. One that came late is looked at as it comes: what was known before it
// cannot be worked out any more.
func (e *Engine) addRemembered(r *ruleState, g *group, en entry) {
	w := e.follow(r, g)
	if w.settled == nil {
		w.settled = newMachine(r.compiled)
		if g.memory != nil {
			if err := recall(w.settled.(rememberer), g.memory, &e.eval); err != nil {
				e.ruleFailed(r.compiled, err)
				w.settled = newMachine(r.compiled)
			}
			g.memory = nil
		}
	}
	var pos int
	if en.isLate() {
		g.entries = slices.Insert(g.entries, w.settled.pos().hi, en)
		w.ahead = nil
		e.step(w, e.watermark())
		pos = len(g.entries) - 1
	} else {
		pos = g.insert(en, r.nHaving)
	}
	if e.opts.Ahead && r.looksAhead() && w.settled.pos().hi < len(g.entries) {
		e.lookAhead(w, pos)
	}
	e.schedule(w)
}

// lookAhead walks the entries that the watermark has not reached, so that an
// alert opens the moment its evidence is there. It may overlook an episode, for
// which an entry out of order came too late; settled does not. What it finds,
// settled finds: more entries only make the condition hold sooner.
//
// It walks as far as the entry at pos and those that are ahead of it by no more
// than the lateness. One that is hours ahead, because its sender's clock is
// wrong or somebody made it up, would have it close what is happening now.
func (e *Engine) lookAhead(w *watch, pos int) {
	entries := w.group.entries
	until := aheadUntil(entries, pos, e.opts.Lateness.Milliseconds())
	m := w.ahead
	if m != nil && pos < m.pos().hi && (entries[m.pos().hi].t > until || !m.slip(entries, pos, &e.eval)) {
		m = nil
	}
	if m == nil {
		m = w.settled.clone()
		w.ahead = m
	}
	f, isFirst := m.(*firstSeen)
	if isFirst {
		f.margin = e.opts.Lateness.Milliseconds()
	}
	m.advance(entries, until, &e.eval, func(outcome) {})
	if m.pos().ep != nil {
		m.pos().ep.fresh = nil // what is published is settled's to say: ahead may take two episodes for one
	}
	// While an earlier episode is open, events still under way may show that both
	// are one; and one that is over already needs no haste. The watermark decides.
	settled, ahead := w.settled.pos(), m.pos()
	next := settled.opened
	if settled.ep == nil {
		next++
	}
	if ahead.ep != nil && ahead.opened == next && !(isFirst && f.unsure) {
		e.tell(w, ahead)
	}
}

// aheadUntil is the time of the last entry that is ahead of the one at pos by no
// more than the lateness.
func aheadUntil(entries []entry, pos int, lateness int64) int64 {
	limit := entries[pos].t + lateness
	if last := entries[len(entries)-1].t; last <= limit {
		return last
	}
	rest := entries[pos:]
	return rest[sort.Search(len(rest), func(i int) bool { return rest[i].t > limit })-1].t
}
