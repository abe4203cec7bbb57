package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"time"

	"portcullis/internal/journal"
)

// lease is how several daemons on one cluster agree who guards a tenant. The
// margin is twice the time that a request to Auth0, or to the store, may take.
var lease = journal.LeaseOptions{TTL: time.Minute, Margin: 30 * time.Second, Every: 5 * time.Second}

// processName tells this process from any other, and people which one it is.
func processName() (string, error) {
	b := make([]byte, 4)
	if _, err := rand.Read(b); err != nil {
		return "", fmt.Errorf("make a name for this process: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	return fmt.Sprintf("%s, pid %d, %s", host, os.Getpid(), hex.EncodeToString(b)), nil
}

// reign waits until this process holds the tenant's lease, and lives while it
// does. begun tells whether it came to that.
func (t *tenant) reign(ctx context.Context) (begun bool, err error) {
	defer t.standby.Store(nil)
	if err := t.lease.Acquire(ctx, t.standBy); err != nil {
		return false, err
	}
	t.standby.Store(nil)
	holding, lose := context.WithCancelCause(ctx)
	defer lose(nil)
	keeping, stop := context.WithCancel(context.WithoutCancel(ctx)) // what stops in phases needs it until the last
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		if err := t.lease.Keep(keeping); err != nil {
			lose(err)
		}
	}()
	l, err := t.begin(holding)
	if begun = err == nil; begun {
		err = l.run(holding)
	}
	stop()
	<-kept
	if lost := t.lease.Held(); lost != nil && ctx.Err() == nil {
		return begun, lost
	}
	bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if failed := t.lease.Release(bound); failed != nil {
		t.log.Warn("lease not given up: another process waits until it lapses", "err", failed)
	}
	return begun, err
}

// standBy notes that another process guards the tenant.
func (t *tenant) standBy(holder string) {
	if old := t.standby.Swap(&holder); old == nil || *old != holder {
		t.log.Info("standing by: another process guards the tenant", "holder", holder)
	}
}

// whyNotGuarded adds to a tenant's name what is known of why this process does
// not guard it.
func (t *tenant) whyNotGuarded() string {
	if holder := t.standby.Load(); holder != nil {
		return " (standby: " + *holder + " guards it)"
	}
	return ""
}
