package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/internal/tenantsim"
)

// crashStart is when the events of a crash test begin.
var crashStart = time.Date(2026, 2, 2, 6, 0, 0, 0, time.UTC)

const (
	// crashStep is the virtual time that is delivered at once; nothing of the next
	// is sent before all of it is acknowledged.
	crashStep = 30 * time.Second
	// crashDelay is how much later than it happened the webhook may bring an event.
	// With crashStep it stays below the lateness of 2 minutes, so that no event is
	// late, whatever is killed.
	crashDelay = 60 * time.Second
	// crashAgain is the share of events that the webhook brings twice.
	crashAgain = 0.03
	// crashQuiet is the virtual time at the end in which every alert resolves.
	crashQuiet = 3 * time.Hour
	crashBatch = 60
)

// crashEvent is one event as the log stream sends it.
type crashEvent struct {
	id       string
	at       time.Time
	envelope json.RawMessage
	data     map[string]any
}

// crashTraffic makes at least so many events: calm ones, and an attack each half
// an hour. The same number makes the same events.
func crashTraffic(t *testing.T, atLeast int) []crashEvent {
	t.Helper()
	span := 3 * time.Hour
	if atLeast > 20_000 {
		span = 24 * time.Hour
	}
	sim := tenantsim.New(tenantsim.Options{Start: crashStart, Speed: -1, Seed: 11, IndexLag: 2 * time.Second, CalmRate: float64(atLeast) / 2 / span.Seconds()})
	kinds := []tenantsim.AttackKind{tenantsim.CredentialStuffing, tenantsim.SMSBombing, tenantsim.SuspiciousSuccess}
	for i := range int(span / (30 * time.Minute)) {
		a := tenantsim.Attack{Kind: kinds[i%len(kinds)], Start: crashStart.Add(time.Duration(i)*30*time.Minute + 5*time.Minute)}
		a.Duration, a.IPs = 10*time.Minute, []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})}
		if a.Kind == tenantsim.CredentialStuffing {
			a.Rate = 0.5
			a.IPs = append(a.IPs, netip.AddrFrom4([4]byte{198, 51, 100, byte(i + 1)}))
		}
		sim.Attack(a)
	}
	sim.Advance(span)
	var out bytes.Buffer
	require.NoError(t, sim.WriteEnvelopes(&out))
	var events []crashEvent
	for line := range bytes.Lines(out.Bytes()) {
		var e struct {
			LogID string         `json:"log_id"`
			Data  map[string]any `json:"data"`
		}
		require.NoError(t, json.Unmarshal(line, &e))
		at, err := time.Parse(time.RFC3339, e.Data["date"].(string))
		require.NoError(t, err)
		events = append(events, crashEvent{e.LogID, at, bytes.TrimSpace(line), e.Data})
	}
	require.GreaterOrEqual(t, len(events), atLeast)
	return events
}

// crashGroup is what happens and what arrives within one crashStep.
type crashGroup struct {
	end     time.Time
	happen  []crashEvent   // for the poll
	batches [][]crashEvent // for the webhook
}

// crashSchedule cuts events into groups. With disorder the webhook brings each
// up to crashDelay late, some twice, the batches of a group in any order.
func crashSchedule(events []crashEvent, disorder bool) []crashGroup {
	rng := rand.New(rand.NewPCG(17, 4))
	var groups []crashGroup
	at := func(when time.Time) *crashGroup {
		i := int(when.Sub(crashStart) / crashStep)
		for len(groups) <= i {
			groups = append(groups, crashGroup{end: crashStart.Add(time.Duration(len(groups)+1) * crashStep)})
		}
		return &groups[i]
	}
	type arrival struct {
		at time.Time
		ev crashEvent
	}
	var arrivals []arrival
	for _, ev := range events {
		at(ev.at).happen = append(at(ev.at).happen, ev)
		copies := 1
		if disorder && rng.Float64() < crashAgain {
			copies = 2
		}
		for range copies {
			a := arrival{ev.at, ev}
			if disorder {
				a.at = a.at.Add(time.Duration(rng.Int64N(int64(crashDelay))))
			}
			arrivals = append(arrivals, a)
		}
	}
	slices.SortStableFunc(arrivals, func(a, b arrival) int { return a.at.Compare(b.at) })
	for _, a := range arrivals {
		g := at(a.at)
		if n := len(g.batches); n == 0 || len(g.batches[n-1]) >= crashBatch {
			g.batches = append(g.batches, nil)
		}
		n := len(g.batches) - 1
		g.batches[n] = append(g.batches[n], a.ev)
	}
	if disorder {
		for _, g := range groups {
			rng.Shuffle(len(g.batches), func(i, j int) { g.batches[i], g.batches[j] = g.batches[j], g.batches[i] })
		}
	}
	return groups
}

// crashBody writes a batch in one of the formats of a log stream.
func crashBody(batch []crashEvent, format int) (body []byte, gzipped bool) {
	parts := make([][]byte, len(batch))
	for i, ev := range batch {
		parts[i] = ev.envelope
	}
	switch format % 4 {
	case 0:
		return bytes.Join(parts, []byte("\n")), false
	case 1:
		return slices.Concat([]byte("["), bytes.Join(parts, []byte(",")), []byte("]")), false
	case 2:
		return slices.Concat([]byte(`{"logs":[`), bytes.Join(parts, []byte(",")), []byte("]}")), false
	}
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(bytes.Join(parts, []byte("\n"))) // into memory: it cannot fail
	_ = w.Close()
	return out.Bytes(), true
}
