package logstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"unicode/utf8"
)

// maxHeld is how many rejects are kept back while a file has given no event.
// A file with more, and still no event, is not a log at all: that is said once.
const maxHeld = 20

var (
	errEmpty  = errors.New("empty file")
	errBinary = errors.New("looks binary: nothing in it is a JSON event")
)

// A delivery is the last stage: it hands decoded chunks to the caller in order.
type delivery struct {
	opts    FileOptions
	log     *slog.Logger
	deliver Deliver
	total   int64
}

// chunk delivers a chunk's events and tells what could not be read of it: all
// events before that are with the caller then.
func (o *delivery) chunk(ctx context.Context, c *chunk) error {
	given := 0
	for _, n := range c.notices {
		if n.odd {
			o.release(c.file)
			o.opts.Odd(n.Reject)
			continue
		}
		if err := o.events(ctx, c, given, n.before); err != nil {
			return err
		}
		given = n.before
		o.reject(c.file, n.Reject, n.before > 0)
	}
	c.file.letters += c.letters
	if err := o.events(ctx, c, given, len(c.events)); err != nil {
		return err
	}
	if c.fault != nil {
		o.fault(c)
	}
	if c.last {
		o.finish(c.file)
	}
	if o.opts.Progress != nil {
		o.opts.Progress(c.done, o.total)
	}
	return c.err
}

// events delivers some of a chunk's events.
func (o *delivery) events(ctx context.Context, c *chunk, from, to int) error {
	if from < to {
		o.release(c.file)
		c.file.events += int64(to - from)
	}
	for from < to {
		end := min(from+o.opts.BatchSize, to)
		if err := o.deliver(ctx, Batch{Events: c.events[from:end:end]}); err != nil {
			return fmt.Errorf("deliver events of %s: %w", c.file.name, err)
		}
		from = end
	}
	return nil
}

// fault reports what is wrong with the file as a stream.
func (o *delivery) fault(c *chunk) {
	r := *c.fault
	var broken *streamError
	if errors.As(r.Reason, &broken) {
		broken.events = c.file.events
		o.release(c.file)
		o.tell(r)
		return
	}
	if r.Line == 0 { // of the whole file, so there is no verdict to wait for
		o.tell(r)
		return
	}
	o.reject(c.file, r, false)
}

// reject reports r, unless the file has given no event yet, nor does isLog say
// that one precedes r: then r waits for the verdict whether the file is a log
// with faults or no log.
func (o *delivery) reject(f *fileState, r Reject, isLog bool) {
	switch {
	case isLog || f.events > 0:
		o.tell(r)
	case f.muted > 0:
		f.muted++
	default:
		f.binary = f.binary || bytes.IndexByte(r.Raw, 0) >= 0 || !validPrefix(r.Raw)
		f.held = append(f.held, r)
		if len(f.held) > maxHeld {
			f.muted = 1
			first := f.held[0]
			first.Reason = fmt.Errorf("%w (the first %d values are not)", errBinary, len(f.held))
			o.tell(first)
			f.held = nil
		}
	}
}

// release reports what was held back, once it is known to be worth it.
func (o *delivery) release(f *fileState) {
	for _, r := range f.held {
		o.tell(r)
	}
	f.held = nil
	if f.muted > 0 {
		o.log.Warn("values before the first event could not be decoded", "file", f.name, "count", f.muted+maxHeld)
		f.muted = 0
	}
}

// finish is called at the end of a file.
func (o *delivery) finish(f *fileState) {
	if f.events == 0 && f.binary && len(f.held) > 0 {
		r := f.held[0]
		r.Reason = errBinary
		f.held = nil
		o.tell(r)
	}
	o.release(f)
	if f.letters > 0 {
		o.tell(Reject{Source: f.name, Reason: lettersSkipped(f.letters)})
	}
}

// lettersSkipped is the reason of a file that holds lines of a dead letter file.
func lettersSkipped(n int64) error {
	if n == 1 {
		return errors.New("is a dead letter, not events: skipped 1 line")
	}
	return fmt.Errorf("is a dead letter, not events: skipped %d lines", n)
}

func (o *delivery) tell(r Reject) {
	if o.opts.Reject != nil {
		o.opts.Reject(r)
	}
}

// validPrefix reports whether b, which may be cut in a character, is UTF-8.
func validPrefix(b []byte) bool {
	if len(b) == rawKept {
		for i := 0; i < utf8.UTFMax && len(b) > 0 && !utf8.Valid(b); i++ {
			b = b[:len(b)-1]
		}
	}
	return utf8.Valid(b)
}

// tooLong is the reason of a value longer than the limit.
func tooLong(limit int) error {
	return fmt.Errorf("longer than the limit of %d bytes", limit)
}

// A streamError is the reason of a compressed file that breaks off.
type streamError struct {
	what   string
	events int64 // delivered from the file before it
	err    error
}

func (e *streamError) Error() string {
	return fmt.Sprintf("%s after %d events", e.what, e.events)
}

func (e *streamError) Unwrap() error { return e.err }
