// Command gen writes a file of tenant log events to measure with: one stream
// envelope a line, about 1.2 KB each, the traffic of six hours with a few
// attacks in it. The same options give the same bytes.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run returns the exit code: 0 written, 1 it could not be written, 2 wrong usage.
func run(args []string, out, msgs io.Writer) int {
	var o Options
	flags := flag.NewFlagSet("gen", flag.ContinueOnError)
	flags.SetOutput(msgs)
	flags.IntVar(&o.Events, "events", 1_000_000, "how many events to write")
	flags.IntVar(&o.Users, "users", 200_000, "how many users they are of")
	flags.IntVar(&o.Addresses, "addresses", 300_000, "how many addresses they come from, attackers' not counted")
	flags.IntVar(&o.Attacks, "attacks", 6, "how many attacks are among them")
	flags.Uint64Var(&o.Seed, "seed", 1, "what the random choices start from")
	path := flags.String("o", "-", "the `file` to write; - is standard output")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(msgs, "gen: unexpected argument %q\nhint: name the file with -o\n", flags.Arg(0))
		return 2
	}
	g, err := New(o)
	if err != nil {
		fmt.Fprintf(msgs, "gen: %v\n", err)
		return 2
	}
	if err := write(g, *path, out); err != nil {
		fmt.Fprintf(msgs, "gen: %v\n", err)
		return 1
	}
	return 0
}

func write(g *Generator, path string, out io.Writer) (err error) {
	if path != "-" {
		f, err := os.Create(path)
		if err != nil {
			return fmt.Errorf("write events: %w", err)
		}
		defer func() {
			if cerr := f.Close(); err == nil && cerr != nil {
				err = fmt.Errorf("write events to %s: %w", path, cerr)
			}
		}()
		out = f
	}
	w := bufio.NewWriterSize(out, 1<<20)
	var line []byte
	for g.Next() {
		line = g.Append(line[:0])
		if _, err := w.Write(line); err != nil {
			return fmt.Errorf("write events to %s: %w", path, err)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write events to %s: %w", path, err)
	}
	return nil
}
