package detections

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"
)

// Most groups never come near what their rule asks for: an address that fails
// once, a user who mistypes a password. They are kept packed, in a fraction of
// the memory, until they have as many events as could possibly satisfy the rule.

const (
	// maxCold is how many entries a group may have and still be packed.
	maxCold = 32
	// maxPacked bounds one packed entry; a larger one is kept as it is.
	maxPacked = 4096
	// maxWords bounds the texts that a rule writes as a number: client ids and
	// fingerprints, of which there are few.
	maxWords = 1024
)

// words numbers texts that occur often.
type words struct {
	list   []string
	number map[string]int
	latest [2]int // places in list that were asked for last, plus one: most events have the same
}

func (w *words) of(s string) (int, bool) {
	for _, at := range w.latest {
		if at > 0 && w.list[at-1] == s {
			return at - 1, true
		}
	}
	n, ok := w.find(s)
	if ok {
		w.latest[1], w.latest[0] = w.latest[0], n+1
	}
	return n, ok
}

func (w *words) find(s string) (int, bool) {
	n, ok := w.number[s]
	if !ok && len(w.list) < maxWords {
		if w.number == nil {
			w.number = map[string]int{}
		}
		n, ok = len(w.list), true
		w.number[s] = n
		w.list = append(w.list, s)
	}
	return n, ok
}

// packer writes entries of one rule's groups.
type packer struct {
	r      *ruleState
	key    string
	enc    encoder
	id     string // the last that was packed, since several rules keep the same event
	packed []byte
}

// pack writes an entry that is no fold; false when it cannot be packed.
func (p *packer) pack(e *entry) bool {
	if e.t < 0 || e.t >= 1<<48 || e.behind != 0 {
		return false
	}
	p.enc.b = p.enc.b[:0]
	p.enc.b = append(p.enc.b, 0, 0) // the length, when it is known
	var stamp [8]byte
	binary.BigEndian.PutUint64(stamp[:], uint64(e.t))
	p.enc.b = append(p.enc.b, stamp[2:]...)
	p.enc.b = binary.BigEndian.AppendUint16(p.enc.b, e.mask)
	p.putID(e.id)
	for i, s := range e.entity {
		p.text(s, i == entityClient || i == entityJA4)
	}
	for _, v := range e.vals {
		p.value(v, e)
	}
	if len(p.enc.b) > maxPacked {
		return false
	}
	binary.BigEndian.PutUint16(p.enc.b, uint16(len(p.enc.b)-2))
	return true
}

// How texts are written: 0 is empty, 1 the key of the group, then odd numbers
// are words and even ones the length of what follows.
const (
	textEmpty = iota
	textKey
	textRaw
	textWord
)

func (p *packer) text(s string, word bool) {
	switch {
	case s == "":
		p.enc.uint(textEmpty)
		return
	case s == p.key:
		p.enc.uint(textKey)
		return
	case word:
		if n, ok := p.r.words.of(s); ok {
			p.enc.uint(uint64(2*n + textWord))
			return
		}
	}
	p.enc.uint(uint64(2*len(s) + textRaw))
	p.enc.b = append(p.enc.b, s...)
}

// kindSame stands for a value that is one of the entry's entities.
const kindSame = 64

func (p *packer) value(v any, e *entry) {
	if s, ok := v.(string); ok && s != "" {
		if i := slices.Index(e.entity[:], s); i >= 0 {
			p.enc.b = append(p.enc.b, byte(kindSame+i))
			return
		}
	}
	p.enc.value(v)
}

// A log_id is some 56 digits: three numbers of 19 digits at most.
const idChunk = 19

func (p *packer) putID(id string) {
	if id == p.id && p.packed != nil {
		p.enc.b = append(p.enc.b, p.packed...)
		return
	}
	from := len(p.enc.b)
	p.writeID(id)
	p.id, p.packed = id, append(p.packed[:0], p.enc.b[from:]...)
}

func (p *packer) writeID(id string) {
	n := len(id)
	if n > 2*idChunk && n <= 3*idChunk {
		a, err1 := strconv.ParseUint(id[:idChunk], 10, 64)
		b, err2 := strconv.ParseUint(id[idChunk:2*idChunk], 10, 64)
		c, err3 := strconv.ParseUint(id[2*idChunk:], 10, 64)
		if err1 == nil && err2 == nil && err3 == nil {
			p.enc.b = append(p.enc.b, byte(n))
			for _, x := range []uint64{a, b, c} {
				p.enc.b = binary.BigEndian.AppendUint64(p.enc.b, x)
			}
			return
		}
	}
	p.enc.b = append(p.enc.b, 0)
	p.enc.string(id)
}

// unpacker reads what packer wrote.
type unpacker struct {
	r   *ruleState
	key string
	dec decoder
}

// next reads one entry of so many values.
func (u *unpacker) next(values int) entry {
	head := u.dec.take(2)
	if len(head) < 2 {
		return entry{}
	}
	stamp := u.dec.take(6)
	mask := u.dec.take(2)
	if len(stamp) < 6 || len(mask) < 2 {
		return entry{}
	}
	var full [8]byte
	copy(full[2:], stamp)
	e := entry{t: int64(binary.BigEndian.Uint64(full[:])), mask: binary.BigEndian.Uint16(mask)}
	e.id = u.id()
	for i := range e.entity {
		e.entity[i] = u.text()
	}
	if values > 0 {
		e.vals = make([]any, values)
		for i := range e.vals {
			e.vals[i] = u.value(&e)
		}
	}
	return e
}

func (u *unpacker) text() string {
	n := u.dec.uint()
	switch {
	case n == textEmpty:
		return ""
	case n == textKey:
		return u.key
	case n%2 == textWord%2:
		if i := int(n-textWord) / 2; i < len(u.r.words.list) {
			return u.r.words.list[i]
		}
		u.dec.fail()
		return ""
	case n > math.MaxInt32:
		u.dec.fail()
		return ""
	}
	return string(u.dec.take(int(n-textRaw) / 2))
}

func (u *unpacker) value(e *entry) any {
	if b := u.dec.b; len(b) > 0 && b[0] >= kindSame && int(b[0]-kindSame) < len(e.entity) {
		u.dec.b = b[1:]
		return e.entity[b[0]-kindSame]
	}
	return u.dec.value()
}

func (u *unpacker) id() string {
	n := u.dec.take(1)
	if len(n) == 0 {
		return ""
	}
	if n[0] == 0 {
		return u.dec.string()
	}
	b := u.dec.take(24)
	if len(b) < 24 || n[0] <= 2*idChunk || n[0] > 3*idChunk {
		u.dec.fail()
		return ""
	}
	out := make([]byte, 0, 3*idChunk)
	for i, width := range []int{idChunk, idChunk, int(n[0]) - 2*idChunk} {
		digits := strconv.FormatUint(binary.BigEndian.Uint64(b[8*i:]), 10)
		for range width - len(digits) {
			out = append(out, '0')
		}
		out = append(out, digits...)
	}
	return string(out)
}

// eachPacked visits the packed entries: the time, the marks and the bytes of each.
func eachPacked(cold string, visit func(t int64, mask uint16, whole string)) {
	for len(cold) >= 10 {
		n := 2 + int(cold[0])<<8 + int(cold[1])
		if n < 10 || n > len(cold) {
			return
		}
		t := int64(0)
		for _, b := range []byte(cold[2:8]) {
			t = t<<8 | int64(b)
		}
		visit(t, uint16(cold[8])<<8|uint16(cold[9]), cold[:n])
		cold = cold[n:]
	}
}

// coldLimit is how many entries a group needs before its rule could hold.
func (c *compiled) findColdLimit(v *evaluator) int {
	switch {
	case c.probed || c.remembers() || c.kind == Absence || len(c.baselines) > 0:
		return 0
	case c.kind == Sequence:
		return maxCold
	case c.having == nil || !c.rises:
		return 0
	}
	for n := 1; n <= maxCold; n++ {
		if c.boundHolds(v, func(int) int { return n }) {
			return n
		}
	}
	return maxCold + 1
}

// addCold puts an entry into a packed group, if it may stay packed.
func (e *Engine) addCold(r *ruleState, g *group, en *entry) bool {
	if int(g.n)+1 >= r.coldLimit || en.isLate() || en.fold != nil {
		return false // a fold has no values of its own
	}
	for i := range r.nHaving {
		if weight(en.vals[i]) > 1 {
			return false // the limit counts one for each event
		}
	}
	if r.kind == Sequence {
		all := en.mask
		eachPacked(g.cold, func(_ int64, mask uint16, _ string) { all |= mask })
		if popcount(all) == len(r.steps) {
			return false
		}
	}
	p := &e.packer
	p.r, p.key = r, g.key
	if !p.pack(en) {
		return false
	}
	g.cold += string(p.enc.b)
	g.n++
	return true
}

// heat unpacks a group.
func (e *Engine) heat(r *ruleState, g *group) {
	if g.hot != nil {
		return
	}
	g.hot = &hot{}
	if r.remembers() {
		if g.cold != "" {
			g.memory, g.cold = []byte(g.cold), ""
		}
		return
	}
	u := unpacker{r: r, key: g.key, dec: decoder{b: []byte(g.cold)}}
	for range g.n {
		en := u.next(len(r.aggs) + len(r.kept))
		if u.dec.err != nil {
			e.ruleFailed(r.compiled, u.dec.err)
			break
		}
		g.insert(en, r.nHaving)
	}
	g.cold, g.n = "", 0
}

// cool packs a group again, if there is little left of it.
func (e *Engine) cool(r *ruleState, g *group) {
	if g.hot == nil || g.watch != nil || g.beyond != nil || g.dropped > 0 {
		return
	}
	if r.remembers() {
		if len(g.entries) == 0 {
			g.cold, g.hot = string(g.memory), nil
		}
		return
	}
	if len(g.entries) > r.coldLimit/2 {
		return
	}
	cold := group{key: g.key, lost: g.lost, epoch: g.epoch}
	for i := range g.entries {
		if !e.addCold(r, &cold, &g.entries[i]) {
			return
		}
	}
	*g = cold
}

// evictCold drops the packed entries that no window can need any more.
func (e *Engine) evictCold(r *ruleState, g *group, cut int64) {
	kept, n := "", uint16(0)
	all := true
	eachPacked(g.cold, func(t int64, _ uint16, whole string) {
		if t <= cut {
			all = false
			return
		}
		kept += whole
		n++
	})
	if !all {
		e.touch(r, g)
		g.cold, g.n = kept, n
	}
}
