package detections

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"portcullis/logstream"
)

// randomTerm is a part of a condition, of a kind that the index may use or must
// not.
func randomTerm(rng *rand.Rand) string {
	n := rng.IntN(6)
	return [...]string{
		fmt.Sprintf(`client_id == "c%d"`, n), fmt.Sprintf(`"c%d" == client_id`, n), fmt.Sprintf(`connection in ["k%d", "k%d"]`, n, n/2),
		fmt.Sprintf(`client_id != "c%d"`, n), fmt.Sprintf(`not (connection == "k%d")`, n), `ip in lists.nets`, `client_id in lists.clients`, `not (client_id in lists.clients)`,
		fmt.Sprintf(`details.n == %d`, n), fmt.Sprintf(`(client_id == "c%d" || connection == "k%d")`, n, n), fmt.Sprintf(`(client_id == "c%d" || client_id == "c1")`, n),
		`user_name startsWith "u"`, fmt.Sprintf(`ip == "203.0.113.%d"`, n), `client_id == connection`, fmt.Sprintf(`client_id == "c%d" && client_id == "c%d"`, n, rng.IntN(6)), `client_id == nil`,
		fmt.Sprintf(`details.path == "/p/%d"`, n), fmt.Sprintf(`(type == "fp" ? client_id == "c%d" : true)`, n), `client_id == params.client`,
	}[rng.IntN(19)]
}

func randomRule(rng *rand.Rand, id int) string {
	where := [...]string{`type == "fp"`, `type in ["s", "fp"]`, `type in lists.types`, `type != "fp"`, `true`, `type == "s"`}[rng.IntN(6)]
	for range 1 + rng.IntN(3) {
		where += [...]string{" && ", " && ", " && ", " || "}[rng.IntN(4)] + randomTerm(rng)
	}
	return fmt.Sprintf("id: r%d\ntitle: R\nseverity: low\nparams: {client: {default: c1}}\nwhere: >-\n  (%s) && params.client != \"\"\n", id, where)
}

func TestTheIndexFindsEveryRuleThatHolds(t *testing.T) {
	lists := Lists{"nets": NewList("203.0.113.0/30"), "clients": NewList("c2", "c3"), "types": NewList("fp", "fu")}
	matched, spared := 0, 0
	for seed := range 60 {
		rng := rand.New(rand.NewPCG(uint64(seed), 11))
		var files []File
		for i := range 40 {
			files = append(files, File{Name: fmt.Sprintf("r%d.yaml", i), Data: []byte(randomRule(rng, i))})
		}
		set, err := Load(files, lists)
		require.NoError(t, err)
		e, err := NewEngine("acme", set, Options{})
		require.NoError(t, err)
		for range 200 {
			fields := map[string]any{"type": []any{"fp", "s", "fu", "x", 5}[rng.IntN(5)]}
			for name, values := range map[string][]any{"client_id": {"c0", "c1", "c2", "c3", 3, nil, []any{"c1"}}, "connection": {"k0", "k1", "k2", "c1"}, "ip": {"203.0.113.1", "203.0.113.5", "x"},
				"user_name": {"u", "v"}, "details": {map[string]any{"n": rng.IntN(6), "path": "/p/1"}, map[string]any{"path": "/p/2"}, "x"}} {
				if rng.IntN(5) > 0 {
					fields[name] = values[rng.IntN(len(values))]
				}
			}
			raw, err := json.Marshal(fields)
			require.NoError(t, err)
			ev, err := logstream.Decode(raw)
			require.NoError(t, err)
			e.eval.row.take(&ev)
			found := slices.Clone(e.concerned(e.byType[ev.Type]))
			require.True(t, slices.IsSortedFunc(found, func(a, b *ruleState) int { return a.order - b.order }))
			spared += len(e.rules) - len(found)
			for _, r := range e.rules {
				if holds, err := r.where.holds(e.eval.row); err == nil && holds {
					matched++
					require.Contains(t, found, r, "%s\n%s", r.Where.Value, raw)
				}
			}
		}
	}
	require.Greater(t, matched, 50_000, "too calm to prove anything")
	require.Greater(t, spared, 200_000, "the index spares nothing")
}

func TestAListOfManyNetworksSaysWhatEachOfThemSays(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var nets []netip.Prefix
	var entries []string
	for range 500 {
		a := netip.AddrFrom4([4]byte{10, byte(rng.IntN(4)), byte(rng.IntN(256)), byte(rng.IntN(256))})
		p := netip.PrefixFrom(a, 16+rng.IntN(17)).Masked()
		if rng.IntN(3) == 0 {
			p = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, byte(rng.IntN(4)), byte(rng.IntN(256))}), 16+rng.IntN(113)).Masked()
		}
		if p.Addr().Is4() && p.Bits() < 20 {
			continue
		}
		nets, entries = append(nets, p), append(entries, p.String())
	}
	l := NewList(entries...)
	in := 0
	for range 5000 {
		a := netip.AddrFrom4([4]byte{10, byte(rng.IntN(5)), byte(rng.IntN(256)), byte(rng.IntN(256))})
		if rng.IntN(3) == 0 {
			a = netip.AddrFrom16([16]byte{0x20, 1, byte(rng.IntN(5)), byte(rng.IntN(256)), 0, byte(rng.IntN(3))})
		}
		want := slices.ContainsFunc(nets, func(p netip.Prefix) bool { return p.Contains(a) })
		require.Equal(t, want, l.Contains(a.String()), a)
		if want {
			in++
		}
	}
	require.Greater(t, in, 200)
	require.True(t, NewList("0.0.0.0/0", "::/0").Contains("255.255.255.255"))
	require.False(t, NewList("0.0.0.0/0").Contains("::1"))
}

// BenchmarkManyNetworks looks an address up among 10,000 networks.
func BenchmarkManyNetworks(b *testing.B) {
	var entries []string
	for i := range 10_000 {
		entries = append(entries, fmt.Sprintf("10.%d.%d.0/25", i/256, i%256))
	}
	l := NewList(entries...)
	for b.Loop() {
		if !l.Contains("10.20.30.4") || l.Contains("11.20.30.4") {
			b.Fatal(strings.Join(entries[:3], " "))
		}
	}
}
