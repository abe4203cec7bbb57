package detections

import (
	"container/heap"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"portcullis/logstream"
)

// A Restoration puts a [Capture] in place of an engine's state, part by part.
// Rules that changed since it was made begin anew.
type Restoration struct {
	e      *Engine
	next   Engine
	byID   map[string]*ruleState
	rules  []*ruleState // as the capture numbers them; nil where one is passed over
	counts []int        // groups read, by the same number
	ended  bool
}

// Restoration begins to restore the engine. Until Finish the engine stays as it
// is, and must not be used.
func (e *Engine) Restoration() *Restoration { return &Restoration{e: e} }

// Part takes the next part of a capture, or several at once. After an error
// nothing comes of the restoration.
func (r *Restoration) Part(part []byte) error {
	for len(part) > 0 {
		if len(part) < 5 || uint64(binary.LittleEndian.Uint32(part[1:])) > uint64(len(part)-5) {
			return fmt.Errorf("restore engine: %w", errSnapshot)
		}
		end := 5 + int(binary.LittleEndian.Uint32(part[1:]))
		if err := r.record(part[0], part[5:end]); err != nil {
			return fmt.Errorf("restore engine: %w", err)
		}
		part = part[end:]
	}
	return nil
}

// Finish puts what was restored in place. After an error the engine is as it was.
func (r *Restoration) Finish() error {
	if !r.ended {
		return fmt.Errorf("restore engine: %w", errSnapshot)
	}
	if r.e.capture != nil {
		r.e.capture.Abandon()
	}
	for _, st := range r.e.rules {
		*st = *r.byID[st.ID]
		for g := range st.groups.all() {
			if g.hot != nil && g.watch != nil {
				g.watch.rule = st
			}
		}
	}
	r.next.rules, r.next.capture = r.e.rules, nil
	for i := range r.next.queues {
		heap.Init(&r.next.queues[i])
	}
	r.next.eval.fail = r.e.ruleFailed
	*r.e = r.next
	r.e.findLarge()
	r.e.refilter()
	return nil
}

// Restore puts a snapshot in place of the engine's state. After an error the
// engine is as it was.
func (e *Engine) Restore(snapshot []byte) error {
	r := e.Restoration()
	if err := r.Part(snapshot); err != nil {
		return err
	}
	return r.Finish()
}

func (r *Restoration) record(kind byte, body []byte) error {
	if r.ended || (r.byID == nil) != (kind == recordHead) {
		return errSnapshot
	}
	d := &decoder{b: body}
	switch kind {
	case recordHead:
		if err := r.head(d); err != nil {
			return fmt.Errorf("%w: %w", errSnapshot, err)
		}
	case recordSeen:
		return r.next.dedupe.Restore(body)
	case recordGroup:
		r.group(d)
	case recordEnd:
		r.ended = true
		for _, n := range r.counts {
			if d.uint() != uint64(n) {
				d.fail()
			}
		}
	default:
		d.fail()
	}
	if d.err != nil || len(d.b) > 0 {
		return errSnapshot
	}
	return nil
}

// head reads all but groups and log_ids, into a state of its own.
func (r *Restoration) head(d *decoder) error {
	e, next := r.e, &r.next
	*next = *e
	if d.string() != captureVersion {
		return errSnapshot
	}
	next.newest, next.floor, next.ticked, next.swept, next.heard = d.int(), d.int(), d.int(), d.int(), d.int()
	next.stats = Stats{}
	if err := json.Unmarshal([]byte(d.string()), &next.stats); err != nil {
		return err
	}
	if next.stats.RuleErrors == nil {
		next.stats.RuleErrors = map[string]RuleError{}
	}
	if next.stats.Shed == nil {
		next.stats.Shed = map[string]map[string]int64{}
	}
	next.swallowed = map[string]bool{}
	for _, id := range d.strings() {
		next.swallowed[id] = true
	}
	counts := next.stats.Exceptions
	next.stats.Exceptions = map[string]*Excepted{}
	for name, x := range e.stats.Exceptions {
		if counts[name] != nil {
			x = counts[name]
		}
		next.stats.Exceptions[name] = x
	}
	next.dedupe = logstream.NewDedupe(maxRemembered)
	next.undated = nil
	for range d.len() {
		ev, err := logstream.Decode([]byte(d.string()))
		if err != nil {
			return err
		}
		next.undated = append(next.undated, ev)
	}
	next.signals = nil
	for range d.len() {
		rule := d.string()
		ev, err := logstream.Decode([]byte(d.string()))
		if err != nil {
			return err
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
	return r.headRules(d)
}

// headRules reads what rules have beside their groups.
func (r *Restoration) headRules(d *decoder) error {
	r.byID = map[string]*ruleState{}
	for _, st := range r.e.rules {
		r.byID[st.ID] = &ruleState{compiled: st.compiled, order: st.order, level: st.level, print: st.print}
	}
	for range d.len() {
		id, print, body := d.string(), d.string(), d.string()
		st := r.byID[id]
		if st != nil && st.print != print {
			st = nil // it changed and begins anew
		}
		r.rules, r.counts = append(r.rules, st), append(r.counts, 0)
		if st == nil {
			continue
		}
		rd := &decoder{b: []byte(body)}
		if st.decode(rd); rd.err != nil || len(rd.b) > 0 {
			return errSnapshot
		}
	}
	return nil
}

func (r *ruleState) decode(d *decoder) {
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
}

func (r *Restoration) group(d *decoder) {
	i := d.uint()
	if i >= uint64(len(r.rules)) {
		d.fail()
		return
	}
	r.counts[i]++
	st := r.rules[i]
	if st == nil {
		d.b = nil
		return
	}
	g := decodeGroup(d, st, &r.next)
	if d.err != nil || st.groups.get(g.key) != nil {
		d.fail()
		return
	}
	st.groups.put(g)
	st.bytes += g.size()
}
