package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"portcullis/internal/tenantsim"
)

const (
	crashToken  = "a-token-for-the-log-stream"
	crashAdmin  = "a-token-for-the-metrics"
	crashTenant = "crash"
)

// crashRule makes an alert of what calm users do often, so that at any instant
// some alert opens or resolves.
const crashRule = `
id: newcomer
title: A name that is not known here yet
severity: low
campaign: newcomers
where: type in ["ss", "sv", "fu"]
group_by: [ip]
window: 2m
having: count() >= 1
quiet: 1m
`

// crashRun is one run of the daemon, over as many lives as it is given.
type crashRun struct {
	t     *testing.T
	dir   string
	base  string // of the daemon's listener
	sim   *tenantsim.Tenant
	hc    *http.Client
	env   string
	rng   *rand.Rand
	began time.Time

	cmd  *exec.Cmd
	died chan struct{} // closed when cmd has ended

	kills   atomic.Int64
	early   int           // kills before the daemon was ready
	killed  chan struct{} // gets a value after each kill, if there is room
	refused atomic.Int64  // posts that had to be sent again
	events  int
	again   int // events that the webhook brought a second time
	starts  []time.Duration
}

func newCrashRun(t *testing.T, now time.Time, snapshotEvents int) *crashRun {
	t.Helper()
	r := &crashRun{t: t, dir: t.TempDir(), hc: &http.Client{Timeout: 10 * time.Second}, rng: rand.New(rand.NewPCG(5, 9)),
		killed: make(chan struct{}, 1), began: time.Now()}
	r.sim = tenantsim.New(tenantsim.Options{Start: crashStart, Speed: -1, CalmRate: -1, RateBurst: -1})
	srv := httptest.NewServer(r.sim.Handler())
	t.Cleanup(srv.Close)
	ln, err := net.Listen("tcp", "127.0.0.1:0") // every life listens where the first did
	require.NoError(t, err)
	address := ln.Addr().String()
	require.NoError(t, ln.Close())
	r.base = "http://" + address
	env, err := json.Marshal(crashSettings{Dir: r.dir, Now: now, SnapshotEvents: snapshotEvents})
	require.NoError(t, err)
	r.env = string(env)
	require.NoError(t, os.Mkdir(filepath.Join(r.dir, "rules"), 0o700))
	for name, text := range map[string]string{
		"rules/newcomer.yaml": crashRule,
		"secret":              tenantsim.DefaultClientSecret, "hook": crashToken, "admin": crashAdmin,
		crashConfig: fmt.Sprintf(`
store: {dir: ./data}
http: {listen: %q, token_file: ./admin}
tenants:
  - name: %s
    domain: %s
    base_url: %s
    client_id: %s
    client_secret_file: ./secret
    mode: observe
    logs:
      poll: {start: beginning}
      webhook: {path: /logs/crash, token_file: ./hook}
rules: {dirs: [./rules]}
`, address, crashTenant, r.sim.Domain(), srv.URL, tenantsim.DefaultClientID),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600))
	}
	t.Cleanup(func() {
		if r.cmd != nil {
			_ = r.cmd.Process.Kill()
			<-r.died
		}
	})
	return r
}

// start begins a life.
func (r *crashRun) start() {
	log, err := os.OpenFile(filepath.Join(r.dir, crashLog), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	require.NoError(r.t, err)
	r.cmd = exec.Command(os.Args[0], "-test.run=^TestCrashChild$")
	r.cmd.Env = append(os.Environ(), childEnv+"=", crashEnv+"="+r.env)
	r.cmd.Stdout, r.cmd.Stderr = log, log
	require.NoError(r.t, r.cmd.Start())
	died := make(chan struct{})
	r.died = died
	cmd := r.cmd
	go func() {
		_ = cmd.Wait() // who stops it looks at the state
		log.Close()
		close(died)
	}()
}

// ready waits until the daemon guards, at most so long and not beyond its death.
func (r *crashRun) ready(most time.Duration) bool {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	end := time.After(most)
	for {
		if resp, err := r.hc.Get(r.base + "/readyz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return true
			}
		}
		select {
		case <-tick.C:
		case <-end:
			return false
		case <-r.died:
			return false
		}
	}
}

// kill ends a life at once, as kill -9 does.
func (r *crashRun) kill() {
	_ = r.cmd.Process.Kill()
	<-r.died
	require.True(r.t, r.cmd.ProcessState.Sys().(syscall.WaitStatus).Signaled(), "the daemon ended by itself:\n%s", r.log())
	r.kills.Add(1)
	select {
	case r.killed <- struct{}{}:
	default:
	}
}

// stop ends the last life as SIGTERM does.
func (r *crashRun) stop() {
	require.NoError(r.t, r.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-r.died:
	case <-time.After(30 * time.Second):
		r.t.Fatalf("the daemon does not stop:\n%s", r.log())
	}
	require.True(r.t, r.cmd.ProcessState.Success(), "the daemon stopped with %s:\n%s", r.cmd.ProcessState, r.log())
	r.cmd = nil
}

// log is the end of what the daemon logged.
func (r *crashRun) log() string {
	data, _ := os.ReadFile(filepath.Join(r.dir, crashLog))
	return string(data[max(0, len(data)-8000):])
}

// lives starts the daemon and kills it, so many times, and leaves it running.
// Each fourth life ends while the daemon starts and recovers, the others some time
// after it was ready.
func (r *crashRun) lives(kills int) {
	usual := 100 * time.Millisecond
	for n := range kills {
		r.start()
		if n%4 == 3 {
			select {
			case <-time.After(time.Duration(r.rng.Int64N(int64(usual)))):
			case <-r.died:
			}
			r.early++
			r.kill()
			continue
		}
		began := time.Now()
		require.True(r.t, r.ready(30*time.Second), "life %d of the daemon is not ready:\n%s", n, r.log())
		usual = time.Since(began)
		r.starts = append(r.starts, usual)
		select {
		case <-time.After(time.Duration(r.rng.Int64N(int64(250 * time.Millisecond)))):
		case <-r.died:
		}
		r.kill()
	}
	r.start()
	require.True(r.t, r.ready(30*time.Second), "the last life of the daemon is not ready:\n%s", r.log())
}

// send brings all groups, by poll and webhook, in step with the kills: each life
// has its share to do.
func (r *crashRun) send(ctx context.Context, groups []crashGroup, kills int) error {
	format := 0
	for i, g := range groups {
		for int(r.kills.Load()) < i*kills/len(groups) {
			select {
			case <-r.killed:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		show := func() {
			for _, ev := range g.happen {
				r.sim.Inject(ev.data)
			}
			r.sim.Advance(g.end.Sub(r.sim.Now()))
			r.events += len(g.happen)
		}
		pollFirst := i%2 == 0
		if pollFirst {
			show()
		}
		posts, posting := errgroup.WithContext(ctx)
		posts.SetLimit(3)
		for n, b := range g.batches {
			format := format + n
			r.again += len(b)
			posts.Go(func() error { return r.post(posting, b, format) })
		}
		format += len(g.batches)
		if err := posts.Wait(); err != nil {
			return err
		}
		if !pollFirst {
			show()
		}
	}
	r.again -= r.events
	return nil
}

// post sends a batch until it is acknowledged.
func (r *crashRun) post(ctx context.Context, batch []crashEvent, format int) error {
	body, gzipped := crashBody(batch, format)
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.base+"/logs/crash", bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", crashToken)
		if gzipped {
			req.Header.Set("Content-Encoding", "gzip")
		}
		resp, err := r.hc.Do(req)
		if err == nil {
			text, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			switch resp.StatusCode {
			case http.StatusOK:
				return nil
			case http.StatusServiceUnavailable:
			default:
				return fmt.Errorf("%s: %s", resp.Status, text)
			}
		}
		r.refused.Add(1)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// metric reads one value of the daemon's metrics; false while there is none.
func (r *crashRun) metric(name string) (float64, bool) {
	req, err := http.NewRequest(http.MethodGet, r.base+"/metrics", nil)
	require.NoError(r.t, err)
	req.Header.Set("Authorization", "Bearer "+crashAdmin)
	resp, err := r.hc.Do(req)
	if err != nil {
		return 0, false
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, false
	}
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + `(?:\{[^}]*\})? (\S+)$`).FindSubmatch(text)
	if m == nil {
		return 0, false
	}
	v, err := strconv.ParseFloat(string(m[1]), 64)
	return v, err == nil
}

// play sends everything over so many kills, waits until the poll has read to the
// end and every alert had time to resolve, and stops the daemon.
func (r *crashRun) play(groups []crashGroup, kills int) {
	ctx, cancel := context.WithCancel(r.t.Context())
	defer cancel()
	var sending sync.WaitGroup
	var err error
	sending.Go(func() { err = r.send(ctx, groups, kills) })
	defer sending.Wait()
	defer cancel()
	r.lives(kills)
	sending.Wait()
	require.NoError(r.t, err, r.log())
	r.sim.Advance(crashQuiet)
	settled := float64(r.sim.Now().Add(-3 * time.Minute).Unix())
	require.Eventually(r.t, func() bool {
		watermark, ok := r.metric("portcullis_engine_watermark_seconds")
		return ok && watermark >= settled
	}, 60*time.Second, 20*time.Millisecond, "the poll never caught up")
	r.stop()
}
