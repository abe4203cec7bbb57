package auth0

import (
	"context"
	"net/http"
)

// Lane says how urgent a call is while the tenant's rate limit is short.
type Lane int

// The lanes, the most urgent first. A call whose context names none goes as Restore if it writes, and passes always if it
// reads.
const (
	// Contain may use all of the tenant's limit and goes first; while nothing is left of it, it waits.
	Contain Lane = iota + 1
	// Verify is for reads that show whether something took effect: they wait while nothing is left, and let Contain go first.
	Verify
	// Restore keeps to the share of the limit that is ours, and lets Contain go first.
	Restore
	// Observe is for what can wait: while less than half of the limit is left it is not sent, which is ErrRateLimited.
	Observe
	// reading is a read that names no lane.
	reading
)

type laneKey struct{}

// InLane returns a context whose calls go in a lane.
func InLane(ctx context.Context, lane Lane) context.Context {
	return context.WithValue(ctx, laneKey{}, lane)
}

func laneOf(req *http.Request) Lane {
	lane, named := req.Context().Value(laneKey{}).(Lane)
	switch {
	case named:
		return lane
	case isWrite(req.Method):
		return Restore
	}
	return reading
}
