package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"portcullis/internal/auth0"
)

// streamEvery is how often a tenant is asked about its log streams.
const streamEvery = 5 * time.Minute

// watchStream asks the tenant now and then how its log stream stands, and tells
// the webhook's monitor, until ctx ends. What cannot be seen changes nothing:
// what arrives is judged all the same.
func (t *tenant) watchStream(ctx context.Context) error {
	every := t.daemon.opts.streamEvery
	if every == 0 {
		every = streamEvery
	}
	for {
		t.askStream(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
}

// askStream asks once.
func (t *tenant) askStream(ctx context.Context) {
	path := t.cfg.Load().Logs.Webhook.Path
	list, err := t.api.LogStreams(ctx)
	switch {
	case errors.Is(err, auth0.ErrForbidden):
		t.stream("", "", "whether the log stream is paused or filtered cannot be seen: grant the application read:log_streams")
		return
	case err != nil: // what was known stays; that the tenant does not answer, others tell
		t.log.Debug("log streams not read", "err", err)
		return
	}
	s, ok := auth0.StreamTo(list, path)
	switch {
	case !ok:
		t.stream("", "", fmt.Sprintf("no log stream of the tenant is known to send to %s: whether it is paused or filtered cannot be seen", path))
	case s.Status == auth0.StreamActive:
		t.stream(s.Status, s.Lacks(), "")
	default:
		t.stream(s.Status, fmt.Sprintf("%q", s.Name), "")
	}
}

// stream passes on what is known of the log stream, and notes what is not; that
// is logged when it changes.
func (t *tenant) stream(status, reason, note string) {
	t.monitors["webhook"].Stream(status, reason)
	if before := t.streamNote.Swap(&note); note != "" && (before == nil || *before != note) {
		t.log.Warn("log stream not seen", "why", note)
	}
}
