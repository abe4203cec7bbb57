package detections

// How each accumulator is written to a snapshot and read back.

func (c *counter) encode(e *encoder) { e.int(int64(c.n)) }
func (c *counter) decode(d *decoder) { c.n = int(d.int()) }

func (x *distinct) encode(e *encoder) {
	e.len(len(x.seen))
	for _, k := range sortedScalars(x.seen) {
		e.value(k)
		e.int(int64(x.seen[k]))
	}
	var sketch []byte
	if x.approximate() {
		s := newSketch()
		x.fill(s)
		sketch, _ = s.MarshalBinary() // it never fails
	}
	e.string(string(sketch))
}

func (x *distinct) decode(d *decoder) {
	for range d.len() {
		k := d.scalar()
		n := int(d.int())
		if d.err != nil {
			return
		}
		x.seen[k] = n
	}
	if b := d.string(); b != "" {
		x.sketch = newSketch()
		if err := x.sketch.UnmarshalBinary([]byte(b)); err != nil {
			d.fail()
			return
		}
		x.seen = map[any]int{} // they are in the sketch
	}
}

func (l *valueList) encode(e *encoder) {
	e.len(len(l.list))
	for _, v := range l.list {
		e.value(v)
	}
}

func (l *valueList) decode(d *decoder) {
	for range d.len() {
		v := d.scalar()
		if d.err != nil {
			return
		}
		l.seen[v] = true
		l.list = append(l.list, v)
	}
}

func (x *extreme) encode(e *encoder) {
	e.bool(x.set)
	e.float(x.best)
}
func (x *extreme) decode(d *decoder) { x.set, x.best = d.bool(), d.float() }

func (m *mean) encode(e *encoder) {
	e.float(m.sum)
	e.int(int64(m.n))
}
func (m *mean) decode(d *decoder) { m.sum, m.n = d.float(), int(d.int()) }

func (x *edge) encode(e *encoder) { e.value(x.v) }
func (x *edge) decode(d *decoder) { x.v = d.value() }
