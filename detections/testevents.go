package detections

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"portcullis/internal/diag"
	"portcullis/internal/yamldoc"
	"portcullis/logstream"
)

// TestEvents is one event, or a burst of them in the short form
//
//	40 × {type: fp, ip: 198.51.100.7, user_name: "user{i%12}"} over 10m from 5m
//
// in which {i} is the number of the event, from 0, {i%12} the rest of dividing
// it by 12 and {i/12} the quotient. Times count from the start of the test: an
// event without one comes a second after the event before it; "from 5m", or at: 5m
// of one event, sets it, and "after 5m", or after: 5m, counts from where the
// events before it ended. "jitter 10s" moves each stamp by up to so much, the same
// way each time. Events arrive in the order in which they are written; "late 1h", or
// late: 1h, has them arrive so long after their stamps.
type TestEvents struct {
	Fields map[string]any
	Count  int
	Over   time.Duration
	From   *time.Duration
	After  time.Duration
	Jitter time.Duration
	Late   time.Duration
}

// testStart is when the events of a test begin, a Monday morning.
var testStart = time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC)

// maxBurst and maxTestEvents bound the events of one burst and of one test.
const (
	maxBurst      = 100_000
	maxTestEvents = 1_000_000
)

var errTooManyEvents = fmt.Errorf("has more than %d events", maxTestEvents)

var burst = regexp.MustCompile(`(?s)^\s*(\d+)\s*[×x*]\s*(\{.*\})((?:\s+[a-z]+\s+\S+)*)\s*$`)

// DecodeNode reads either form.
func (t *TestEvents) DecodeNode(d *yamldoc.Decoder, n *yaml.Node, key string) {
	t.Count = 1
	if n.Kind == yaml.MappingNode {
		d.Decode(n, &t.Fields, key)
		for word, into := range map[string]string{"at": "from", "after": "after", "late": "late"} {
			if text, ok := t.Fields[word].(string); ok {
				if err := t.timing(into, text); err != nil {
					d.Report(keyNode(n, word), key+"."+word, "%s", err).Hint = "write a length of time, for instance " + word + ": 5m"
				}
				delete(t.Fields, word)
			}
		}
		return
	}
	m := burst.FindStringSubmatch(n.Value)
	if n.Kind != yaml.ScalarNode || m == nil {
		d.Report(n, key, "must be an event or a burst").Hint = `a burst is written 40 × {type: fp, user_name: "user{i}"} over 10m`
		return
	}
	t.Count, _ = strconv.Atoi(m[1])
	if t.Count < 1 || t.Count > maxBurst {
		d.Report(n, key, "a burst has 1 to %d events", maxBurst)
		return
	}
	// {i} inside an unquoted value is not YAML: hide it while parsing.
	text := index.ReplaceAllString(m[2], "⟦$1⟧")
	if err := yaml.Unmarshal([]byte(text), &t.Fields); err != nil {
		d.Report(n, key, "the event of the burst is not valid YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
		return
	}
	words := strings.Fields(m[3])
	for i := 0; i+1 < len(words); i += 2 {
		if err := t.timing(words[i], words[i+1]); err != nil {
			d.Report(n, key, "%s", err)
			return
		}
	}
}

// timing sets one of the times of a burst.
func (t *TestEvents) timing(word, text string) error {
	v, err := yamldoc.ParseDuration(text)
	if err != nil && strings.Trim(text, "0hms") == "" {
		v, err = 0, nil
	}
	if err != nil {
		return err
	}
	switch word {
	case "over":
		t.Over = v
	case "from":
		t.From = &v
	case "after":
		t.After = v
	case "jitter":
		t.Jitter = v
	case "late":
		t.Late = v
	default:
		return fmt.Errorf("unknown word %s%s: a burst may have over, from, after, jitter and late", word,
			diag.DidYouMean(word, []string{"over", "from", "after", "jitter", "late"}))
	}
	return nil
}

var (
	index  = regexp.MustCompile(`\{(i(?:[%/]\d+)?)\}`)
	hidden = regexp.MustCompile(`⟦i([%/])?(\d+)?⟧|\{i([%/])?(\d+)?\}`)
)

// fill writes the event's number into the texts of a value.
func fill(v any, i int) any {
	switch v := v.(type) {
	case string:
		return hidden.ReplaceAllStringFunc(v, func(s string) string {
			m := hidden.FindStringSubmatch(s)
			op, num := m[1]+m[3], m[2]+m[4]
			n, err := strconv.Atoi(num)
			switch {
			case op == "%" && err == nil && n > 0:
				return strconv.Itoa(i % n)
			case op == "/" && err == nil && n > 0:
				return strconv.Itoa(i / n)
			}
			return strconv.Itoa(i)
		})
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			out[k] = fill(e, i)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for k, e := range v {
			out[k] = fill(e, i)
		}
		return out
	}
	return v
}

// expand writes the test's events out.
func (t Test) expand(fsys fs.FS) ([]logstream.Event, error) {
	var events []logstream.Event
	written := t.written()
	if written > maxTestEvents {
		return nil, errTooManyEvents
	}
	if t.File != "" {
		if fsys == nil {
			return nil, errors.New("file: no folder to read " + t.File + " from")
		}
		name := path.Clean(t.File)
		if !fs.ValidPath(name) {
			return nil, fmt.Errorf("file: %s is outside the rule's folder: put the events beside the rule file", t.File)
		}
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("read events: %w", err)
		}
		var bad error
		logstream.DecodeAll(data, func(ev logstream.Event, err error) bool {
			if bad = err; bad == nil && len(events)+written >= maxTestEvents {
				bad = errTooManyEvents
			}
			events = append(events, ev)
			return bad == nil
		})
		if bad != nil {
			return nil, fmt.Errorf("read events of %s: %w", t.File, bad)
		}
	}
	spelled, err := t.spell()
	return append(events, spelled...), err
}

// spell writes out the events of the test in the order in which they arrive.
func (t Test) spell() ([]logstream.Event, error) {
	type arrival struct {
		at time.Duration
		ev logstream.Event
	}
	var arrivals []arrival
	clock, latest := time.Duration(0), time.Duration(0)
	for n, te := range t.Events {
		if te.From != nil {
			clock = *te.From
		}
		clock += te.After
		jitter := rand.New(rand.NewPCG(uint64(n), 0))
		step := time.Second
		if te.Count > 1 && te.Over > 0 {
			step = te.Over / time.Duration(te.Count)
		}
		for i := range te.Count {
			fields := maps.Clone(te.Fields)
			moved := clock
			if te.Jitter > 0 {
				moved += time.Duration(jitter.Int64N(int64(2*te.Jitter))) - te.Jitter
			}
			when := testStart.Add(moved)
			filled, _ := fill(map[string]any(fields), i).(map[string]any)
			if _, has := filled["date"]; !has {
				filled["date"] = when.Format("2006-01-02T15:04:05.000Z")
			}
			if _, has := filled["log_id"]; !has {
				filled["log_id"] = fmt.Sprintf("900%s%03d%018d%021d", when.Format("20060102150405"), when.Nanosecond()/1e6, n, i)
			}
			raw, err := json.Marshal(filled)
			if err != nil {
				return nil, fmt.Errorf("event %d: %w", n+1, err)
			}
			ev, err := logstream.Decode(raw)
			if err != nil {
				return nil, fmt.Errorf("event %d: %w", n+1, err)
			}
			if te.Late > 0 {
				arrivals = append(arrivals, arrival{moved + te.Late, ev})
			} else {
				latest = max(latest, clock)
				arrivals = append(arrivals, arrival{latest, ev})
			}
			clock += step
		}
	}
	slices.SortStableFunc(arrivals, func(a, b arrival) int { return cmp.Compare(a.at, b.at) })
	events := make([]logstream.Event, len(arrivals))
	for i, a := range arrivals {
		events[i] = a.ev
	}
	return events, nil
}
