package networkacl

import (
	"fmt"
	"testing"
)

func BenchmarkSaw(b *testing.B) {
	logins := make([]Login, 10_000)
	for i := range logins {
		logins[i] = login(fmt.Sprintf("198.%d.%d.7", i/250, i%250))
		logins[i].JA3 = "e7d705a3286e19ea42f587b344ee6865"
	}
	h := NewHealthy()
	b.ReportAllocs()
	for i := range b.N {
		h.Saw(logins[i%len(logins)], start)
	}
}
