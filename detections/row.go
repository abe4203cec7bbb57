package detections

import (
	"errors"

	"github.com/expr-lang/expr/vm"

	"portcullis/logstream"
)

// nameTable numbers the names that rules use: event fields, each of which is
// looked for at most once an event however many rules name it, and names that
// somebody gives a value to, such as the aggregates of a window.
type nameTable struct {
	slots map[string]int
	paths []logstream.Path // of event fields; the zero Path of other names
	memos map[string]int   // conditions whose result is remembered for an event, by what they ask
}

func newNameTable() *nameTable {
	return &nameTable{slots: map[string]int{}, memos: map[string]int{}}
}

// field returns the number of an event field, which it gives when it is new.
func (t *nameTable) field(p logstream.Path) int { return t.slot(p.String(), p) }

// other returns the number of a name that is no event field.
func (t *nameTable) other(name string) int { return t.slot(name, logstream.Path{}) }

func (t *nameTable) slot(name string, p logstream.Path) int {
	n, ok := t.slots[name]
	if !ok {
		n = len(t.paths)
		t.slots[name] = n
		t.paths = append(t.paths, p)
	}
	return n
}

// memo returns the number under which the result of a condition is remembered.
func (t *nameTable) memo(condition string) int {
	n, ok := t.memos[condition]
	if !ok {
		n = len(t.memos)
		t.memos[condition] = n
	}
	return n
}

// row is what a program reads: the fields of one event, which are found when
// they are asked for, and values that were set by name. A row belongs to one
// goroutine, and to the programs compiled with its table.
type row struct {
	table   *nameTable
	event   *logstream.Event
	cells   []cell
	found   []int // cells that hold something
	memos   []int8
	decided []int // memos that hold something

	element datum   // what # stands for within a predicate
	args    []datum // of the helpers being called
	steps   int     // elements visited by the present run
	err     error   // the first of the present run
	machine vm.VM
	env     map[string]any // for what the machine runs
}

type cell struct {
	found bool
	datum
}

// newRow makes a row for the programs that were compiled with the table.
func newRow(t *nameTable) *row {
	return &row{table: t, cells: make([]cell, len(t.paths)), memos: make([]int8, len(t.memos)), env: map[string]any{}}
}

// take makes ev the event whose fields the row has; nil lets go of it. What was
// found or set before is forgotten.
func (r *row) take(ev *logstream.Event) {
	for _, slot := range r.found {
		r.cells[slot] = cell{}
	}
	for _, m := range r.decided {
		r.memos[m] = 0
	}
	r.found, r.decided = r.found[:0], r.decided[:0]
	r.event = ev
}

// clear forgets all values.
func (r *row) clear() { r.take(nil) }

// set gives a name a value. One that no program of the table uses is passed over.
func (r *row) set(name string, v any) {
	if slot, ok := r.table.slots[name]; ok {
		r.setAt(slot, datumOf(v))
	}
}

// get is the value of a name; missing when no program of the table uses it.
func (r *row) get(name string) datum {
	if slot, ok := r.table.slots[name]; ok {
		return *r.at(slot)
	}
	return datum{}
}

func (r *row) setAt(slot int, d datum) {
	c := &r.cells[slot]
	if !c.found {
		r.found = append(r.found, slot)
	}
	c.found, c.datum = true, d
}

// at finds the value of a name.
func (r *row) at(slot int) *datum {
	c := &r.cells[slot]
	if !c.found {
		c.found = true
		if r.event != nil {
			c.datum = inEvent(r.event, r.table.paths[slot])
		}
		r.found = append(r.found, slot)
	}
	return &c.datum
}

// text returns the text of a name in a form that outlives the event; "" when it has none.
func (r *row) text(slot int) string {
	d := r.at(slot)
	if d.kind != textValue {
		return ""
	}
	d.keep()
	return d.text
}

func (r *row) fail(err error) datum {
	if r.err == nil {
		r.err = err
	}
	return datum{}
}

// maxVisits bounds how many elements of arrays one run of a program visits.
const maxVisits = 1_000_000

var errSteps = errors.New("visits more than a million elements")

// spend counts n elements, and is false when the run had too many.
func (r *row) spend(n int) bool {
	if r.steps += n + 1; r.steps > maxVisits {
		r.fail(errSteps)
	}
	return r.err == nil
}

// leaf is a part of an expression that expr's machine runs.
type leaf struct {
	code  *vm.Program
	names []leafName
}

type leafName struct {
	name string
	slot int
}

// rowName is a name in the machine's environment that no expression can spell.
const rowName = "row:"

func (l *leaf) run(r *row) datum {
	for _, n := range l.names {
		r.env[n.name] = r.at(n.slot).keep()
	}
	r.env[rowName] = r
	v, err := r.machine.Run(l.code, r.env)
	if err != nil {
		return r.fail(err)
	}
	return datumOf(v)
}
