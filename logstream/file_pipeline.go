package logstream

import (
	"bytes"
	"context"
)

// chunkSize is how much the reader hands to a worker at once: enough to make
// the handing over cheap, little enough to stay in the processor's cache.
const chunkSize = 256 << 10

// A chunk is a run of whole values of one file on its way through the
// pipeline: read, decoded on any worker, delivered in the order read.
type chunk struct {
	file     *fileState
	buf      []byte
	line     int     // 1-based line of buf's first byte
	offset   int64   // buf's place in the file, after decompression
	document bool    // not one value a line
	open     int     // 1 when buf starts inside an array
	logs     bool    // that array ends what is read of the file
	tail     bool    // buf may end in the middle of a value, as the stream broke off there
	end      error   // says why the array is unfinished at the end of the file; nil otherwise
	last     bool    // of its file
	done     int64   // bytes of all files read so far
	fault    *Reject // something wrong with the file itself, after buf
	err      error   // reading stops here

	decoded chan struct{} // closed by the worker
	events  []Event
	watch   bool  // for odd values
	letters int64 // lines of a dead letter file, which are no events
	notices []notice
	arena   []field
}

// A notice is something to tell of a chunk.
type notice struct {
	Reject
	before int  // how many of the chunk's events come before it
	odd    bool // it is of the last of these, which is delivered all the same
}

// fileState is what the deliverer knows of one file.
type fileState struct {
	name    string
	events  int64
	letters int64    // lines of a dead letter file
	held    []Reject // those before the first event, see delivery.reject
	muted   int64    // rejects before the first event that are not reported one by one
	binary  bool     // a held reject is no text
}

// A pipeline moves chunks between its stages. The channels hold as many as
// keep all workers busy, which also bounds the memory.
type pipeline struct {
	opts    FileOptions
	ordered chan *chunk // every chunk, as read
	jobs    chan *chunk // the same, for whichever worker is free
	free    chan *chunk // used ones
}

func newPipeline(opts FileOptions) *pipeline {
	n := opts.Workers + 1
	return &pipeline{
		opts:    opts,
		ordered: make(chan *chunk, n),
		jobs:    make(chan *chunk, n),
		free:    make(chan *chunk, n+2),
	}
}

// blank returns an empty chunk, a used one if there is one.
func (p *pipeline) blank() *chunk {
	select {
	case c := <-p.free:
		*c = chunk{buf: c.buf[:0], events: c.events[:0], notices: c.notices[:0], arena: c.arena[:0]}
		return c
	default:
		return &chunk{}
	}
}

// maxIdle is the largest buffer worth keeping: one huge value should not hold
// its memory until the end.
const maxIdle = 4 * chunkSize

func (p *pipeline) recycle(c *chunk) {
	if cap(c.buf) > maxIdle {
		c.buf = nil
	}
	select {
	case p.free <- c:
	default:
	}
}

// submit passes a chunk on; it reports false when the run is over.
func (p *pipeline) submit(ctx context.Context, c *chunk) bool {
	c.decoded = make(chan struct{})
	select {
	case p.ordered <- c:
	case <-ctx.Done():
		return false
	}
	select {
	case p.jobs <- c:
	case <-ctx.Done():
		return false
	}
	return true
}

// decode is one worker.
func (p *pipeline) decode(ctx context.Context) {
	d := &decoder{keep: true}
	for {
		select {
		case <-ctx.Done():
			return
		case c, ok := <-p.jobs:
			if !ok {
				return
			}
			c.watch = p.opts.Odd != nil
			d.chunk(c, p.opts.MaxLine)
			close(c.decoded)
		}
	}
}

// chunk decodes all of c.
func (d *decoder) chunk(c *chunk, maxLine int) {
	d.arena = c.arena
	if c.document {
		d.document(c)
	} else {
		d.lines(c, maxLine)
	}
	c.arena = d.arena
	d.arena = nil
}

func (d *decoder) lines(c *chunk, maxLine int) {
	b, line := c.buf, c.line
	for start := 0; start < len(b); line++ {
		end := len(b)
		if n := bytes.IndexByte(b[start:], '\n'); n >= 0 {
			end = start + n
		}
		d.line(c, start, end, line, maxLine)
		start = end + 1
	}
}

// line decodes what stands on one line: nearly always one event.
func (d *decoder) line(c *chunk, start, end, line, maxLine int) {
	b := c.buf[start:end]
	if n := len(b); n > 0 && b[n-1] == '\r' {
		b = b[:n-1]
	}
	if len(b) > maxLine {
		c.reject(start, end, line, tooLong(maxLine))
		return
	}
	if len(b) > 0 && b[0] == '{' {
		if e, n, err := d.event(b); err == nil && n == len(b) {
			c.events = append(c.events, e)
			if why := c.examine(); why != nil {
				c.odd(line, why)
			}
			return
		}
	}
	open := d.sequence(b, 0, &sink{
		event: func(e Event) bool {
			c.events = append(c.events, e)
			if why := c.examine(); why != nil {
				c.odd(line, why)
			}
			return true
		},
		fault: func(from, to int, err error) bool {
			if !c.tail || end < len(c.buf) {
				c.reject(start+from, start+to, line, err)
			}
			return true
		},
	})
	if open == 1 && (!c.tail || end < len(c.buf)) {
		c.reject(end, end, line, errOpenArray)
	}
}

// document decodes a run of values that spread over lines.
func (d *decoder) document(c *chunk) {
	line, counted := c.line, 0
	at := func(i int) int {
		line += bytes.Count(c.buf[counted:i], newline)
		counted = i
		return line
	}
	open := d.sequence(c.buf, c.open, &sink{
		stopAtClose: c.logs,
		event: func(e Event) bool {
			c.events = append(c.events, e)
			if why := c.examine(); why != nil {
				c.odd(at(c.place(&e)), why)
			}
			return true
		},
		fault: func(from, to int, err error) bool {
			if !c.tail || to < len(c.buf) {
				c.reject(from, to, at(from), err)
			}
			return true
		},
	})
	if c.end != nil && open == 1 {
		c.reject(len(c.buf), len(c.buf), at(len(c.buf)), c.end)
	}
}

// examine tells what is odd about the event just added. A line of a dead letter
// file is taken out again.
func (c *chunk) examine() error {
	e := &c.events[len(c.events)-1]
	if e.Type == "" && e.isLetter() {
		c.events = c.events[:len(c.events)-1]
		c.letters++
		return nil
	}
	if !c.watch {
		return nil
	}
	return e.oddity()
}

// place returns where in buf an event's payload starts. What it was decoded
// from is a slice of buf that reaches to the same end of memory.
func (c *chunk) place(e *Event) int { return cap(c.buf) - cap(e.src) + int(e.start) }

// odd notes what is odd about the event just added, which is on that line.
func (c *chunk) odd(line int, reason error) {
	e := &c.events[len(c.events)-1]
	c.notices = append(c.notices, notice{odd: true, before: len(c.events), Reject: Reject{
		Source: c.file.name, Line: line, Offset: c.offset + int64(c.place(e)), Reason: reason,
		Raw: firstBytes(e.Raw()), Size: int64(len(e.Raw())),
	}})
}

func (c *chunk) reject(start, end, line int, reason error) {
	c.notices = append(c.notices, notice{before: len(c.events), Reject: Reject{
		Source: c.file.name, Line: line, Offset: c.offset + int64(start), Reason: reason,
		Raw: firstBytes(c.buf[start:end]), Size: int64(end - start),
	}})
}
