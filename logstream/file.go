package logstream

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"sync"
)

// FileOptions configures a [File]; the zero value of every field works.
type FileOptions struct {
	Stdin     io.Reader    // what the path "-" reads; os.Stdin if nil
	MaxLine   int          // longest line, and most that is held of an array's element, in bytes; 8 MiB if zero
	BatchSize int          // most events in one batch; 512 if zero
	Workers   int          // goroutines that decode; GOMAXPROCS if zero
	Reject    func(Reject) // told what could not be decoded, in file order; nil drops it
	// Odd is told of an event that is taken all the same although a value in it
	// is not what it should be, in file order and before the event is delivered:
	// Reason says which, Raw is the event without its envelope. Nil saves the
	// checks.
	Odd    func(Reject)
	Logger *slog.Logger // discards if nil
	// Progress is told after each batch how many bytes of the files on disk
	// are done, compressed ones counted as they lie there. total is 0 when
	// standard input is among the paths, as its size is not known.
	Progress func(done, total int64)
}

// File reads events from files, in the order of the paths and of their lines.
//
// The format is told from the content: JSON lines, one JSON array or
// {"logs":[…]} of any size, or pretty-printed objects, each event in any
// envelope, plain or compressed by gzip. What cannot be decoded becomes a
// [Reject] and the rest goes on; so do lines of a dead letter file (see
// [DeadLetter]), all of one file together. Events that come twice are delivered
// twice.
type File struct {
	paths []string
	opts  FileOptions
	log   *slog.Logger
}

// NewFile returns a source over paths, where "-" is standard input.
func NewFile(paths []string, opts FileOptions) *File {
	if opts.Stdin == nil {
		opts.Stdin = os.Stdin
	}
	if opts.MaxLine <= 0 {
		opts.MaxLine = 8 << 20
	}
	if opts.BatchSize <= 0 {
		opts.BatchSize = 512
	}
	if opts.Workers <= 0 {
		opts.Workers = runtime.GOMAXPROCS(0)
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &File{paths: paths, opts: opts, log: opts.Logger}
}

// Run delivers every event of every file and returns nil at the end of the
// last. It returns an error that names the file when one cannot be read, which
// is tested for all of them first; an error of deliver, wrapped; or ctx's error
// when that ends first. Deliver, Reject, Odd and Progress are called from Run's
// own goroutine. A read of standard input that blocks does not hold up Run's
// return.
func (f *File) Run(ctx context.Context, deliver Deliver) error {
	total, err := f.check()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)

	var workers sync.WaitGroup
	p := newPipeline(f.opts)
	for range f.opts.Workers {
		workers.Go(func() { p.decode(ctx) })
	}
	defer workers.Wait()
	defer cancel()
	go p.read(ctx, f.paths) // not waited for: a read of standard input may never return

	out := delivery{opts: f.opts, log: f.log, deliver: deliver, total: total}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case c, ok := <-p.ordered:
			if !ok {
				return ctx.Err()
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-c.decoded:
			}
			if err := out.chunk(ctx, c); err != nil {
				return err
			}
			p.recycle(c)
		}
	}
}

// check tests that every path can be read and returns the size of all, 0 when
// it cannot be known.
func (f *File) check() (total int64, err error) {
	unknown := false
	for _, path := range f.paths {
		if path == "-" {
			unknown = true
			continue
		}
		info, err := os.Stat(path)
		switch {
		case err != nil:
			return 0, fmt.Errorf("read events: %w", err)
		case info.IsDir():
			return 0, fmt.Errorf("read events: %s is a directory; name the files in it", path)
		case !info.Mode().IsRegular():
			unknown = true
		}
		total += info.Size()
	}
	if unknown {
		return 0, nil
	}
	return total, nil
}

// sourceName returns what to call a path in messages.
func sourceName(path string) string {
	if path == "-" {
		return "stdin"
	}
	return path
}
