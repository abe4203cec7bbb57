package logstream

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
	"unicode/utf8"
)

// maxDeadLetter bounds a dead letter file, in bytes.
const maxDeadLetter = 64 << 20

// ErrDeadLetterFull is returned by the first [DeadLetter.Write] that no longer
// fits; later ones are counted and return nil.
var ErrDeadLetterFull = errors.New("dead letter file is full; from here on rejects are counted only")

// DeadLetter is a file of what could not be decoded: JSON lines with the keys
// at, source, line, offset, reason, size, and raw or, when that is not UTF-8,
// raw_base64. It is readable by its owner alone and grows to 64 MiB, then
// rejects are only counted. Its methods may be called concurrently.
type DeadLetter struct {
	mu    sync.Mutex // guards what follows
	file  *os.File
	size  int64
	max   int64
	full  bool
	count int64
	lost  int64 // of these not written
}

// OpenDeadLetter opens the file at path, or creates it, to append.
func OpenDeadLetter(path string) (*DeadLetter, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open dead letter: %w", err)
	}
	d := &DeadLetter{file: f, max: maxDeadLetter}
	if err := d.resume(); err != nil {
		f.Close()
		return nil, fmt.Errorf("open dead letter %s: %w", path, err)
	}
	return d, nil
}

// resume finds the size and ends a line that a crash cut off.
func (d *DeadLetter) resume() error {
	info, err := d.file.Stat()
	if err != nil {
		return err
	}
	if d.size = info.Size(); d.size == 0 {
		return nil
	}
	last := make([]byte, 1)
	if _, err := d.file.ReadAt(last, d.size-1); err != nil {
		return err
	}
	if last[0] != '\n' {
		return d.append([]byte{'\n'})
	}
	return nil
}

// A letter is one line of the file.
type letter struct {
	At     time.Time `json:"at"`
	Source string    `json:"source"`
	Line   int       `json:"line"`
	Offset int64     `json:"offset"`
	Reason string    `json:"reason"`
	Size   int64     `json:"size"`
	Raw    *string   `json:"raw,omitempty"`
	Base64 []byte    `json:"raw_base64,omitempty"`
}

// Write appends r and counts it.
func (d *DeadLetter) Write(r Reject) error {
	l := letter{At: time.Now().UTC(), Source: r.Source, Line: r.Line, Offset: r.Offset, Size: r.Size}
	if r.Reason != nil {
		l.Reason = r.Reason.Error()
	}
	if utf8.Valid(r.Raw) {
		raw := string(r.Raw)
		l.Raw = &raw
	} else {
		l.Base64 = r.Raw
	}
	line, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("write dead letter: %w", err)
	}
	line = append(line, '\n')

	d.mu.Lock()
	defer d.mu.Unlock()
	d.count++
	if d.full {
		d.lost++
		return nil
	}
	if d.size+int64(len(line)) > d.max {
		d.full = true
		d.lost++
		return ErrDeadLetterFull
	}
	if err := d.append(line); err != nil {
		d.lost++
		return fmt.Errorf("write dead letter: %w", err)
	}
	return nil
}

func (d *DeadLetter) append(b []byte) error {
	n, err := d.file.Write(b)
	d.size += int64(n)
	return err
}

// Count returns how many rejects were written or counted since the file was opened.
func (d *DeadLetter) Count() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.count
}

// Lost returns how many of these are not in the file, as it was full or could not be written.
func (d *DeadLetter) Lost() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lost
}

// Close syncs and closes the file.
func (d *DeadLetter) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := errors.Join(d.file.Sync(), d.file.Close()); err != nil {
		return fmt.Errorf("close dead letter: %w", err)
	}
	return nil
}
