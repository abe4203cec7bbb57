package main

import (
	"net/netip"
	"sync/atomic"
	"time"

	"portcullis/logstream"
	"portcullis/responders"
	"portcullis/responders/control/networkacl"
	"portcullis/responders/hold"
)

// people is what a tenant's events teach of who must not be denied by mistake.
type people struct {
	healthy *networkacl.Healthy // of one life: what the journal tells anew is not counted twice
	never   atomic.Pointer[responders.NeverTouch]
	acls    atomic.Pointer[networkacl.Control]
}

var (
	clientIDPath    = mustPath("client_id")
	correlationPath = mustPath("references.correlation_id")
)

// healthyTraffic is the list of event types that count as healthy.
const healthyTraffic = "healthy_traffic"

// meet takes note of whom an event that arrived at a time shows.
func (t *tenant) meet(ev *logstream.Event, arrived time.Time) {
	switch {
	case ev.Type == "acls_summary":
		acls := t.people.acls.Load()
		if acls == nil {
			return
		}
		s, err := networkacl.ReadSummary(ev.Raw())
		if err != nil {
			t.log.Warn("what network ACLs matched is not readable", "err", err)
			return
		}
		acls.Summarised(s)
	case ev.Type == "sapi":
		op, _ := ev.LookupString(correlationPath)
		client, _ := ev.LookupString(clientIDPath)
		if addr := addressIn(ev); addr.IsValid() && t.whose(op, client) == hold.Ours {
			t.people.healthy.SawOwn(addr, arrived)
		}
	case t.content.Load().Lists[healthyTraffic].Contains(ev.Type):
		t.people.healthy.Saw(t.login(ev), arrived)
	}
}

func addressIn(ev *logstream.Event) netip.Addr {
	text, _ := ev.LookupString(ipPath)
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}
	}
	return addr
}

func (t *tenant) login(ev *logstream.Event) networkacl.Login {
	text := func(p logstream.Path) string {
		s, _ := ev.LookupString(p)
		return s
	}
	l := networkacl.Login{At: ev.Time, Addr: addressIn(ev), JA3: text(ja3Path), JA4: text(ja4Path),
		ASN: text(asnPath), Country: text(countryPath), UserAgent: text(agentPath)}
	if never := t.people.never.Load(); never != nil {
		l.Marked = never.Holds(text(userIDPath), text(clientIDPath), l.Addr)
	}
	return l
}
