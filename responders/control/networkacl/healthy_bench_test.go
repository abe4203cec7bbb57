package networkacl

import (
	"fmt"
	"net/netip"
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

// BenchmarkWriteAFullWeek is what a snapshot of the fullest memory costs.
func BenchmarkWriteAFullWeek(b *testing.B) {
	h := NewHealthy()
	for d := range healthyDays {
		at := start.AddDate(0, 0, d-healthyDays+1)
		for i := range maxKeys {
			h.Saw(Login{At: at, Addr: netip.AddrFrom4([4]byte{100, byte(i >> 16), byte(i >> 8), byte(i)})}, start)
		}
	}
	for b.Loop() {
		h.Saw(login("198.51.100.7"), start)
		if _, err := h.MarshalBinary(); err != nil {
			b.Fatal(err)
		}
	}
}
