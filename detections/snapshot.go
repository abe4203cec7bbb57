package detections

import (
	"container/heap"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"portcullis/logstream"
)

// A snapshot is the whole state of an engine between two events. Restored into
// an engine with the same rules, and given the events that came since, it goes
// on as if it had never stopped: the same alerts with the same ids.

const snapshotMagic = "portcullis engine 3\n"

// Snapshot writes the engine's state.
func (e *Engine) Snapshot() ([]byte, error) {
	enc := &encoder{}
	for _, v := range []int64{e.newest, e.floor, e.ticked, e.swept, e.heard} {
		enc.int(v)
	}
	stats, err := json.Marshal(e.stats)
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	enc.string(string(stats))
	seen, err := e.dedupe.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	enc.string(string(seen))
	enc.len(len(e.undated))
	for i := range e.undated {
		enc.string(string(e.undated[i].Raw()))
	}
	enc.len(len(e.signals))
	for i := range e.signals {
		enc.string(e.signals[i].rule)
		enc.string(string(e.signals[i].ev.Raw()))
	}
	enc.len(len(e.filled))
	for _, name := range keys(e.filled) {
		enc.string(name)
		e.filled[name].encode(enc)
	}
	enc.len(len(e.rules))
	for _, r := range e.rules {
		enc.string(r.ID)
		enc.string(r.print)
		body := &encoder{} // framed, so that a rule that changed can be passed over
		if err := r.encode(body); err != nil {
			return nil, fmt.Errorf("snapshot of rule %s: %w", r.ID, err)
		}
		enc.string(string(body.b))
	}
	sum := sha256.Sum256(enc.b)
	out := append([]byte(snapshotMagic), sum[:]...)
	return append(out, enc.b...), nil
}

// Restore puts a snapshot's state in place of the engine's. Rules that changed
// since it was made begin anew. After an error the engine is as it was.
func (e *Engine) Restore(data []byte) error {
	if len(data) < len(snapshotMagic)+sha256.Size || string(data[:len(snapshotMagic)]) != snapshotMagic {
		return fmt.Errorf("restore engine: %w", errSnapshot)
	}
	sum, body := data[len(snapshotMagic):len(snapshotMagic)+sha256.Size], data[len(snapshotMagic)+sha256.Size:]
	if got := sha256.Sum256(body); !slices.Equal(got[:], sum) {
		return fmt.Errorf("restore engine: %w", errSnapshot)
	}
	if err := e.restore(body); err != nil {
		return fmt.Errorf("restore engine: %w", err)
	}
	return nil
}

// restore decodes into a state of its own and swaps it in at the end.
func (e *Engine) restore(body []byte) error {
	d := &decoder{b: body}
	next := *e
	next.newest, next.floor, next.ticked, next.swept, next.heard = d.int(), d.int(), d.int(), d.int(), d.int()
	next.stats = Stats{}
	if err := json.Unmarshal([]byte(d.string()), &next.stats); err != nil {
		return fmt.Errorf("%w: %w", errSnapshot, err)
	}
	if next.stats.RuleErrors == nil {
		next.stats.RuleErrors = map[string]RuleError{}
	}
	if next.stats.Shed == nil {
		next.stats.Shed = map[string]map[string]int64{}
	}
	next.dedupe = logstream.NewDedupe(maxRemembered)
	if err := next.dedupe.UnmarshalBinary([]byte(d.string())); err != nil {
		return fmt.Errorf("%w: %w", errSnapshot, err)
	}
	next.undated = nil
	for range d.len() {
		ev, err := logstream.Decode([]byte(d.string()))
		if err != nil {
			return fmt.Errorf("%w: %w", errSnapshot, err)
		}
		next.undated = append(next.undated, ev)
	}
	next.signals = nil
	for range d.len() {
		rule := d.string()
		ev, err := logstream.Decode([]byte(d.string()))
		if err != nil {
			return fmt.Errorf("%w: %w", errSnapshot, err)
		}
		next.signals = append(next.signals, signal{ev.Time.UnixMilli(), rule, ev})
	}
	next.filled = map[string]*filledList{}
	for name := range e.filled {
		next.filled[name] = newFilledList()
	}
	for range d.len() {
		name, list := d.string(), decodeFilledList(d)
		if e.filled[name] != nil {
			next.filled[name] = list
		}
	}
	next.queues = make([]queue, len(e.byLevel))
	states := map[string]*ruleState{}
	for _, r := range e.rules {
		fresh := &ruleState{compiled: r.compiled, order: r.order, level: r.level, print: r.print, groups: map[string]*group{}}
		states[r.ID] = fresh
	}
	for range d.len() {
		id, print, body := d.string(), d.string(), d.string()
		r := states[id]
		if r == nil || r.print != print {
			continue // gone or changed: it begins anew
		}
		rd := &decoder{b: []byte(body)}
		r.decode(rd, &next)
		if rd.err != nil || len(rd.b) > 0 {
			return errSnapshot
		}
	}
	if d.err != nil || len(d.b) > 0 {
		return errSnapshot
	}
	for i, r := range e.rules {
		*e.rules[i] = *states[r.ID]
		for _, g := range e.rules[i].groups {
			if g.hot != nil && g.watch != nil {
				g.watch.rule = e.rules[i]
			}
		}
	}
	next.rules = e.rules
	for i := range next.queues {
		heap.Init(&next.queues[i])
	}
	next.eval.fail = e.ruleFailed
	*e = next
	return nil
}

func (r *ruleState) encode(enc *encoder) error {
	enc.int(r.swept)
	enc.len(len(r.waiting))
	for i := range r.waiting {
		enc.int(r.waiting[i].t)
		enc.string(r.waiting[i].ev.ID) // its envelope may have been all that bore it
		enc.string(string(r.waiting[i].ev.Raw()))
	}
	enc.strings(r.words.list)
	enc.len(len(r.groups))
	for _, key := range keys(r.groups) {
		if err := r.groups[key].encode(enc); err != nil {
			return err
		}
	}
	return nil
}

func (r *ruleState) decode(d *decoder, e *Engine) {
	r.swept = d.int()
	for range d.len() {
		w := waiting{t: d.int()}
		id := d.string()
		var err error
		if w.ev, err = logstream.Decode([]byte(d.string())); err != nil {
			d.fail()
			return
		}
		w.ev.ID = id
		r.waiting = append(r.waiting, w)
	}
	for _, w := range d.strings() {
		r.words.of(w)
	}
	for range d.len() {
		g := decodeGroup(d, r, e)
		if d.err != nil {
			return
		}
		r.groups[g.key] = g
		r.bytes += g.size()
	}
}

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
			if ep.entities[i] == nil {
				ep.entities[i] = map[string]struct{}{}
			}
			ep.entities[i][s] = struct{}{}
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
