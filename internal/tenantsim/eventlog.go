package tenantsim

import (
	"bytes"
	"container/heap"
	"encoding/json"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// eventLog holds the events that can be read, sorted by log id, and those that happened but are not indexed yet.
// An event gets its log id when it is indexed, so ids ascend in the order events become readable, and an event that
// took long shows an older date than its neighbours.
type eventLog struct {
	events  []*event
	waiting waitingEvents
	seq     uint64

	lag       time.Duration
	retention time.Duration
	limit     int
	rng       *rand.Rand
}

const lateShare = 0.03 // events that take two to five times the lag to be indexed

// emit logs an event that happens now.
func (t *Tenant) emit(ev event) {
	if ev.at.IsZero() {
		ev.at = t.now
	}
	ev.at = ev.at.Truncate(time.Millisecond)
	if ev.who != nil && ev.typed == "" && ev.who.account != nil && ev.who.account.email != ev.who.email {
		ev.typed = ev.who.account.email // events of before keep the address of before
	}
	t.stats.EventsByType[ev.typ]++
	t.stats.Events++
	l := &t.log
	if l.lag <= 0 {
		l.index(&ev, t.now)
		return
	}
	wait := float64(l.lag) * (0.8 + 0.4*l.rng.Float64())
	if l.rng.Float64() < lateShare {
		wait = float64(l.lag) * (2 + 3*l.rng.Float64())
	}
	l.waiting.seq++
	heap.Push(&l.waiting, waitingEvent{at: t.now.Add(time.Duration(wait)), seq: l.waiting.seq, ev: &ev})
}

// indexDue makes readable what is due, and forgets what is too old.
func (t *Tenant) indexDue() {
	l := &t.log
	for len(l.waiting.items) > 0 && !l.waiting.items[0].at.After(t.now) {
		due := heap.Pop(&l.waiting).(waitingEvent)
		l.index(due.ev, due.at)
	}
	drop, oldest := 0, t.now.Add(-l.retention)
	for drop < len(l.events) && l.events[drop].at.Before(oldest) {
		drop++
	}
	l.drop(drop)
}

// drop forgets the n oldest events.
func (l *eventLog) drop(n int) {
	clear(l.events[:n])
	l.events = l.events[n:]
}

func (l *eventLog) index(ev *event, at time.Time) {
	ev.logID = l.nextID(at)
	l.insert(ev)
}

// insert keeps the log sorted; an injected event may belong before the end. It reports whether the id was new.
func (l *eventLog) insert(ev *event) bool {
	i := len(l.events)
	if i > 0 && l.events[i-1].logID >= ev.logID {
		var taken bool
		if i, taken = l.find(ev.logID); taken {
			return false
		}
	}
	l.events = slices.Insert(l.events, i, ev)
	l.drop(max(len(l.events)-l.limit, 0))
	return true
}

func (l *eventLog) find(id string) (int, bool) {
	return slices.BinarySearchFunc(l.events, id, func(e *event, id string) int { return strings.Compare(e.logID, id) })
}

// newerThan returns up to n events after the cursor.
func (l *eventLog) newerThan(cursor string, n int) []*event {
	i, found := l.find(cursor)
	if found {
		i++
	}
	return l.events[i:min(i+n, len(l.events))]
}

// nextID makes a log id of 56 digits: 900, the time of indexing to the millisecond, and a sequence number.
func (l *eventLog) nextID(at time.Time) string {
	const idLen, base = 56, uint64(1223372036854775808)
	l.seq++
	b := make([]byte, 0, idLen)
	b = append(b, "900"...)
	b = at.UTC().AppendFormat(b, "20060102150405.000")
	b = append(b[:17], b[18:]...) // the point before the milliseconds
	seq := base + l.seq
	b = b[:idLen]
	for i := idLen - 1; i >= 20; i-- {
		b[i] = byte('0' + seq%10)
		seq /= 10
	}
	return string(b)
}

// Inject appends one event, given in the fields of the stream's data object, to the log at once, whatever IndexLag
// says. A missing log_id or date is filled in; a log_id that sorts before the newest one is inserted at its place,
// where cursors may have passed already. It returns the event's log id; an id that exists already keeps its first
// event, and ev that is not valid JSON is logged and dropped with an empty id.
func (t *Tenant) Inject(ev map[string]any) (logID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	data := make(map[string]any, len(ev)+2)
	for k, v := range ev {
		data[k] = v
	}
	id, _ := data["log_id"].(string)
	if id == "" {
		id = t.log.nextID(t.now)
		data["log_id"] = id
	}
	date, ok := data["date"]
	if !ok {
		date = formatDate(t.now)
		data["date"] = date
	}
	at := t.now
	if s, ok := date.(string); ok {
		if parsed, err := time.Parse(time.RFC3339, s); err == nil {
			at = parsed.UTC()
		}
	}
	raw, err := json.Marshal(data)
	if err != nil {
		t.opts.Logger.Error("injected event is not JSON, dropped", "err", err)
		return ""
	}
	typ, _ := data["type"].(string)
	if t.log.insert(&event{logID: id, at: at, typ: typ, fixed: raw}) {
		t.stats.Events++
		t.stats.EventsByType[typ]++
	}
	return id
}

// Envelope returns one indexed event as a log stream delivers it, {"log_id":…,"data":{…}}, or nil if there is none.
func (t *Tenant) Envelope(logID string) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	i, found := t.log.find(logID)
	if !found {
		return nil
	}
	return t.appendEnvelope(nil, t.log.events[i])
}

// WriteEnvelopes writes every event in the log, oldest log id first, as JSON lines of stream envelopes.
func (t *Tenant) WriteEnvelopes(w io.Writer) error {
	const batch = 500
	var out bytes.Buffer
	for cursor := ""; ; {
		out.Reset()
		t.mu.Lock()
		page := t.log.newerThan(cursor, batch)
		for _, ev := range page {
			out.Write(append(t.appendEnvelope(out.AvailableBuffer(), ev), '\n'))
			cursor = ev.logID
		}
		t.mu.Unlock()
		if out.Len() == 0 {
			return nil
		}
		if _, err := w.Write(out.Bytes()); err != nil {
			return err
		}
	}
}

type waitingEvent struct {
	at  time.Time
	seq uint64
	ev  *event
}

type waitingEvents struct {
	items []waitingEvent
	seq   uint64
}

func (w *waitingEvents) Len() int { return len(w.items) }
func (w *waitingEvents) Less(i, j int) bool {
	if c := w.items[i].at.Compare(w.items[j].at); c != 0 {
		return c < 0
	}
	return w.items[i].seq < w.items[j].seq
}
func (w *waitingEvents) Swap(i, j int) { w.items[i], w.items[j] = w.items[j], w.items[i] }
func (w *waitingEvents) Push(x any)    { w.items = append(w.items, x.(waitingEvent)) }
func (w *waitingEvents) Pop() any {
	last := len(w.items) - 1
	x := w.items[last]
	w.items[last] = waitingEvent{}
	w.items = w.items[:last]
	return x
}
