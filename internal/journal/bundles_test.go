package journal

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func replayBundles(t *testing.T, j *Journal, tenant string, after uint64, since time.Time) (got []Bundle) {
	t.Helper()
	require.NoError(t, j.ReplayBundles(t.Context(), tenant, after, since, func(b Bundle) error {
		require.Less(t, after, b.Seq)
		for i, event := range b.Events {
			b.Events[i] = append([]byte(nil), event...)
		}
		b.Events = append([][]byte(nil), b.Events...)
		got = append(got, b)
		return nil
	}))
	return got
}

func TestABundleKeepsWhatItSaysOfItself(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir})
	arrived := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	bundles := []Bundle{
		{Arrived: arrived, Clock: arrived.Add(-time.Minute), Source: "poll", Events: lines(3)},
		{Arrived: arrived.Add(time.Second), Source: "webhook", Events: lines(1)},
		{Arrived: arrived.Add(2 * time.Second), Clock: time.UnixMilli(0).UTC(), Events: lines(2)},
		{Arrived: arrived.Add(3 * time.Second), Clock: time.Date(1960, 1, 1, 0, 0, 0, 999_999_999, time.UTC), Events: lines(2)},
	}
	for i := range bundles {
		seq, err := j.AppendBundle(t.Context(), "acme", bundles[i])
		require.NoError(t, err)
		bundles[i].Seq = seq
		bundles[i].Clock = bundles[i].Clock.Truncate(time.Millisecond)
		_, err = j.AppendBundle(t.Context(), "other", Bundle{Events: lines(1)})
		require.NoError(t, err)
	}
	require.Equal(t, bundles, replayBundles(t, j, "acme", 0, time.Time{}))
	require.NoError(t, j.Close())
	j = open(t, Options{Dir: dir})
	require.Equal(t, bundles, replayBundles(t, j, "acme", 0, time.Time{}))
}

func TestEveryPieceOfABundleCarriesItsHeaders(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	now := time.Now().UTC().Truncate(time.Millisecond)
	var events [][]byte
	for i := range 30 {
		events = append(events, fmt.Appendf(nil, "%d%s", i, strings.Repeat(" ", 100_000)))
	}
	last, err := j.AppendBundle(t.Context(), "acme", Bundle{Arrived: now, Clock: now.Add(-time.Hour), Source: "file", Events: events})
	require.NoError(t, err)
	got := replayBundles(t, j, "acme", 0, time.Time{})
	require.Greater(t, len(got), 3)
	n := 0
	for _, b := range got {
		n += len(b.Events)
		require.Equal(t, []any{now, now.Add(-time.Hour), "file"}, []any{b.Arrived, b.Clock, b.Source})
	}
	require.Equal(t, len(events), n)
	require.Equal(t, last, got[len(got)-1].Seq)
}

func TestBundlesThatCannotBeKept(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	for name, b := range map[string]Bundle{
		"a source that is long":            {Source: strings.Repeat("s", maxSource+1)},
		"a source with a line break":       {Source: "poll\r\nX: y"},
		"a source with blanks around":      {Source: " poll"},
		"an arrival that no clock can say": {Arrived: time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		t.Run(name, func(t *testing.T) {
			b.Events = lines(1)
			_, err := j.AppendBundle(t.Context(), "acme", b)
			require.ErrorIs(t, err, ErrInvalid)
		})
	}
	require.Empty(t, replayBundles(t, j, "acme", 0, time.Time{}))
}

func TestReplayBeginsAfterAPosition(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	base := time.Now().Add(-time.Hour)
	var seqs []uint64
	for i := range 6 {
		seq, err := j.AppendBundle(t.Context(), "acme", Bundle{Arrived: base.Add(time.Duration(i) * time.Minute), Events: lines(1)})
		require.NoError(t, err)
		_, err = j.AppendBundle(t.Context(), "other", Bundle{Events: lines(1)})
		require.NoError(t, err)
		seqs = append(seqs, seq)
	}
	for name, test := range map[string]struct {
		after uint64
		since time.Time
		want  []uint64
	}{
		"the stream's start":                     {0, time.Time{}, seqs},
		"a position":                             {seqs[2], time.Time{}, seqs[3:]},
		"a position of another tenant":           {seqs[2] + 1, time.Time{}, seqs[3:]},
		"the last position":                      {seqs[5], time.Time{}, nil},
		"a position past the end":                {1000, time.Time{}, nil},
		"a position and an earlier time":         {seqs[2], base, seqs[3:]},
		"a position and a later time":            {seqs[2], base.Add(5 * time.Minute), seqs[5:]},
		"a time alone":                           {0, base.Add(4 * time.Minute), seqs[4:]},
		"a position and a time that has to come": {seqs[2], time.Now().Add(time.Hour), nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []uint64
			for _, b := range replayBundles(t, j, "acme", test.after, test.since) {
				got = append(got, b.Seq)
			}
			require.Equal(t, test.want, got)
		})
	}
}

func TestATimeLaterThanAPositionIsWhereReadingEnters(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	for range 3 {
		_, err := j.AppendBundle(t.Context(), "acme", Bundle{Events: lines(1)})
		require.NoError(t, err)
	}
	second, err := j.session.events.GetMsg(t.Context(), 2)
	require.NoError(t, err)
	for after, want := range map[uint64]uint64{1: 0, 2: 3} {
		late := second.Time.Add(time.Nanosecond)
		cfg, err := startOf(t.Context(), j.session.events, span{subject: "events.*", after: after, storedAt: late})
		require.NoError(t, err)
		require.Equal(t, want, cfg.OptStartSeq)
		require.Equal(t, want == 0, cfg.OptStartTime != nil)
	}
}

func TestArrivalsOfAClockThatRunsAheadAreFound(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir})
	ahead := time.Now().Add(30 * 24 * time.Hour).UTC()
	_, err := j.AppendBundle(t.Context(), "acme", Bundle{Arrived: ahead, Events: lines(1)})
	require.NoError(t, err)
	_, err = j.AppendBundle(t.Context(), "acme", Bundle{Arrived: ahead.Add(-24 * time.Hour), Events: lines(1)})
	require.NoError(t, err)
	for range 2 {
		got := replayBundles(t, j, "acme", 0, ahead)
		require.Len(t, got, 1)
		require.Equal(t, ahead, got[0].Arrived)
		require.Len(t, replayBundles(t, j, "acme", 0, ahead.Add(-25*time.Hour)), 2)
		require.Empty(t, replayBundles(t, j, "acme", 0, ahead.Add(1)))
		require.NoError(t, j.Close())
		j = open(t, Options{Dir: dir})
	}
	// Entering the stream by its own time would have passed over both.
	storedAt, err := j.session.storedSince(t.Context(), ahead)
	require.NoError(t, err)
	require.True(t, storedAt.Before(time.Now()))
	_, err = j.AppendBundle(t.Context(), "acme", Bundle{Arrived: time.Date(2261, 1, 1, 0, 0, 0, 0, time.UTC), Events: lines(1)})
	require.NoError(t, err)
	require.Len(t, replayBundles(t, j, "acme", 0, time.Date(2260, 1, 1, 0, 0, 0, 0, time.UTC)), 1)
}

func TestTheOldestPositionShowsWhatRetentionDropped(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir(), MaxEventsBytes: 100_000, NoSync: true})
	_, _, ok, err := j.EventsFirst(t.Context(), "acme")
	require.NoError(t, err)
	require.False(t, ok)
	base := time.Now().Add(-time.Hour).UTC()
	appendOne := func(tenant string, i int) uint64 {
		seq, err := j.AppendBundle(t.Context(), tenant, Bundle{Arrived: base.Add(time.Duration(i) * time.Second), Events: [][]byte{make([]byte, 10_000)}})
		require.NoError(t, err)
		return seq
	}
	appendOne("other", 0)
	first := appendOne("acme", 1)
	read := appendOne("acme", 2)
	seq, arrived, ok, err := j.EventsFirst(t.Context(), "acme")
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, first, seq)
	require.Equal(t, base.Add(time.Second), arrived)
	for i := range 20 {
		appendOne("acme", 3+i)
	}
	seq, arrived, ok, err = j.EventsFirst(t.Context(), "acme")
	require.NoError(t, err)
	require.True(t, ok)
	require.Greater(t, seq, read+1)
	require.True(t, arrived.After(base.Add(3*time.Second)))
	require.Equal(t, seq, replayBundles(t, j, "acme", read, time.Time{})[0].Seq)
	_, _, ok, err = j.EventsFirst(t.Context(), "other")
	require.NoError(t, err)
	require.False(t, ok)
}

func TestStatsTellWhatEachStreamHolds(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	before := time.Now().Add(-time.Second)
	for range 3 {
		_, err := j.AppendBundle(t.Context(), "acme", Bundle{Events: lines(10)})
		require.NoError(t, err)
	}
	_, err := j.AppendDeed(t.Context(), "acme", "", "done")
	require.NoError(t, err)
	kv, err := j.KV(t.Context(), "holds")
	require.NoError(t, err)
	require.NoError(t, kv.Put(t.Context(), "a", []byte("1")))
	putSnapshot(t, j, "engine", snapshot(1, 2*chunkBytes))
	stats, err := j.Stats(t.Context())
	require.NoError(t, err)
	messages := map[string]uint64{}
	for _, s := range stats {
		messages[s.Name] = s.Messages
		if s.Messages == 0 {
			require.True(t, s.First.IsZero() && s.Last.IsZero())
			continue
		}
		require.NotZero(t, s.Bytes)
		require.True(t, s.First.After(before) && !s.Last.Before(s.First))
	}
	require.Equal(t, map[string]uint64{"events": 3, "findings": 0, "deeds": 1, "KV_holds": 1, "KV_journal": 2, "OBJ_snapshots": 3}, messages)
}

func TestFindingsAndDeedsGrowOldOnlyWhereItIsAskedFor(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir})
	for range 3 {
		_, err := j.AppendDeed(t.Context(), "acme", "", "old")
		require.NoError(t, err)
		_, err = j.AppendFinding(t.Context(), "acme", "", "old")
		require.NoError(t, err)
	}
	require.NoError(t, j.Close())
	aged := Options{Dir: dir, MaxDeedsAge: 300 * time.Millisecond, MaxFindingsAge: 300 * time.Millisecond}
	j = open(t, aged)
	_, err := j.AppendDeed(t.Context(), "acme", "", "new")
	require.NoError(t, err)
	gone := func(streams ...string) bool {
		stats, err := j.Stats(t.Context())
		require.NoError(t, err)
		for _, s := range stats {
			if (s.Name == streams[0] || s.Name == streams[1]) && s.Messages > 0 {
				return false
			}
		}
		return true
	}
	require.Eventually(t, func() bool { return gone(deedsStream, findingsStream) }, 10*time.Second, 50*time.Millisecond)
	require.NoError(t, j.VerifyDeeds(t.Context()), "all that is left is whole")
	require.NoError(t, j.Close())

	// The chain goes on over the gap, be the age bounded still or not.
	for _, opts := range []Options{aged, {Dir: dir}} {
		j = open(t, opts)
		_, err = j.AppendDeed(t.Context(), "acme", "", "later")
		require.NoError(t, err)
		require.NoError(t, j.VerifyDeeds(t.Context()))
		require.NoError(t, j.Close())
	}
	j = open(t, Options{Dir: dir})
	require.NoError(t, j.VerifyDeeds(t.Context()))
	last, err := j.session.lastLink(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 6, last.Seq)
}

func TestFindingsAndDeedsGiveRoomOnlyWhereItIsAskedFor(t *testing.T) {
	opts := Options{Dir: t.TempDir(), MaxDeedsBytes: 100_000, MaxFindingsBytes: 100_000, NoSync: true}
	j := open(t, opts)
	for range 30 {
		text := strings.Repeat("x", 10_000)
		_, err := j.AppendDeed(t.Context(), "acme", "", text)
		require.NoError(t, err)
		_, err = j.AppendFinding(t.Context(), "acme", "", text)
		require.NoError(t, err)
	}
	for range 2 {
		stats, err := j.Stats(t.Context())
		require.NoError(t, err)
		for _, s := range stats {
			if s.Name == deedsStream || s.Name == findingsStream {
				require.LessOrEqual(t, s.Bytes, uint64(100_000))
				require.Greater(t, s.Messages, uint64(5), "the oldest went and no more")
			}
		}
		require.NoError(t, j.VerifyDeeds(t.Context()), "what is left is whole")
		require.NoError(t, j.Close())
		j = open(t, opts)
	}
}

func TestALimitOfTheStoreRefusesAndDropsNothing(t *testing.T) {
	dir := t.TempDir()
	opts := Options{Dir: dir, MaxStoreBytes: 3 << 20, MaxEventsBytes: 1 << 20, NoSync: true}
	j := open(t, opts)
	var err error
	deeds := 0
	for ; err == nil && deeds < 1000; deeds++ {
		_, err = j.AppendDeed(t.Context(), "acme", "", strings.Repeat("x", 20_000))
	}
	deeds--
	require.ErrorIs(t, err, ErrFull)
	require.ErrorContains(t, err, "the store in "+dir+" has reached its limit of 3 MiB")
	require.ErrorIs(t, j.PutSnapshot(t.Context(), "engine", strings.NewReader("x")), ErrFull)
	_, err = j.AppendFinding(t.Context(), "acme", "", "x")
	require.ErrorIs(t, err, ErrFull)
	n, err := storedDeeds(t, j)
	require.NoError(t, err)
	require.Equal(t, deeds, n)
	require.NoError(t, j.VerifyDeeds(t.Context()))
	require.NoError(t, j.Close())

	opts.MaxStoreBytes = 0
	j = open(t, opts)
	_, err = j.AppendDeed(t.Context(), "acme", "", "with more room")
	require.NoError(t, err)
	require.NoError(t, j.VerifyDeeds(t.Context()))
	require.NoError(t, j.Close())

	_, err = Open(t.Context(), Options{Dir: dir, MaxStoreBytes: 1 << 20, MaxEventsBytes: 1 << 20})
	require.ErrorIs(t, err, ErrInvalid)
}

func TestAJournalFileThatWasCutIsRefused(t *testing.T) {
	for _, stream := range []string{eventsStream, deedsStream} {
		t.Run(stream, func(t *testing.T) {
			dir := t.TempDir()
			j := open(t, Options{Dir: dir})
			for range 10 {
				_, err := j.AppendBundle(t.Context(), "acme", Bundle{Events: lines(5)})
				require.NoError(t, err)
				_, err = j.AppendDeed(t.Context(), "acme", "", "done")
				require.NoError(t, err)
			}
			require.NoError(t, j.Close())
			truncateBlocks(t, filepath.Join(dir, "jetstream", "$G", "streams", stream, "msgs"))
			_, err := Open(t.Context(), Options{Dir: dir})
			require.ErrorIs(t, err, ErrDamaged)
			require.ErrorContains(t, err, "10 was written and is missing: restore the directory from a backup")
		})
	}
}

func FuzzBundle(f *testing.F) {
	f.Add([]byte("{}\n{\"a\":1}"))
	f.Add([]byte("\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		raws := split(data)
		if len(data) > 0 && data[len(data)-1] != '\n' {
			require.Equal(t, data, bytes.Join(raws, []byte{'\n'}))
		}
		for _, raw := range raws {
			require.NotContains(t, string(raw), "\n")
			require.Equal(t, len(raw), cap(raw[:len(raw):len(raw)]))
		}
	})
}
