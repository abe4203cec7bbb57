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
	firstHold map[string]time.Time // by campaign
}

var _ responders.Notifier = (*timeline)(nil)

func newTimeline(std stdio, sim *tenantsim.Tenant) *timeline {
	f, ok := std.out.(*os.File)
	return &timeline{std: std, sim: sim, colour: ok && term.IsTerminal(int(f.Fd())), start: sim.Now(),
		incidents: map[string]responders.Report{}, firstHold: map[string]time.Time{}}
}

// Notify shows each transition as a line.
func (t *timeline) Notify(_ context.Context, r responders.Report) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.incidents[r.Incident.ID] = r
	for _, o := range r.Outcomes {
		if _, held := t.firstHold[r.Incident.Campaign]; !held && o.Outcome == "done" && o.To != "" {
			t.firstHold[r.Incident.Campaign] = t.sim.Now()
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

// campaigns says which campaign of the catalog an attack of the demo belongs to.
var campaigns = map[tenantsim.AttackKind]string{
	tenantsim.CredentialStuffing: "credential-attack",
	tenantsim.SMSBombing:         "mfa-abuse",
}

// demoResult is how the demo ended.
type demoResult struct {
	attacks    []demoAttack
	restored   bool
	restoredAt time.Time
	closed     bool
	stats      tenantsim.Stats
}

// demoAttack is one attack before the first hold that answered it, and in its
// last quarter.
type demoAttack struct {
	tenantsim.AttackStats
	before tenantsim.Outcomes
	late   tenantsim.Outcomes // as they were when the last quarter began
	held   time.Time          // zero when nothing answered it
}

func (a demoAttack) end() tenantsim.Outcomes { return minus(a.Outcomes, a.late) }

// done reports whether every attack was contained and everything restored.
func (r demoResult) done() bool {
	for _, a := range r.attacks {
		if !a.contained() {
			return false
		}
	}
	return len(r.attacks) > 0 && r.restored && r.closed
}

// contained: at its end less than half as much of the attack gets past the
// defences as before the first hold.
func (a demoAttack) contained() bool {
	return !a.held.IsZero() && a.end().Attempts > 0 && past(a.end()) < past(a.before)/2
}

// past is the share of attempts that neither a network ACL nor bot detection
// stopped.
func past(o tenantsim.Outcomes) float64 {
	if o.Attempts == 0 {
		return 0
	}
	return 1 - float64(o.Denied+o.Challenged)/float64(o.Attempts)
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
	last, lastAt, nextStatus := t.sim.Stats(), t.start, t.start.Add(demoStatusStep)
	for {
		select {
		case <-ctx.Done():
			return t.finish(r, h)
		case <-ticker.C:
		}
		now, stats := t.sim.Now(), t.sim.Stats()
		t.mu.Lock()
		t.follow(&r, stats, now)
		if !now.Before(nextStatus) {
			t.status(stats, last, now.Sub(lastAt))
			last, lastAt, nextStatus = stats, now, now.Add(demoStatusStep)
			if !attacking(stats, now) {
				nextStatus = now.Add(5 * demoStatusStep)
			}
		}
		over := t.allClosed() && !attacking(stats, now)
		t.mu.Unlock()
		if over && snapshot(t.sim).equal(h) {
			r.restoredAt = now
			return t.finish(r, h)
		}
		if now.After(giveUp) {
			return t.finish(r, h)
		}
	}
}

// follow counts each attack before and after its first hold. The caller holds mu.
func (t *timeline) follow(r *demoResult, stats tenantsim.Stats, now time.Time) {
	for i, a := range stats.Attacks {
		if now.Before(a.Start) {
			continue
		}
		if i >= len(r.attacks) {
			r.attacks = append(r.attacks, demoAttack{})
			t.line("31", "! %s begins", a.Kind)
		}
		d := &r.attacks[i]
		d.AttackStats, d.held = a, t.firstHold[campaigns[a.Kind]]
		if d.held.IsZero() {
			d.before = a.Outcomes
		}
		if now.Before(a.End.Add(-a.End.Sub(a.Start) / 4)) {
			d.late = a.Outcomes
		}
	}
}

func (t *timeline) finish(r demoResult, h human) demoResult {
	t.mu.Lock()
	defer t.mu.Unlock()
	r.stats = t.sim.Stats()
	t.follow(&r, r.stats, t.sim.Now())
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
		text += fmt.Sprintf(" · attack %s %3.0f %% of %d get past (%d challenged, %d denied), %d succeed",
			bar(past(o)), 100*past(o), o.Attempts, o.Challenged, o.Denied, o.Succeeded)
	}
	t.line("2", "%s", text)
}

// bar draws a share.
func bar(v float64) string {
	const width = 10
	n := min(int(v*width+0.999), width)
	return strings.Repeat("█", n) + strings.Repeat("░", width-n)
}

func (t *timeline) summary(r demoResult) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintln(t.std.out)
	w := tabwriter.NewWriter(t.std.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "attack\tbegan\tfirst hold\tgot past before it\tgot past at the end\tsucceeded before / since\tcontained")
	for _, a := range r.attacks {
		held := "never"
		if !a.held.IsZero() {
			held = clock(a.held.Sub(t.start))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%.0f %% of %d\t%.0f %% of %d\t%d / %d\t%s\n", a.Kind, clock(a.Start.Sub(t.start)), held,
			100*past(a.before), a.before.Attempts, 100*past(a.end()), a.end().Attempts, a.before.Succeeded, a.Succeeded-a.before.Succeeded, yesNo(a.contained()))
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
