package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	goalAlert = 50.0 // ms, p99
	// An attack is that many failed logins in one body, the last of which crosses
	// the threshold.
	attackEvents = 41
	attackEvery  = 100 * time.Millisecond
	// What else comes is in bodies of so many events over so many connections.
	otherEvents      = 100
	otherConnections = 4
)

// attackRules are as many rules, each with the condition of the catalog's rule
// against credential stuffing for the events of one attack. An incident is
// logged when it opens, and alerts of one campaign share one: so each has a
// rule, and by that a campaign, of its own. Their type is no other event's, so
// that what else comes is evaluated as with the catalog alone.
func attackRules(n int) string {
	var rules strings.Builder
	for i := range n {
		if i > 0 {
			rules.WriteString("---\n")
		}
		fmt.Fprintf(&rules, `id: live-attack-%[1]d
title: Attack %[1]d
severity: high
where: type == "live_attack" && client_id == "attack-%[1]d"
group_by: [ip]
window: 1h
having: count() >= %[2]d && distinct(user_name) >= 10
quiet: 15m
evidence: {users: values(user_name)}
`, i, attackEvents)
	}
	return rules.String()
}

// attack is the body of the i-th attack.
func attack(i int, now time.Time) []byte {
	var b []byte
	now = now.UTC()
	for k := range attackEvents {
		id := fmt.Sprintf("900%s%03d%035d", now.Format(idForm), now.Nanosecond()/int(time.Millisecond), i*attackEvents+k+1)
		b = fmt.Appendf(b, `{"log_id":"%s","data":{"date":"%s","type":"live_attack","description":"Wrong email or password.",`+
			`"connection":"Username-Password-Authentication","client_id":"attack-%d","ip":"198.51.100.%d","user_agent":"Chrome 120.0.0 / Windows 10.0.0",`+
			`"user_name":"victim%d@mail.example","log_id":"%s"}}`+"\n", id, now.Format(dateForm), i, i%250+1, k, id)
	}
	return b
}

// attackOf finds which attack a line of the log is about; -1 if about none.
func attackOf(l line) int {
	i := -1
	if _, rest, ok := strings.Cut(l.Text, "Attack "); ok && l.Msg == "incident" {
		if n, err := fmt.Sscanf(rest, "%d", &i); n != 1 || err != nil {
			return -1
		}
	}
	return i
}

// attacks is how many there are.
func (b *bench) attacks() int { return int(b.lasting / attackEvery) }

// alerts raises alerts in a daemon that knows nothing yet.
func (b *bench) alerts(ctx context.Context) error {
	dir, err := b.store(attackRules(b.attacks()))
	if err != nil {
		return err
	}
	d, err := b.daemon(ctx, dir, otherConnections+1)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	defer d.kill()
	return b.raise(ctx, d, "from an empty store")
}

// raise measures from just before the body that crosses a threshold is sent
// until the line that tells the incident has been read from the daemon's log.
func (b *bench) raise(ctx context.Context, d *daemon, how string) error {
	n := b.attacks()
	refused := d.refused.Load()
	before, err := d.metrics(ctx)
	if err != nil {
		return err
	}
	began := time.Now().Add(100 * time.Millisecond)
	sent, answered := make([]time.Time, n), make([]time.Duration, n)
	g, posting := errgroup.WithContext(ctx)
	for i := range n { // each at its time, however long the one before it takes
		g.Go(func() error {
			if err := until(posting, began.Add(time.Duration(i)*attackEvery+attackEvery/3)); err != nil {
				return err
			}
			sent[i] = time.Now()
			err := d.post(posting, attack(i, sent[i]))
			answered[i] = time.Since(sent[i])
			return err
		})
	}
	rest := b.rate - attackEvents*int(time.Second/attackEvery)
	every := time.Second * otherEvents / time.Duration(rest)
	others, mu, late := []time.Duration(nil), sync.Mutex{}, time.Duration(0)
	for lane := range otherConnections {
		g.Go(func() error {
			for i := lane; i < int(b.lasting/every) && (i+1)*otherEvents <= b.load.len(); i += otherConnections {
				due := began.Add(time.Duration(i) * every)
				if err := until(posting, due); err != nil {
					return err
				}
				behind := time.Since(due)
				if err := b.load.date(i*otherEvents, (i+1)*otherEvents, time.Now()); err != nil {
					return err
				}
				at := time.Now()
				if err := d.post(posting, b.load.body(i*otherEvents, (i+1)*otherEvents)); err != nil {
					return err
				}
				mu.Lock()
				others, late = append(others, time.Since(at)), max(late, behind)
				mu.Unlock()
			}
			return nil
		})
	}
	told, err := b.watch(ctx, d, began.Add(b.lasting+5*time.Second), n, g.Wait)
	if err != nil {
		return err
	}
	took := make([]time.Duration, 0, n)
	for i, at := range told {
		if !at.IsZero() {
			took = append(took, at.Sub(sent[i]))
		}
	}
	events := n*attackEvents + len(others)*otherEvents
	after, err := d.settled(ctx, events)
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "\nalerts %s, %d of %d told, at %.0f events/s, %.0f snapshots meanwhile, %.0f %% of a processor\n", how, len(took), n,
		float64(events)/b.lasting.Seconds(), after[`portcullis_snapshot_total{tenant="live"}`], 100*(after.cpu()-before.cpu())/b.lasting.Seconds())
	fmt.Fprintf(b.out, "from sending to the log's line: %s\nanswers to the attacks: %s\nanswers to the rest: %s, sent at most %.1f ms after their time\n%d requests were answered with a 503 first\n",
		distribution(took), distribution(answered), distribution(others), ms(late), d.refused.Load()-refused)
	if len(took) < n {
		return fmt.Errorf("%d of %d alerts were not told", n-len(took), n)
	}
	goal(b.out, "arrival to alert, "+how+", p99", ms(percentile(took, 99)), goalAlert, "ms", false)
	return nil
}

// watch returns when each attack was told first, once all were or end has come.
func (b *bench) watch(ctx context.Context, d *daemon, end time.Time, n int, posted func() error) ([]time.Time, error) {
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	failed := make(chan error, 1)
	go func() { failed <- posted() }()
	told, left, posting := make([]time.Time, n), n, true
	for left > 0 || posting {
		select {
		case l, ok := <-d.lines:
			if !ok {
				return nil, fmt.Errorf("the daemon ended\n%s", &d.tail)
			}
			if i := attackOf(l); i >= 0 && i < n && told[i].IsZero() {
				told[i], left = l.read, left-1
			}
		case err := <-failed:
			if posting = false; err != nil {
				return nil, err
			}
		case <-ctx.Done():
			if posting {
				return nil, fmt.Errorf("the daemon cannot keep up: %w", <-failed)
			}
			return told, nil
		}
	}
	return told, nil
}

// until waits for a moment.
func until(ctx context.Context, at time.Time) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Until(at)):
		return nil
	}
}
