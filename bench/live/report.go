package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// percentile is the smallest of the times that p of a hundred do not exceed;
// 0 of none.
func percentile(times []time.Duration, p float64) time.Duration {
	if len(times) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(times))
	return s[min(max(ceil(p/100*float64(len(s)))-1, 0), len(s)-1)]
}

func ceil(f float64) int {
	n := int(f)
	if float64(n) < f {
		n++
	}
	return n
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// distribution is how a list of times is told.
func distribution(times []time.Duration) string {
	return fmt.Sprintf("p50 %.1f, p90 %.1f, p99 %.1f, max %.1f ms of %d", ms(percentile(times, 50)), ms(percentile(times, 90)),
		ms(percentile(times, 99)), ms(percentile(times, 100)), len(times))
}

// disk tells what a synced write costs where the stores are: where it is next to
// nothing, as in memory, the other figures mean little.
func (b *bench) disk() error {
	f, err := os.Create(filepath.Join(b.dir, "synced"))
	if err != nil {
		return err
	}
	defer f.Close()
	var times []time.Duration
	data := make([]byte, 900_000)
	for range 30 {
		began := time.Now()
		if _, err := f.Write(data); err != nil {
			return fmt.Errorf("write to the disk: %w", err)
		}
		if err := f.Sync(); err != nil {
			return fmt.Errorf("sync the disk: %w", err)
		}
		times = append(times, time.Since(began))
	}
	fmt.Fprintf(b.out, "synced writes of %.1f MB: %s\n", float64(len(data))/1e6, distribution(times))
	return os.Remove(f.Name())
}

// goal says whether a figure reaches what the design asks for.
func goal(out io.Writer, what string, is, want float64, unit string, atLeast bool) {
	sign, met := "at most", is <= want
	if atLeast {
		sign, met = "at least", is >= want
	}
	verdict := "met"
	if !met {
		verdict = "NOT met"
	}
	fmt.Fprintf(out, "goal %s: %.4g %s, %s %.6g: %s\n", what, is, unit, sign, want, verdict)
}
