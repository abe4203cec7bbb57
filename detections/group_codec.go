package detections

import (
	"encoding/json"
	"maps"
	"slices"
)

// check fails when a packed group cannot be unpacked.
func (g *group) check(d *decoder, r *ruleState) {
	switch {
	case r.remembers():
		if err := recall(newMachine(r.compiled).(rememberer), []byte(g.cold), nil); err != nil {
			d.fail()
		}
	default:
		u := unpacker{r: r, key: g.key, dec: decoder{b: []byte(g.cold)}}
		for range g.n {
			u.next(len(r.aggs) + len(r.kept))
		}
		if u.dec.err != nil || len(u.dec.b) > 0 {
			d.fail()
		}
	}
}

func (g *group) encode(enc *encoder) error {
	enc.string(g.key)
	enc.bool(g.lost)
	enc.bool(g.hot != nil)
	if g.hot == nil {
		enc.len(int(g.n))
		enc.string(g.cold)
		return nil
	}
	enc.int(g.dropped)
	encodeEntries(enc, g.entries)
	enc.bool(g.beyond != nil)
	if b := g.beyond; b != nil {
		encodeEntries(enc, b.late)
		enc.len(len(b.past))
		for _, s := range b.past {
			enc.int(s.from)
			enc.int(s.to)
		}
	}
	enc.string(string(g.memory))
	enc.bool(g.watch != nil)
	if g.watch == nil {
		return nil
	}
	return g.watch.encode(enc)
}

func decodeGroup(d *decoder, r *ruleState, e *Engine) *group {
	g := &group{key: d.string(), lost: d.bool()}
	if !d.bool() {
		g.n, g.cold = uint16(d.uint()), d.string()
		g.check(d, r)
		return g
	}
	g.hot = &hot{dropped: d.int()}
	for _, en := range decodeEntries(d, r.compiled) {
		switch n := len(g.entries); {
		case r.remembers():
			g.entries = append(g.entries, en) // one that came late stands where it came
		case n > 0 && g.entries[n-1].compare(&en) >= 0:
			d.fail()
			return g
		default:
			g.insert(en, r.nHaving)
		}
	}
	if d.bool() {
		g.beyond = &beyond{late: decodeEntries(d, r.compiled)}
		for range d.len() {
			g.beyond.past = append(g.beyond.past, span{d.int(), d.int()})
		}
	}
	if m := d.string(); m != "" {
		g.memory = []byte(m)
	}
	if d.bool() {
		decodeWatch(d, r, g, e)
	}
	return g
}

func encodeEntries(enc *encoder, entries []entry) {
	enc.len(len(entries))
	last := int64(0)
	for i := range entries {
		en := &entries[i]
		enc.int(en.t - last) // they are in order, so this is small
		last = en.t
		enc.string(en.id)
		enc.int(en.behind)
		enc.uint(uint64(en.mask))
		for _, s := range en.entity {
			enc.string(s)
		}
		enc.bool(en.fold != nil)
		if en.fold != nil {
			en.fold.encode(enc)
		}
		enc.len(len(en.vals))
		for _, v := range en.vals {
			enc.value(v)
		}
	}
}

func decodeEntries(d *decoder, c *compiled) []entry {
	n := d.len()
	entries := make([]entry, 0, n)
	last := int64(0)
	for range n {
		en := entry{t: last + d.int(), id: d.string(), behind: d.int(), mask: uint16(d.uint())}
		last = en.t
		for i := range en.entity {
			en.entity[i] = d.string()
		}
		if d.bool() {
			en.fold = decodeFold(d, c)
		}
		if k := d.len(); k != 0 {
			en.vals = make([]any, k)
			for i := range en.vals {
				en.vals[i] = d.value()
			}
		}
		if en.fold == nil && len(en.vals) != len(c.aggs)+len(c.kept) {
			d.fail()
		}
		if d.err != nil {
			return nil
		}
		entries = append(entries, en)
	}
	return entries
}

func (w *watch) encode(enc *encoder) error {
	enc.int(w.due)
	enc.bool(w.dirty)
	enc.int(w.walked)
	encodeMachine(enc, w.settled)
	encodeMachine(enc, w.ahead)
	enc.len(len(w.alerts))
	for _, a := range w.alerts {
		if err := a.encode(enc); err != nil {
			return err
		}
	}
	enc.len(len(w.late))
	for _, l := range w.late {
		if err := l.openAlert.encode(enc); err != nil {
			return err
		}
		l.ep.encode(enc)
		enc.int(l.keep)
	}
	return nil
}

func decodeWatch(d *decoder, r *ruleState, g *group, e *Engine) {
	w := &watch{rule: r, group: g, values: r.groupValues(g.key)}
	g.watch = w
	w.due, w.dirty, w.walked = d.int(), d.bool(), d.int()
	w.settled = decodeMachine(d, r.compiled, g.entries, &e.eval)
	w.ahead = decodeMachine(d, r.compiled, g.entries, &e.eval)
	for range d.len() {
		w.alerts = append(w.alerts, decodeOpenAlert(d))
	}
	for range d.len() {
		l := &lateAlert{openAlert: *decodeOpenAlert(d)}
		l.ep = decodeEpisode(d, r.compiled)
		l.keep = d.int()
		w.late = append(w.late, l)
	}
	if d.err != nil {
		return
	}
	e.queues[r.level].Push(w)
}

// encodeMachine writes a machine, which may be nil.
func encodeMachine(enc *encoder, m machine) {
	enc.bool(m != nil)
	if m == nil {
		return
	}
	at := m.pos()
	enc.len(at.lo)
	enc.len(at.hi)
	enc.len(at.opened)
	enc.int(at.since)
	enc.bool(at.ep != nil)
	if at.ep != nil {
		at.ep.encode(enc)
	}
	m.encode(enc)
}

func decodeMachine(d *decoder, c *compiled, entries []entry, v *evaluator) machine {
	if !d.bool() {
		return nil
	}
	m := newMachine(c)
	at := m.pos()
	lo, hi := d.uint(), d.uint()
	at.opened, at.since = int(d.uint()), d.int()
	if hi < lo || hi > uint64(len(entries)) {
		d.fail()
		return nil
	}
	at.lo, at.hi = int(lo), int(hi)
	if d.bool() {
		at.ep = decodeEpisode(d, c)
	}
	m.decode(d, entries, v)
	return m
}

// savedAlert is an alert with what its JSON leaves out.
type savedAlert struct {
	Alert Alert
	Title string
}

func (a *openAlert) encode(enc *encoder) error {
	b, err := json.Marshal(savedAlert{a.alert, a.alert.Title})
	if err != nil {
		return err
	}
	enc.string(string(b))
	enc.int(int64(a.nth))
	enc.int(int64(a.told))
	enc.int(a.toldAt)
	return nil
}

func decodeOpenAlert(d *decoder) *openAlert {
	var s savedAlert
	if err := json.Unmarshal([]byte(d.string()), &s); err != nil {
		d.fail()
	}
	s.Alert.Title = s.Title
	return &openAlert{alert: s.Alert, nth: int(d.int()), told: int(d.int()), toldAt: d.int()}
}

func (ep *episode) encode(enc *encoder) {
	for _, v := range []int64{ep.opened, ep.lastTrue, ep.lateUntil, int64(ep.count), int64(ep.next)} {
		enc.int(v)
	}
	enc.bool(ep.late)
	enc.value(ep.was)
	enc.value(ep.now)
	enc.strings(ep.first)
	enc.strings(ep.last)
	for _, set := range ep.entities {
		enc.strings(slices.Sorted(maps.Keys(set)))
	}
	enc.len(len(ep.evidence))
	for _, acc := range ep.evidence {
		acc.encode(enc)
	}
}

func decodeEpisode(d *decoder, c *compiled) *episode {
	ep := newEpisode(c, 0)
	ep.opened, ep.lastTrue, ep.lateUntil = d.int(), d.int(), d.int()
	ep.count, ep.next = int(d.int()), int(d.int())
	ep.late = d.bool()
	ep.was, ep.now = d.value(), d.value()
	ep.first, ep.last = d.strings(), d.strings()
	if ep.next < 0 || ep.next > len(ep.last) {
		d.fail()
	}
	for i := range ep.entities {
		for _, s := range d.strings() {
			ep.entities.add(i, s)
		}
	}
	if d.len() != len(ep.evidence) {
		d.fail()
		return ep
	}
	for _, acc := range ep.evidence {
		acc.decode(d)
	}
	return ep
}
