package logstream

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// A shape is whose intake format a part of a body has.
type shape uint8

const (
	plainShape   shape = iota // Auth0's own
	splunkShape               // an item of Splunk's HTTP event collector
	datadogShape              // an entry of Datadog's log intake
)

var (
	errNoSplunkEvent  = errors.New("a Splunk item whose event is not a log event")
	errNoDatadogEvent = errors.New("a Datadog entry whose message is not a log event")
)

// unwrap returns the event inside an object that the decoder took for an event
// without type or id: a log platform's own wrapper, of which the decoder knows
// nothing. Other events come back as they are.
func unwrap(e Event) (Event, shape, error) {
	if e.start != 0 || e.Type != "" || !strings.HasPrefix(e.ID, hashedID) {
		return e, plainShape, nil
	}
	if f := e.member("event"); f != nil {
		inner, err := e.inside(f, errNoSplunkEvent)
		return inner, splunkShape, err
	}
	f := e.member("message")
	if f == nil {
		return e, plainShape, nil
	}
	marked := e.member("ddsource") != nil || e.member("ddtags") != nil
	inner, err := e.inside(f, errNoDatadogEvent)
	switch {
	case err == nil:
		return inner, datadogShape, nil
	case marked:
		return Event{}, datadogShape, err
	}
	return e, plainShape, nil // something that has a message
}

// inside decodes the event that a member holds, as an object or as a string of
// JSON; otherwise is why it fails when it is neither.
func (e *Event) inside(f *field, otherwise error) (Event, error) {
	b := e.src[f.valStart:f.valEnd]
	switch f.kind {
	case kindObject:
	case kindString:
		if b = bytes.TrimSpace(e.scalar(f)); len(b) == 0 || b[0] != '{' {
			return Event{}, otherwise
		}
	default:
		return Event{}, otherwise
	}
	inner, err := Decode(b)
	if err != nil {
		return Event{}, fmt.Errorf("%w: %w", otherwise, err)
	}
	return inner, nil
}
