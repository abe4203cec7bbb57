// Command portcullis guards Auth0 tenants: it reads their logs, recognises
// attacks, tightens the tenant while they last and relaxes it afterwards.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"portcullis/internal/diag"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], stdio{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(code) // the only exit
}

// stdio is what a command reads and prints to.
type stdio struct {
	in  io.Reader
	out io.Writer
	err io.Writer
}

// The exit codes that every command shares.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// exitError is an error with an exit code of its own. An empty message prints
// nothing: what there is to say was said.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// failed ends a command that has told already what is wrong.
func failed() error { return &exitError{code: exitFailed} }

// usage is wrong usage of a command.
func usage(format string, args ...any) error {
	return &exitError{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// hinted is an error with advice for people.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

func hint(err error, format string, args ...any) error {
	return hinted{err, fmt.Sprintf(format, args...)}
}

// run runs one command line and returns its exit code.
func run(ctx context.Context, args []string, std stdio) int {
	root := newRoot(std)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	code := exitFailed
	var coded *exitError
	if errors.As(err, &coded) {
		code = coded.code
	}
	explain(std.err, err)
	if code == exitUsage {
		fmt.Fprintln(std.err, "hint: portcullis --help shows the commands, portcullis COMMAND --help what one takes")
	}
	return code
}

// explain prints an error for people: lower case, no full stop, a hint below.
func explain(w io.Writer, err error) {
	var problems diag.Problems
	if errors.As(err, &problems) {
		fmt.Fprintln(w, problems.Error())
		fmt.Fprintf(w, "%s found\n", plural(len(problems), "problem"))
		return
	}
	text := err.Error()
	if text == "" {
		return
	}
	fmt.Fprintln(w, "portcullis: "+text)
	var h hinted
	if errors.As(err, &h) {
		fmt.Fprintln(w, "hint: "+h.hint)
	}
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	if strings.HasSuffix(word, "y") {
		return fmt.Sprintf("%d %sies", n, strings.TrimSuffix(word, "y"))
	}
	return fmt.Sprintf("%d %ss", n, word)
}
