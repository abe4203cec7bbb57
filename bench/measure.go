package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// measurement is one run of a command.
type measurement struct {
	seconds float64 // from start to end, as a person waits for it
	told    float64 // what replay says that reading and evaluating took, without loading rules
	cpu     float64 // seconds of processor, in the program and in the system
	peak    int64   // bytes of memory at the most; 0 where the system does not tell
}

// contender is a command that is timed against the others.
type contender struct {
	name   string
	args   []string
	cores  int    // GOMAXPROCS; 0 for a program that is not Go's
	events int    // what its messages must say it read; 0 when it says nothing
	output string // digest of what it printed, the same in every run
	alerts int
	rules  int // of a generated set; 0 for the catalog
	runs   []measurement
}

// contenders are the commands, in the order in which a round runs them.
func contenders(binary, file string, o options) ([]*contender, error) {
	if _, err := exec.LookPath("wc"); err != nil {
		return nil, fmt.Errorf("find the yardstick: %w", err)
	}
	replay := []string{binary, "replay", "--dead-letter", filepath.Join(o.dir, "dead-letter.jsonl"), file}
	one, alone := replay, pin()
	all := []*contender{
		{name: "wc -l", args: append(alone, "wc", "-l", file)},
		{name: "one core", args: append(alone, one...), cores: 1, events: o.events},
	}
	if runtime.NumCPU() > 1 {
		all = append(all, &contender{name: "two cores", args: replay, cores: 2, events: o.events})
	}
	for _, n := range ruleCounts {
		folder, err := writeRules(o.dir, n)
		if err != nil {
			return nil, err
		}
		args := append(slices.Clone(one[:len(one)-1]), "--rules", folder, file)
		all = append(all, &contender{name: fmt.Sprintf("%d rules", n), args: append(pin(), args...), cores: 1, events: o.events, rules: n})
	}
	return all, nil
}

// pin returns what to put before a command so that it has one core and no more:
// with GOMAXPROCS alone, a read of the file still overlaps with the rest. It is
// empty where the system has no taskset.
func pin() []string {
	if path, err := exec.LookPath("taskset"); err == nil {
		core := strconv.Itoa(runtime.NumCPU() - 1)
		return []string{path, "-c", core}[:3:3]
	}
	return nil
}

// line is the command as a person would type it.
func (c *contender) line() string {
	text := strings.Join(c.args, " ")
	if c.cores > 0 {
		text = fmt.Sprintf("GOMAXPROCS=%d %s", c.cores, text)
	}
	return text
}

// measure runs the command once. It is an error if replay did not read all
// events, or printed other alerts than before.
func (c *contender) measure(ctx context.Context) (measurement, error) {
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	var out, msgs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &msgs
	if c.cores > 0 {
		cmd.Env = append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(c.cores))
	}
	began := time.Now()
	err := cmd.Run()
	m := measurement{seconds: time.Since(began).Seconds()}
	if ctx.Err() != nil {
		return m, ctx.Err()
	}
	if err != nil {
		return m, fmt.Errorf("run %s: %w: %s", c.line(), err, strings.TrimSpace(msgs.String()))
	}
	if want := fmt.Sprintf("%d events ", c.events); c.events > 0 && !strings.HasPrefix(msgs.String(), want) {
		return m, fmt.Errorf("run %s: it read not all of the %d events: %s", c.line(), c.events, strings.TrimSpace(msgs.String()))
	}
	digest := fmt.Sprintf("%x", sha256.Sum256(out.Bytes()))
	if c.output != "" && c.output != digest {
		return m, fmt.Errorf("run %s: it printed something else than the time before", c.line())
	}
	if _, err := fmt.Sscanf(msgs.String(), "%d events in %f s", new(int), &m.told); err != nil && c.events > 0 {
		return m, fmt.Errorf("run %s: read how long it took: %w", c.line(), err)
	}
	c.output, c.alerts = digest, bytes.Count(out.Bytes(), []byte("\n"))
	m.cpu = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	m.peak = peakMemory(cmd.ProcessState)
	return m, nil
}
