package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/internal/tenantsim"
	"portcullis/responders"
)

// The daemon against the simulated tenant, through a whole attack. Time runs
// 240 times as fast as life: the child and the tenant count it from one origin.
const loopSpeed = 240

// childEnv makes the test binary a daemon: the origin of time, then the folder.
const childEnv = "PORTCULLIS_TEST_DAEMON"

// TestChildDaemon is the daemon when the test binary runs as the child; without
// that there is nothing to do.
func TestChildDaemon(*testing.T) {
	if origin, ok := os.LookupEnv(childEnv); ok {
		os.Exit(childDaemon(origin))
	}
}

// fastClock is virtual time that began at origin and runs loopSpeed times as
// fast. Every process computes the same.
func fastClock(origin time.Time) func() time.Time {
	return func() time.Time { return origin.Add(time.Since(origin) * loopSpeed) }
}

// childDaemon runs the daemon of a folder until it is killed. What it tells
// people goes to standard output as JSON lines.
func childDaemon(origin string) int {
	ms, dir, _ := strings.Cut(origin, " ")
	n, err := strconv.ParseInt(ms, 10, 64)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	cfg, content, err := load(filepath.Join(dir, "portcullis.yaml"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	d, err := newDaemon(context.Background(), cfg, content, slog.New(slog.NewTextHandler(os.Stderr, nil)), daemonOptions{
		now: fastClock(time.UnixMilli(n)), every: 50 * time.Millisecond, pollEvery: 100 * time.Millisecond,
		notifiers: []responders.Notifier{&lineNotifier{w: os.Stdout}},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := d.run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// lineNotifier writes each report as a line.
type lineNotifier struct {
	mu sync.Mutex
	w  io.Writer
}

func (n *lineNotifier) Notify(_ context.Context, r responders.Report) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return json.NewEncoder(n.w).Encode(r)
}

// loop is a simulated tenant with a daemon in a child process.
type loop struct {
	t      *testing.T
	sim    *tenantsim.Tenant
	dir    string
	origin time.Time
	human  human

	cmd *exec.Cmd
	mu  sync.Mutex
	// What the daemon told, over all its lives.
	reports []responders.Report
	log     strings.Builder
	readers sync.WaitGroup
}

func newLoop(t *testing.T) *loop {
	t.Helper()
	origin := time.UnixMilli(time.Now().UnixMilli())
	l := &loop{t: t, dir: t.TempDir(), origin: origin, sim: tenantsim.New(tenantsim.Options{
		Start: origin, Speed: loopSpeed, Seed: 3, CalmRate: 0.5, IndexLag: 2 * time.Second, RateRefill: 16 * loopSpeed,
	})}
	srv := httptest.NewServer(l.sim.Handler())
	t.Cleanup(srv.Close)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = l.sim.Run(ctx) })
	t.Cleanup(func() { stop(); running.Wait() })
	l.human = snapshot(l.sim)
	require.NoError(t, os.WriteFile(filepath.Join(l.dir, "secret"), []byte(tenantsim.DefaultClientSecret), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(l.dir, "portcullis.yaml"), fmt.Appendf(nil, `
store: {dir: ./data}
tenants:
  - name: loop
    domain: %s
    base_url: %s
    client_id: %s
    client_secret_file: ./secret
    mode: enforce
`, l.sim.Domain(), srv.URL, tenantsim.DefaultClientID), 0o600))
	t.Cleanup(l.kill)
	return l
}

// start begins a life of the daemon.
func (l *loop) start() {
	l.t.Helper()
	l.cmd = exec.Command(os.Args[0], "-test.run=^TestChildDaemon$")
	l.cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s", childEnv, l.origin.UnixMilli(), l.dir))
	out, err := l.cmd.StdoutPipe()
	require.NoError(l.t, err)
	errs, err := l.cmd.StderrPipe()
	require.NoError(l.t, err)
	require.NoError(l.t, l.cmd.Start())
	l.readers.Go(func() {
		dec := json.NewDecoder(out)
		for {
			var r responders.Report
			if dec.Decode(&r) != nil {
				return
			}
			l.mu.Lock()
			l.reports = append(l.reports, r)
			l.mu.Unlock()
		}
	})
	l.readers.Go(func() {
		b, _ := io.ReadAll(errs)
		l.mu.Lock()
		l.log.Write(b)
		l.mu.Unlock()
	})
}

// kill ends a life of the daemon at once, as kill -9 does.
func (l *loop) kill() {
	if l.cmd == nil {
		return
	}
	_ = l.cmd.Process.Kill()
	l.readers.Wait()
	_ = l.cmd.Wait()
	l.cmd = nil
}

func (l *loop) eventually(what string, ok func() bool) {
	l.t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			l.kill()
			l.t.Fatalf("never: %s\nbot detection %v\nnetwork ACLs %v\n%s\n%s", what, l.sim.BotDetection(), l.sim.NetworkACLs(), l.told(), l.log.String())
		}
		time.Sleep(5 * time.Millisecond) // between looks at a process of its own
	}
}

func (l *loop) told() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	for _, r := range l.reports {
		if r.Transition != "" {
			fmt.Fprintf(&b, "%s %s: %s\n", r.Incident.ID, r.State, r.Transition)
		}
	}
	return b.String()
}

func (l *loop) level() any { return l.sim.BotDetection()["bot_detection_level"] }

func (l *loop) tightened() bool { return l.level() == "high" && len(l.sim.NetworkACLs()) == 1 }

func (l *loop) restored() bool { return snapshot(l.sim).equal(l.human) }

// allClosed reports whether every incident that was told is closed.
func (l *loop) allClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	states := map[string]responders.State{}
	for _, r := range l.reports {
		states[r.Incident.ID] = r.State
	}
	for _, s := range states {
		if s != responders.StateClosed {
			return false
		}
	}
	return len(states) > 0
}

func (l *loop) stuff() {
	l.sim.Attack(tenantsim.Attack{Kind: tenantsim.CredentialStuffing, Rate: 2, Addresses: 1, Duration: 5 * time.Minute, ValidShare: -1})
}

func TestAnAttackIsTightenedAndRestored(t *testing.T) {
	t.Parallel()
	l := newLoop(t)
	l.start()
	l.eventually("events flow", func() bool { return l.sim.Stats().APICalls["GET"] > 3 })
	l.stuff()
	l.eventually("tightened", l.tightened)
	l.eventually("restored", l.restored)
	l.eventually("closed", l.allClosed)
	require.Zero(t, l.sim.Stats().CalmDenied, "calm users were denied")
}

func TestADaemonKilledInTheMiddleEndsTheSame(t *testing.T) {
	t.Parallel()
	l := newLoop(t)
	l.start()
	l.eventually("events flow", func() bool { return l.sim.Stats().APICalls["GET"] > 3 })
	l.stuff()
	l.eventually("tightened", l.tightened)
	l.kill()
	l.start()
	l.eventually("the second life works", func() bool { return l.restored() || strings.Contains(l.told(), "RELAXING") })
	l.kill()
	l.start()
	l.eventually("restored", l.restored)
	l.eventually("closed", l.allClosed)

	l.mu.Lock()
	defer l.mu.Unlock()
	incidents, opened := map[string]bool{}, map[string]int{}
	for _, r := range l.reports {
		if r.Incident.Campaign != "credential-attack" {
			continue // on a slow machine the feed may have one of its own
		}
		incidents[r.Incident.ID] = true
		if r.Broadcast {
			opened[r.Incident.ID]++
		}
	}
	require.Len(t, incidents, 1, "one attack is one incident, through all lives")
	for id, n := range opened {
		require.Equal(t, 1, n, "incident %s was announced again after a restart", id)
	}
}

func TestWhatAHumanChoosesDuringAHoldStays(t *testing.T) {
	t.Parallel()
	l := newLoop(t)
	l.start()
	l.eventually("events flow", func() bool { return l.sim.Stats().APICalls["GET"] > 3 })
	l.stuff()
	l.eventually("tightened", l.tightened)
	require.NoError(t, l.sim.HumanPatch("/api/v2/attack-protection/bot-detection", map[string]any{
		"bot_detection_level": "low", "challenge_password_policy": "always",
		"challenge_passwordless_policy": "when_risky", // the very value that is held: only the log tells
	}))
	l.eventually("closed", l.allClosed)
	require.Equal(t, "low", l.level(), "a level that a human lowered during the hold was changed")
	require.Equal(t, "always", l.sim.BotDetection()["challenge_password_policy"], "a policy that a human raised during the hold was changed")
	require.Equal(t, l.human.botDetection["challenge_password_reset_policy"], l.sim.BotDetection()["challenge_password_reset_policy"], "a field nobody touched was not restored")
	require.Equal(t, "when_risky", l.sim.BotDetection()["challenge_passwordless_policy"], "a policy that a human set to what was held was changed")
	require.Empty(t, l.sim.NetworkACLs())
	require.Regexp(t, "lowered from high to low by somebody else|bot_detection_level was set to low by administrator@corp.example", l.told())
}
