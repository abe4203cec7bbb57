// Package control brings settings of a tenant to what the holds on them ask
// for. One folder below it is one control.
package control

import (
	"context"
	"errors"
	"time"

	"portcullis/responders/hold"
)

// Store remembers what a control knows across restarts.
type Store interface {
	Get(ctx context.Context, key string) ([]byte, bool, error)
	Put(ctx context.Context, key string, value []byte) error
	Delete(ctx context.Context, key string) error
}

// ErrUnsupported is wrapped by the error of a Setting that the tenant does not
// have or does not let us change: plan, scope. Trying again does not help.
var ErrUnsupported = errors.New("the tenant does not allow it")

// Report is what one reconciliation found and did.
type Report struct {
	Changes []Change
	Notes   []string // what a person should know, one sentence each
	Again   bool     // somebody wrote at the same time: look again
}

// Change is one field that was written.
type Change struct {
	Field, From, To string
}

// Operation makes the correlation id of one write, which comes back in the
// tenant's own log.
type Operation func() string

// intentLife is how long a request with unknown outcome may still land.
const intentLife = 2 * time.Minute

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
		h.State, h.Note, h.Ended = hold.Failed, why, now
	}
}

// Settle marks holds whose end the tenant now confirms.
func Settle(holds []*hold.Hold, now time.Time) {
	for _, h := range holds {
		if h.State == hold.Releasing {
			h.State, h.Ended = hold.Released, now
		}
	}
}
