package detections

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// StateBesideIDs is a snapshot without the log_ids, in an order of its own.
func StateBesideIDs(e *Engine) ([]byte, error) {
	data, err := e.Snapshot()
	return Sorted(data), err
}

// Sorted is what a capture holds, whatever the order in which it came to it,
// beside the log_ids.
func Sorted(capture []byte) []byte {
	var records [][]byte
	for len(capture) > 0 {
		n := 5 + binary.LittleEndian.Uint32(capture[1:])
		if capture[0] != recordSeen {
			records = append(records, capture[:n])
		}
		capture = capture[n:]
	}
	slices.SortFunc(records, bytes.Compare)
	return bytes.Join(records, nil)
}

// What the members of an event hold.
var (
	TextFields    = textFields
	MappingFields = mappingFields
)
