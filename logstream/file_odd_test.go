package logstream

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// readOdd runs a file source over content and returns what it told, in order.
func readOdd(t *testing.T, name string, content []byte) (events int, odd, all []Reject) {
	t.Helper()
	opts := FileOptions{
		Odd:    func(r Reject) { odd, all = append(odd, r), append(all, r) },
		Reject: func(r Reject) { all = append(all, r) },
	}
	err := NewFile([]string{write(t, name, content)}, opts).Run(t.Context(), func(_ context.Context, b Batch) error {
		events += len(b.Events)
		return nil
	})
	require.NoError(t, err)
	return events, odd, all
}

const ownStamp = `"log_id":"90020260105101530123000000000000001223372036854775001"`

func TestAnOddValueIsToldAndTheEventTaken(t *testing.T) {
	dated := `"date":"2026-01-05T10:15:30.123Z","type":"fp"`
	for name, c := range map[string]struct{ event, want string }{
		"a number for an address":         {`{` + dated + `,"ip":17}`, "ip is a number where a text belongs"},
		"several values, told at once":    {`{` + dated + `,"user_id":{},"hostname":[],"client_name":false}`, "user_id is an object where a text belongs, hostname is a list where a text belongs, client_name is a boolean where a text belongs"},
		"an escaped name":                 {`{` + dated + `,"\u0069p":17}`, "ip is a number where a text belongs"},
		"an object for a type":            {`{` + ownStamp + `,"date":"2026-01-05","type":{}}`, `type is an object where a text belongs, date "2026-01-05" is not a time: the log_id's stamp counts`},
		"a date that is none":             {`{` + ownStamp + `,"type":"fp","date":"gestern"}`, `date "gestern" is not a time: the log_id's stamp counts`},
		"a date that is none, nor stamp":  {`{"type":"fp","date":"gestern"}`, `date "gestern" is not a time, and there is no log_id stamp`},
		"a long date with control bytes":  {`{"type":"fp","date":"\u001b[2J` + strings.Repeat("x", 100) + `"}`, `date "\x1b[2J` + strings.Repeat("x", 36) + `"… is not a time, and there is no log_id stamp`},
		"a date that is a number":         {`{` + ownStamp + `,"type":"fp","date":17}`, "date is a number where a text belongs"},
		"neither date nor stamp":          {`{"log_id":"a","type":"fp"}`, "no date and no log_id stamp"},
		"a far year":                      {`{"type":"fp","date":"9999-12-31T23:59:59.999Z"}`, "date is in the year 9999"},
		"a year of long ago":              {`{"type":"fp","date":"1970-01-01T00:00:00.000Z"}`, "date is in the year 1970"},
		"a stamp of a far year":           {`{"type":"fp","log_id":"90099991231235959000000000000000000000000000000000000000"}`, "the log_id's stamp is in the year 9999"},
		"no type":                         {`{"date":"2026-01-05T10:15:30.123Z"}`, "no type"},
		"null for a type":                 {`{"date":"2026-01-05T10:15:30.123Z","type":null}`, "no type"},
		"nothing":                         {`{}`, "no type, no date and no log_id stamp"},
		"a late member":                   {`{` + dated + strings.Repeat(`,"x":1`, 40) + `,"ip":17}`, "ip is a number where a text belongs"},
		"many members":                    {`{` + dated + strings.Repeat(`,"x":1`, 40) + `,"ip":null}`, ""},
		"lists that Auth0 sends":          {`{` + dated + `,"scope":["a"],"audience":["b"],"auth0_client":{"name":"x"},"is_mobile":true,"details":{"ip":17}}`, ""},
		"nulls":                           {`{` + dated + `,"ip":null,"user_id":null,"description":null}`, ""},
		"a stamp alone":                   {`{` + ownStamp + `,"type":"fp"}`, ""},
		"the usual event":                 {sampleLine, ""},
		"an object like a dead letter":    {`{` + dated + `,"at":"","source":"","line":1,"offset":1,"reason":"","size":1,"raw":""}`, ""},
		"some keys of a dead letter only": {`{"at":"","source":"","line":1,"offset":1,"reason":"","size":1,"other":""}`, "no type, no date and no log_id stamp"},
	} {
		t.Run(name, func(t *testing.T) {
			events, odd, all := readOdd(t, "f.jsonl", []byte(c.event+"\n"))
			require.Equal(t, 1, events)
			require.Len(t, all, len(odd))
			if c.want == "" {
				require.Empty(t, odd)
				return
			}
			require.Len(t, odd, 1)
			require.EqualError(t, odd[0].Reason, c.want)
		})
	}
}

func TestOddValuesAreToldWithTheirPlaceInFileOrder(t *testing.T) {
	good := strings.Repeat(sampleLine+"\n", 500) // more than one chunk
	bare := `{"log_id":"a","type":"fp","ip":1}`
	pretty := "{\n\"log_id\":\"a\",\n\"data\":\n{\"type\":\"fp\",\n\"ip\":1}}"
	for name, c := range map[string]struct {
		content string
		lines   []int // of what is told
		odd     int
	}{
		"lines":                 {good + bare + "\njunk\n" + bare + "\n" + good + bare, []int{501, 502, 503, 1004}, 3},
		"a fault comes first":   {"junk\n" + bare + "\n", []int{1, 2}, 1},
		"two on a line":         {sampleLine + " " + bare + bare + "\n" + sampleLine, []int{1, 1}, 2},
		"an array on a line":    {"[" + sampleLine + "," + bare + "]", []int{1}, 1},
		"an array":              {"[\n" + bare + ",\n" + strings.Repeat(sampleLine+",\n", 500) + "7,\n" + bare + "\n]", []int{2, 503, 504}, 2},
		"an array of pretty":    {"[\n" + pretty + ",\n" + pretty + "\n]", []int{5, 10}, 2},
		"logs":                  {"{\"logs\":[\n" + sampleLine + ",\n" + bare + "\n]}", []int{3}, 1},
		"logs on a line":        {`{"logs":[` + sampleLine + "," + bare + "]}\n" + bare, []int{1, 2}, 2},
		"a broken logs on line": {sampleLine + "\n" + `{"logs":[{"x":},` + bare + "]}\n" + bare, []int{2, 2, 3}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			for _, pack := range []bool{false, true} {
				content := []byte(c.content)
				if pack {
					content = zip(t, c.content)
				}
				_, odd, all := readOdd(t, "x", content)
				var lines []int
				for _, r := range all {
					lines = append(lines, r.Line)
				}
				require.Equal(t, c.lines, lines, "%v", all)
				require.Len(t, odd, c.odd)
				for _, r := range odd {
					require.Equal(t, int64(len(r.Raw)), r.Size)
					require.Equal(t, c.content[r.Offset:][:r.Size], string(r.Raw))
					require.True(t, bytes.HasPrefix(r.Raw, []byte("{")))
					require.Equal(t, r.Line, 1+strings.Count(c.content[:r.Offset], "\n"))
				}
			}
		})
	}
}

func TestADeadLetterIsPassedOverAndToldOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dead.jsonl")
	d, err := OpenDeadLetter(path)
	require.NoError(t, err)
	const n = 2000 // more than one chunk
	for i := range n {
		require.NoError(t, d.Write(Reject{Source: "f.jsonl", Line: i, Reason: fmt.Errorf("bad"), Raw: []byte(strings.Repeat("x", 200)), Size: 200}))
	}
	require.NoError(t, d.Write(Reject{Source: "f.jsonl", Raw: []byte{0xff}, Size: 1}))
	require.NoError(t, d.Write(Reject{Source: "f.jsonl"}))
	require.NoError(t, d.Close())
	content, err := os.ReadFile(path)
	require.NoError(t, err)

	events, odd, all := readOdd(t, "x", content)
	require.Zero(t, events)
	require.Empty(t, odd)
	require.Len(t, all, 1)
	require.ErrorContains(t, all[0].Reason, "is a dead letter, not events: skipped 2002 lines")

	one := content[:bytes.IndexByte(content, '\n')+1]
	events, _, all = readOdd(t, "x", append([]byte(sampleLine+"\n"), one...))
	require.Equal(t, 1, events)
	require.Len(t, all, 1)
	require.ErrorContains(t, all[0].Reason, "skipped 1 line")
}
