package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheCommittedTableIsWhatTheSchemaGives(t *testing.T) {
	data, err := os.ReadFile("../../../shared/data/auth0-logs-schema.json")
	if os.IsNotExist(err) {
		t.Skip("Auth0's published schema is not committed; put it at ../shared/data/auth0-logs-schema.json beside the project to compare")
	}
	require.NoError(t, err)
	want, err := generate(data)
	require.NoError(t, err)
	got, err := os.ReadFile("../../detections/schema_table.txt")
	require.NoError(t, err)
	require.Equal(t, string(want), string(got), "run go generate ./detections")
}

func TestShapesAreWrittenAsTheTableHasThem(t *testing.T) {
	for _, tc := range []struct{ name, schema, want string }{
		{"required and optional members", `{"type":"object","required":["a"],"properties":{"a":{"type":"string"},"b":{"type":"number"}}}`, "m{a:t,b?:n}"},
		{"a member that may be null can be absent", `{"type":"object","required":["a"],"properties":{"a":{"type":["string","null"]}}}`, "m{a?:t}"},
		{"an open mapping", `{"type":"object"}`, "m"},
		{"a mapping of more than is listed", `{"type":"object","properties":{"a":{}},"additionalProperties":{"type":"string"}}`, "m+{a?:*}"},
		{"a list of texts", `{"type":"array","items":{"type":"string"}}`, "l[t]"},
		{"texts that are listed", `{"allOf":[{"enum":["b","a"],"type":"string"}]}`, "t(a|b)"},
		{"alternatives", `{"anyOf":[{"type":"string","format":"ipv4"},{"type":"array","items":{}},{"type":"null"}]}`, "lt"},
		{"alternatives of mappings, one of them open", `{"anyOf":[{"type":"object","required":["a"],"properties":{"a":{"type":"boolean"}}},{"type":"object"}]}`, "m+{a?:b}"},
		{"a required member of every alternative", `{"anyOf":[{"type":"object","required":["a"],"properties":{"a":{"type":"string"}}},{"type":"object","required":["a"],"properties":{"a":{"type":"number"}}}]}`, "m{a:nt}"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, err := generate([]byte(`{"components":{"schemas":{"fp":{"type":"object","required":["x"],"properties":{"x":` + tc.schema + `}}}}}`))
			require.NoError(t, err)
			require.Contains(t, string(out), ":"+tc.want+"\n")
		})
	}
}

func TestATypeWithoutACategoryIsRefused(t *testing.T) {
	_, err := generate([]byte(`{"components":{"schemas":{"brand_new":{"type":"object"}}}}`))
	require.EqualError(t, err, "type brand_new has no category: add it to categories.txt")
}
