package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"portcullis/config"
	"portcullis/logstream"
	"portcullis/responders/control"
	"portcullis/responders/hold"
)

func TestAWriteIsOursByItsCorrelationIDAndItsApplication(t *testing.T) {
	tn := &tenant{instance: "one"}
	tn.cfg.Store(&config.Tenant{ClientID: "daemon"})
	for name, tt := range map[string]struct {
		op, client string
		want       hold.Whose
	}{
		"our own":                              {"portcullis-one-1f-3", "daemon", hold.Ours},
		"of another instance":                  {"portcullis-two-1f-3", "daemon", hold.Twins},
		"of an instance with a longer name":    {"portcullis-oneself-1f-3", "daemon", hold.Twins},
		"with our credentials and no id":       {"", "daemon", hold.Theirs},
		"with our id by another application":   {"portcullis-one-1f-3", "other", hold.Theirs},
		"in the dashboard":                     {"", "dashboard", hold.Theirs},
		"with our credentials and another id":  {"deploy-7", "daemon", hold.Theirs},
		"with a made up id of our own pattern": {"portcullis-", "daemon", hold.Twins},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, tt.want, tn.whose(tt.op, tt.client)) })
	}
}

func TestALineSaysWhoChangedWhat(t *testing.T) {
	ev, err := logstream.Decode([]byte(`{"log_id":"90020260302090000000000000000000000000000000000000000001","data":{"date":"2026-03-02T09:00:00.123Z","type":"sapi",
		"client_id":"terraform","client_name":"Terraform","references":{"correlation_id":"x"},"details":{"request":{"method":"PATCH",
		"path":"/api/v2/connections/con%7C1","body":{"a":1},"auth":{"user":{}}},"response":{"body":{"name":"users"}}}}}`))
	require.NoError(t, err)
	ln, ok := control.ReadLine(ev.ID, ev.Time, ev.Raw())
	require.True(t, ok)
	require.Equal(t, "patch", ln.Method)
	require.Equal(t, "/api/v2/connections/con|1", ln.Path)
	require.Equal(t, "Terraform", ln.By, "a machine has no user")
	require.Equal(t, "terraform", ln.Client)
	require.JSONEq(t, `{"a":1}`, string(ln.Request))
	require.JSONEq(t, `{"name":"users"}`, string(ln.Response))
	_, ok = control.ReadLine("1", ev.Time, []byte(`{"details":{"request":{"path":5}}}`))
	require.False(t, ok)
	_, ok = control.ReadLine("1", ev.Time, []byte(`{}`))
	require.False(t, ok)
}
