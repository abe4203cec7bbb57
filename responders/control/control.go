// Package control brings settings of a tenant to what the holds on them ask
// for. One folder below it is one control.
package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"portcullis/responders/hold"
)

// Store remembers what a control knows across restarts.
type Store interface {
	Get(ctx context.Context, key string) ([]byte, bool, error)
	Put(ctx context.Context, key string, value []byte) error
	Delete(ctx context.Context, key string) error
}

var (
	// ErrUnsupported is wrapped by the error of a Setting that the tenant does not
	// have or does not let us change: plan, scope. Nothing was applied, and trying
	// again does not help.
	ErrUnsupported = errors.New("the tenant does not allow it")
	// ErrNotApplied is wrapped by the error of a write that certainly did nothing,
	// for instance because the tenant's rate limit is used up.
	ErrNotApplied = errors.New("not applied")
	// ErrStore is wrapped when the store fails. Without memory nothing can be
	// written safely.
	ErrStore = errors.New("the store failed")
)

// Report is what one reconciliation found and did.
type Report struct {
	Changes []Change
	Notes   []string // what a person should know, one sentence each
	Again   bool     // the tenant does not show what was written, perhaps since somebody wrote at the same time: nothing is settled, look again
}

// Change is one field that was written.
type Change struct {
	Field, From, To string
	Op              string `json:",omitempty"` // the correlation id of the write; "" where it is not known
}

// Operation makes the correlation id of one write, which comes back in the
// tenant's own log.
type Operation func() string

// inForce picks the holds that count at time now.
func inForce(holds []*hold.Hold, now time.Time) []*hold.Hold {
	var out []*hold.Hold
	for _, h := range holds {
		if h.InForce(now) {
			out = append(out, h)
		}
	}
	return out
}

// Fail ends holds that the tenant will never give.
func Fail(holds []*hold.Hold, now time.Time, why string) {
	for _, h := range holds {
		h.State, h.Note, h.Trouble, h.Ended = hold.Failed, why, "", now
	}
}

// Settle marks holds whose end the tenant now confirms.
func Settle(holds []*hold.Hold, now time.Time) {
	for _, h := range holds {
		if h.Letting() {
			h.State, h.Trouble, h.Ended = hold.Released, "", now
		}
	}
}

// Save keeps doc under a key, or forgets the key when doc is empty. What the
// store has already is not written again. The error wraps [ErrStore].
func Save(ctx context.Context, store Store, key string, doc any, empty bool) error {
	data, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	was, had, err := store.Get(ctx, key)
	switch {
	case err != nil:
	case empty && had:
		err = store.Delete(ctx, key)
	case !empty && (!had || !bytes.Equal(was, data)):
		err = store.Put(ctx, key, data)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	return nil
}
