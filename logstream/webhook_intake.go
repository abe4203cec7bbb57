package logstream

import (
	"bytes"
	"context"
	"errors"
)

// intake is one body on its way.
type intake struct {
	w       *Webhook
	ctx     context.Context
	batch   []Event
	events  int // decoded
	bad     int
	rejects []Reject // the first maxRejects of bad
	shape   shape
	err     error // of deliver
}

const (
	maxBatch   = 4096 // events a Deliver, so that a body of many tiny events costs no more than one of large ones
	maxRejects = 1000 // kept of one body
)

func (in *intake) decode(body []byte) {
	if len(bytes.TrimSpace(bytes.TrimPrefix(body, utf8BOM))) == 0 {
		in.fault(Reject{Reason: errEmptyBody, Size: int64(len(body))})
		return
	}
	DecodeAll(body, func(e Event, err error) bool {
		var d *DecodeError
		if errors.As(err, &d) {
			in.fault(Reject{Line: d.Line, Offset: d.Offset, Reason: d.Err, Raw: firstBytes(d.Raw), Size: int64(len(d.Raw))})
			return true
		}
		inner, s, err := unwrap(e)
		if s != plainShape {
			in.shape = s
		}
		if err != nil {
			in.fault(Reject{Reason: err, Raw: firstBytes(e.Raw()), Size: int64(len(e.Raw()))})
			return true
		}
		in.events++
		in.batch = append(in.batch, inner)
		return len(in.batch) < maxBatch || in.flush()
	})
	if in.err == nil {
		in.flush()
	}
}

var errEmptyBody = errors.New("the body is empty")

func (in *intake) fault(r Reject) {
	in.bad++
	if len(in.rejects) < maxRejects {
		in.rejects = append(in.rejects, r)
	}
}

// flush delivers what is decoded, and reports whether to go on.
func (in *intake) flush() bool {
	if len(in.batch) == 0 {
		return true
	}
	if in.err = in.w.deliver(in.ctx, Batch{Events: in.batch}); in.err != nil {
		return false
	}
	clear(in.batch)
	in.batch = in.batch[:0]
	return true
}
