package detections_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
	"portcullis/logstream"
)

func TestFieldsOfEventTypesAreKnown(t *testing.T) {
	for _, tc := range []struct {
		name     string
		types    []string
		path     string
		kind     detections.FieldKind
		presence detections.Presence
	}{
		{"a required text", []string{"fp"}, "ip", detections.TextKind, detections.Always},
		{"the envelope's prefix changes nothing", []string{"fp"}, "data.ip", detections.TextKind, detections.Always},
		{"a member that the type lacks", []string{"fp"}, "hostname", 0, detections.Never},
		{"a member that one of two types lacks", []string{"fp", "s"}, "hostname", detections.TextKind, detections.Sometimes},
		{"a nested number", []string{"ferrt"}, "details.tokenCounter", detections.NumberKind, detections.Always},
		{"a member that a listed parent does not list", []string{"ferrt"}, "details.request.channel", 0, detections.Unlisted},
		{"a member of a parent that lists none", []string{"sapi"}, "details.request.body.scope", detections.AnyKind, detections.Sometimes},
		{"details of a type whose schema has none", []string{"fepft"}, "details.anything", detections.AnyKind, detections.Sometimes},
		{"the elements of a list", []string{"s"}, "details.prompts[*].name", detections.ListKind, detections.Sometimes},
		{"a list walked as if it were a mapping", []string{"s"}, "details.prompts.name", 0, detections.Never},
		{"a text walked as if it were a mapping", []string{"s"}, "ip.address", 0, detections.Never},
		{"a text walked as if it were a list", []string{"s"}, "ip[*]", 0, detections.Never},
		{"a text or null", []string{"sapi"}, "client_id", detections.TextKind, detections.Sometimes},
		{"one of several kinds", []string{"sapi"}, "auth0_client", detections.MappingKind | detections.ListKind, detections.Sometimes},
		{"where an address is, on a type with addresses", []string{"s"}, "location_info.country_code", detections.TextKind, detections.Sometimes},
		{"where an address is, on a type without", []string{"wum"}, "location_info.country_code", 0, detections.Never},
		{"any type", nil, "details.tokenCounter", detections.AnyKind, detections.Sometimes},
		{"an unknown type", []string{"not_yet"}, "details.x", detections.AnyKind, detections.Sometimes},
		{"a type that has no schema", []string{"too_many_records"}, "ip", detections.AnyKind, detections.Sometimes},
		{"no member at all", nil, "tipe", 0, detections.Never},
	} {
		t.Run(tc.name, func(t *testing.T) {
			kind, presence := detections.FieldOf(tc.types, tc.path)
			require.Equal(t, tc.presence, presence)
			require.Equal(t, tc.kind.String(), kind.String())
		})
	}
}

func TestTypesAreKnownWithTheirCategory(t *testing.T) {
	require.True(t, detections.KnownType("fp"))
	require.True(t, detections.KnownType("coff"), "a type without a schema")
	require.False(t, detections.KnownType("fpp"))
	require.Equal(t, "auth.login.fail", detections.TypeCategory("fp"))
	require.Equal(t, "auth.token_exchange.success", detections.TypeCategory("feta"))
	require.Empty(t, detections.TypeCategory("coff"))
	require.Len(t, detections.EventTypes(), 167+12)
	require.Equal(t, []string{"sdelsa", "ssa"}, detections.TypesWith("session_connection"))
	require.Len(t, detections.TypesWith("security_context.ja4"), 43)
	require.Len(t, detections.TypesWith("type"), 167)
}

func TestTheSchemasHaveEveryMemberThatTheDecoderKnows(t *testing.T) {
	for _, path := range logstream.KnownFields() {
		require.NotEmpty(t, detections.TypesWith(path), path)
	}
}
