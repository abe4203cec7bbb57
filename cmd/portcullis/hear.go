package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"portcullis/logstream"
	"portcullis/responders/control"
	"portcullis/responders/hold"
)

// responderPause is how long a step of the responder may take before it counts as a
// pause of the whole host.
const responderPause = 5 * time.Minute

// opPrefix begins the correlation id of every write of ours; the instance follows.
const opPrefix = "portcullis-"

// settingPaths are in the paths of what controls hold. Most writes to a tenant are
// about users, and none of theirs.
var settingPaths = []string{"/attack-protection/", "/network-acls", "/guardian/", "/connections/", "/actions/"}

// pathOfChange is where a line of the log has the path of a write.
var pathOfChange = mustPath("details.request.path")

// hear hands the responder the lines of the log that tell of writes to the tenant.
func (l *life) hear(ctx context.Context, ev *logstream.Event) {
	l.seePlaybooks(ev)
	if ev.Type != "sapi" {
		return
	}
	path, _ := ev.LookupString(pathOfChange)
	if !slices.ContainsFunc(settingPaths, func(part string) bool { return strings.Contains(path, part) }) {
		return
	}
	ln, ok := control.ReadLine(ev.ID, ev.Time, ev.Raw())
	if !ok {
		return
	}
	ln.Whose = l.t.whose(ln.Op, ln.Client)
	if err := l.responder.Hear(ctx, ln); err != nil {
		l.t.log.Error("a line of the log may be lost in a crash", "log_id", ln.ID, "err", err)
	}
}

// whose tells a write of this daemon, and one of another of this installation, from
// those of people. Others may send any correlation id, so the application counts too.
func (t *tenant) whose(op, client string) hold.Whose {
	switch {
	case client != t.cfg.Load().ClientID || !strings.HasPrefix(op, opPrefix):
		return hold.Theirs
	case strings.HasPrefix(op, opPrefix+t.instance+"-"):
		return hold.Ours
	}
	return hold.Twins
}

// tellGap tells the responder that lines of the log may be missing.
func (t *tenant) tellGap(reason string, since time.Time) {
	if r := t.answers.Load(); r != nil {
		r.Gap(reason, since)
	}
}
