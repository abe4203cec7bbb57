package logstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"
)

// read runs a file source over content and returns the ids and the rejects.
func readAll(t *testing.T, opts FileOptions, paths ...string) (ids []string, rejects []Reject) {
	t.Helper()
	opts.Reject = func(r Reject) { rejects = append(rejects, r) }
	err := NewFile(paths, opts).Run(t.Context(), func(_ context.Context, b Batch) error {
		require.NotEmpty(t, b.Events)
		require.Empty(t, b.Cursor)
		for _, e := range b.Events {
			ids = append(ids, e.ID)
		}
		return nil
	})
	require.NoError(t, err)
	return ids, rejects
}

func write(t *testing.T, name string, content []byte) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(p, content, 0o600))
	return p
}

func zip(t *testing.T, members ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, m := range members {
		w := gzip.NewWriter(&b)
		_, err := io.WriteString(w, m)
		require.NoError(t, err)
		require.NoError(t, w.Close())
	}
	return b.Bytes()
}

func lines(n int) (string, []string) {
	var b strings.Builder
	ids := make([]string, n)
	for i := range n {
		ids[i] = fmt.Sprintf("e%d", i)
		switch i % 3 {
		case 0:
			fmt.Fprintf(&b, `{"log_id":"e%d","type":"f","details":{"x":"}{"}}`+"\n", i)
		case 1:
			fmt.Fprintf(&b, `{"log_id":"e%d","data":{"type":"s","l":[{"a":1}]}}`+"\n", i)
		case 2:
			fmt.Fprintf(&b, `{"version":"0","id":"x","detail-type":"y","detail":{"log_id":"e%d","data":{"type":"s"}}}`+"\n", i)
		}
	}
	return b.String(), ids
}

func pretty(compact string) string {
	return strings.NewReplacer(`{"`, "{\n    \"", `,"`, ",\n    \"", `}}`, "}\n  }").Replace(compact)
}

func TestFileReadsEveryFormat(t *testing.T) {
	jsonl, ids := lines(9)
	each := strings.Split(strings.TrimSpace(jsonl), "\n")
	for name, content := range map[string]string{
		"JSON lines":                    jsonl,
		"no final newline":              strings.TrimSpace(jsonl),
		"CRLF":                          strings.ReplaceAll(jsonl, "\n", "\r\n"),
		"blank lines":                   "\n\n" + strings.ReplaceAll(jsonl, "\n", "\n \t\n\n"),
		"a byte order mark":             "\ufeff" + jsonl,
		"an array per line":             "[" + strings.Join(each[:4], ",") + "]\n[" + strings.Join(each[4:], ",") + "]\n",
		"a logs object per line":        `{"logs":[` + strings.Join(each[:4], ",") + "]}\n" + `{"logs":[` + strings.Join(each[4:], ",") + "]}\n",
		"an array on one line":          "[" + strings.Join(each, ",") + "]",
		"an array, one element a line":  "[\n" + strings.Join(each, ",\n") + "\n]\n",
		"an array that starts with one": "[" + strings.Join(each, ",\n") + "]\n",
		"a pretty array":                "[\n  " + pretty(strings.Join(each, ",\n  ")) + "\n]\n",
		"a pretty array with CRLF":      strings.ReplaceAll("[\n  "+pretty(strings.Join(each, ",\n  "))+"\n]\n", "\n", "\r\n"),
		"a byte order mark and array":   "\ufeff[\n" + strings.Join(each, ",\n") + "\n]\n",
		"a pretty logs object":          "{\n  \"start\": 0,\n  \"logs\": [\n    " + pretty(strings.Join(each, ",\n    ")) + "\n  ],\n  \"total\": 9\n}\n",
		"a logs object":                 `{"total":9,"logs":[` + strings.Join(each, ",") + `],"more":{"log_id":"no"}}`,
		"pretty objects one by one":     pretty(jsonl),
	} {
		for _, z := range []string{"plain", "gzip", "many gzip members"} {
			t.Run(name+", "+z, func(t *testing.T) {
				data := []byte(content)
				switch z {
				case "gzip":
					data = zip(t, content)
				case "many gzip members":
					data = zip(t, content[:len(content)/3], "", content[len(content)/3:])
				}
				got, rejects := readAll(t, FileOptions{}, write(t, "misleading.txt", data))
				require.Empty(t, rejects)
				require.Equal(t, ids, got)

				got, rejects = readAll(t, FileOptions{Stdin: iotest.OneByteReader(bytes.NewReader(data)), Workers: 2}, "-")
				require.Empty(t, rejects)
				require.Equal(t, ids, got)
			})
		}
	}
}

func TestASinglePrettyObjectIsOneEvent(t *testing.T) {
	got, rejects := readAll(t, FileOptions{}, write(t, "one.json", []byte("{\n  \"log_id\": \"a\",\n  \"details\": {\n    \"x\": []\n  }\n}")))
	require.Empty(t, rejects)
	require.Equal(t, []string{"a"}, got)
}

func TestLargeFilesComeInOrderWhateverTheCut(t *testing.T) {
	jsonl, ids := lines(30_000) // several chunks
	each := strings.Split(strings.TrimSpace(jsonl), "\n")
	for name, content := range map[string]string{
		"JSON lines":    jsonl,
		"one line":      "[" + strings.Join(each, ",") + "]",
		"logs object":   `{"logs":[` + strings.Join(each, ",") + `]}`,
		"pretty array":  "[\n  " + pretty(strings.Join(each, ",\n  ")) + "\n]\n",
		"logs and more": `{"logs":[` + strings.Join(each, ",") + `],"more":[` + strings.Join(each, ",\n") + `]}`,
	} {
		t.Run(name, func(t *testing.T) {
			var done, total []int64
			opts := FileOptions{Workers: 3, BatchSize: 100, MaxLine: 1 << 20, Progress: func(d, n int64) {
				done, total = append(done, d), append(total, n)
			}}
			p := write(t, "big", []byte(content))
			got, rejects := readAll(t, opts, p)
			require.Empty(t, rejects)
			require.Equal(t, ids, got)
			require.IsNonDecreasing(t, done)
			require.Equal(t, int64(len(content)), done[len(done)-1])
			require.Equal(t, int64(len(content)), total[0])
		})
	}
}

func TestBatchesAreBounded(t *testing.T) {
	jsonl, _ := lines(1000)
	var sizes []int
	err := NewFile([]string{"-"}, FileOptions{Stdin: strings.NewReader(jsonl), BatchSize: 300}).Run(t.Context(), func(_ context.Context, b Batch) error {
		sizes = append(sizes, len(b.Events))
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, []int{300, 300, 300, 100}, sizes)
}

func TestAFaultIsRejectedAndTheRestGoesOn(t *testing.T) {
	a, b := `{"log_id":"a","type":"f"}`, `{"log_id":"b","type":"s"}`
	long := `{"log_id":"long","x":"` + strings.Repeat("x", 50_000) + `"}`
	for name, c := range map[string]struct {
		content string
		ids     []string
		reject  string
		size    int
	}{
		"a malformed line":            {a + "\n{\"log_id\":}\n" + b, []string{"a", "b"}, `f.jsonl:2: not JSON: '}' where a value belongs at byte 11`, 11},
		"a malformed first line":      {"{\"log_id\":}\n" + a + "\n" + b, []string{"a", "b"}, `f.jsonl:1: not JSON: '}' where a value belongs at byte 11`, 11},
		"a first line cut off":        {"{\"x\":{\"y\":1,\n" + a + "\n" + b, []string{"a", "b"}, `f.jsonl:1: the JSON ends too early`, 12},
		"a line cut off":              {a + "\n{\"x\":{\"y\":\"1\n" + b, []string{"a", "b"}, `f.jsonl:2: the JSON ends too early`, 12},
		"a last line cut off":         {a + "\n" + b + "\n{\"x\":{\"y\":\"1", []string{"a", "b"}, `f.jsonl:3: the JSON ends too early`, 12},
		"a scalar line":               {a + "\n\n17\n" + b, []string{"a", "b"}, `f.jsonl:3: not a JSON object`, 2},
		"text on a line":              {a + "\r\nhello, world\r\n" + b, []string{"a", "b"}, `f.jsonl:2: not JSON: 'h' where a value belongs at byte 1`, 12},
		"text after an event":         {a + " x\n" + b, []string{"a", "b"}, `f.jsonl:1: not JSON: 'x' where a value belongs at byte 27`, 1},
		"a long line":                 {a + "\n" + long + "\n" + b, []string{"a", "b"}, `f.jsonl:2: longer than the limit of 10000 bytes`, len(long)},
		"a long first line":           {long + "\n" + a + "\n" + b, []string{"a", "b"}, `f.jsonl:1: longer than the limit of 10000 bytes`, len(long)},
		"a bad element":               {"[\n" + a + ",\n{\"log_id\":},\n" + b + "\n]", []string{"a", "b"}, `f.jsonl:3: not JSON: '}' where a value belongs at byte 11`, 11},
		"an element cut off":          {"[\n" + a + ",\n{\"x\":{\"y\":1,\n" + b + "\n]", []string{"a", "b"}, `f.jsonl:3: not JSON: '{' where a member name belongs at byte 14`, 12},
		"an element's quotes broken":  {"[\n" + a + ",\n{\"x\":\"y},\n" + b + "\n]", []string{"a", "b"}, `f.jsonl:3: `, 9},
		"an array not closed":         {"[\n" + a + ",\n" + b + "\n", []string{"a", "b"}, `f.jsonl:4: the array is not closed: the JSON ends too early`, 0},
		"a number among the elements": {"[\n" + a + ",\n7,\n" + b + "\n]", []string{"a", "b"}, `f.jsonl:3: not a JSON object`, 1},
		"a pretty element broken":     {"[\n  {\n    \"log_id\": \"a\"\n  },\n  {\n    \"x\": \"y,\n    \"z\": 1\n  },\n  {\n    \"log_id\": \"b\"\n  }\n]", []string{"a", "b"}, `f.jsonl:5: `, 30},
		"a line of NULs":              {a + "\n" + strings.Repeat("\x00", 10) + "\n" + b, []string{"a", "b"}, `f.jsonl:2: not JSON: '\x00' where a value belongs at byte 1`, 10},
	} {
		t.Run(name, func(t *testing.T) {
			p := write(t, "f.jsonl", []byte(c.content))
			got, rejects := readAll(t, FileOptions{MaxLine: 10_000}, p)
			require.Equal(t, c.ids, got)
			require.Len(t, rejects, 1, "%v", rejects)
			r := rejects[0]
			require.Equal(t, p, r.Source)
			r.Source = "f.jsonl"
			require.Contains(t, r.String(), c.reject)
			require.Equal(t, int64(c.size), r.Size)
			require.LessOrEqual(t, len(r.Raw), 4<<10)
			require.Equal(t, c.content[r.Offset:][:len(r.Raw)], string(r.Raw))
		})
	}
}

func TestAHugeLineIsPassedOverInConstantMemory(t *testing.T) {
	a, b := `{"log_id":"a","type":"f"}`+"\n", "\n"+`{"log_id":"b","type":"f"}`
	const size = 50 << 20 // of one line
	for name, head := range map[string]string{"an object": `{"x":"`, "no JSON": "xxxxx"} {
		t.Run(name, func(t *testing.T) {
			in := io.MultiReader(strings.NewReader(a+head), io.LimitReader(endless('x'), size), strings.NewReader(b))
			got, rejects := readAll(t, FileOptions{Stdin: in}, "-")
			require.Equal(t, []string{"a", "b"}, got)
			require.Len(t, rejects, 1)
			require.Equal(t, "stdin:2: longer than the limit of 8388608 bytes", rejects[0].String())
			require.Equal(t, int64(size+len(head)), rejects[0].Size)
			require.Equal(t, int64(len(a)), rejects[0].Offset)
			require.Len(t, rejects[0].Raw, 4<<10)
		})
	}
	t.Run("an element of an array", func(t *testing.T) {
		in := io.MultiReader(strings.NewReader("[\n"+strings.TrimSpace(a)+",\n{\"x\":\""), io.LimitReader(endless('x'), size/3), strings.NewReader("\"},"+b+"]"))
		got, rejects := readAll(t, FileOptions{Stdin: in}, "-")
		require.Equal(t, []string{"a", "b"}, got)
		require.Len(t, rejects, 1)
		require.Equal(t, "stdin:3: longer than the limit of 8388608 bytes", rejects[0].String())
	})
}

type endless byte

func (e endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(e)
	}
	return len(b), nil
}

func TestABinaryFileIsSaidOnce(t *testing.T) {
	noise := make([]byte, 200_000)
	for i := range noise {
		noise[i] = byte(i * i >> 3)
	}
	text := strings.Repeat("2026-01-05 10:15:30 INFO started\n", 5000)
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"NULs":          {noise, "looks binary"},
		"short noise":   {[]byte("\xfe\x01\xfd\n\xfe\n"), "looks binary"},
		"another log":   {[]byte(text), "looks binary: nothing in it is a JSON event (the first 21 values are not)"},
		"a zip archive": {[]byte("PK\x03\x04 rest"), "looks binary: a zip archive; unpack it first"},
		"UTF-16":        {[]byte("\xff\xfe{\x00}\x00"), "looks binary: UTF-16 text; convert it to UTF-8"},
		"gzipped noise": {zip(t, string(noise)), "looks binary"},
	} {
		t.Run(name, func(t *testing.T) {
			got, rejects := readAll(t, FileOptions{}, write(t, "x", c.content))
			require.Empty(t, got)
			require.Len(t, rejects, 1, "%v", rejects)
			require.ErrorContains(t, rejects[0].Reason, c.want)
		})
	}
}

func TestAFewBadLinesOfTextAreToldOneByOne(t *testing.T) {
	_, rejects := readAll(t, FileOptions{}, write(t, "x", []byte("one\ntwo\n{\"three\"\n")))
	require.Len(t, rejects, 3)
	require.Equal(t, 3, rejects[2].Line)
}

func TestAnEventAfterManyBadLinesIsStillFound(t *testing.T) {
	got, rejects := readAll(t, FileOptions{}, write(t, "x", []byte(strings.Repeat("junk\n", 300_000)+`{"log_id":"a"}`+"\njunk\n")))
	require.Equal(t, []string{"a"}, got)
	require.Len(t, rejects, 2)
	require.Equal(t, 300_002, rejects[1].Line)
}

func TestAnEmptyFileIsTold(t *testing.T) {
	for name, content := range map[string][]byte{"empty": nil, "blank": []byte(" \n\r\n"), "a byte order mark": []byte("\ufeff"), "gzip of nothing": zip(t, "")} {
		t.Run(name, func(t *testing.T) {
			p := write(t, "x", content)
			got, rejects := readAll(t, FileOptions{}, p)
			require.Empty(t, got)
			require.Len(t, rejects, 1)
			require.Equal(t, p+": empty file", rejects[0].String())
		})
	}
	got, rejects := readAll(t, FileOptions{}, write(t, "x", []byte("[]")))
	require.Empty(t, got)
	require.Empty(t, rejects)
}

func TestABrokenGzipStreamDeliversWhatCameBefore(t *testing.T) {
	jsonl, ids := lines(2000)
	whole := zip(t, jsonl)
	corrupt := bytes.Clone(whole)
	corrupt[len(corrupt)-6] ^= 0xff
	for name, c := range map[string]struct {
		content []byte
		all     bool
		want    string
	}{
		"cut in the middle":  {whole[:len(whole)/2], false, "gzip stream ends early after %d events"},
		"cut in the trailer": {whole[:len(whole)-3], true, "gzip stream ends early after %d events"},
		"cut in the header":  {whole[:5], false, "gzip stream ends early after %d events"},
		"nothing but magic":  {whole[:2], false, "gzip stream ends early after %d events"},
		"a wrong checksum":   {corrupt, true, "gzip stream is damaged, its checksum does not match, after %d events"},
		"something after it": {append(bytes.Clone(whole), "tail of another kind"...), true, "gzip stream is followed by something that is not gzip after %d events"},
	} {
		t.Run(name, func(t *testing.T) {
			got, rejects := readAll(t, FileOptions{}, write(t, "x.gz", c.content))
			require.Equal(t, ids[:len(got)], append([]string{}, got...))
			if c.all {
				require.Len(t, got, len(ids))
			}
			require.Len(t, rejects, 1, "%v", rejects)
			require.EqualError(t, rejects[0].Reason, fmt.Sprintf(c.want, len(got)))
		})
	}
}

func TestAMissingFileOrDirectoryIsAnErrorBeforeAnythingIsRead(t *testing.T) {
	good := write(t, "x", []byte(`{"log_id":"a"}`))
	for _, bad := range []string{filepath.Join(t.TempDir(), "absent"), t.TempDir()} {
		err := NewFile([]string{good, bad}, FileOptions{}).Run(t.Context(), func(context.Context, Batch) error {
			t.Error("delivered")
			return nil
		})
		require.ErrorContains(t, err, bad)
	}
}

func TestSeveralFilesCountTheirOwnLines(t *testing.T) {
	x, y := write(t, "x", []byte("{\"log_id\":\"a\"}\njunk\n")), write(t, "y", []byte("{\"log_id\":\"b\"}\n\njunk"))
	got, rejects := readAll(t, FileOptions{Stdin: strings.NewReader(`{"log_id":"c"}`)}, x, "-", y)
	require.Equal(t, []string{"a", "c", "b"}, got)
	require.Len(t, rejects, 2)
	require.Equal(t, 2, rejects[0].Line)
	require.Equal(t, 3, rejects[1].Line)
	require.Equal(t, y, rejects[1].Source)
}

func TestAnErrorOfDeliverEndsTheRun(t *testing.T) {
	jsonl, _ := lines(20_000)
	boom, calls := errors.New("boom"), 0
	err := NewFile([]string{write(t, "x", []byte(jsonl))}, FileOptions{}).Run(t.Context(), func(context.Context, Batch) error {
		calls++
		return boom
	})
	require.ErrorIs(t, err, boom)
	require.Equal(t, 1, calls)
}

func TestAReadErrorIsNamed(t *testing.T) {
	boom := errors.New("boom")
	in := io.MultiReader(strings.NewReader("{\"log_id\":\"a\"}\n"), iotest.ErrReader(boom))
	n := 0
	err := NewFile([]string{"-"}, FileOptions{Stdin: in}).Run(t.Context(), func(_ context.Context, b Batch) error {
		n += len(b.Events)
		return nil
	})
	require.ErrorIs(t, err, boom)
	require.ErrorContains(t, err, "stdin")
	require.Equal(t, 1, n)
}

func TestCancellingDoesNotWaitForABlockedRead(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() { _, _ = io.WriteString(w, "{\"log_id\":\"a\"}\n") }()
	err := NewFile([]string{"-"}, FileOptions{Stdin: r}).Run(ctx, func(context.Context, Batch) error {
		cancel() // the event came although the pipe is still open
		return nil
	})
	require.ErrorIs(t, err, context.Canceled)
}

func BenchmarkFile(b *testing.B) {
	const n = 100_000
	p := filepath.Join(b.TempDir(), "events.jsonl")
	require.NoError(b, os.WriteFile(p, bytes.Repeat([]byte(sampleLine+"\n"), n), 0o600))
	for _, workers := range []int{1, 2} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			b.SetBytes(int64(n * (len(sampleLine) + 1)))
			for b.Loop() {
				got := 0
				odd := func(r Reject) { b.Fatal(r) }
				err := NewFile([]string{p}, FileOptions{Workers: workers, Odd: odd}).Run(context.Background(), func(_ context.Context, batch Batch) error {
					for i := range batch.Events {
						if batch.Events[i].Type == "fp" && !batch.Events[i].Time.IsZero() {
							got++
						}
					}
					return nil
				})
				if err != nil || got != n {
					b.Fatal(got, err)
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
