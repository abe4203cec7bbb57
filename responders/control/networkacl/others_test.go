package networkacl

import (
	"testing"

	"github.com/stretchr/testify/require"

	"portcullis/internal/auth0"
	"portcullis/responders/control"
)

func TestWhatAnotherInstallationLeftIsTold(t *testing.T) {
	c := &Control{instance: "mine"}
	var rep control.Report
	c.tellOthers([]auth0.NetworkACL{
		{ID: "acl_1", Description: "office"},
		{ID: "acl_2", Description: "portcullis:v1 inst=mine exp=2026-11-21T10:00Z"},
		{ID: "acl_3", Description: "portcullis:v1 inst=other exp=2026-11-21T10:00Z"},
	}, start, &rep)
	require.Len(t, rep.Notes, 1)
	require.Contains(t, rep.Notes[0], "acl_3")
	require.Contains(t, rep.Notes[0], "left alone")
}
