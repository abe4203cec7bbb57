package main

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
)

func TestEveryChangeOfAnAlertIsAFinding(t *testing.T) {
	t.Parallel()
	g := startGuard(t, t.TempDir(), daemonOptions{}, guardTenant{name: "acme", sim: quietSim("acme")})
	require.Equal(t, 200, g.post("/logs/acme", "hook-acme", failures(0, 60)))
	g.eventually("its alert is open", func() bool { return strings.Contains(g.metrics(), `open_alerts{tenant="acme"} 1`) })
	g.stopped()
	j, err := openJournal(t.Context(), g.daemon.cfg, nil)
	require.NoError(t, err)
	defer j.Close()
	seen := map[string]bool{}
	var told []string
	require.NoError(t, readFindings(t.Context(), j, "acme", func(c detections.Change) error {
		require.False(t, seen[c.ID()], c.ID())
		seen[c.ID()] = true
		require.Equal(t, "Credential stuffing from one address", c.Alert.Title)
		told = append(told, fmt.Sprint(c.Transition, " ", c.Alert.Rule, " ", c.Alert.Count))
		return nil
	}))
	require.NotEmpty(t, told)
	require.Equal(t, "opened credential-stuffing-ip 41", told[0])
}

func TestASnapshotEndsOnlyWhenWhatWasFoundBeforeIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFindings(nil)
		require.NoError(t, f.reached(t.Context(), f.mark()), "nothing was found")
		f.add(detections.Change{})
		mark, reached := f.mark(), make(chan error, 1)
		go func() { reached <- f.reached(t.Context(), mark) }()
		f.add(detections.Change{}) // after the snapshot began
		synctest.Wait()
		require.Empty(t, reached)
		f.wrote()
		require.NoError(t, <-reached)
		go func() { reached <- f.reached(t.Context(), f.mark()) }()
		synctest.Wait()
		require.Empty(t, reached)
		f.wrote()
		require.NoError(t, <-reached)
	})
}
