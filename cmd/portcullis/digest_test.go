package main

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/logstream"
)

func TestTheDigestSaysHowATenantStands(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	letters, err := logstream.OpenDeadLetter(filepath.Join(t.TempDir(), "dead.jsonl"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, letters.Close()) })
	d := &daemon{log: log, letters: letters, opts: daemonOptions{now: time.Now}}
	d.tenants = []*tenant{{name: "acme", daemon: d, log: log.With("tenant", "acme"), monitors: map[string]*logstream.FeedMonitor{}}}
	d.digest()
	require.Contains(t, out.String(), "msg=digest tenant=acme feed=blind unreadable=0")
	require.Contains(t, out.String(), "not guarded: recovering")
}
