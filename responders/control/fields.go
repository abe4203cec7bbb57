package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"portcullis/internal/auth0"
	"portcullis/responders/hold"
)

// State is a setting as the tenant has it.
type State struct {
	Doc json.RawMessage // the whole object, so that nothing of it is lost
	At  time.Time       // when the tenant answered, by the tenant's clock, to the second below
}

// Setting is one object of the tenant, or one kind of object of which a subject
// names one, whose fields are written one by one.
type Setting interface {
	// Read returns the object as it is.
	Read(ctx context.Context, subject string) (State, error)
	// Write changes the given fields, by dotted path, and no others. was is the
	// object as it was just read.
	Write(ctx context.Context, subject string, was State, fields map[string]hold.Value, op string) error
	// Told returns what a line of the log says of the object: which one, and its
	// fields that were chosen, with their values after it. ok is false for a line
	// about something else.
	Told(ln Line) (subject string, chosen json.RawMessage, ok bool)
}

// Fields is a control over the fields of one Setting.
type Fields struct {
	Name    string
	Spec    Spec
	Levels  *Levels
	Subject string // what a hold's subject is, for instance "connection"; "" for a setting of the whole tenant
	Setting Setting
	Store   Store
	Op      Operation
	Limits  func() []Limit // of people, on what holds may ask; none if nil
}

// Limit is a person's word that holds ask for no more than a level until a time.
type Limit struct {
	Level string
	Until time.Time
	Actor string
}

// Check reports why holds at a level, on a subject, make no sense.
func (f *Fields) Check(level, subject string) error {
	if subject != "" && f.Subject == "" {
		return fmt.Errorf("%s takes no subject: it is one setting for the whole tenant", f.Name)
	}
	if subject == "" && f.Subject != "" {
		return fmt.Errorf("%s needs a %s as its subject", f.Name, f.Subject)
	}
	if _, ok := f.Levels.Cells[level]; !ok {
		return fmt.Errorf("%s has no level %q: one of %s", f.Name, level, strings.Join(f.Levels.names(), ", "))
	}
	return nil
}

// SubjectKind is what subjects of the control are: "" for none.
func (f *Fields) SubjectKind() string { return f.Subject }

// Ranks reports whether a level asks for no less than a weaker one in any field,
// and for more in some.
func (f *Fields) Ranks(weaker, level string) bool {
	more := false
	for cell, value := range f.Levels.Cells[weaker] {
		asked, has := f.Levels.Cells[level][cell]
		if !has || f.order(cell).Stricter(value, asked) {
			return false
		}
	}
	for cell, value := range f.Levels.Cells[level] {
		was, had := f.Levels.Cells[weaker][cell]
		more = more || !had || f.order(cell).Stricter(value, was)
	}
	return more
}

func (f *Fields) order(cell string) hold.Lattice {
	_, _, field, ok := f.Spec.field(cell)
	if !ok {
		return hold.Exclusive{}
	}
	return field.Order
}

// Reconcile makes every field the strictest of what a human chose and what the
// holds in force ask, and writes only fields whose value that changes. It moves
// the holds to the states that follow. What a person must be asked before is not
// written, and said on the holds. On an error nothing is lost: the next call starts
// from a fresh look. The error wraps [ErrStore] if the store failed.
func (f *Fields) Reconcile(ctx context.Context, holds []*hold.Hold, now time.Time) (Report, error) {
	var rep Report
	m, err := f.load(ctx)
	if err != nil {
		return rep, err
	}
	m.keepClaims(inForce(holds, now))
	subjects := map[string][]*hold.Hold{}
	for _, h := range holds {
		if h.InForce(now) || h.Letting() {
			subjects[h.Subject] = append(subjects[h.Subject], h)
		}
	}
	for key, c := range m.Cells {
		if subject, _ := splitKey(key); c.Open() && subjects[subject] == nil {
			subjects[subject] = []*hold.Hold{}
		}
	}
	var errs []error
	for _, subject := range slices.Sorted(maps.Keys(subjects)) {
		v := &visit{f: f, m: m, subject: subject, holds: subjects[subject], now: now, rep: &rep}
		if err := v.run(ctx); err != nil {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return rep, err
	}
	m.prune(now)
	return rep, f.save(ctx, m)
}

// visit is one reconciliation of one object.
type visit struct {
	f       *Fields
	m       *memory
	subject string
	holds   []*hold.Hold
	now     time.Time
	rep     *Report

	active   []*hold.Hold // in force
	claims   map[string][]hold.Claim
	state    State
	observed map[string]hold.Value
	waiting  map[string]bool // cells that are not let go before a person says so
}

func (v *visit) run(ctx context.Context) error {
	f := v.f
	v.active = inForce(v.holds, v.now)
	if len(v.active) == 0 && !v.m.open(v.subject) {
		Settle(v.holds, v.now)
		return nil
	}
	err := v.read(ctx)
	if f.Subject != "" && errors.Is(err, auth0.ErrNotFound) {
		v.gone(err)
		return nil
	}
	if errors.Is(err, ErrUnsupported) && !v.m.open(v.subject) {
		Fail(v.active, v.now, err.Error())
		Settle(v.holds, v.now)
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", f.what(v.subject), err)
	}
	v.dropUnanswerable()
	v.claim()
	v.look()
	if changes := v.changes(); len(changes) > 0 {
		err := v.write(ctx, changes)
		if errors.Is(err, ErrUnsupported) {
			// The holds that need this write will never have it. Those that are in
			// force stay, and what they changed stays remembered.
			v.failUnmet(err)
			if v.claim(); len(v.changes()) == 0 {
				err = nil
			}
		}
		if err != nil || v.rep.Again {
			return err
		}
	}
	v.describe()
	v.settle()
	return nil
}

// gone forgets an object that somebody deleted, and ends its holds: it is not made
// again.
func (v *visit) gone(why error) {
	for key := range v.m.Cells {
		if subject, _ := splitKey(key); subject == v.subject {
			delete(v.m.Cells, key)
		}
	}
	Fail(v.active, v.now, why.Error())
	Settle(v.holds, v.now)
}

// what names the setting, for people.
func (f *Fields) what(subject string) string {
	if subject == "" {
		return f.Name
	}
	return f.Name + " of " + subject
}

func (v *visit) read(ctx context.Context) error {
	state, err := v.f.Setting.Read(ctx, v.subject)
	if err != nil {
		return err
	}
	v.state, v.observed = state, v.f.Spec.values(state.Doc, v.f.cells(v.m, v.subject))
	return nil
}

// cells are the names of all cells that levels name or memory knows of a subject.
func (f *Fields) cells(m *memory, subject string) []string {
	names := map[string]bool{}
	for _, cells := range f.Levels.Cells {
		for cell := range cells {
			names[cell] = true
		}
	}
	for key := range m.Cells {
		if s, cell := splitKey(key); s == subject {
			names[cell] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// dropUnanswerable fails the holds on nothing that the tenant has.
func (v *visit) dropUnanswerable() {
	v.active = slices.DeleteFunc(v.active, func(h *hold.Hold) bool {
		for cell := range v.f.Levels.Cells[h.Level] {
			if _, has := v.observed[cell]; has {
				return false
			}
		}
		Fail([]*hold.Hold{h}, v.now, fmt.Sprintf("the tenant has none of the settings that %s at %s asks for", v.f.Name, h.Level))
		return true
	})
}

// claim collects what the holds in force ask of each cell.
func (v *visit) claim() {
	v.claims = map[string][]hold.Claim{}
	for _, h := range v.active {
		for cell, value := range v.f.Levels.Cells[h.Level] {
			v.claims[cell] = append(v.claims[cell], hold.Claim{Hold: h.Key(), Value: value, Severity: h.Severity, Created: h.Created})
		}
	}
}

// look compares each cell that is claimed or remembered with what is observed.
func (v *visit) look() {
	for _, cell := range v.f.cells(v.m, v.subject) {
		value, present := v.observed[cell]
		c := v.m.cell(v.subject, cell)
		if !present || c == nil && len(v.claims[cell]) == 0 {
			continue // the tenant does not have it now, or nobody asks
		}
		if c == nil {
			c = v.m.make(v.subject, cell)
		}
		was, held := c.Applied, len(c.Claims) > 0
		finding := c.Look(v.f.order(cell), value, v.state.At, v.claims[cell])
		during := ""
		if held {
			during = " during a hold"
		}
		from, to := text(cell, was), text(cell, value)
		switch finding {
		case hold.Landed:
			v.rep.Changes = append(v.rep.Changes, Change{Field: v.field(cell), From: from, To: to})
		case hold.Loosened:
			v.note("%s was lowered from %s to %s by somebody else%s: left as they chose", v.field(cell), from, to, during)
		case hold.Tightened:
			v.note("%s was raised from %s to %s by somebody else%s: kept, also when the holds end", v.field(cell), from, to, during)
		case hold.Foreign:
			v.note("%s was set to %s by somebody else%s, a value of which no order is known to what was in force: left as they chose", v.field(cell), to, during)
		}
		v.m.doubtUnconfirmed(c, v.state.At)
	}
}

func (v *visit) note(format string, args ...any) {
	v.rep.Notes = append(v.rep.Notes, fmt.Sprintf(format, args...))
}

// field names a cell of the subject, for people.
func (v *visit) field(cell string) string {
	if v.subject == "" {
		return cell
	}
	return cell + " of " + v.subject
}

// text shows a cell's value to people.
func text(cell string, v hold.Value) string {
	if strings.HasSuffix(cell, "]") {
		switch v {
		case hold.True:
			return "present"
		case hold.False:
			return "absent"
		}
	}
	return v.String()
}

// desired is what a cell should be.
func (v *visit) desired(cell string) hold.Value {
	var limit hold.Value
	var limits []Limit
	if v.f.Limits != nil {
		limits = v.f.Limits()
	}
	for _, l := range limits {
		bound, has := v.f.Levels.Cells[l.Level][cell]
		if has && v.now.Before(l.Until) && (limit == "" || v.f.order(cell).Stricter(limit, bound)) {
			limit = bound
		}
	}
	want, _ := v.m.cell(v.subject, cell).Desired(v.f.order(cell), v.claims[cell], limit, v.state.At)
	return want
}

// changes are the cells whose value is not what it should be, but for those that a
// person is asked about first. A field that the tenant no longer has is left out,
// and stays remembered for when it is back.
func (v *visit) changes() map[string]hold.Value {
	out := map[string]hold.Value{}
	v.waiting = map[string]bool{}
	asks := map[*hold.Hold]string{}
	for _, cell := range v.f.cells(v.m, v.subject) {
		value, present := v.observed[cell]
		c := v.m.cell(v.subject, cell)
		if !present || c == nil {
			continue
		}
		want := v.desired(cell)
		if want == value {
			continue
		}
		if why := v.question(cell, c, value, want, asks); why != "" {
			v.waiting[cell] = true
			continue
		}
		out[cell] = want
	}
	for _, h := range v.holds {
		h.Asks = asks[h]
	}
	return out
}
