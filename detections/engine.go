package detections

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"portcullis/internal/yamldoc"
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
	// Now tells the wall time by which a stamp from the future is recognised;
	// time.Now if nil.
	Now func() time.Time
	// OnChange gets every alert that opens, changes or resolves, in order.
	OnChange func(Change)
	Logger   *slog.Logger // discards if nil
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

// Stats counts what an engine has seen.
type Stats struct {
	Events     int64                // given to the engine
	Evaluated  int64                // of a type that some rule asks for
	Duplicates int64                // seen before, by log_id
	Late       int64                // behind the watermark
	Future     int64                // set aside: stamped after the time they were logged at
	Undated    int64                // no stamp at all: taken to be of the watermark's time
	RuleErrors map[string]RuleError // by rule id
}

// RuleError is how often a rule failed to evaluate, and how the last time.
type RuleError struct {
	Count int64
	Last  string
}

const (
	defaultLateness = 2 * time.Minute
	// futureTolerance is how far a stamp may run ahead of the time in the
	// event's own log_id, or of the wall clock.
	futureTolerance = 10 * time.Minute
	// tick is how far the watermark moves before open groups are looked at.
	tick = time.Second
	// maxRemembered bounds the log_ids kept to recognise duplicates.
	maxRemembered = 2_000_000
)

// Engine runs rules over the events of one tenant. It is not safe for
// concurrent use.
type Engine struct {
	tenant string
	opts   Options
	log    *slog.Logger

	rules  []*ruleState
	byType map[string]*typePlan
	other  *typePlan // for types that no rule names

	dedupe    *logstream.Dedupe
	newest    int64 // latest event time seen, ms; 0 before the first event
	ticked    int64 // watermark when open groups were looked at last
	eval      evaluator
	stats     Stats
	entityAt  [4]logstream.Path
	onProblem map[string]bool
}

// ruleState is a rule with its groups.
type ruleState struct {
	*compiled
	order  int
	print  string // what the rule was compiled from
	groups map[string]*group
	hot    map[*group]struct{}
	swept  int64 // watermark of the last sweep
}

// typePlan is what to do with events of one type.
type typePlan struct {
	rules  []*ruleState
	fields []field
}

// NewEngine makes an engine for a tenant. The error names parameters that do
// not fit their rule.
func NewEngine(tenant string, set *RuleSet, opts Options) (*Engine, error) {
	if opts.Lateness == 0 {
		opts.Lateness = defaultLateness
	}
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
	e.stats.RuleErrors = map[string]RuleError{}
	e.eval = evaluator{row: env{}, agg: env{}, fail: e.ruleFailed}
	for i, f := range [4]string{"ip", "user_id", "client_id", "security_context.ja4"} {
		p, err := logstream.ParsePath(f)
		if err != nil {
			return nil, fmt.Errorf("parse path %s: %w", f, err)
		}
		e.entityAt[i] = p
	}
	if err := e.SetRules(set, opts.Params); err != nil {
		return nil, err
	}
	return e, nil
}

// SetRules puts other rules or parameters in place. All are compiled before any
// is swapped; on an error nothing changes. Rules that are the same as before
// keep their windows and open alerts.
func (e *Engine) SetRules(set *RuleSet, params map[string]map[string]any) error {
	if err := set.CheckParams(params); err != nil {
		return err
	}
	old := map[string]*ruleState{}
	for _, r := range e.rules {
		old[r.ID] = r
	}
	var rules []*ruleState
	for i, r := range set.Rules {
		d := &yamldoc.Decoder{Src: r.src}
		c := compile(r, params[r.ID], set.lists, d)
		if err := d.Problems.Err(); err != nil {
			return err
		}
		st := &ruleState{compiled: c, order: i, print: fingerprint(c, set.lists), groups: map[string]*group{}, hot: map[*group]struct{}{}}
		if was := old[r.ID]; was != nil && was.print == st.print {
			st.groups, st.hot, st.swept = was.groups, was.hot, was.swept
			for g := range st.hot {
				for _, m := range []*machine{g.settled, g.ahead} {
					if m != nil {
						m.c = c
					}
				}
			}
		}
		rules = append(rules, st)
	}
	e.rules = rules
	e.index()
	return nil
}

// fingerprint is equal for two compiled rules that cannot be told apart by what
// they do.
func fingerprint(c *compiled, lists Lists) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %v %v %v %q %q %v %v", c.Where.Value, c.GroupBy, c.Window, c.Quiet, c.Having.Value, c.MissingKey, c.params, c.types)
	for _, n := range keys(c.Evidence) {
		fmt.Fprintf(h, "%q %q", n, c.Evidence[n].Value)
	}
	for _, n := range lists.Names() {
		if strings.Contains(c.Where.Value+c.Having.Value, "lists."+n) {
			fmt.Fprintf(h, "%q %q", n, lists[n].entries)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// index sorts rules by the event types they ask for.
func (e *Engine) index() {
	e.byType = map[string]*typePlan{}
	e.other = &typePlan{}
	for _, r := range e.rules {
		for _, t := range r.types {
			if e.byType[t] == nil {
				e.byType[t] = &typePlan{}
			}
		}
	}
	for _, r := range e.rules {
		if r.types == nil {
			e.other.add(r)
			for _, p := range e.byType {
				p.add(r)
			}
			continue
		}
		for _, t := range r.types {
			e.byType[t].add(r)
		}
	}
}

func (p *typePlan) add(r *ruleState) {
	p.rules = append(p.rules, r)
	for _, f := range r.fields {
		if !slices.ContainsFunc(p.fields, func(g field) bool { return g.name == f.name }) {
			p.fields = append(p.fields, f)
		}
	}
}

// Stats returns the counters so far.
func (e *Engine) Stats() Stats {
	s := e.stats
	s.RuleErrors = map[string]RuleError{}
	for k, v := range e.stats.RuleErrors {
		s.RuleErrors[k] = v
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

// Memory is how far back an event can still matter to a window or an open
// alert.
func (e *Engine) Memory() time.Duration {
	longest := time.Duration(0)
	for _, r := range e.rules {
		longest = max(longest, r.Window+r.Quiet)
	}
	return longest + e.opts.Lateness
}

func (e *Engine) watermark() int64 { return e.newest - e.opts.Lateness.Milliseconds() }

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
	plan := e.byType[ev.Type]
	if plan == nil {
		plan = e.other
	}
	t, ok := e.stamp(ev)
	if !ok {
		return
	}
	late := e.newest != 0 && t <= e.watermark()
	if len(plan.rules) > 0 && !e.dedupe.Seen(ev.ID) {
		e.evaluate(ev, t, late, plan)
	} else if len(plan.rules) > 0 {
		e.stats.Duplicates++
	}
	if t > e.newest {
		e.newest = t
		e.tick(false)
	}
}

// stamp finds the event's time. It is false for a stamp from the future, which
// must not move the watermark.
func (e *Engine) stamp(ev *logstream.Event) (int64, bool) {
	if ev.Clock == logstream.Unknown {
		e.stats.Undated++
		if e.newest == 0 {
			return e.opts.Now().UnixMilli(), true
		}
		return e.newest, true
	}
	limit := e.opts.Now()
	if logged, ok := ev.LogIDTime(); ok && logged.Before(limit) {
		limit = logged
	}
	if ev.Time.After(limit.Add(futureTolerance)) {
		e.stats.Future++
		if e.stats.Future == 1 {
			e.log.Warn("event stamped in the future set aside", "tenant", e.tenant, "log_id", ev.ID, "date", ev.Time)
		}
		return 0, false
	}
	return ev.Time.UnixMilli(), true
}

// Advance tells the engine that its source has nothing older than t to come,
// give or take the lateness. Without events, this is what moves the watermark.
func (e *Engine) Advance(t time.Time) {
	if ms := t.UnixMilli(); e.newest != 0 && ms > e.newest {
		e.newest = ms
		e.tick(false)
	}
}

// Settle ends the wait for late events: every event so far is evaluated. Alerts
// whose quiet time is not over stay open.
func (e *Engine) Settle() {
	if e.newest == 0 {
		return
	}
	e.newest += e.opts.Lateness.Milliseconds()
	e.tick(true)
	e.newest -= e.opts.Lateness.Milliseconds()
}

// Finish settles, and then lets time pass until every window has closed and
// every alert has resolved.
func (e *Engine) Finish() {
	if e.newest == 0 {
		return
	}
	e.Settle()
	for _, r := range e.rules {
		end := e.newest + r.Window.Milliseconds() + 2*r.Quiet.Milliseconds() + e.opts.Lateness.Milliseconds()
		for _, g := range r.sortedHot() {
			e.settle(r, g, end)
		}
	}
}

func (e *Engine) evaluate(ev *logstream.Event, t int64, late bool, plan *typePlan) {
	e.stats.Evaluated++
	if late {
		e.stats.Late++
	}
	row := e.eval.row
	for _, f := range plan.fields {
		row[f.name] = ev.Lookup(f.path)
	}
	var entity [4]string
	haveEntity := false
	for _, r := range plan.rules {
		ok, err := r.where.holds(&e.eval.vm, row)
		if err != nil {
			e.ruleFailed(r.compiled, err)
			continue
		}
		if !ok {
			continue
		}
		key, ok := e.groupKey(r, ev)
		if !ok {
			continue
		}
		if !haveEntity {
			haveEntity = true
			for i, p := range e.entityAt {
				entity[i], _ = ev.LookupString(p)
			}
		}
		en := entry{t: t, id: ev.ID, entity: entity, late: late}
		if len(r.aggs) > 0 {
			en.vals = make([]any, len(r.aggs))
			for i := range r.aggs {
				en.vals[i] = e.aggregateValue(r, i, row)
			}
		}
		e.add(r, key, en)
	}
}

func (e *Engine) aggregateValue(r *ruleState, i int, row env) any {
	a := &r.aggs[i]
	if a.arg == nil {
		return true // count()
	}
	v, err := a.arg.run(&e.eval.vm, row)
	if err != nil {
		e.ruleFailed(r.compiled, err)
		return nil
	}
	return v
}

// keyText writes a value as part of a group key; false when it is missing.
func keyText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, v != ""
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}

const keySeparator = "\x1f"

func (e *Engine) groupKey(r *ruleState, ev *logstream.Event) (string, bool) {
	if len(r.group) == 0 {
		return "", true
	}
	var key string
	for i, f := range r.group {
		text, ok := keyText(ev.Lookup(f.path))
		if !ok && r.MissingKey != "group" {
			return "", false
		}
		if i > 0 {
			key += keySeparator
		}
		key += text
	}
	return key, true
}

func (r *ruleState) groupValues(key string) map[string]string {
	values := map[string]string{}
	if len(r.group) > 0 {
		for i, part := range strings.Split(key, keySeparator) {
			if i < len(r.group) {
				values[r.group[i].name] = part
			}
		}
	}
	return values
}

// add puts an entry into its group and sees whether the rule now holds.
func (e *Engine) add(r *ruleState, key string, en entry) {
	g := r.groups[key]
	if g == nil {
		g = &group{key: key}
		r.groups[key] = g
	}
	e.evict(r, g)
	pos, inOrder := g.insert(en, r.nHaving)
	if en.late {
		e.addLate(r, g, pos)
		return
	}
	if !g.hot() {
		if !g.possible(r.compiled, &e.eval) {
			return
		}
		e.heat(r, g)
	}
	if g.settled == nil { // hot by late evidence only
		g.settled = newMachine(r.compiled)
	}
	if e.opts.Ahead && (r.rises || r.having == nil) {
		e.lookAhead(r, g, inOrder)
	}
}

// heat starts following a group closely.
func (e *Engine) heat(r *ruleState, g *group) {
	g.values = r.groupValues(g.key)
	g.settled = newMachine(r.compiled)
	r.hot[g] = struct{}{}
}

// lookAhead walks the entries that the watermark has not reached, so that an
// alert opens the moment its evidence is there.
func (e *Engine) lookAhead(r *ruleState, g *group, inOrder bool) {
	if !inOrder || g.ahead == nil {
		// Walk anew, but not for every one of many entries out of order.
		g.ahead = nil
		g.unseen++
		if g.unseen*8 < len(g.entries)-g.settled.hi && g.unseen > 1 {
			return
		}
		g.ahead, g.unseen = g.settled.clone(), 0
	}
	g.ahead.advance(g.entries, g.entries[len(g.entries)-1].t, &e.eval, func(outcome) {})
	// While an earlier alert of the group is open, events still under way may
	// show that both are one: the watermark decides.
	if g.ahead.ep != nil && !slices.ContainsFunc(g.alerts, func(a *openAlert) bool { return a.nth != g.ahead.opened }) {
		e.tell(r, g, g.ahead, g.ahead.ep)
	}
}

// tell opens or updates the alert of a machine's open episode.
func (e *Engine) tell(r *ruleState, g *group, m *machine, ep *episode) {
	i := slices.IndexFunc(g.alerts, func(a *openAlert) bool { return a.nth == m.opened })
	if i < 0 {
		a := ep.alert(r.compiled, e.tenant, g.values, &e.eval)
		a.ID = alertID(&a)
		g.alerts = append(g.alerts, &openAlert{alert: a, nth: m.opened, told: ep.count, toldAt: ep.lastTrue})
		e.opts.OnChange(Change{Opened, a})
		return
	}
	open := g.alerts[i]
	if ep.count < 2*open.told && ep.lastTrue-open.toldAt < time.Minute.Milliseconds() || ep.count <= open.told {
		return
	}
	open.told, open.toldAt = ep.count, ep.lastTrue
	id := open.alert.ID
	open.alert = ep.alert(r.compiled, e.tenant, g.values, &e.eval)
	open.alert.ID = id
	e.opts.OnChange(Change{Updated, open.alert})
}

// resolve ends the alert of an episode.
func (e *Engine) resolve(r *ruleState, g *group, nth int, ep *episode, at int64) {
	a := ep.alert(r.compiled, e.tenant, g.values, &e.eval)
	a.ID = alertID(&a)
	if i := slices.IndexFunc(g.alerts, func(o *openAlert) bool { return o.nth == nth }); i >= 0 {
		a.ID = g.alerts[i].alert.ID
		g.alerts = slices.Delete(g.alerts, i, i+1)
	} else {
		e.opts.OnChange(Change{Opened, a})
	}
	end := msTime(at)
	a.ResolvedAt = &end
	g.past = append(g.past, span{ep.opened, at})
	e.opts.OnChange(Change{Resolved, a})
}

// alertID names an alert for ever: the same events give the same id.
func alertID(a *Alert) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %d %v", a.Tenant, a.Rule, a.OpenedAt.UnixMilli(), a.Late)
	for _, k := range keys(a.Group) {
		fmt.Fprintf(h, " %q=%q", k, a.Group[k])
	}
	return "al_" + hex.EncodeToString(h.Sum(nil)[:8])
}

// tick looks at open groups when the watermark has moved far enough.
func (e *Engine) tick(force bool) {
	wm := e.watermark()
	if !force && wm-e.ticked < tick.Milliseconds() {
		return
	}
	e.ticked = wm
	for _, r := range e.rules {
		for _, g := range r.sortedHot() {
			e.settle(r, g, wm)
		}
		if every := max(r.Window/4, time.Minute).Milliseconds(); wm-r.swept >= every {
			r.swept = wm
			e.sweep(r)
		}
	}
}

// sortedHot lists the groups that are followed closely, in a fixed order.
func (r *ruleState) sortedHot() []*group {
	if len(r.hot) == 0 {
		return nil
	}
	out := make([]*group, 0, len(r.hot))
	for g := range r.hot {
		out = append(out, g)
	}
	slices.SortFunc(out, func(a, b *group) int { return cmp.Compare(a.key, b.key) })
	return out
}

// settle walks a group's entries up to the watermark.
func (e *Engine) settle(r *ruleState, g *group, wm int64) {
	if g.lateOne != nil && wm >= g.keepTill {
		e.resolveLate(r, g)
	}
	if m := g.settled; m != nil {
		m.advance(g.entries, wm, &e.eval, func(o outcome) {
			switch {
			case o.openedHere:
				e.tell(r, g, m, m.ep)
			default:
				e.resolve(r, g, m.opened, o.closed, o.closedAt)
			}
		})
		if m.ep != nil && g.ahead == nil {
			e.tell(r, g, m, m.ep)
		}
	}
	e.evict(r, g)
	if m := g.settled; m != nil && m.ep == nil && m.hi == len(g.entries) && !g.possible(r.compiled, &e.eval) {
		g.settled, g.ahead, g.unseen = nil, nil, 0
	}
	if !g.hot() {
		delete(r.hot, g)
	}
}

// evict drops the entries that no window can need any more.
func (e *Engine) evict(r *ruleState, g *group) {
	wm := e.watermark()
	if len(g.entries) == 0 || wm < g.keepTill {
		return
	}
	g.past = slices.DeleteFunc(g.past, func(s span) bool { return s.to < wm-2*r.Window.Milliseconds() })
	if g.settled != nil {
		g.drop(g.settled.done(g.entries, min(wm, g.settledUntil(wm))))
		return
	}
	cut := wm - r.Window.Milliseconds()
	n := 0
	for n < len(g.entries) && g.entries[n].t <= cut {
		n++
	}
	g.drop(n)
}

// settledUntil is how far settled has walked: never further than its entries
// allow windows to be cut.
func (g *group) settledUntil(wm int64) int64 {
	if g.settled.hi < len(g.entries) && g.entries[g.settled.hi].t <= wm {
		return g.entries[g.settled.hi].t - 1
	}
	return wm
}

// sweep forgets groups without entries.
func (e *Engine) sweep(r *ruleState) {
	for key, g := range r.groups {
		if g.hot() {
			continue
		}
		e.evict(r, g)
		if len(g.entries) == 0 && e.watermark() >= g.keepTill {
			delete(r.groups, key)
		}
	}
}

// OpenAlerts returns the alerts that are open now, in order of opening.
func (e *Engine) OpenAlerts() []Alert {
	var out []Alert
	for _, r := range e.rules {
		for _, g := range r.sortedHot() {
			for _, o := range g.alerts {
				out = append(out, o.alert)
			}
			if g.lateOne != nil {
				out = append(out, g.lateOne.alert)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Alert) int { return a.OpenedAt.Compare(b.OpenedAt) })
	return out
}
