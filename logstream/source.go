package logstream

import (
	"context"
	"fmt"
	"time"
)

// Batch is what a source delivers at once. Its events are valid until Deliver
// returns, as their bytes are reused after it; [Event.Clone] keeps one longer.
type Batch struct {
	Events []Event
	// Cursor is where to resume after this batch; "" when the source has none.
	Cursor string
	// CaughtUp, when not zero, says that the source had nothing newer than these
	// events when asked at this time of the event clock.
	CaughtUp time.Time
}

// Deliver takes a batch and returns nil only when it is safe: the source then
// moves its cursor and reuses the events' memory.
type Deliver func(ctx context.Context, b Batch) error

// rawKept is how much of something undecodable is kept, in bytes.
const rawKept = 4 << 10

// Reject is something that could not be decoded.
type Reject struct {
	Source string // the file, "stdin", or the URL polled
	Line   int    // 1-based line where it starts; 0 when the source has no lines
	Offset int64  // its first byte, after decompression
	Reason error
	Raw    []byte // its first 4 KiB at most
	Size   int64  // its whole size in bytes
}

// String returns "events.jsonl:17: reason".
func (r Reject) String() string {
	if r.Line > 0 {
		return fmt.Sprintf("%s:%d: %v", r.Source, r.Line, r.Reason)
	}
	return fmt.Sprintf("%s: %v", r.Source, r.Reason)
}

// CursorStore keeps a source's place between runs.
type CursorStore interface {
	// LoadCursor returns the saved cursor, "" when none was saved yet.
	LoadCursor(ctx context.Context) (string, error)
	// SaveCursor returns nil only when the cursor survives a crash.
	SaveCursor(ctx context.Context, cursor string) error
}

func firstBytes(b []byte) []byte {
	return append([]byte(nil), b[:min(len(b), rawKept)]...)
}
