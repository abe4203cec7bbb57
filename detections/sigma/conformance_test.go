package sigma_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"portcullis/detections"
	"portcullis/detections/sigma"
	"portcullis/logstream"
)

// conformanceCase is a file of testdata/sigma; its README says what keys mean.
type conformanceCase struct {
	About  string           `yaml:"about"`
	Rules  string           `yaml:"rules"`
	Files  []string         `yaml:"files"`
	Params map[string]any   `yaml:"params"`
	Events []map[string]any `yaml:"events"`
	Alerts []struct {
		Title string            `yaml:"title"`
		Group map[string]string `yaml:"group"`
		Count int               `yaml:"count"`
		Late  bool              `yaml:"late"`
	} `yaml:"alerts"`
	Disabled []string `yaml:"disabled"`
	Warnings []string `yaml:"warnings"`
}

func TestConformance(t *testing.T) {
	paths, err := filepath.Glob("../../testdata/sigma/*.yaml")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(paths), 150)
	for _, p := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(p), ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(p)
			require.NoError(t, err)
			var c conformanceCase
			require.NoError(t, yaml.Unmarshal(data, &c))
			runCase(t, c)
		})
	}
}

func runCase(t *testing.T, c conformanceCase) {
	t.Helper()
	files := []detections.File{{Name: "case.yml", Data: []byte(c.Rules)}}
	for i, text := range c.Files {
		files = append(files, detections.File{Name: fmt.Sprintf("other%d.yml", i+1), Data: []byte(text)})
	}
	params := map[string]map[string]any{}
	if c.Params != nil {
		for _, d := range sigma.Load(files, sigma.Options{}).Documents {
			params[d.ID] = c.Params
		}
	}
	result := sigma.Load(files, sigma.Options{Params: params})
	var disabled, warnings []string
	titles := map[string]string{}
	for _, d := range result.Documents {
		titles[d.ID] = d.Title
		for _, f := range d.Disabled {
			disabled = append(disabled, f.Code)
		}
		for _, f := range d.Warnings {
			warnings = append(warnings, f.Code)
		}
	}
	slices.Sort(disabled)
	require.Equal(t, c.Disabled, slices.Compact(disabled), "%v", result.Documents)
	for _, w := range c.Warnings {
		require.Contains(t, warnings, w)
	}
	set, err := detections.Load(result.Files(), nil)
	require.NoError(t, err)
	if c.Params != nil {
		for id := range params {
			if set.Rule(id) == nil {
				delete(params, id)
			}
		}
	}
	alerts := []string{}
	e, err := detections.NewEngine("acme", set, detections.Options{Params: params, OnChange: func(ch detections.Change) {
		if ch.Transition == detections.Resolved {
			alerts = append(alerts, told(titles[ch.Alert.Rule], ch.Alert.Group, ch.Alert.Count, ch.Alert.Late))
		}
	}})
	require.NoError(t, err)
	start := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	for i, fields := range c.Events {
		if _, ok := fields["log_id"]; !ok {
			fields["log_id"] = fmt.Sprintf("%03d", i)
		}
		at, _ := time.ParseDuration(fmt.Sprint(fields["at"]))
		delete(fields, "at")
		fields["date"] = start.Add(at).Format(time.RFC3339Nano)
		raw, err := json.Marshal(fields)
		require.NoError(t, err)
		ev, err := logstream.Decode(raw)
		require.NoError(t, err)
		e.Ingest(&ev)
	}
	e.Finish()
	want := []string{}
	for _, a := range c.Alerts {
		title := a.Title
		if title == "" {
			title = result.Documents[len(result.Documents)-1].Title
		}
		group := map[string]string{}
		for k, v := range a.Group {
			group[k] = v
		}
		want = append(want, told(title, group, max(a.Count, 1), a.Late))
	}
	slices.Sort(alerts)
	slices.Sort(want)
	native := ""
	for _, f := range result.Files() {
		native += string(f.Data)
	}
	require.Equal(t, want, alerts, native)
}

func told(title string, group map[string]string, count int, late bool) string {
	values := slices.Sorted(maps.Values(group)) // engines call the parts of a key differently
	return fmt.Sprintf("%s %v %d %v", title, values, count, late)
}

func FuzzLoad(f *testing.F) {
	paths, _ := filepath.Glob("../../testdata/sigma/*.yaml")
	for _, p := range paths {
		data, err := os.ReadFile(p)
		require.NoError(f, err)
		var c conformanceCase
		require.NoError(f, yaml.Unmarshal(data, &c))
		f.Add([]byte(c.Rules))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		result := sigma.Load([]detections.File{{Name: "x.yml", Data: data}}, sigma.Options{})
		for _, d := range result.Documents {
			require.NotEmpty(t, d.ID)
			require.True(t, len(d.Native.Data) == 0 || len(d.Disabled) == 0)
		}
	})
}

func TestEveryDeviationHasACase(t *testing.T) {
	page, err := os.ReadFile("../../docs/sigma.md")
	require.NoError(t, err)
	_, table, ok := strings.Cut(string(page), "| subject | ours | cases |\n| --- | --- | --- |\n")
	require.True(t, ok)
	for row := range strings.SplitSeq(strings.TrimSpace(table), "\n") {
		cells := strings.Split(strings.ReplaceAll(row, `\|`, ""), "|")
		require.Len(t, cells, 5, row)
		for name := range strings.SplitSeq(strings.Trim(cells[3], " `"), "`, `") {
			require.FileExists(t, "../../testdata/sigma/"+name+".yaml", row)
		}
	}
}
