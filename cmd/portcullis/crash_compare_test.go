package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
	"portcullis/internal/journal"
	"portcullis/logstream"
)

// crashResult is what a run has left behind.
type crashResult struct {
	alerts    []string       // as finally told, without their ids, sorted
	repeats   int            // deeds that say once more that an alert opened, and findings that say what another said
	unopened  int            // alerts of which no deed says that they opened
	unfound   int            // transitions of these that are no finding
	announced map[string]int // by incident and severity
	journaled int            // events in the journal
	distinct  int
	counted   int64 // events the engine has evaluated over all lives
	late      int64
	ids       map[string]bool // of the events in the journal
}

// result reads the store of a run whose daemon has ended.
func (r *crashRun) result() crashResult {
	t, ctx := r.t, r.t.Context()
	t.Helper()
	j, err := journal.Open(ctx, journal.Options{Dir: filepath.Join(r.dir, "data")})
	require.NoError(t, err)
	defer func() { require.NoError(t, j.Close()) }()
	require.NoError(t, j.VerifyDeeds(ctx))
	res := crashResult{announced: map[string]int{}}

	last := map[string]detections.Alert{}
	opened := map[string]bool{}
	require.NoError(t, j.ReadDeeds(ctx, crashTenant, func(_ uint64, _ time.Time, doc json.RawMessage) error {
		var d struct {
			Kind       string
			Transition detections.Transition
			Alert      detections.Alert
		}
		if err := json.Unmarshal(doc, &d); err != nil || d.Kind != "alert" {
			return err
		}
		last[d.Alert.ID] = d.Alert
		if d.Transition == detections.Opened {
			if opened[d.Alert.ID] {
				res.repeats++
			}
			opened[d.Alert.ID] = true
		}
		return nil
	}))
	res.unopened = len(last) - len(opened)
	found := map[string]bool{}
	require.NoError(t, readFindings(ctx, j, crashTenant, func(c detections.Change) error {
		if found[c.ID()] {
			res.repeats++
		}
		found[c.ID()] = true
		return nil
	}))
	for id := range last {
		for _, tr := range []detections.Transition{detections.Opened, detections.Resolved} {
			c := detections.Change{Transition: tr, Alert: detections.Alert{ID: id}}
			if !found[c.ID()] && (tr == detections.Opened || last[id].ResolvedAt != nil) {
				res.unfound++
			}
		}
	}
	for _, a := range last {
		res.alerts = append(res.alerts, crashAlertText(t, a))
	}
	slices.Sort(res.alerts)

	res.ids = map[string]bool{}
	require.NoError(t, j.ReplayBundles(ctx, crashTenant, 0, time.Time{}, func(b journal.Bundle) error {
		for _, raw := range b.Events {
			ev, err := logstream.Decode(raw)
			if err != nil {
				return err
			}
			res.ids[ev.ID] = true
			res.journaled++
		}
		return nil
	}))
	res.distinct = len(res.ids)
	stats := r.engineStats(j)
	res.counted, res.late = stats.Events, stats.Late
	r.readReports(&res)
	return res
}

// crashAlertText is an alert by its content. Its id tells when it was first seen,
// which depends on the order of arrival, and its responses hang on the incident.
func crashAlertText(t *testing.T, a detections.Alert) string {
	t.Helper()
	a.ID, a.Responses = "", nil
	text, err := json.Marshal(a)
	require.NoError(t, err)
	return string(text)
}

// engineStats reads what the engine had counted when the daemon was stopped.
func (r *crashRun) engineStats(j *journal.Journal) detections.Stats {
	t := r.t
	t.Helper()
	in, found, err := j.GetSnapshot(t.Context(), "tenant/"+crashTenant)
	require.NoError(t, err)
	require.True(t, found, "a clean stop left no snapshot")
	defer in.Close()
	_, content, err := load(filepath.Join(r.dir, crashConfig))
	require.NoError(t, err)
	e, err := detections.NewEngine(crashTenant, content.Rules, detections.Options{Unique: true})
	require.NoError(t, err)
	state := e.Restoration()
	require.NoError(t, readFrames(in, func(f frame) error {
		if f.kind != frameEngine {
			return nil
		}
		return state.Part(f.body)
	}))
	require.NoError(t, state.Finish())
	return e.Stats()
}

// readReports counts how often each incident was announced at each severity.
func (r *crashRun) readReports(res *crashResult) {
	f, err := os.Open(filepath.Join(r.dir, crashReports))
	require.NoError(r.t, err)
	defer f.Close()
	dec := json.NewDecoder(bufio.NewReader(f))
	for {
		var rep crashReport
		err := dec.Decode(&rep)
		if err == io.EOF {
			return
		}
		require.NoError(r.t, err)
		if rep.Broadcast {
			res.announced[rep.Incident+" "+string(rep.Severity)]++
		}
	}
}

// crashDifference lists what only one of two sorted lists has.
func crashDifference(a, b []string) (onlyA, onlyB []string) {
	for len(a) > 0 || len(b) > 0 {
		order := 0
		switch {
		case len(a) == 0:
			order = 1
		case len(b) == 0:
			order = -1
		default:
			order = cmp.Compare(a[0], b[0])
		}
		switch {
		case order < 0:
			onlyA, a = append(onlyA, a[0]), a[1:]
		case order > 0:
			onlyB, b = append(onlyB, b[0]), b[1:]
		default:
			a, b = a[1:], b[1:]
		}
	}
	return onlyA, onlyB
}
