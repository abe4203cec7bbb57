package main

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"portcullis/detections"
	"portcullis/internal/tenantsim"
	"portcullis/responders"
)

// timeline shows the demo as it happens. It is the daemon's notifier, so what
// it tells of the daemon is what the daemon told.
type timeline struct {
	std    stdio
	sim    *tenantsim.Tenant
	colour bool
	start  time.Time

	mu        sync.Mutex // guards what follows: Notify comes from the daemon
	incidents map[string]responders.Report
	firstHold time.Time
}

var _ responders.Notifier = (*timeline)(nil)

func newTimeline(std stdio, sim *tenantsim.Tenant) *timeline {
	f, ok := std.out.(*os.File)
	return &timeline{std: std, sim: sim, colour: ok && term.IsTerminal(int(f.Fd())), start: sim.Now(),
		incidents: map[string]responders.Report{}}
}

// Notify shows each transition as a line.
func (t *timeline) Notify(_ context.Context, r responders.Report) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.incidents[r.Incident.ID] = r
	for _, o := range r.Outcomes {
		if o.Outcome == "done" && o.To != "" && t.firstHold.IsZero() {
			t.firstHold = t.sim.Now()
		}
	}
	if r.Transition == "" {
		return nil
	}
	for line := range strings.SplitSeq(r.Transition, "\n") {
		mark, colour := "·", ""
		switch {
		case strings.HasPrefix(line, "Holds "):
			mark, colour = "▼", "33"
		case strings.HasPrefix(line, "Released "):
			mark, colour = "▲", "32"
		case r.Broadcast:
			mark, colour = "!", "31"
		}
		t.line(colour, "%s %s", mark, line)
	}
	return nil
}

// line prints one line under the virtual time. The caller holds mu.
func (t *timeline) line(colour, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if t.colour && colour != "" {
		text = "\x1b[" + colour + "m" + text + "\x1b[0m"
	}
	fmt.Fprintf(t.std.out, "%s  %s\n", clock(t.sim.Now().Sub(t.start)), text)
}

func clock(d time.Duration) string {
	return fmt.Sprintf("%3d:%02d", int(d.Minutes()), int(d.Seconds())%60)
}

// human is what a human chose before the attack.
type human struct {
	botDetection map[string]any
	acls         []map[string]any
}

func snapshot(sim *tenantsim.Tenant) human { return human{sim.BotDetection(), sim.NetworkACLs()} }

func (h human) equal(o human) bool {
	return reflect.DeepEqual(h.botDetection, o.botDetection) && len(h.acls) == len(o.acls)
}

func (t *timeline) begin(speed float64, h human) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.std.out, `A simulated tenant, two attackers, and the daemon in enforce mode, %g times as fast as life.
A human chose: bot detection %v, challenges %v; no network ACL.

`, speed, h.botDetection["bot_detection_level"], h.botDetection["challenge_password_policy"])
}

// demoResult is how the demo ended.
type demoResult struct {
	before, after []tenantsim.Outcomes // of each attack: until the first hold, and since
	attacks       []tenantsim.AttackStats
	firstHold     time.Time
	restored      bool
	restoredAt    time.Time
	closed        bool
	stats         tenantsim.Stats
}

// done reports whether every attack was contained and everything restored.
func (r demoResult) done() bool {
	for i := range r.attacks {
		if !r.contained(i) {
			return false
		}
	}
	return len(r.attacks) > 0 && r.restored && r.closed
}

// contained: since the first hold fewer than a quarter as many attempts succeed
// as before. An attack that began under the hold is measured against the share
// that its passwords allow.
func (r demoResult) contained(i int) bool {
	return share(r.after[i]) < r.reference(i)/4
}

func (r demoResult) reference(i int) float64 {
	if r.before[i].Attempts >= 5 {
		return share(r.before[i])
	}
	return 1 // nothing stood in the way of a message before
}

func share(o tenantsim.Outcomes) float64 {
	if o.Attempts == 0 {
		return 0
	}
	return float64(o.Succeeded) / float64(o.Attempts)
}

func minus(a, b tenantsim.Outcomes) tenantsim.Outcomes {
	return tenantsim.Outcomes{Attempts: a.Attempts - b.Attempts, Denied: a.Denied - b.Denied, Throttled: a.Throttled - b.Throttled,
		Challenged: a.Challenged - b.Challenged, Failed: a.Failed - b.Failed, Succeeded: a.Succeeded - b.Succeeded}
}

// watch shows rates while the demo runs, and returns when it is over, or not by
// the given virtual time.
func (t *timeline) watch(ctx context.Context, h human, giveUp time.Time) demoResult {
	var r demoResult
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	nextStatus, last, began := t.start.Add(demoStatusStep), t.sim.Stats(), []bool{}
	lastAt := t.start
	for {
		select {
		case <-ctx.Done():
			return t.finish(r, h)
		case <-ticker.C:
		}
		now, stats := t.sim.Now(), t.sim.Stats()
		t.mu.Lock()
		for i, a := range stats.Attacks {
			if len(began) <= i {
				began = append(began, false)
				r.before = append(r.before, tenantsim.Outcomes{})
			}
			if !began[i] && !now.Before(a.Start) {
				began[i] = true
				t.line("31", "! %s begins", a.Kind)
			}
			if r.firstHold.IsZero() {
				r.before[i] = a.Outcomes
			}
		}
		if r.firstHold.IsZero() && !t.firstHold.IsZero() {
			r.firstHold = t.firstHold
		}
		if !now.Before(nextStatus) {
			t.status(stats, last, now.Sub(lastAt))
			last, lastAt, nextStatus = stats, now, now.Add(demoStatusStep)
			if !attacking(stats, now) {
				nextStatus = now.Add(5 * demoStatusStep)
			}
		}
		over := !r.firstHold.IsZero() && t.allClosed() && !attacking(stats, now)
		t.mu.Unlock()
		if over && snapshot(t.sim).equal(h) {
			r.restored, r.restoredAt, r.closed = true, now, true
			return t.finish(r, h)
		}
		if now.After(giveUp) {
			return t.finish(r, h)
		}
	}
}

func (t *timeline) finish(r demoResult, h human) demoResult {
	t.mu.Lock()
	defer t.mu.Unlock()
	r.stats = t.sim.Stats()
	r.attacks = r.stats.Attacks
	for len(r.before) < len(r.attacks) {
		r.before = append(r.before, tenantsim.Outcomes{})
	}
	for i, a := range r.attacks {
		r.after = append(r.after, minus(a.Outcomes, r.before[i]))
	}
	r.restored = snapshot(t.sim).equal(h)
	r.closed = t.allClosed()
	return r
}

func attacking(s tenantsim.Stats, now time.Time) bool {
	return slices.ContainsFunc(s.Attacks, func(a tenantsim.AttackStats) bool { return now.Before(a.End) })
}

// allClosed reports whether every incident is closed. The caller holds mu.
func (t *timeline) allClosed() bool {
	for _, r := range t.incidents {
		if r.State != responders.StateClosed {
			return false
		}
	}
	return len(t.incidents) > 0
}

// status prints what happened since the last one. The caller holds mu.
func (t *timeline) status(s, last tenantsim.Stats, d time.Duration) {
	o := minus(s.Outcomes, last.Outcomes)
	text := fmt.Sprintf("  %4.0f events/min, %3.0f calm logins/min", float64(s.Events-last.Events)/d.Minutes(), float64(s.CalmLogins-last.CalmLogins)/d.Minutes())
	if o.Attempts > 0 {
		text += fmt.Sprintf(" · attack %s %5.1f %% get through (%d of %d: %d denied, %d challenged)",
			bar(share(o)), 100*share(o), o.Succeeded, o.Attempts, o.Denied, o.Challenged)
	}
	t.line("2", "%s", text)
}

// bar draws a share of an attack that succeeds, full at one in ten.
func bar(v float64) string {
	const width = 10
	n := min(int(v*10*width+0.999), width)
	return strings.Repeat("█", n) + strings.Repeat("░", width-n)
}

func (t *timeline) summary(r demoResult) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintln(t.std.out)
	w := tabwriter.NewWriter(t.std.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "attack\tbegan\ttightened\tbefore: got through\tafter: got through\tcontained")
	for i, a := range r.attacks {
		tightened := "never"
		if !r.firstHold.IsZero() {
			tightened = clock(r.firstHold.Sub(t.start))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d of %d\t%d of %d\t%s\n", a.Kind, clock(a.Start.Sub(t.start)), tightened,
			r.before[i].Succeeded, r.before[i].Attempts, r.after[i].Succeeded, r.after[i].Attempts, yesNo(r.contained(i)))
	}
	w.Flush()
	fmt.Fprintln(t.std.out)
	var alerts []detections.Alert
	for _, rep := range t.incidents {
		alerts = append(alerts, rep.Incident.Alerts...)
	}
	fmt.Fprintf(t.std.out, "%s in %s; %d changes made and taken back; %d calm logins denied\n",
		plural(len(alerts), "alert"), plural(len(t.incidents), "incident"), r.stats.Writes, r.stats.CalmDenied)
	if r.restored {
		fmt.Fprintf(t.std.out, "every setting is back at the value the human chose")
		if !r.restoredAt.IsZero() {
			fmt.Fprintf(t.std.out, ", %s after the start", strings.TrimSpace(clock(r.restoredAt.Sub(t.start))))
		}
		fmt.Fprintln(t.std.out)
	} else {
		fmt.Fprintln(t.std.out, "NOT RESTORED: a setting differs from what the human chose")
	}
	if !r.closed {
		fmt.Fprintln(t.std.out, "NOT CLOSED: an incident is still open")
	}
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "NO"
}
