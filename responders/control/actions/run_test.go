package actions

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dop251/goja"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"portcullis/catalog"
)

const (
	casesDir = "../../../catalog/actions/testdata"
	harness  = casesDir + "/harness.js"
)

// actionCase is one run of an Action, and what must come of it.
type actionCase struct {
	Name     string           `yaml:"name"`
	Settings map[string]any   `yaml:"settings"` // instead of the file's
	Event    map[string]any   `yaml:"event"`
	Secrets  map[string]any   `yaml:"secrets"`
	Cache    map[string]any   `yaml:"cache"`
	Repeat   int              `yaml:"repeat"`
	Answers  []any            `yaml:"answers"`
	Calls    []any            `yaml:"calls"`
	Requests []map[string]any `yaml:"requests"` // the members that are compared
	Logs     []string         `yaml:"logs"`
}

// job is what the harness gets; result what it gives.
type job struct {
	Code    string         `json:"code"`
	Handler string         `json:"handler"`
	Test    map[string]any `json:"test"`
}

type result struct {
	Calls    []any            `json:"calls"`
	Requests []map[string]any `json:"requests"`
	Logs     []string         `json:"logs"`
	Threw    string           `json:"threw"`
}

func shipped(t *testing.T) []*Template {
	t.Helper()
	ts, err := ReadTemplates(catalog.FS, "actions")
	require.NoError(t, err)
	return ts
}

// cases reads the runs of one template, and makes the jobs for them.
func cases(t *testing.T, tmpl *Template) ([]actionCase, []job) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(casesDir, tmpl.ID+".yaml"))
	require.NoError(t, err)
	var file struct {
		Settings map[string]any `yaml:"settings"`
		Tests    []actionCase   `yaml:"tests"`
	}
	dec := yaml.NewDecoder(strings.NewReader(string(data)))
	dec.KnownFields(true)
	require.NoError(t, dec.Decode(&file))
	var jobs []job
	for _, c := range file.Tests {
		settings := c.Settings
		if settings == nil {
			settings = file.Settings
		}
		code, missing, err := tmpl.Render(settings, Facts{})
		require.NoError(t, err)
		require.Empty(t, missing)
		jobs = append(jobs, job{Code: code, Handler: handlers[tmpl.Trigger],
			Test: map[string]any{"event": c.Event, "secrets": c.Secrets, "cache": c.Cache, "repeat": c.Repeat, "answers": c.Answers}})
	}
	return file.Tests, jobs
}

// judge compares what a run did with what it must do, and with the rules that hold for every Action.
func judge(t *testing.T, c actionCase, got result) {
	t.Helper()
	require.Empty(t, got.Threw, "no Action throws")
	want := c.Calls
	if want == nil {
		want = []any{}
	}
	requireJSON(t, want, got.Calls)
	require.Len(t, got.Requests, len(c.Requests))
	for i, r := range c.Requests {
		for name, v := range r {
			require.Equal(t, v, got.Requests[i][name], name)
		}
	}
	for _, r := range got.Requests {
		require.Greater(t, r["timeout"], 0.0, "every request has a timeout")
		require.Less(t, r["timeout"], 10_000.0)
	}
	require.Equal(t, append([]string{}, c.Logs...), got.Logs)
	text := strings.Join(got.Logs, "\n")
	require.LessOrEqual(t, len(text), 256, "Auth0 keeps no more")
	for _, secret := range personal(c.Event, c.Secrets) {
		require.NotContains(t, text, secret, "no personal data and no secret is logged")
	}
}

// personal are the texts of an event that tell of a person, and the secrets.
func personal(event, secrets map[string]any) []string {
	var out []string
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			if len(v) > 3 {
				out = append(out, v)
			}
		case map[string]any:
			for _, e := range v {
				walk(e)
			}
		case []any:
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(event["user"])
	walk(event["request"])
	walk(secrets)
	return out
}

func requireJSON(t *testing.T, want, got any) {
	t.Helper()
	w, err := json.Marshal(want)
	require.NoError(t, err)
	g, err := json.Marshal(got)
	require.NoError(t, err)
	require.JSONEq(t, string(w), string(g))
}

// everyTemplate runs the cases of all templates by an engine.
func everyTemplate(t *testing.T, run func(jobs []job) []result) {
	templates := shipped(t)
	all := make([][]actionCase, len(templates))
	var jobs []job
	for i, tmpl := range templates {
		tests, more := cases(t, tmpl)
		all[i], jobs = tests, append(jobs, more...)
	}
	results := run(jobs)
	require.Len(t, results, len(jobs))
	for i, tmpl := range templates {
		fires, silent := 0, 0
		for _, c := range all[i] {
			got := results[0]
			results = results[1:]
			if len(c.Calls)+len(c.Requests) > 0 {
				fires++
			} else {
				silent++
			}
			t.Run(tmpl.ID+"/"+c.Name, func(t *testing.T) { judge(t, c, got) })
		}
		require.Positive(t, fires, "%s: a case in which it does something", tmpl.ID)
		require.Positive(t, silent, "%s: a case in which it does nothing", tmpl.ID)
	}
}

func TestEveryActionDoesWhatItsCasesSay(t *testing.T) {
	everyTemplate(t, func(jobs []job) []result {
		var out []result
		for _, j := range jobs {
			out = append(out, runInGo(t, j))
		}
		return out
	})
}

func TestEveryActionDoesTheSameInNode(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed")
	}
	everyTemplate(t, func(jobs []job) []result {
		in, err := json.Marshal(jobs)
		require.NoError(t, err)
		cmd := exec.CommandContext(t.Context(), node, harness)
		cmd.Stdin = strings.NewReader(string(in))
		var stderr strings.Builder
		cmd.Stderr = &stderr
		stdout, err := cmd.Output()
		require.NoError(t, err, stderr.String())
		var out []result
		require.NoError(t, json.Unmarshal(stdout, &out))
		return out
	})
}

// runInGo runs one job in the engine that is written in Go.
func runInGo(t *testing.T, j job) result {
	t.Helper()
	vm := goja.New()
	source, err := os.ReadFile(harness)
	require.NoError(t, err)
	_, err = vm.RunScript("harness.js", string(source))
	require.NoError(t, err)
	run, ok := goja.AssertFunction(vm.Get("runCase"))
	require.True(t, ok)
	text, err := json.Marshal(j.Test)
	require.NoError(t, err)
	test, err := vm.RunString("(" + string(text) + ")")
	require.NoError(t, err)
	promise, err := run(goja.Undefined(), vm.ToValue(j.Code), vm.ToValue(j.Handler), test, vm.ToValue(func(name string) any { return nodeModule(vm, name) }))
	require.NoError(t, err)
	settled, ok := promise.Export().(*goja.Promise)
	require.True(t, ok)
	require.Equal(t, goja.PromiseStateFulfilled, settled.State(), "%v", settled.Result())
	data, err := json.Marshal(settled.Result())
	require.NoError(t, err)
	var out result
	require.NoError(t, json.Unmarshal(data, &out))
	return out
}

// nodeModule is what the Actions use of Node's own modules.
func nodeModule(vm *goja.Runtime, name string) any {
	switch name {
	case "crypto":
		return map[string]any{"createHash": func(string) any {
			h := sha256.New()
			o := vm.NewObject()
			_ = o.Set("update", func(s string) any { h.Write([]byte(s)); return o })
			_ = o.Set("digest", func(string) string { return base64.RawURLEncoding.EncodeToString(h.Sum(nil)) })
			return o
		}}
	case "net":
		return map[string]any{
			"isIP": func(s string) int {
				a, err := netip.ParseAddr(s)
				switch {
				case err != nil:
					return 0
				case a.Is4():
					return 4
				}
				return 6
			},
			"BlockList": func(goja.ConstructorCall) *goja.Object {
				var nets []netip.Prefix
				o := vm.NewObject()
				_ = o.Set("addSubnet", func(a string, bits int, _ string) {
					nets = append(nets, netip.PrefixFrom(netip.MustParseAddr(a), bits).Masked())
				})
				_ = o.Set("check", func(s, _ string) bool {
					a := netip.MustParseAddr(s)
					for _, n := range nets {
						if n.Contains(a) {
							return true
						}
					}
					return false
				})
				return o
			},
		}
	}
	panic(vm.NewTypeError("no module " + name))
}
