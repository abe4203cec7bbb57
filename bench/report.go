package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
)

// goals are those of the design, for one million events.
const (
	goalFloor  = 12.0 // times wc -l, one core
	goalCores  = 1.7  // one core against two
	goalMemory = 300  // MB
	goalRules  = 2.0  // the most rules against the fewest, without loading the rules
)

// busy is how many times its CPU seconds a run on one core may take before the
// figures are said to be disturbed by something else on the machine.
const busy = 1.05

func printMachine(out io.Writer, file string) {
	size := int64(0)
	if info, err := os.Stat(file); err == nil {
		size = info.Size()
	}
	fmt.Fprintf(out, "%d cores, %s, %s %s/%s\n%s, %.0f MB\n", runtime.NumCPU(), processor(), runtime.Version(), runtime.GOOS, runtime.GOARCH, file, float64(size)/1e6)
}

// processor is the name of the CPU, where the system tells it.
func processor() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "processor unknown"
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "processor unknown"
}

// spread is the middle and the ends of a list of figures.
type spread struct{ median, low, high float64 }

func spreadOf(figures []float64) spread {
	if len(figures) == 0 {
		return spread{}
	}
	s := slices.Sorted(slices.Values(figures))
	n := len(s)
	return spread{(s[(n-1)/2] + s[n/2]) / 2, s[0], s[n-1]}
}

func (s spread) String() string { return fmt.Sprintf("%.2f (%.2f to %.2f)", s.median, s.low, s.high) }

func seconds(m measurement) float64          { return m.seconds }
func processorSeconds(m measurement) float64 { return m.cpu }

func sum(runs []measurement, figure func(measurement) float64) float64 {
	total := 0.0
	for _, f := range each(runs, figure) {
		total += f
	}
	return total
}

func each(runs []measurement, figure func(measurement) float64) []float64 {
	var out []float64
	for _, m := range runs {
		out = append(out, figure(m))
	}
	return out
}

// ratios divides run by run: two commands of one round met the same machine.
func ratios(of, by *contender) spread {
	var out []float64
	for i := range min(len(of.runs), len(by.runs)) {
		out = append(out, of.runs[i].seconds/by.runs[i].seconds)
	}
	return spreadOf(out)
}

// report prints the figures as medians with the least and the greatest.
func report(out io.Writer, commands []*contender, events int) error {
	floor := commands[0]
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "command\tseconds\ttimes wc -l\tevents/s\tCPU seconds\tpeak MB")
	for _, c := range commands {
		took := spreadOf(each(c.runs, seconds))
		cpu := spreadOf(each(c.runs, processorSeconds))
		peak := spreadOf(each(c.runs, func(m measurement) float64 { return float64(m.peak) / 1e6 }))
		fmt.Fprintf(w, "%s\t%v\t%v\t%.0f\t%.2f\t%.0f\n", c.name, took, ratios(c, floor), float64(events)/took.median, cpu.median, peak.high)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	one := commands[1]
	fmt.Fprintf(out, "\n%d rounds, median (least to greatest); %d alerts, the same in every run\n", len(one.runs), one.alerts)
	for _, c := range commands[2:] {
		if c.rules == 0 && c.output != one.output {
			return fmt.Errorf("one core and two gave different alerts")
		}
	}
	if took, cpu := sum(one.runs, seconds), sum(one.runs, processorSeconds); cpu > 0 && took > busy*cpu {
		fmt.Fprintf(out, "the machine was busy: one core waited for %.0f %% of its time; by CPU seconds it took %.2f times wc -l\n",
			100*(took-cpu)/took, spreadOf(each(one.runs, processorSeconds)).median/spreadOf(each(floor.runs, processorSeconds)).median)
	}
	goal(out, "one core, times wc -l", ratios(one, floor).median, goalFloor, false)
	peak := one.peak()
	if len(commands) > 2 && commands[2].rules == 0 {
		goal(out, "two cores, times as fast", ratios(one, commands[2]).median, goalCores, true)
		peak = max(peak, commands[2].peak())
	}
	reportRules(out, commands)
	if peak > 0 {
		goal(out, "peak memory, MB", float64(peak)/1e6, goalMemory, false)
	}
	return nil
}

// reportRules compares the largest generated set of rules with the smallest.
func reportRules(out io.Writer, commands []*contender) {
	var few, many *contender
	for _, c := range commands {
		if c.rules > 0 && few == nil {
			few = c
		}
		if c.rules > 0 {
			many = c
		}
	}
	if many != few {
		var cost []float64
		for i := range min(len(many.runs), len(few.runs)) {
			cost = append(cost, many.runs[i].told/few.runs[i].told)
		}
		goal(out, fmt.Sprintf("%d rules, times %d rules, without loading them", many.rules, few.rules), spreadOf(cost).median, goalRules, false)
	}
}

func (c *contender) peak() int64 {
	most := int64(0)
	for _, m := range c.runs {
		most = max(most, m.peak)
	}
	return most
}

func goal(out io.Writer, what string, is, want float64, atLeast bool) {
	sign, met := "at most", is <= want
	if atLeast {
		sign, met = "at least", is >= want
	}
	verdict := "met"
	if !met {
		verdict = "NOT met"
	}
	fmt.Fprintf(out, "goal %s: %.2f, %s %.4g: %s\n", what, is, sign, want, verdict)
}
