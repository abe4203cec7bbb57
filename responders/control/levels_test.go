package control

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"portcullis/responders/hold"
)

func TestLevelsAreCheckedAgainstTheFields(t *testing.T) {
	spec := Spec{
		"level": {Order: hold.Words("low", "high")}, "shields": {Order: hold.On, List: true}, "allow": {Order: hold.Off, List: true},
		"stage.max": {Order: hold.Least{}, With: "stage"}, "stage.rate": {Order: hold.Most{}, With: "stage"},
	}
	read := func(text string) (*Levels, error) {
		return ReadLevels(fstest.MapFS{"controls/gate.yaml": {Data: []byte(text)}}, "controls", "gate", spec)
	}
	levels, err := read(`control: gate
levels:
  up: {level: high, shields: [block], allow: ["192.0.2.1"], stage.max: 5, stage.rate: 10}
floor: {level: low}
on_release: {level: it opens}
`)
	require.NoError(t, err)
	require.Equal(t, map[string]map[string]hold.Value{
		"up":    {"level": `"high"`, "shields[block]": hold.True, "allow[192.0.2.1]": hold.False, "stage.max": "5", "stage.rate": "10"},
		"floor": {"level": `"low"`},
	}, levels.Cells)

	_, err = read("control: gate\nlevels:\n  up: {levl: high, shields: block}\n  down: {level: none, stage.max: 5}\n  floor: {level: low}\non_release: {lvel: x}\n")
	for _, want := range []string{"levels.up.levl: unknown field (did you mean level?)", `levels.down.level: "none" is no value of it`,
		"levels.up.shields: must be a list", "levels.down.stage.max: is written together with stage.rate: name both", "levels.floor: has a key of its own",
		"on_release.lvel: unknown field"} {
		require.ErrorContains(t, err, want)
	}
	_, err = read("control: other\nlevels: {}\n")
	require.ErrorContains(t, err, "is other in the file of gate")
	_, err = read("control: gate\n---\ncontrol: gate\n")
	require.ErrorContains(t, err, "holds 2 documents, one is needed")
	_, err = ReadLevels(fstest.MapFS{}, "controls", "gate", spec)
	require.ErrorContains(t, err, "read levels of gate")
}

func TestListsAreRebuiltFromWhatIsThere(t *testing.T) {
	spec := Spec{"list": {Order: hold.On, List: true}, "a.b": {Order: hold.Least{}, With: "a"}, "a.c": {Order: hold.Most{}, With: "a"}, "off": {Order: hold.On, Absent: hold.False}}
	doc := []byte(`{"list":["z","x","y"],"a":{"b":1,"c":2.50,"d":3},"n":null}`)
	require.Equal(t, map[string]hold.Value{"list[x]": "true", "list[y]": "true", "list[z]": "true", "list[w]": "false", "a.b": "1", "a.c": "2.50", "off": "false"},
		spec.values(doc, []string{"list[w]", "list[x]"}))
	fields := spec.fields(doc, map[string]hold.Value{"list[x]": "false", "list[w]": "true", "a.b": "9"})
	require.Equal(t, map[string]hold.Value{"list": `["z","y","w"]`, "a.b": "9", "a.c": "2.50"}, fields)
	require.Equal(t, map[string]any{"list": fields["list"].Raw(), "a": map[string]any{"b": fields["a.b"].Raw(), "c": fields["a.c"].Raw()}}, Object(fields))
	require.Equal(t, hold.Value("[]"), spec.fields([]byte(`{"list":["x"]}`), map[string]hold.Value{"list[x]": "false"})["list"])
}
