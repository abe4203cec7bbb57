package control

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"portcullis/responders/hold"
)

func TestLevelsAreCheckedAgainstTheOrders(t *testing.T) {
	orders := map[string]hold.Order{"level": {"low", "high"}}
	read := func(text string) (map[string]map[string]string, error) {
		return ReadLevels(fstest.MapFS{"controls/gate.yaml": {Data: []byte(text)}}, "controls", "gate", orders)
	}
	levels, err := read("control: gate\nlevels:\n  up: {level: high}\n")
	require.NoError(t, err)
	require.Equal(t, map[string]map[string]string{"up": {"level": "high"}}, levels)

	_, err = read("control: gate\nlevels:\n  up: {levl: high}\n  down: {level: none}\n")
	require.ErrorContains(t, err, "levels.up.levl: unknown field (did you mean level?)")
	require.ErrorContains(t, err, `levels.down.level: "none" is not one of low, high`)
	_, err = read("control: gate\n---\ncontrol: gate\n")
	require.ErrorContains(t, err, "holds 2 documents, one is needed")
	_, err = ReadLevels(fstest.MapFS{}, "controls", "gate", orders)
	require.ErrorContains(t, err, "read levels of gate")
}
