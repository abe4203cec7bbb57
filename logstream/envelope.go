package logstream

// An envelope is one way Auth0 wraps an event. Adding one is adding a row: the
// member that holds the payload must be "data" or "detail", the two that the
// decoder follows (see [decoder.record]).
type envelope struct {
	name   string
	member string              // the member with the payload, an object
	is     func(l *level) bool // reports whether the object is this envelope
}

var envelopes = []envelope{
	{"EventBridge", "detail", func(l *level) bool { return l.has("detail-type") }},
	{"Event Grid", "data", func(l *level) bool { return l.has("eventType") || l.has("specversion") }},
	{"webhook", "data", func(l *level) bool {
		// A bare event that happens to carry a member named data stays bare.
		return !l.has("type") || !l.has("date") && !l.has("description") && !l.has("_id")
	}},
}

// maxEnvelopes is how many wrappers one event may wear: the cloud buses wrap
// the webhook's.
const maxEnvelopes = 2

// A level is one object of a chain of envelopes, the payload being the last.
type level struct {
	b          []byte
	start, end int     // the object's bytes within b
	fields     []field // offsets into b
	other      uint32  // as in Event
	inner      int     // index in fields of the member that holds the next level, or -1
}

func (l *level) has(name string) bool {
	for i := range l.fields {
		f := &l.fields[i]
		if string(l.b[f.keyStart:f.keyEnd]) == name {
			return true
		}
	}
	return false
}

// wraps reports whether the level is an envelope around the next one.
func (l *level) wraps() bool {
	if l.inner < 0 {
		return false
	}
	f := &l.fields[l.inner]
	member := string(l.b[f.keyStart:f.keyEnd])
	for _, e := range envelopes {
		if e.member == member && e.is(l) {
			return true
		}
	}
	return false
}
