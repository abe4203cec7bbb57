package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"portcullis/logstream"
)

// maxTold bounds how many places of one kind are named one by one.
const maxTold = 20

// tell names the place of the count-th of a kind, and says once that there are
// more.
func tell(w io.Writer, count int, r logstream.Reject, more string) {
	switch {
	case count <= maxTold:
		fmt.Fprintln(w, r.String())
	case count == maxTold+1:
		fmt.Fprintln(w, more)
	}
}

// odd tells of events that count although a value in them is not what it
// should be.
type odd struct {
	std   stdio
	count int
}

func (o *odd) add(r logstream.Reject) {
	o.count++
	tell(o.std.err, o.count, r, "more events have odd values: they are only counted")
}

// rejects tells what could not be read, and keeps it.
type rejects struct {
	std    stdio
	path   string
	file   *logstream.DeadLetter
	count  int
	failed error
}

func (j *rejects) add(r logstream.Reject) {
	j.count++
	tell(j.std.err, j.count, r, "more places could not be read: they are in "+j.path)
	if j.file == nil && j.failed == nil {
		j.file, j.failed = logstream.OpenDeadLetter(filepath.Clean(j.path))
	}
	if j.file == nil {
		return
	}
	if err := j.file.Write(r); err != nil && j.failed == nil {
		j.failed = err
	}
}

func (j *rejects) close() error {
	if j.file != nil {
		j.failed = errors.Join(j.failed, j.file.Close())
	}
	return j.failed
}

// keepInputs refuses a dead-letter file that is one of the inputs, which
// appending to it would change.
func keepInputs(std stdio, letters string, files []string) error {
	kept, _ := os.Stat(letters) // it need not exist
	for _, file := range files {
		if file == "-" {
			in, ok := std.in.(*os.File)
			if !ok || kept == nil || !kept.Mode().IsRegular() {
				continue
			}
			if info, err := in.Stat(); err == nil && os.SameFile(kept, info) {
				return usage("--dead-letter %s is standard input: name another file to keep what cannot be read", letters)
			}
			continue
		}
		same := filepath.Clean(file) == filepath.Clean(letters)
		if info, err := os.Stat(file); err == nil && kept != nil {
			same = same || os.SameFile(kept, info)
		}
		if same {
			return usage("--dead-letter %s is one of the files to read: name another to keep what cannot be read", letters)
		}
	}
	return nil
}
