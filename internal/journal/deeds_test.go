package journal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDeedsAreReadPerTenantAndTogether(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir})
	require.NoError(t, j.VerifyDeeds(t.Context()), "no deeds are a chain")
	for i, tenant := range []string{"acme", "other", "acme"} {
		seq, err := j.AppendDeed(t.Context(), tenant, "", map[string]any{"n": i, "html": "<&>"})
		require.NoError(t, err)
		require.EqualValues(t, i+1, seq)
	}
	read := func(tenant string) (docs []string) {
		require.NoError(t, j.ReadDeeds(t.Context(), tenant, func(seq uint64, at time.Time, doc json.RawMessage) error {
			require.WithinDuration(t, time.Now(), at, time.Minute)
			var d struct {
				N    int
				HTML string
			}
			require.NoError(t, json.Unmarshal(doc, &d))
			docs = append(docs, fmt.Sprintf("%d:%d%s", seq, d.N, d.HTML))
			return nil
		}))
		return docs
	}
	require.Equal(t, []string{"1:0<&>", "3:2<&>"}, read("acme"))
	require.Equal(t, []string{"1:0<&>", "2:1<&>", "3:2<&>"}, read(""))
	require.NoError(t, j.VerifyDeeds(t.Context()))
}

func TestTheChainGoesOnAfterReopening(t *testing.T) {
	dir := t.TempDir()
	for range 3 {
		j := open(t, Options{Dir: dir})
		for range 3 {
			_, err := j.AppendDeed(t.Context(), "acme", "", json.RawMessage(`{ "spaced" :  "<out>" }`))
			require.NoError(t, err)
		}
		require.NoError(t, j.VerifyDeeds(t.Context()))
		require.NoError(t, j.Close())
	}
	j := open(t, Options{Dir: dir})
	require.NoError(t, j.VerifyDeeds(t.Context()))
	last, err := j.session.lastLink(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 9, last.Seq)
}

func TestADeedIsWrittenOnceForItsID(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir, MaxDeedsAge: 30 * 24 * time.Hour})
	appendDeed := func(tenant, id string) uint64 {
		t.Helper()
		seq, err := j.AppendDeed(t.Context(), tenant, id, map[string]string{"done": id})
		require.NoError(t, err)
		return seq
	}
	require.EqualValues(t, 1, appendDeed("acme", "alert 1 opened"))
	require.EqualValues(t, 2, appendDeed("acme", "alert 1 resolved"))
	require.EqualValues(t, 1, appendDeed("acme", "alert 1 opened"), "in the same life")
	require.EqualValues(t, 3, appendDeed("other", "alert 1 opened"), "of another tenant")
	require.EqualValues(t, 4, appendDeed("acme", ""))
	require.EqualValues(t, 5, appendDeed("acme", ""), "deeds without an id are all written")
	require.NoError(t, j.Close())

	j = open(t, Options{Dir: dir})
	require.EqualValues(t, 2, appendDeed("acme", "alert 1 resolved"), "after a restart")
	require.EqualValues(t, 6, appendDeed("acme", "alert 2 opened"))
	require.EqualValues(t, 1, appendDeed("acme", "alert 1 opened"))
	require.EqualValues(t, 7, appendDeed("acme", "alert 2 resolved"), "the chain goes on after one that was known")
	require.NoError(t, j.VerifyDeeds(t.Context()))
}

func TestDeedsAppendedAtOnceMakeOneChain(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() {
			for range 10 {
				if _, err := j.AppendDeed(t.Context(), fmt.Sprint("tenant-", i), "", i); err != nil {
					errs[i] = err
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.NoError(t, j.VerifyDeeds(t.Context()))
}

func TestADeedThatCannotBeWrittenAsJSONIsRefused(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	_, err := j.AppendDeed(t.Context(), "acme", "", func() {})
	require.ErrorIs(t, err, ErrInvalid)
	_, err = j.AppendDeed(t.Context(), "acme", "", strings.Repeat("x", maxPayload))
	require.ErrorIs(t, err, ErrTooLarge)
	_, err = j.AppendDeed(t.Context(), "acme", "", "fine")
	require.NoError(t, err)
	require.NoError(t, j.VerifyDeeds(t.Context()))
}

// forge publishes a record past AppendDeed, as one with access to the store could.
func forge(t *testing.T, j *Journal, tenant string, rec record) {
	t.Helper()
	data, err := json.Marshal(rec)
	require.NoError(t, err)
	_, err = j.session.js.Publish(t.Context(), subject(deedsStream, tenant), data)
	require.NoError(t, err)
}

func TestVerifyFindsWhatWasForged(t *testing.T) {
	for name, test := range map[string]struct {
		forge func(rec *record) (tenant string)
		want  string
	}{
		"a document that was changed": {func(rec *record) string { rec.Doc = json.RawMessage(`"other"`); return rec.Tenant }, "deed 3 was changed"},
		"a time that was changed":     {func(rec *record) string { rec.At = rec.At.Add(time.Second); return rec.Tenant }, "deed 3 was changed"},
		"a tenant that was changed":   {func(rec *record) string { rec.Tenant = "other"; return rec.Tenant }, "deed 3 was changed"},
		"another tenant's subject":    {func(*record) string { return "other" }, "deed 3 was changed"},
		"one that follows another": {func(rec *record) string {
			rec.Prev = strings.Repeat("0", 64)
			rec.Hash = rec.hash()
			return rec.Tenant
		}, "deed 3 does not follow"},
	} {
		t.Run(name, func(t *testing.T) {
			j := open(t, Options{Dir: t.TempDir()})
			for range 2 {
				_, err := j.AppendDeed(t.Context(), "acme", "", "done")
				require.NoError(t, err)
			}
			rec, err := newRecord("acme", "done")
			require.NoError(t, err)
			rec.Prev = j.chain.last.Hash
			rec.Hash = rec.hash()
			tenant := test.forge(&rec)
			forge(t, j, tenant, rec)
			err = j.VerifyDeeds(t.Context())
			require.ErrorIs(t, err, ErrChainBroken)
			require.ErrorContains(t, err, test.want)
		})
	}
}

func TestVerifyFindsAnEndThatWasReplaced(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	_, err := j.AppendDeed(t.Context(), "acme", "", "done")
	require.NoError(t, err)
	j.session.anchor(t.Context(), deedsStream, link{Seq: 1, Hash: "another"})
	require.ErrorIs(t, j.VerifyDeeds(t.Context()), ErrChainBroken)
	j.session.anchor(t.Context(), deedsStream, link{Seq: 2, Hash: "another"})
	require.ErrorContains(t, j.VerifyDeeds(t.Context()), "it ends with deed 1, and 2 were written")
}

// overwrite damages the second half of what a stream has on disk.
func overwrite(t *testing.T, stream string) {
	t.Helper()
	blocks, err := filepath.Glob(filepath.Join(stream, "msgs", "*.blk"))
	require.NoError(t, err)
	require.Len(t, blocks, 1)
	data, err := os.ReadFile(blocks[0])
	require.NoError(t, err)
	for i := len(data) / 2; i < len(data); i++ {
		data[i] ^= 0x55
	}
	require.NoError(t, os.WriteFile(blocks[0], data, 0o600))
}

func TestEventsThatGrewTooOldAreNotMissed(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir, MaxEventsAge: 200 * time.Millisecond})
	_, err := j.AppendEvents(t.Context(), "acme", time.Time{}, lines(3))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(replay(t, j, "acme", time.Time{})) == 0 }, 5*time.Second, 50*time.Millisecond)
	require.NoError(t, j.Close())
	j = open(t, Options{Dir: dir})
	seq, err := j.AppendEvents(t.Context(), "acme", time.Time{}, lines(3))
	require.NoError(t, err)
	require.EqualValues(t, 2, seq)
}

func TestWithoutSyncWhatIsMissingIsSaidAndAccepted(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir, NoSync: true})
	for range 10 {
		_, err := j.AppendDeed(t.Context(), "acme", "", "done")
		require.NoError(t, err)
	}
	require.NoError(t, j.Close())
	overwrite(t, filepath.Join(dir, "jetstream", "$G", "streams", deedsStream))
	var logs bytes.Buffer
	j = open(t, Options{Dir: dir, NoSync: true, Logger: slog.New(slog.NewTextHandler(&logs, nil))})
	require.Contains(t, logs.String(), "writes are missing from the store")
	require.ErrorIs(t, j.VerifyDeeds(t.Context()), ErrChainBroken)
}

func TestAStoreThatLostWhatWasWrittenIsRefused(t *testing.T) {
	for name, harm := range map[string]func(t *testing.T, streams string){
		"bytes of the deeds overwritten":  func(t *testing.T, streams string) { overwrite(t, filepath.Join(streams, deedsStream)) },
		"bytes of the events overwritten": func(t *testing.T, streams string) { overwrite(t, filepath.Join(streams, eventsStream)) },
		"the deeds removed": func(t *testing.T, streams string) {
			require.NoError(t, os.RemoveAll(filepath.Join(streams, deedsStream)))
		},
		"the description of the events overwritten": func(t *testing.T, streams string) {
			require.NoError(t, os.WriteFile(filepath.Join(streams, eventsStream, "meta.inf"), []byte("garbage"), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			j := open(t, Options{Dir: dir})
			for range 10 {
				_, err := j.AppendEvents(t.Context(), "acme", time.Time{}, lines(3))
				require.NoError(t, err)
			}
			for range 10 {
				_, err := j.AppendDeed(t.Context(), "acme", "", "done")
				require.NoError(t, err)
			}
			require.NoError(t, j.Close())
			harm(t, filepath.Join(dir, "jetstream", "$G", "streams"))

			_, err := Open(t.Context(), Options{Dir: dir})
			require.ErrorIs(t, err, ErrDamaged)
			require.ErrorContains(t, err, "open store "+dir+": ")
			require.ErrorContains(t, err, "restore")
		})
	}
}

func storedDeeds(t *testing.T, j *Journal) (n int, err error) {
	t.Helper()
	err = j.ReadDeeds(t.Context(), "", func(uint64, time.Time, json.RawMessage) error { n++; return nil })
	return n, err
}

// truncateBlocks cuts the second half off every file of messages.
func truncateBlocks(t *testing.T, msgs string) {
	t.Helper()
	blocks, err := filepath.Glob(filepath.Join(msgs, "*.blk"))
	require.NoError(t, err)
	require.NotEmpty(t, blocks)
	for _, path := range blocks {
		st, err := os.Stat(path)
		require.NoError(t, err)
		require.NoError(t, os.Truncate(path, st.Size()/2))
	}
}

func TestAFindingIsWrittenOnceForItsID(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir})
	for _, want := range []uint64{1, 1} {
		seq, err := j.AppendFinding(t.Context(), "acme", "alert 1 opened", 1)
		require.NoError(t, err)
		require.Equal(t, want, seq)
	}
	require.NoError(t, j.Close())
	j = open(t, Options{Dir: dir})
	for tenant, want := range map[string]uint64{"acme": 1, "other": 2} {
		seq, err := j.AppendFinding(t.Context(), tenant, "alert 1 opened", 1)
		require.NoError(t, err)
		require.Equal(t, want, seq, tenant)
	}
}
