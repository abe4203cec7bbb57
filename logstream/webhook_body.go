package logstream

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// A tooLargeError is a body beyond MaxBody or MaxDecoded.
type tooLargeError struct{ what string }

func (e *tooLargeError) Error() string { return e.what }

// An unreadableError is a body that arrived whole and cannot be decompressed.
type unreadableError struct {
	code int // of the answer
	what string
	head []byte // the first 4 KiB as sent, if read
	size int64  // bytes as sent
}

func (e *unreadableError) Error() string { return e.what }

// A wire counts what arrives and remembers why it ended, so that a connection
// that broke is not taken for damaged compression.
type wire struct {
	r   io.Reader
	n   int64
	err error
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	w.n += int64(n)
	if err != nil {
		w.err = err
	}
	return n, err
}

// broke returns the error that ended the reading early, or nil.
func (w *wire) broke(limit int64) error {
	var large *http.MaxBytesError
	switch {
	case errors.As(w.err, &large):
		return &tooLargeError{fmt.Sprintf("the body is larger than %d bytes", limit)}
	case w.err != nil && w.err != io.EOF:
		return w.err
	}
	return nil
}

var gzips sync.Pool // of *gzip.Reader

var gzipMagic = []byte{0x1f, 0x8b}

// read reads a request's body into buf, decompressed.
func (w *Webhook) read(rw http.ResponseWriter, r *http.Request, buf *bytes.Buffer) error {
	switch e := strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding"))); e {
	case "", "identity", "gzip", "x-gzip":
	default:
		return &unreadableError{code: http.StatusUnsupportedMediaType, what: fmt.Sprintf("Content-Encoding %q is not supported, send gzip or none", oneLine(e))}
	}
	in := &wire{r: http.MaxBytesReader(rw, r.Body, w.opts.MaxBody)}
	br := bufio.NewReaderSize(in, rawKept)
	// The bytes decide, not the header: proxies decompress and leave it, or
	// compress and forget it. No JSON starts like gzip.
	if magic, _ := br.Peek(len(gzipMagic)); !bytes.Equal(magic, gzipMagic) {
		if n := min(r.ContentLength, w.opts.MaxBody); n > 0 && n <= 1<<20 {
			buf.Grow(int(n) + bytes.MinRead) // and no more on a promise
		}
		_, _ = buf.ReadFrom(br)
		return in.broke(w.opts.MaxBody)
	}
	head, _ := br.Peek(rawKept)
	head = bytes.Clone(head)
	err := inflate(buf, br, w.opts.MaxDecoded)
	if broke := in.broke(w.opts.MaxBody); broke != nil {
		return broke
	}
	if err != nil {
		return &unreadableError{code: http.StatusBadRequest, what: "gzip: " + oneLine(err.Error()), head: head, size: in.n}
	}
	if int64(buf.Len()) > w.opts.MaxDecoded {
		return &tooLargeError{fmt.Sprintf("the body decompresses to more than %d bytes", w.opts.MaxDecoded)}
	}
	return nil
}

// inflate decompresses r into buf, up to one byte more than limit.
func inflate(buf *bytes.Buffer, r io.Reader, limit int64) error {
	z, _ := gzips.Get().(*gzip.Reader)
	if z == nil {
		z = new(gzip.Reader)
	}
	defer gzips.Put(z)
	if err := z.Reset(r); err != nil {
		return err
	}
	_, err := buf.ReadFrom(io.LimitReader(z, limit+1))
	return err
}
