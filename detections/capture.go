package detections

import "time"

// A Capture is the state of an engine at one instant, between two events.
type Capture struct{ rest []byte }

// Capture begins to write the engine's state as it is now.
func (e *Engine) Capture() (*Capture, error) {
	data, err := e.Snapshot()
	return &Capture{rest: data}, err
}

// Next returns the next part; false when all were returned.
func (c *Capture) Next(time.Duration) (part []byte, more bool, err error) {
	n := min(len(c.rest), 256<<10)
	part, c.rest = c.rest[:n], c.rest[n:]
	return part, n > 0, nil
}

// Abandon ends the capture before its end.
func (c *Capture) Abandon() {}

// A Restoration puts the parts of a capture in place of an engine's state.
type Restoration struct {
	e    *Engine
	data []byte
}

// Restoration begins to restore the engine.
func (e *Engine) Restoration() *Restoration { return &Restoration{e: e} }

// Part takes the next part.
func (r *Restoration) Part(part []byte) error {
	r.data = append(r.data, part...)
	return nil
}

// Finish puts what was restored in place.
func (r *Restoration) Finish() error { return r.e.Restore(r.data) }
