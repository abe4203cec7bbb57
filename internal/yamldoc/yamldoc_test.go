package yamldoc

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/internal/diag"
)

type file struct {
	Name   string             `yaml:"name,required"`
	Count  int                `yaml:"count"`
	Ratio  float64            `yaml:"ratio"`
	On     bool               `yaml:"on"`
	Wait   time.Duration      `yaml:"wait"`
	Words  []string           `yaml:"words"`
	Where  Text               `yaml:"where"`
	Params map[string]float64 `yaml:"params"`
	Any    any                `yaml:"any"`
	Inner  *struct {
		Deep string `yaml:"deep"`
	} `yaml:"inner"`
}

// read decodes all documents of a text and returns the last with the problems.
func read(text string) (file, *Decoder, int) {
	src := diag.NewSource("f.yaml", []byte(text))
	docs, ps := Documents(src)
	d := &Decoder{Src: src, Problems: ps}
	var f file
	for _, doc := range docs {
		f = file{}
		d.Decode(doc, &f, "")
	}
	return f, d, len(docs)
}

func heads(ps diag.Problems) string {
	var out []string
	for _, p := range ps {
		out = append(out, p.Head())
	}
	return strings.Join(out, "\n")
}

func TestEveryAuthorMistakeIsSaidWithItsPlace(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"unknown key", "name: a\ncuont: 5\n", "f.yaml:2:1: unknown key cuont (did you mean count?)"},
		{"unknown key of a part", "name: a\ninner: {dep: x}\n", "f.yaml:2:9: inner: unknown key dep (did you mean deep?)"},
		{"missing key", "count: 5\n", "f.yaml:1:1: key name is missing"},
		{"a key twice", "name: a\nname: b\n", "f.yaml:2:1: name: is given twice, first on line 1"},
		{"a number where text belongs", "name: 5\n", "f.yaml:1:7: name: must be text, found the number 5"},
		{"text where a number belongs", "name: a\ncount: many\n", `f.yaml:2:8: count: must be a whole number, found the text "many"`},
		{"a fraction where a whole number belongs", "name: a\ncount: 1.5\n", "f.yaml:2:8: count: must be a whole number, found the number 1.5"},
		{"text where yes or no belongs", "name: a\non: yes please\n", `f.yaml:2:5: on: must be true or false, found the text "yes please"`},
		{"one item where a list belongs", "name: a\nwords: b\n", `f.yaml:2:8: words: must be a list, found the text "b"`},
		{"a wrong item", "name: a\nwords: [b, [c]]\n", "f.yaml:2:12: words[1]: must be a single value, found a list"},
		{"a list where a mapping belongs", "name: a\nparams: [1]\n", "f.yaml:2:9: params: must be a mapping of names to values, found a list"},
		{"no length of time", "name: a\nwait: soon\n", `f.yaml:2:7: wait: "soon" is not a length of time`},
		{"nothing", "name:\n", "f.yaml:1:6: name: is empty"},
		{"a mapping as a key", "name: a\n? {b: c}\n: d\n", "f.yaml:2:3: a key must be a plain word"},
		{"several problems at once", "naem: 5\ncount: x\nname: [y]\n", "f.yaml:1:1: unknown key naem (did you mean name?)\nf.yaml:2:8: count: must be a whole number, found the text \"x\"\nf.yaml:3:7: name: must be a single value, found a list"},
		{"an alias that holds itself", "name: a\nany: &x [*x]\n", "f.yaml:2:10: alias *x contains itself"},
		{"a tab as indent", "inner:\n\tdeep: x\n", "f.yaml:2: not valid YAML: found character that cannot start any token"},
		{"binary", "\x00\x01\xff\xfe", "f.yaml: not valid YAML: "},
		{"a problem in the second document", "name: a\n---\nname: b\nx: 1\n", "f.yaml:4:1: unknown key x"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, d, _ := read(tc.text)
			require.Contains(t, heads(d.Problems), tc.want)
			require.Equal(t, strings.Count(tc.want, "\n")+1, len(d.Problems), heads(d.Problems))
		})
	}
}

func TestWhatIsRightIsRead(t *testing.T) {
	f, d, n := read("# only a comment\n---\n---\nname: &n ann\ncount: 3\nratio: 2\non: true\nwait: 1d12h\nwords: [*n, \"5\"]\nparams: {a: 1.5}\nany: {x: [1, two]}\nwhere: 5\n")
	require.Empty(t, d.Problems)
	require.Equal(t, 1, n, "empty documents are left out")
	require.Equal(t, "ann", f.Words[0])
	require.Equal(t, 36*time.Hour, f.Wait)
	require.Equal(t, "5", f.Where.Value)
	require.Equal(t, map[string]any{"x": []any{1, "two"}}, f.Any)
	_, d, n = read("")
	require.Empty(t, d.Problems)
	require.Zero(t, n)
}

func TestHostileFilesCostLittle(t *testing.T) {
	laughs := "name: a\nany:\n  - &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c <= 'i'; c++ {
		p := string(c - 1)
		laughs += fmt.Sprintf("  - &%c [*%s,*%s,*%s,*%s,*%s,*%s,*%s,*%s,*%s]\n", c, p, p, p, p, p, p, p, p, p)
	}
	for name, text := range map[string]string{
		"aliases of aliases": laughs, "deep": strings.Repeat("[", 100_000), "deep mappings": strings.Repeat("{a: ", 100_000),
		"long key": strings.Repeat("k", 1<<20) + ": 1\n",
	} {
		begin := time.Now()
		_, d, _ := read(text)
		require.NotEmpty(t, d.Problems, name)
		require.Less(t, time.Since(begin), 5*time.Second, name)
		require.Less(t, len(d.Problems[0].String()), 10_000, name)
	}
}

func TestAPlaceInsideATextIsFound(t *testing.T) {
	for name, text := range map[string]string{
		"plain":                       "where: a == b && HERE",
		"plain, on a further line":    "where: a ==\n    b &&\n\n  HERE == c",
		"quoted":                      "where: \"a == \\\"b\\\" && \\u00e4 HERE\"",
		"quoted, over lines":          "where: \"a ==\n   b \\\n   && HERE\"",
		"single quotes":               "where: 'a == ''b'' && HERE'",
		"literal":                     "where: |\n  a\n  HERE",
		"literal, further in":         "where: |-\n  a &&\n      b && HERE\n",
		"literal after empty lines":   "where: |\n\n\n  a && HERE\n",
		"literal with its own indent": "where: |2\n    a &&\n   HERE\n",
		"folded":                      "where: >-\n  a\n  b\n\n  c HERE",
		"folded, further in":          "where: >\n  a\n    b\n  HERE",
		"after letters of two bytes":  "where: ä == \"öß日\" && HERE",
		"after an anchor":             "where: &x !!str a && HERE",
		"after an anchor, in quotes":  "where: &x \"a && HERE\"",
		"windows line ends":           "where: |\r\n  a &&\r\n  HERE\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			f, d, _ := read("name: a\n" + text + "\n")
			require.Empty(t, d.Problems)
			before, _, found := strings.Cut(f.Where.Value, "HERE")
			require.True(t, found, "%q", f.Where.Value)
			from := len([]rune(before))
			d.ReportAt(f.Where, from, from+4, "where", "look")
			lines := strings.Split(d.Problems[0].String(), "\n")
			require.Len(t, lines, 3)
			at := strings.Index(lines[2], "^")
			require.Equal(t, "HERE", string([]rune(lines[1])[at:at+4]), "\n%s\n%s", lines[1], lines[2])
			require.Equal(t, 4, strings.Count(lines[2], "^"))
		})
	}
}

func TestDurationsAreWrittenAsTheyAreRead(t *testing.T) {
	for _, s := range []string{"30d", "1h", "1h30m", "90d", "5m", "1s"} {
		d, err := ParseDuration(s)
		require.NoError(t, err)
		require.Equal(t, s, FormatDuration(d))
	}
	for _, s := range []string{"", "0s", "-5m", "5", "5 m", "99999w", "99999999999999999999d", "1d-30h", "d", "600w"} {
		_, err := ParseDuration(s)
		require.Error(t, err, s)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{"name: a\nwhere: |\n  x\n", "a: &b [*b]", "name: {<<: 1}\nany: {<<: [1]}", "\t", "? []\n: 1", "any: !!binary x", "where: \"\\", "wait: 1d", "--- !!int x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, d, _ := read(text)
		for i := range []rune(v.Where.Value) {
			d.ReportAt(v.Where, i, i+2, "where", "x")
			if i > 100 {
				break
			}
		}
		_ = d.Problems.Error()
	})
}
