package logstream

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/klauspost/compress/gzip"
)

// read is the first stage: it cuts the files into chunks.
func (p *pipeline) read(ctx context.Context, paths []string) {
	defer close(p.ordered)
	defer close(p.jobs)
	var done int64
	for _, path := range paths {
		if !p.readFile(ctx, path, &done) {
			return
		}
	}
}

// A reader cuts one file.
type reader struct {
	p     *pipeline
	file  *fileState
	disk  *countingReader
	src   io.Reader // disk, decompressed
	live  bool      // someone may be writing: pass on what is there rather than wait for more
	cut   cutter
	logs  bool
	doc   bool
	line  int
	place int64 // bytes of src before the current chunk
	eof   error // why src gave no more: io.EOF, or what is wrong with it
}

// readFile reports whether to go on with the next file.
func (p *pipeline) readFile(ctx context.Context, path string, done *int64) bool {
	in := p.opts.Stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			p.submit(ctx, &chunk{file: &fileState{}, err: fmt.Errorf("read events: %w", err)})
			return false
		}
		defer f.Close()
		in = f
	}
	disk := &countingReader{r: in, n: done}
	r := &reader{p: p, file: &fileState{name: sourceName(path)}, disk: disk, live: path == "-", line: 1}
	buffered := bufio.NewReaderSize(disk, 64<<10)
	magic, _ := buffered.Peek(6)
	r.src = buffered
	switch kind := archive(magic); kind {
	case "":
	case "gzip":
		z, err := gzip.NewReader(buffered)
		if err != nil {
			if r.eof = err; err == io.EOF {
				r.eof = io.ErrUnexpectedEOF
			}
			return r.end(ctx, p.blank())
		}
		defer z.Close()
		r.src = z
	default:
		return r.refuse(ctx, p.blank(), fmt.Errorf("looks binary: %s", kind))
	}
	return r.run(ctx)
}

// archive names what the first bytes of a file say it is; "" when they do not.
func archive(magic []byte) string {
	for _, m := range [...]struct{ magic, kind string }{
		{"\x1f\x8b", "gzip"},
		{"PK\x03\x04", "a zip archive; unpack it first"},
		{"\x28\xb5\x2f\xfd", "compressed by zstd; decompress it first"},
		{"BZh", "compressed by bzip2; decompress it first"},
		{"\xfd7zXZ\x00", "compressed by xz; decompress it first"},
		{"PAR1", "a Parquet file; export it as JSON lines"},
		{"\xff\xfe", "UTF-16 text; convert it to UTF-8"},
		{"\xfe\xff", "UTF-16 text; convert it to UTF-8"},
	} {
		if bytes.HasPrefix(magic, []byte(m.magic)) {
			return m.kind
		}
	}
	return ""
}

// run cuts and submits chunks until the file ends.
func (r *reader) run(ctx context.Context) bool {
	c := r.p.blank()
	r.first(c)
	if fault := r.detect(c); fault != nil {
		return r.refuse(ctx, c, fault)
	}
	r.open(c)
	scanned := 0
	for {
		if r.cut.closed() {
			c.buf, scanned = c.buf[:0], 0 // what follows the list is of no interest
		}
		cut := r.cut.last(c.buf, scanned)
		scanned = len(c.buf)
		if r.eof != nil {
			return r.end(ctx, c)
		}
		switch {
		case cut > 0:
			next := r.p.blank()
			next.buf = append(next.buf, c.buf[cut:]...)
			c.buf = c.buf[:cut]
			r.pass(c.buf)
			if !r.submit(ctx, c) {
				return false
			}
			c = next
			r.open(c)
			scanned = len(c.buf)
		case len(c.buf) > r.p.opts.MaxLine:
			if !r.oversize(ctx, c) {
				return false
			}
			scanned = 0
			continue
		}
		r.fill(c)
	}
}

// open marks where c starts.
func (r *reader) open(c *chunk) {
	c.file, c.line, c.offset = r.file, r.line, r.place
	c.document, c.logs, c.open = r.doc, r.logs, r.cut.array()
}

// pass moves the reader's place over b.
func (r *reader) pass(b []byte) {
	r.line += bytes.Count(b, newline)
	r.place += int64(len(b))
}

func (r *reader) submit(ctx context.Context, c *chunk) bool {
	c.done = *r.disk.n
	return r.p.submit(ctx, c)
}

// fill reads more into c, all that fits unless the source is live.
func (r *reader) fill(c *chunk) {
	if cap(c.buf)-len(c.buf) < chunkSize/4 {
		c.buf = slices.Grow(c.buf, max(chunkSize, len(c.buf)))
	}
	for len(c.buf) < cap(c.buf) && r.eof == nil {
		n, err := r.src.Read(c.buf[len(c.buf):cap(c.buf)])
		c.buf = c.buf[:len(c.buf)+n]
		r.eof = err
		if n > 0 && r.live {
			return
		}
	}
}

// first reads the start of the file: all that fits, or from a live source at
// least one line that is whole by itself.
func (r *reader) first(c *chunk) {
	for {
		r.fill(c)
		if !r.live || r.eof != nil || len(c.buf) >= chunkSize {
			return
		}
		start := skipSpace(c.buf, 0)
		if n := bytes.IndexByte(c.buf[start:], '\n'); n >= 0 && wellFormed(c.buf[start:start+n]) {
			return
		}
	}
}

// detect chooses how to cut the file by its first bytes, and says why it is
// not worth reading when it is not.
func (r *reader) detect(c *chunk) error {
	r.cut = lineCutter{}
	if bytes.HasPrefix(c.buf, utf8BOM) {
		c.buf = append(c.buf[:0], c.buf[len(utf8BOM):]...)
		r.place = int64(len(utf8BOM))
	}
	if r.eof == io.EOF && skipSpace(c.buf, 0) == len(c.buf) {
		return errEmpty
	}
	if bytes.IndexByte(c.buf[:min(len(c.buf), 8<<10)], 0) >= 0 && !anyObject(c.buf) {
		return errBinary
	}
	cut, skip := cutterFor(c.buf, r.eof != nil)
	r.cut = cut
	if d, ok := cut.(*documentCutter); ok {
		r.doc, r.logs = true, d.logs
	}
	r.pass(c.buf[:skip])
	c.buf = append(c.buf[:0], c.buf[skip:]...)
	return nil
}

// anyObject reports whether a line of b is a JSON object.
func anyObject(b []byte) bool {
	for line := range bytes.SplitSeq(b, newline) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] == '{' && wellFormed(line) {
			return true
		}
	}
	return false
}

// refuse ends the file with nothing but a reason.
func (r *reader) refuse(ctx context.Context, c *chunk, reason error) bool {
	c.file, c.last = r.file, true
	c.fault = &Reject{Source: r.file.name, Reason: reason, Raw: firstBytes(c.buf), Size: int64(len(c.buf))}
	c.buf = c.buf[:0]
	return r.submit(ctx, c)
}

// end submits the rest of the file.
func (r *reader) end(ctx context.Context, c *chunk) bool {
	c.file, c.last = r.file, true
	switch what := streamFault(r.eof); {
	case r.disk.err != nil:
		c.err = fmt.Errorf("read events of %s: %w", r.file.name, r.disk.err)
	case r.eof == io.EOF:
		c.end = errOpenArray
	default:
		c.tail = true
		c.fault = &Reject{
			Source: r.file.name, Offset: r.place + int64(len(c.buf)),
			Reason: &streamError{what: what, err: r.eof},
		}
	}
	return r.submit(ctx, c) && c.err == nil
}

// streamFault says in words why decompression failed.
func streamFault(err error) string {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "gzip stream ends early"
	case errors.Is(err, gzip.ErrChecksum):
		return "gzip stream is damaged, its checksum does not match,"
	case errors.Is(err, gzip.ErrHeader):
		return "gzip stream is followed by something that is not gzip"
	}
	return "gzip stream is damaged"
}

// oversize passes over the value that fills c.buf and goes on, holding no more
// of it than c does. It leaves what follows the value in c.
func (r *reader) oversize(ctx context.Context, c *chunk) bool {
	rej := &Reject{
		Source: r.file.name, Line: r.line, Offset: r.place,
		Reason: tooLong(r.p.opts.MaxLine), Raw: firstBytes(c.buf),
	}
	from, cut := r.place, -1
	for cut < 0 && r.eof == nil {
		r.pass(c.buf)
		c.buf = c.buf[:0]
		r.fill(c)
		cut = r.cut.next(c.buf, 0)
	}
	if cut < 0 {
		cut = len(c.buf)
	}
	r.pass(c.buf[:cut])
	rej.Size = r.place - from
	if cut > 0 && c.buf[cut-1] == '\n' {
		rej.Size--
	}
	c.buf = append(c.buf[:0], c.buf[cut:]...)

	bad := r.p.blank()
	bad.file, bad.fault = r.file, rej
	r.open(c)
	return r.submit(ctx, bad)
}

// A countingReader counts what is read and keeps the error that is not the end.
type countingReader struct {
	r   io.Reader
	n   *int64
	err error
}

func (c *countingReader) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	*c.n += int64(n)
	if err != nil && err != io.EOF {
		c.err = err
	}
	return n, err
}
