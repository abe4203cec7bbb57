package detections

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"time"

	"portcullis/logstream"
)

// Options configures an Engine; the zero value of every field works.
type Options struct {
	// Params are the tenant's own values, by rule id and parameter name.
	Params map[string]map[string]any
	// Lateness is how far behind the latest event another may arrive and still
	// be in time; 2m if zero.
	Lateness time.Duration
	// Ahead lets an alert open as soon as its evidence has arrived instead of
	// when the watermark has passed it. A live engine sets it. What the alert
	// finally says is the same.
	Ahead bool
	// Unique says that the caller removes duplicates, so that the engine need not
	// remember log_ids.
	Unique bool
	// Now tells the wall time at which the event that is ingested arrived, by
	// which a stamp from the future is recognised; time.Now if nil.
	Now func() time.Time
	// OnChange gets every alert that opens, changes or resolves, in order.
	OnChange func(Change)
	// Memory bounds the state of each rule.
	Memory Memory
	Logger *slog.Logger // discards if nil
}

// Transition says what happened to an alert.
type Transition string

// The transitions of an alert.
const (
	Opened   Transition = "opened"
	Updated  Transition = "updated"
	Resolved Transition = "resolved"
)

// Change is an alert as it is after a transition.
type Change struct {
	Transition Transition
	Alert      Alert
}

// ID tells a change from any other: the same events make a change of the same id
// again.
func (c *Change) ID() string {
	a, id := &c.Alert, fmt.Sprintf("alert %s %s", c.Alert.ID, c.Transition)
	if c.Transition == Updated {
		id += fmt.Sprintf(" %d %d %s", a.Count, a.UpdatedAt.UnixMilli(), a.Severity)
	}
	return id
}

// Stats counts what an engine has seen.
type Stats struct {
	Events     int64                // given to the engine
	Evaluated  int64                // of a type that some rule asks for
	Duplicates int64                // seen before, by log_id
	Late       int64                // behind the watermark
	Future     int64                // set aside: stamped after they were logged or, far, after they arrived
	Undated    int64                // no stamp at all: taken to be of the watermark's time
	RuleErrors map[string]RuleError // by rule id
	// Shed counts what was let go because a bound was reached, by rule id and by
	// what it was: see docs/rules.md.
	Shed  map[string]map[string]int64
	State map[string]RuleState // by rule id
	// Exceptions counts what each exception swallowed, by its Name.
	Exceptions map[string]*Excepted
}

// RuleState is how much a rule keeps.
type RuleState struct {
	Groups int
	Bytes  int64 // about
}

// RuleError is how often a rule failed to evaluate, and how the last time.
type RuleError struct {
	Count int64
	Last  string
}

const (
	// DefaultLateness is how late an event is in time unless Options say otherwise.
	DefaultLateness = 2 * time.Minute
	// tick is how far the watermark moves before open groups are looked at.
	tick = time.Second
	// maxRemembered bounds the log_ids kept to recognise duplicates.
	maxRemembered = 2_000_000
	// maxUndated bounds the events kept until one comes that has a time.
	maxUndated = 1000
)

// Engine runs rules over the events of one tenant. It is not safe for
// concurrent use.
type Engine struct {
	tenant string
	opts   Options
	log    *slog.Logger

	rules      []*ruleState
	byType     map[string]*typePlan // the rules that name a type
	other      *typePlan            // the rules that name none
	candidates []*ruleState         // what concerned made last

	dedupe   *logstream.Dedupe
	newest   int64          // latest event time seen, ms; 0 before the first event
	floor    int64          // the watermark is at least this
	ticked   int64          // watermark when the queue was looked at last
	swept    int64          // watermark when groups were last looked through
	large    []*ruleState   // rules with so many groups that they are swept in parts
	queues   []queue        // groups that are followed closely, by level of their rule
	byLevel  [][]*ruleState // those that a tick must look at: on signals, or on lists that rules fill
	filled   map[string]*filledList
	signals  []signal          // since the last tick
	heard    int64             // watermark up to which signals were heard
	undated  []logstream.Event // that came before any event with a time
	eval     evaluator
	packer   packer
	probe    *probe
	cover    *coverage
	vals     []any // of the entry that is being made
	stats    Stats
	entityAt [entityKinds]int // slots of the fields that alerts name as entities

	readsSignals bool
	swallowed    map[string]bool // ids of open alerts that an exception keeps from being told

	capture *Capture // of the engine, on its way; nil while none is
	epoch   uint32   // of the latest capture
}

// ruleState is a rule with its groups.
type ruleState struct {
	*compiled
	order   int
	level   int    // rules that read what others say are judged after them
	print   string // what the rule was compiled from
	groups  groups
	bytes   int64     // what the groups take, about
	words   words     // of its packed groups
	gone    gone      // groups that were let go
	waiting []waiting // events that the watermark must reach first
	swept   int64     // watermark of the last sweep, or up to which parts were swept
}

// NewEngine makes an engine for a tenant. The error names parameters that do
// not fit their rule.
func NewEngine(tenant string, set *RuleSet, opts Options) (*Engine, error) {
	if opts.Lateness == 0 {
		opts.Lateness = DefaultLateness
	}
	opts.Memory.Keys = cmp.Or(opts.Memory.Keys, defaultKeys)
	opts.Memory.Bytes = cmp.Or(opts.Memory.Bytes, defaultBytes)
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.OnChange == nil {
		opts.OnChange = func(Change) {}
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	e := &Engine{tenant: tenant, opts: opts, log: opts.Logger, dedupe: logstream.NewDedupe(maxRemembered)}
	e.swallowed = map[string]bool{}
	e.stats.RuleErrors, e.stats.Shed = map[string]RuleError{}, map[string]map[string]int64{}
	e.eval = evaluator{fail: e.ruleFailed}
	if err := e.SetRules(set, opts.Params); err != nil {
		return nil, err
	}
	return e, nil
}

// Stats returns the counters so far.
func (e *Engine) Stats() Stats {
	s := e.stats
	s.RuleErrors = map[string]RuleError{}
	for k, v := range e.stats.RuleErrors {
		s.RuleErrors[k] = v
	}
	s.Shed = map[string]map[string]int64{}
	for rule, counts := range e.stats.Shed {
		s.Shed[rule] = maps.Clone(counts)
	}
	s.Exceptions = map[string]*Excepted{}
	for name, x := range e.stats.Exceptions {
		c := *x
		s.Exceptions[name] = &c
	}
	s.State = map[string]RuleState{}
	for _, r := range e.rules {
		s.State[r.ID] = RuleState{r.groups.len(), r.bytes}
	}
	return s
}

// Watermark is the event time behind which an event counts as late; zero before
// the first event.
func (e *Engine) Watermark() time.Time {
	if e.newest == 0 {
		return time.Time{}
	}
	return msTime(e.watermark())
}

// Clock is the latest event time seen or told by Advance; zero before the first.
func (e *Engine) Clock() time.Time {
	if e.newest == 0 {
		return time.Time{}
	}
	return msTime(e.newest)
}

// Memory is how far back an event can still matter to a window or an open
// alert.
func (e *Engine) Memory() time.Duration {
	longest := time.Duration(0)
	for _, r := range e.rules {
		longest = max(longest, r.Reach()+r.Quiet, r.Forget)
	}
	return longest + e.opts.Lateness
}

func (e *Engine) watermark() int64 { return max(e.floor, e.newest-e.opts.Lateness.Milliseconds()) }

func (e *Engine) ruleFailed(c *compiled, err error) {
	re := e.stats.RuleErrors[c.ID]
	if re.Count == 0 {
		e.log.Warn("rule failed to evaluate", "rule", c.ID, "tenant", e.tenant, "err", err)
	}
	re.Count++
	re.Last = err.Error()
	e.stats.RuleErrors[c.ID] = re
}

// Ingest gives the engine one event. The event is not kept.
func (e *Engine) Ingest(ev *logstream.Event) {
	e.stats.Events++
	if ev.Clock == logstream.Unknown {
		e.stats.Undated++
		if e.newest == 0 && len(e.undated) < maxUndated {
			e.undated = append(e.undated, ev.Clone())
			return
		}
		e.place(ev, max(e.newest, 1))
		return
	}
	t, clock, ok := e.stamp(ev)
	if !ok {
		return
	}
	e.datePending(t)
	e.place(ev, t)
	if clock > e.newest {
		e.newest = clock
		e.tick(false)
	}
}

// place evaluates an event that happened at t, unless it was seen before.
func (e *Engine) place(ev *logstream.Event, t int64) {
	plan := e.byType[ev.Type]
	switch {
	case plan == nil && e.other.empty() && e.probe == nil && e.cover == nil:
	case !e.opts.Unique && e.dedupe.Seen(ev.ID):
		e.stats.Duplicates++
	default:
		e.evaluate(ev, t, e.newest != 0 && t <= e.watermark(), plan)
	}
}

// datePending gives the events that came without a time before any other the
// time of the first that has one: the wall clock would make a replay differ.
func (e *Engine) datePending(t int64) {
	pending := e.undated
	e.undated = nil
	for i := range pending {
		e.place(&pending[i], t)
	}
}

// stamp finds the event's time and the time to which it moves the engine's
// clock. It is false for an event to set aside: stamped later than its own
// log_id, or later than the wall clock without a log_id that agrees or by more
// than a clock is wrong by.
//
// One that only its log_id agrees with is ahead because the wall clock is slow,
// and is evaluated: to miss an attack would be worse. But it moves the engine's
// clock no further than the wall clock. A pair of date and log_id that somebody
// made up thus makes no event late that comes as it happens; and where the clock
// is slow, what waits for the watermark waits as much longer, and comes out the
// same.
func (e *Engine) stamp(ev *logstream.Event) (t, clock int64, ok bool) {
	now := e.opts.Now()
	trusted := now.Add(logstream.StampTolerance)
	limit := trusted
	if logged, ok := ev.LogIDTime(); ok {
		limit = now.Add(logstream.MaxClockError)
		if logged = logged.Add(logstream.StampTolerance); logged.Before(limit) {
			limit = logged
		}
	}
	if ev.Time.After(limit) {
		e.stats.Future++
		if e.stats.Future == 1 {
			e.log.Warn("event stamped in the future set aside", "tenant", e.tenant, "log_id", ev.ID, "date", ev.Time)
		}
		return 0, 0, false
	}
	if t = ev.Time.UnixMilli(); ev.Time.After(trusted) {
		return t, now.UnixMilli(), true
	}
	return t, t, true
}

// Advance tells the engine that its source has nothing older than t to come,
// give or take the lateness. Without events, this is what moves the watermark.
func (e *Engine) Advance(t time.Time) {
	if ms := t.UnixMilli(); e.newest != 0 && ms > e.newest {
		e.newest = ms
		e.tick(false)
	}
}

// Settle ends the wait for late events: every event so far is evaluated, and
// one that still comes from before the latest of them is late. Alerts whose
// quiet time is not over stay open, and are told as they are.
func (e *Engine) Settle() {
	e.settleAll()
	e.tellWhole()
}

func (e *Engine) settleAll() {
	if e.newest == 0 && len(e.undated) > 0 {
		e.newest = e.opts.Now().UnixMilli()
		e.datePending(e.newest)
	}
	if e.newest != 0 {
		e.floor = max(e.floor, e.newest)
		e.tick(true)
	}
}

// Finish settles, and then lets time pass until every window has closed and
// every alert has resolved.
func (e *Engine) Finish() {
	if e.settleAll(); e.newest == 0 {
		return
	}
	end := e.floor
	for _, r := range e.rules {
		end = max(end, e.floor+r.span()+2*r.Quiet.Milliseconds())
	}
	for range e.byLevel { // what opens at the end may open others
		e.floor = end
		e.tick(true)
		end += end - e.newest
	}
}
