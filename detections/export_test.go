package detections

import "portcullis/logstream"

// RestoreUnchecked restores the body of a snapshot without its checksum, so that
// a fuzzer gets past it.
func RestoreUnchecked(e *Engine, body []byte) error { return e.restore(body) }

// StateBesideIDs is a snapshot without the log_ids, whose order in it tells
// nothing.
func StateBesideIDs(e *Engine) ([]byte, error) {
	other := *e
	other.dedupe = logstream.NewDedupe(0)
	return other.Snapshot()
}

// What the members of an event hold.
var (
	TextFields    = textFields
	MappingFields = mappingFields
)
