package detections

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"
)

// A capture is a sequence of records: a kind, the length of the body (4 bytes,
// little endian), and the body. Parts of it hold whole records.
const (
	recordHead  byte = 'h' // all but log_ids and groups; the first
	recordSeen  byte = 's' // some log_ids
	recordGroup byte = 'g' // a group behind the number of its rule
	recordEnd   byte = 'z' // how many groups each rule has; the last
)

const captureVersion = "portcullis engine 7"

// A Capture is the whole state of an engine at one instant, between two events,
// encoded in slices while the engine goes on. Restored into an engine with the
// same rules, and given the events that came since, it goes on as if it had never
// stopped: the same alerts with the same ids.
//
// A group that is to change before its turn is encoded first, as it was. So the
// capture holds one instant, and costs the engine no copy of its state.
type Capture struct {
	e      *Engine
	enc    encoder // the part that is being made
	rule   int     // whose groups are encoded
	next   func() (*group, bool)
	stop   func()
	counts []int // groups written, by rule
	ended  bool
	err    error
}

var errAbandoned = errors.New("capture of the engine: given up, because rules or state were replaced meanwhile")

// Capture begins to capture the engine's state as it is now, between two events.
// A capture that has not come to its end is abandoned by another one.
func (e *Engine) Capture() (*Capture, error) {
	if e.capture != nil {
		e.capture.Abandon()
	}
	c := &Capture{e: e, rule: -1, counts: make([]int, len(e.rules)), stop: func() {}}
	if err := c.record(recordHead, e.encodeHead); err != nil {
		return nil, err
	}
	for part := range e.dedupe.Capture().Parts() {
		_ = c.record(recordSeen, func(enc *encoder) error { enc.b = append(enc.b, part...); return nil })
	}
	e.epoch++
	e.capture = c
	return c, nil
}

// Snapshot is a capture that nothing comes between, whole.
func (e *Engine) Snapshot() ([]byte, error) {
	c, err := e.Capture()
	if err != nil {
		return nil, err
	}
	var all []byte
	for {
		part, more, err := c.Next(time.Hour)
		if err != nil || !more {
			return all, err
		}
		all = append(all, part...)
	}
}

// maxPart is where a part is cut, whatever time is left.
const maxPart = 1 << 20

// Next encodes for about so long, at least one group, and returns what came of
// it; false when all was returned. The engine must not be in use meanwhile.
func (c *Capture) Next(budget time.Duration) (part []byte, more bool, err error) {
	begin := time.Now()
	for n := 1; c.err == nil && !c.ended && len(c.enc.b) < maxPart; n++ {
		c.step()
		if budget <= 0 || n%16 == 0 && time.Since(begin) >= budget {
			break
		}
	}
	if c.err != nil || c.ended && len(c.enc.b) == 0 {
		return nil, false, c.err
	}
	part = c.enc.b
	c.enc.b = make([]byte, 0, min(len(part)+len(part)/4, maxPart))
	return part, true, nil
}

// Abandon ends the capture before its end. After the end it does nothing.
func (c *Capture) Abandon() {
	if c.ended {
		return
	}
	c.finish()
	if c.err == nil {
		c.err = errAbandoned
	}
}

func (c *Capture) finish() {
	c.stop()
	c.ended = true
	if c.e.capture == c {
		c.e.capture = nil
	}
}

// step encodes the next group that was not, or what stands at the end.
func (c *Capture) step() {
	for {
		if c.next != nil {
			for g, ok := c.next(); ok; g, ok = c.next() {
				if g.epoch != c.e.epoch {
					c.write(c.e.rules[c.rule], g)
					return
				}
			}
		}
		c.stop()
		if c.rule++; c.rule == len(c.e.rules) {
			break
		}
		c.next, c.stop = iter.Pull(c.e.rules[c.rule].groups.all())
	}
	c.err = c.record(recordEnd, func(enc *encoder) error {
		for _, n := range c.counts {
			enc.len(n)
		}
		return nil
	})
	c.finish()
}

// touch is called before a group changes or goes: a capture that has not come to
// it encodes it as it is.
func (e *Engine) touch(r *ruleState, g *group) {
	if e.capture != nil && g.epoch != e.epoch {
		e.capture.write(r, g)
	}
}

func (c *Capture) write(r *ruleState, g *group) {
	g.epoch = c.e.epoch
	c.counts[r.order]++
	if err := c.record(recordGroup, func(enc *encoder) error {
		enc.len(r.order)
		return g.encode(enc)
	}); err != nil && c.err == nil {
		c.err = fmt.Errorf("capture of rule %s: %w", r.ID, err)
	}
}

// record appends a record whose body is written by write.
func (c *Capture) record(kind byte, write func(*encoder) error) error {
	start := len(c.enc.b)
	c.enc.b = append(c.enc.b, kind, 0, 0, 0, 0)
	if err := write(&c.enc); err != nil {
		return err
	}
	binary.LittleEndian.PutUint32(c.enc.b[start+1:], uint32(len(c.enc.b)-start-5))
	return nil
}

// encodeHead writes all of the engine but the groups and the log_ids.
func (e *Engine) encodeHead(enc *encoder) error {
	enc.string(captureVersion)
	for _, v := range []int64{e.newest, e.floor, e.ticked, e.swept, e.heard} {
		enc.int(v)
	}
	stats, err := json.Marshal(e.stats)
	if err != nil {
		return fmt.Errorf("capture of the counters: %w", err)
	}
	enc.string(string(stats))
	enc.strings(keys(e.swallowed))
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
		body := encoder{} // framed, so that a rule that changed can be passed over
		r.encode(&body)
		enc.string(string(body.b))
	}
	return nil
}

// encode writes a rule's state beside its groups.
func (r *ruleState) encode(enc *encoder) {
	enc.int(r.swept)
	enc.len(len(r.waiting))
	for i := range r.waiting {
		enc.int(r.waiting[i].t)
		enc.string(r.waiting[i].ev.ID) // its envelope may have been all that bore it
		enc.string(string(r.waiting[i].ev.Raw()))
	}
	enc.strings(r.words.list)
}
