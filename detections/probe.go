package detections

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"portcullis/logstream"
)

// probe watches one group of one rule while an engine runs, for the tools that
// explain. An engine has one only for them.
type probe struct {
	rule     *ruleState
	where    *clause
	decides  *clause // having, or when
	key      string
	group    map[string]string
	from, to int64 // windows that end in between are looked at

	active  bool // the engine is at the probed group
	events  []EventLine
	entered int
	left    map[string]int // why events did not count
	latest  *WindowNumbers // the last judged, up to `to`
	best    *WindowNumbers // the nearest to holding
	opening *WindowNumbers // the last that held
	facts   []Fact         // where the machine stood at `to`

	excepted  map[*exception]*Exempted
	swallowed map[string]Alert // of the group, that exceptions kept from being told, by id
}

// EventLine is one event in short.
type EventLine struct {
	ID       string    `json:"log_id"`
	Date     time.Time `json:"date"`
	Type     string    `json:"type"`
	IP       string    `json:"ip,omitempty"`
	UserID   string    `json:"user_id,omitempty"`
	UserName string    `json:"user_name,omitempty"`
	Counted  bool      `json:"counted"`
	Why      string    `json:"why,omitempty"` // it did not count
}

// WindowNumbers is what the clauses of a condition came to at one time.
type WindowNumbers struct {
	At      time.Time       `json:"at"`
	Held    bool            `json:"held"`
	Ratio   float64         `json:"ratio"` // how near it was to holding, 1 when it held
	Clauses []ClauseNumbers `json:"clauses"`
}

// Fact is one thing that a machine knows.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// maxProbed bounds the events that a probe keeps at each end.
const maxProbed = 100

// newProbe makes a probe for a rule of an engine, and has the rule judge every
// event of every group: near misses are told exactly.
func newProbe(e *Engine, set *RuleSet, id string, params map[string]any, group map[string]string) (*probe, error) {
	i := slices.IndexFunc(e.rules, func(r *ruleState) bool { return r.ID == id })
	if i < 0 {
		return nil, fmt.Errorf("no rule is called %s", id)
	}
	r := e.rules[i]
	p := &probe{rule: r, group: group, left: map[string]int{}, to: never,
		excepted: map[*exception]*Exempted{}, swallowed: map[string]Alert{}}
	t := newTranslator(r.params, set.lists, e.eval.row.table)
	t.signals = r.On == "signals"
	if r.Where.Given() {
		p.where = t.clausesOf(r.Where.Value)
	}
	t.aggregates, t.aggs, t.baselines = true, r.aggs, r.baselines
	switch {
	case r.kind == State:
		t.offer("was", "now")
		p.decides = t.clausesOf(r.When.Value)
	case r.Having.Given():
		if r.kind == FirstSeen {
			t.offer(nameTravelKM, nameTravelKMH, nameTravelHours)
		}
		p.decides = t.clausesOf(r.Having.Value)
	}
	// The clauses may name what no program did before.
	e.eval.row, e.eval.agg = newRow(e.eval.row.table), newRow(e.eval.row.table)
	r.probed, r.coldLimit = true, 0
	e.probe, e.eval.probe = p, p
	return p, nil
}

// inRange reports whether a time is one that the probe looks at.
func (p *probe) inRange(t int64) bool { return t >= p.from && t <= p.to }

// see looks at an event, or a signal for a rule on signals, before the rule does.
func (p *probe) see(e *Engine, ev *logstream.Event, t int64, late bool) {
	if !p.inRange(t) {
		return
	}
	e.eval.row.take(ev)
	defer e.eval.row.take(nil)
	for _, name := range p.rule.filled {
		e.eval.row.set(listName(name), filledAt{e.filled[name], t})
	}
	key, ok := e.groupKey(p.rule)
	if !ok || !p.of(key) {
		return
	}
	line := EventLine{ID: ev.ID, Date: msTime(t), Type: ev.Type, IP: e.eval.row.text(e.entityAt[entityIP]), UserID: e.eval.row.text(e.entityAt[entityUser])}
	line.UserName, _ = ev.LookupString(userNamePath)
	_, line.Counted = e.admits(p.rule)
	switch x := e.leavesOut(p.rule, t); {
	case line.Counted && x != nil:
		line.Counted, line.Why = false, "an exception of "+x.Owner
		p.left[line.Why]++
		p.exempted(x).Events++
	case line.Counted && late:
		p.left["it came behind the watermark: counted, and marked late"]++
		p.entered++
	case line.Counted:
		p.entered++
	default:
		line.Why = p.failed(e.eval.row)
		p.left[line.Why]++
	}
	p.events = append(p.events, line)
	if len(p.events) > 2*maxProbed {
		p.events = slices.Delete(p.events, maxProbed, maxProbed+1)
	}
}

var userNamePath = mustPath("user_name")

func mustPath(text string) logstream.Path {
	p, err := logstream.ParsePath(text)
	if err != nil {
		panic(err) // it is a constant
	}
	return p
}

// failed names the parts of where that did not hold.
func (p *probe) failed(r *row) string {
	numbers, _ := p.where.numbers(r)
	var parts []string
	for _, n := range numbers {
		if !n.Holds {
			parts = append(parts, n.Text)
		}
	}
	if len(parts) == 0 {
		return "no step matched"
	}
	return strings.Join(parts, ", ")
}

// of reports whether a group is the one that is looked at.
func (p *probe) of(key string) bool {
	if p.key != "" {
		return key == p.key
	}
	values := p.rule.groupValues(key)
	for k, v := range p.group {
		if values[k] != v {
			return false
		}
	}
	if len(values) == len(p.group) {
		p.key = key
	}
	return true
}

// judged notes what a condition over a window came to. Its values are in v.agg.
func (v *evaluator) judged(c *compiled, at int64, held bool) {
	v.cover.judged(c, v.agg)
	p := v.probe
	if p == nil || !p.active || p.rule.compiled != c {
		return
	}
	w := &WindowNumbers{At: msTime(at), Held: held}
	w.Clauses, w.Ratio = p.decides.numbers(v.agg)
	if held {
		w.Ratio, p.opening = 1, w
	}
	if !p.inRange(at) {
		return
	}
	p.latest = w
	if p.best == nil || w.Ratio > p.best.Ratio {
		p.best = w
	}
}

// enterGroup tells the probe which group the engine looks at.
func (p *probe) enterGroup(r *ruleState, g *group) {
	if p != nil {
		p.active = r == p.rule && p.of(g.key)
	}
}

// leaveGroup takes down where the group's machine stands.
func (p *probe) leaveGroup(m machine, wm int64) {
	if p == nil || !p.active {
		return
	}
	p.active = false
	if f, ok := m.(factual); ok && wm <= p.to {
		p.facts = f.facts()
	}
}

// factual is a machine that can say what it knows.
type factual interface{ facts() []Fact }

func (s *sequence) facts() []Fact {
	var far *chain
	for i := range s.chains {
		if c := &s.chains[i]; far == nil || c.step > far.step || c.step == far.step && c.times > far.times {
			far = c
		}
	}
	if far == nil {
		return []Fact{{"steps", fmt.Sprintf("none of %d", len(s.c.steps))}}
	}
	next := s.c.steps[far.step]
	return []Fact{
		{"steps", fmt.Sprintf("%d of %d", far.step, len(s.c.steps))},
		{"begun", moment(far.begun)},
		{"waits for", fmt.Sprintf("%s, %d of %d, until %s", next.name, far.times, next.times, moment(far.begun+s.c.Within.Milliseconds()))},
	}
}

func (a *absence) facts() []Fact {
	if len(a.waiting) == 0 {
		return []Fact{{"waits for", "nothing"}}
	}
	return []Fact{{"since", moment(a.waiting[0].t)}, {"waits for", a.c.Expect.Value + " until " + moment(a.deadline())}}
}

func (f *firstSeen) facts() []Fact {
	known := keys(f.known)
	slices.SortFunc(known, func(x, y string) int { return int(max(-1, min(1, f.known[y].last-f.known[x].last))) })
	shown := known[:min(len(known), 10)]
	out := []Fact{{"known", fmt.Sprintf("%d values, the latest %s", len(known), strings.Join(shown, ", "))}}
	if len(known) > 0 {
		out = append(out, Fact{"known since", moment(f.born)}, Fact{"learns until", moment(f.born + f.c.Learn.Milliseconds())})
	}
	return out
}

func (s *state) facts() []Fact {
	if s.at == 0 {
		return []Fact{{"value", "unknown: no event has set it"}}
	}
	return []Fact{{"value", fmt.Sprint(s.value)}, {"set", moment(s.at)}}
}

func moment(ms int64) string { return msTime(ms).Format(time.RFC3339) }
