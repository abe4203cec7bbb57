package main

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestASnapshotIsReadAsItWasWrittenOrNotAtAll changes a snapshot in ways that a
// disk may. It is not a fuzz target: this package takes minutes to instrument.
func TestASnapshotIsReadAsItWasWrittenOrNotAtAll(t *testing.T) {
	var whole bytes.Buffer
	whole.WriteString(snapshotMagic)
	require.NoError(t, writeFrame(&whole, frameEngine, []byte("engine")))
	require.NoError(t, writeFrame(&whole, frameEngine, bytes.Repeat([]byte("part"), 100)))
	require.NoError(t, writeFrame(&whole, frameEnd, nil))
	rng := rand.New(rand.NewPCG(1, 2))
	read := 0
	for range 20_000 {
		data := bytes.Clone(whole.Bytes())
		for range rng.IntN(4) {
			switch i := rng.IntN(len(data)); rng.IntN(4) {
			case 0:
				data = data[:i+1]
			case 1:
				data[i] ^= 1 << rng.IntN(8)
			case 2:
				data = append(data[:i:i], data[min(i+1+rng.IntN(20), len(data)-1):]...)
			default:
				data = append(data, byte(rng.Uint32()))
			}
			if len(data) == 0 {
				break
			}
		}
		var again bytes.Buffer
		again.WriteString(snapshotMagic)
		if err := readFrames(bytes.NewReader(data), func(fr frame) error { return writeFrame(&again, fr.kind, fr.body) }); err != nil {
			continue
		}
		read++
		require.NoError(t, writeFrame(&again, frameEnd, nil))
		require.Equal(t, again.Bytes(), data, "what is read is what was written, and nothing else is taken")
	}
	require.Positive(t, read)
	require.Less(t, read, 10_000)
}
