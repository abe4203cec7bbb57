package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"portcullis/detections"
	"portcullis/responders"
)

// crashEnv makes the test binary the daemon of a crash test.
const crashEnv = "PORTCULLIS_TEST_CRASH"

// crashSettings is what the child is told.
type crashSettings struct {
	Dir            string
	Now            time.Time // its clock stands still, after the last event
	SnapshotEvents int
}

// The files of a crash test, beside the store.
const (
	crashConfig  = "portcullis.yaml"
	crashReports = "reports.jsonl" // what people were told, over all lives
	crashLog     = "daemon.log"
)

// TestCrashChild is the daemon when the test binary runs as the child; without
// that there is nothing to do.
func TestCrashChild(*testing.T) {
	settings, ok := os.LookupEnv(crashEnv)
	if !ok {
		return
	}
	if err := crashChild(settings); err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// crashReport is what people were told of an incident, in short.
type crashReport struct {
	Incident  string
	Severity  detections.Severity
	Broadcast bool
}

// crashNotifier writes each report as a line, in one write: none is cut off by a
// kill.
type crashNotifier struct {
	mu sync.Mutex
	w  *json.Encoder
}

func (n *crashNotifier) Notify(_ context.Context, r responders.Report) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.w.Encode(crashReport{r.Incident.ID, r.Incident.Severity, r.Broadcast})
}

// crashChild runs the daemon until it is killed, or stopped by SIGTERM.
func crashChild(settings string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var s crashSettings
	if err := json.Unmarshal([]byte(settings), &s); err != nil {
		return err
	}
	cfg, content, err := load(filepath.Join(s.Dir, crashConfig))
	if err != nil {
		return err
	}
	reports, err := os.OpenFile(filepath.Join(s.Dir, crashReports), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer reports.Close()
	d, err := newDaemon(ctx, cfg, content, slog.New(slog.NewTextHandler(os.Stderr, nil)), daemonOptions{
		now: func() time.Time { return s.Now }, every: 20 * time.Millisecond, pollEvery: 10 * time.Millisecond,
		snapshotEvents: s.SnapshotEvents, notifiers: []responders.Notifier{&crashNotifier{w: json.NewEncoder(reports)}},
	})
	if err != nil {
		return err
	}
	return d.run(ctx)
}
