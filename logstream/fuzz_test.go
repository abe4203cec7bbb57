package logstream

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func seeds(f *testing.F) {
	for _, payload := range payloads {
		for _, format := range wrappings {
			f.Add([]byte(fmt.Sprintf(format, payload)))
		}
	}
	for _, s := range []string{
		"", "{}", "[", "[]", "{\"a\":\"\\\"}", "{\"data\":{\"data\":{\"data\":{}}}}", "[{\"log_id\":\"a\"},7,{\"a\":}]\n", "{\"logs\":[{}, {\"a\":]}",
		"{\n \"logs\": [\n {\"log_id\":1},\n {", "[\n  {\n  \"a\": 1\n  },\n  {\"b\n  {\"c\":2}\n]", "\ufeff{\"log_id\":\"\\ud800\\u0061\"}\r\n\x00\n", "\x1f\x8b\x08\x00",
		`{"log_id":"a","l":[[1,[2]],{"k":null}],"n":-0.5e-7,"e":{}}`,
	} {
		f.Add([]byte(s))
	}
}

var fuzzPaths = func() (ps []Path) {
	for _, s := range []string{"log_id", "type", "is_mobile", "l[*]", "l[*].k", "details.request.auth.credentials.scopes[*]", "details", "a", "a.b", "n", "security_context.ja4"} {
		p, err := ParsePath(s)
		if err != nil {
			panic(err)
		}
		ps = append(ps, p)
	}
	return ps
}()

// probe holds what is true of every decoded event.
func probe(t *testing.T, e Event) {
	if e.ID == "" || !utf8.ValidString(e.ID) || !utf8.ValidString(e.Type) {
		t.Fatalf("ID %q, type %q", e.ID, e.Type)
	}
	if (e.Clock == Unknown) != e.Time.IsZero() && e.Clock == Unknown {
		t.Fatalf("time %v by %v", e.Time, e.Clock)
	}
	clone := e.Clone()
	for _, p := range fuzzPaths {
		if a, b := fmt.Sprint(e.Lookup(p)), fmt.Sprint(clone.Lookup(p)); a != b {
			t.Fatalf("%s is %s, in the clone %s", p, a, b)
		}
		if s, ok := e.LookupString(p); ok && s != e.Lookup(p) {
			t.Fatalf("%s is %q and %v", p, s, e.Lookup(p))
		}
	}
	again, err := Decode(e.Raw())
	if err == nil && again.Type != e.Type && !bytes.Contains(e.Raw(), []byte("data")) && !bytes.Contains(e.Raw(), []byte("detail")) {
		t.Fatalf("type %q, decoded again %q", e.Type, again.Type)
	}
}

func FuzzDecode(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		e, err := Decode(b)
		if !bytes.Equal(before, b) {
			t.Fatal("the input was changed")
		}
		if err == nil {
			probe(t, e)
			return
		}
		// Whatever the standard library takes for an object is an event, but for
		// depth and for lists of events.
		var m map[string]json.RawMessage
		if json.Unmarshal(b, &m) == nil && m != nil && m["logs"] == nil && bytes.Count(b, []byte("{"))+bytes.Count(b, []byte("[")) < maxDepth && !bytes.Contains(b, []byte("\\")) {
			t.Fatalf("%v: %q", err, b)
		}
	})
}

func FuzzDecodeAll(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		DecodeAll(b, func(e Event, err error) bool {
			if err == nil {
				probe(t, e)
			}
			return true
		})
	})
}

func FuzzFile(f *testing.F) {
	seeds(f)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		p := filepath.Join(dir, fmt.Sprint(os.Getpid()))
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		count := func(opts FileOptions, path string) (ids []string) {
			opts.Reject = func(r Reject) {
				if r.Reason == nil || len(r.Raw) > 4<<10 || r.Size < int64(len(r.Raw)) || r.Line < 0 || r.Offset < 0 {
					t.Fatalf("%+v", r)
				}
				_ = r.String()
			}
			err := NewFile([]string{path}, opts).Run(context.Background(), func(_ context.Context, batch Batch) error {
				for _, e := range batch.Events {
					probe(t, e)
					ids = append(ids, e.ID)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			return ids
		}
		one, two := count(FileOptions{Workers: 1}, p), count(FileOptions{Workers: 2, BatchSize: 1}, p)
		if fmt.Sprint(one) != fmt.Sprint(two) {
			t.Fatalf("%q and %q", one, two)
		}
		count(FileOptions{MaxLine: 16, Stdin: bytes.NewReader(b)}, "-")
	})
}

func FuzzCursor(f *testing.F) {
	for _, s := range []string{"", "900" + "20260105101530123" + "000000000000000000000000000000000036", "a\nb", "../x", "900"} {
		f.Add([]byte(s))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(dir, "cursor")
		require.NoError(t, os.WriteFile(path, content, 0o600))
		cursor, err := NewCursorFile(path).LoadCursor(t.Context())
		if err != nil {
			require.ErrorContains(t, err, path)
			return
		}
		require.NoError(t, checkCursor(cursor))
		require.NoError(t, NewCursorFile(path).SaveCursor(t.Context(), cursor))
		again, err := NewCursorFile(path).LoadCursor(t.Context())
		require.NoError(t, err)
		require.Equal(t, cursor, again)
	})
}

func FuzzFeedMonitorRestore(f *testing.F) {
	m := NewFeedMonitor("poll", HealthOptions{})
	data, err := m.MarshalBinary()
	require.NoError(f, err)
	f.Add(data)
	now := time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, data []byte) {
		m := NewFeedMonitor("poll", HealthOptions{})
		if m.UnmarshalBinary(data) == nil {
			m.Observe(Batch{CaughtUp: now}, now)
			m.Verdict(now) // whatever was taken in must not bring it down
		}
	})
}

func FuzzDedupeRestore(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, part []byte) {
		d := NewDedupe(1000)
		if d.Restore(part) == nil {
			require.False(t, d.Seen("new"))
			require.True(t, d.Seen("new"))
			require.LessOrEqual(t, d.Len(), 1001)
		}
	})
}

func FuzzPollPage(f *testing.F) {
	seeds(f)
	p, err := NewPoll(&http.Client{}, "https://acme.eu.auth0.com", NewCursorFile(filepath.Join(f.TempDir(), "cursor")), PollOptions{})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, body []byte) {
		a := &answer{header: http.Header{"Link": {`<https://acme.eu.auth0.com/api/v2/logs?from=x&take=100>; rel="next"`}}, body: body}
		pg, err := p.parse(a, "900")
		if err == nil {
			require.NoError(t, checkCursor(pg.cursor), "the cursor is one to go on from")
		}
	})
}
