package logstream

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestScalarAgreesWithLookup(t *testing.T) {
	e, err := Decode([]byte(`{"log_id":"900","type":"f\u0070","isMobile":true,"no":false,"n":1.5e2,"nothing":null,"list":[1,"a"],"details":{"deep":{"text":"x\ny","list":[]}},"bad":"` + "\xff" + `"}`))
	require.NoError(t, err)
	for path, want := range map[string]Scalar{
		"type":              {Kind: Text, Text: []byte("fp")},
		"_id":               {Kind: Text, Text: []byte("900")},
		"is_mobile":         {Kind: Bool, Number: 1},
		"no":                {Kind: Bool},
		"n":                 {Kind: Number, Number: 150},
		"nothing":           {},
		"gone":              {},
		"details.deep.text": {Kind: Text, Text: []byte("x\ny")},
		"details.deep.gone": {},
		"details.deep":      {Kind: Collection},
		"list":              {Kind: Collection},
		"list[*]":           {Kind: Collection},
		"bad":               {Kind: Text, Text: []byte(replacement)},
	} {
		p, err := ParsePath(path)
		require.NoError(t, err)
		got := e.Scalar(p)
		require.Equal(t, want, got, path)
		switch v := e.Lookup(p).(type) {
		case nil:
			require.Equal(t, Null, got.Kind, path)
		case string:
			require.Equal(t, v, string(got.Text), path)
		case float64:
			require.Equal(t, v, got.Number, path)
		}
	}
	require.Equal(t, Scalar{}, e.Scalar(Path{}))
}
