package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	token = "0123456789abcdef0123456789abcdef" // of the listener and of the log stream
	path  = "/logs/live"
)

// tenant is the simulated tenant beside the daemons.
type tenant struct{ url, domain, client, secret string }

var tenantLines = regexp.MustCompile(`(?s)domain: (\S+).*base_url: (\S+).*client_id: (\S+).*SIMULATED_SECRET=(\S+)`)

// startTenant runs a tenant without any traffic of its own.
func (b *bench) startTenant(ctx context.Context) (stop func(), err error) {
	cmd := exec.CommandContext(ctx, b.binary, "simulate", "--listen", "127.0.0.1:0", "--calm-rate", "-1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the simulated tenant: %w", err)
	}
	stop = func() { _, _ = cmd.Process.Kill(), cmd.Wait() }
	var text strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		text.WriteString(lines.Text() + "\n")
		if m := tenantLines.FindStringSubmatch(text.String()); m != nil {
			b.tenant = tenant{url: m[2], domain: m[1], client: m[3], secret: m[4]}
			return stop, nil
		}
	}
	stop()
	return nil, fmt.Errorf("start the simulated tenant: it said only %q", text.String())
}

// store makes a folder with a configuration for an empty store. rules is the
// text of rules beside the catalog, or nothing.
func (b *bench) store(rules string) (dir string, err error) {
	b.stores++
	dir = filepath.Join(b.dir, strconv.Itoa(b.stores))
	config := fmt.Sprintf(`store: {dir: data}
http: {listen: "127.0.0.1:0", token_file: token}
tenants:
  - name: live
    domain: %s
    base_url: %s
    client_id: %s
    client_secret_file: secret
    mode: observe
    logs: {webhook: {path: %s, token_file: token}}
`, b.tenant.domain, b.tenant.url, b.tenant.client, path)
	files := map[string]string{"token": token, "secret": b.tenant.secret}
	if rules != "" {
		config += "rules: {dirs: [rules.yaml]}\n"
		files["rules.yaml"] = rules
	}
	files["portcullis.yaml"] = config
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// daemon is a running portcullis.
type daemon struct {
	cmd   *exec.Cmd
	url   string
	ready time.Duration // from before the process began until /readyz said 200
	http  *http.Client
	lines chan line // what it logs from then on; closed at its end
	tail  tail
	ended chan error

	refused atomic.Int64 // posts answered with a 503 or 429
}

// line is one line of the log, and when it was read.
type line struct {
	Msg     string `json:"msg"`
	Level   string `json:"level"`
	Text    string `json:"text"`
	Address string `json:"address"`
	Events  int    `json:"events_replayed"`
	read    time.Time
}

// tail keeps the last lines for error messages.
type tail struct {
	mu   sync.Mutex
	last []string
}

func (t *tail) add(s string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last = append(t.last, s[:min(len(s), 300)]); len(t.last) > 5 {
		t.last = t.last[1:]
	}
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.last, "\n")
}

// daemon starts one on a store and waits until it is ready. It may use as many
// connections at once as asked for.
func (b *bench) daemon(ctx context.Context, dir string, connections int) (*daemon, error) {
	d := &daemon{lines: make(chan line, 1<<16), ended: make(chan error, 1)}
	d.http = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections + 1, DisableCompression: true}}
	d.cmd = exec.CommandContext(ctx, b.binary, "run", "--config", filepath.Join(dir, "portcullis.yaml"), "--log-format", "json")
	msgs, err := d.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := d.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the daemon: %w", err)
	}
	address := make(chan string, 1)
	go d.read(msgs, address)
	select {
	case a := <-address:
		d.url = "http://" + a
	case err := <-d.ended:
		return nil, fmt.Errorf("the daemon ended: %w\n%s", err, &d.tail)
	}
	for {
		if resp, err := d.http.Get(d.url + "/readyz"); err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				d.ready = time.Since(began)
				return d, nil
			}
		}
		select {
		case err := <-d.ended:
			return nil, fmt.Errorf("the daemon ended: %w\n%s", err, &d.tail)
		case <-time.After(time.Millisecond):
		}
	}
}

// read passes on what the daemon logs, and then its end.
func (d *daemon) read(msgs io.Reader, address chan<- string) {
	d.scan(msgs, address)
	d.ended <- d.cmd.Wait()
}

// scan passes lines on as they come, and to address where the daemon listens.
func (d *daemon) scan(msgs io.Reader, address chan<- string) {
	in := bufio.NewScanner(msgs)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		l := line{read: time.Now()}
		d.tail.add(in.Text())
		if json.Unmarshal(in.Bytes(), &l) != nil {
			continue
		}
		if l.Msg == "listening" {
			address <- l.Address
		}
		select {
		case d.lines <- l:
		default: // nobody reads them in this part
		}
	}
	close(d.lines)
}

// kill ends the process as a crash does.
func (d *daemon) kill() {
	_ = d.cmd.Process.Kill()
	<-d.ended
	d.http.CloseIdleConnections()
}

// stop ends the process as an operator does.
func (d *daemon) stop() error {
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	err := <-d.ended
	d.http.CloseIdleConnections()
	if err != nil {
		return fmt.Errorf("the daemon did not stop cleanly: %w\n%s", err, &d.tail)
	}
	return nil
}

// post sends one body as a log stream does: again when it is asked to wait. It
// returns when the events are journaled and evaluated.
func (d *daemon) post(ctx context.Context, body []byte) error {
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url+path, bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/jsonlines")
		resp, err := d.http.Do(req)
		if err != nil {
			return fmt.Errorf("post events: %w", err)
		}
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		resp.Body.Close()
		wait, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		switch {
		case resp.StatusCode == http.StatusOK:
			return nil
		case resp.StatusCode != http.StatusServiceUnavailable && resp.StatusCode != http.StatusTooManyRequests || err != nil:
			return fmt.Errorf("post events: %s: %s\n%s", resp.Status, strings.TrimSpace(string(text)), &d.tail)
		}
		d.refused.Add(1)
		if err := until(ctx, time.Now().Add(time.Duration(wait)*time.Second)); err != nil {
			return err
		}
	}
}

// get reads a page of the listener.
func (d *daemon) get(ctx context.Context, page string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url+page, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := d.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", page, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", page, err)
	}
	return text, nil
}

// metrics are the samples of /metrics, by name and labels as they stand there.
type metrics map[string]float64

func (d *daemon) metrics(ctx context.Context) (metrics, error) {
	text, err := d.get(ctx, "/metrics")
	if err != nil {
		return nil, err
	}
	return parseMetrics(string(text)), nil
}

func parseMetrics(text string) metrics {
	m := metrics{}
	for l := range strings.Lines(text) {
		l = strings.TrimSpace(l)
		if at := strings.LastIndexByte(l, ' '); at > 0 && !strings.HasPrefix(l, "#") {
			if v, err := strconv.ParseFloat(l[at+1:], 64); err == nil {
				m[l[:at]] = v
			}
		}
	}
	return m
}

func (m metrics) cpu() float64    { return m["process_cpu_seconds_total"] }
func (m metrics) memory() float64 { return m["process_resident_memory_bytes"] }
