package detections

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDifferencesPairAlertsOfOneGroup(t *testing.T) {
	at := func(minute, count int, ip string) Alert {
		opened := time.Date(2026, 3, 1, 0, minute, 0, 0, time.UTC)
		return Alert{Rule: "r", Group: map[string]string{"ip": ip}, OpenedAt: opened, UpdatedAt: opened.Add(5 * time.Minute), Count: count, Severity: High}
	}
	kinds := func(ds []Difference) (out []DifferenceKind) {
		for _, d := range ds {
			out = append(out, d.Change)
		}
		return out
	}
	require.Empty(t, Differences([]Alert{at(0, 3, "a")}, []Alert{at(0, 3, "a")}), "the same alert is no difference")
	require.Equal(t, []DifferenceKind{AlertGone, AlertNew}, kinds(Differences([]Alert{at(0, 3, "a")}, []Alert{at(1, 3, "b")})), "another group is another alert")
	require.Equal(t, []DifferenceKind{AlertMoved}, kinds(Differences([]Alert{at(0, 3, "a")}, []Alert{at(0, 4, "a")})), "another count moves it")

	ds := Differences([]Alert{at(0, 3, "a"), at(30, 3, "a")}, []Alert{at(31, 3, "a")})
	require.Equal(t, []DifferenceKind{AlertGone, AlertMoved}, kinds(ds), "episodes that overlap are paired before those that do not")
	require.Equal(t, 30, ds[1].Before.OpenedAt.Minute())
}
