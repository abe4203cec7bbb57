package responders

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"portcullis/detections"
	"portcullis/internal/tenantsim"
	"portcullis/responders/hold"
)

// takeover is an alert about one victim, seen from one address.
func takeover(id string, seen time.Duration, ips ...string) detections.Alert {
	a := alert(seen, 41, ips...)
	a.ID, a.Fold, a.Campaign, a.Group = id, detections.FoldLinked, "takeover", map[string]string{"user_id": "auth0|" + id}
	return a
}

func TestMergedIncidentsAreOneThreadAndTheirHoldsAreOne(t *testing.T) {
	w := newWorld(t, tenantsim.Options{})
	w.start()
	for _, a := range []detections.Alert{takeover("al_a", time.Minute, "192.0.2.1"), takeover("al_b", 2*time.Minute, "192.0.2.2")} {
		w.r.Offer(opened(a))
	}
	w.after(3 * time.Minute)
	require.Len(t, w.reports, 2, "nothing links them")
	holds := len(w.r.holds)
	before := w.r.incidents.All()
	gone := before[1].ID

	w.r.Offer(opened(takeover("al_c", 3*time.Minute, "192.0.2.1", "192.0.2.2")))
	w.after(time.Second)
	all := w.r.incidents.All()
	require.Len(t, all, 1)
	require.Equal(t, before[0].ID, all[0].ID)
	require.Len(t, all[0].Alerts, 3)
	require.Len(t, w.r.holds, holds, "what either held is not asked for again")
	require.Equal(t, StateClosed, w.reports[gone].State)
	require.NotNil(t, w.reports[gone].Incident.ResolvedAt)
	require.Equal(t, 1, w.told("Incident "+gone+" turned out to be the same attack: these 3 alerts belong together because"))
	require.Equal(t, 1, w.told("Closed: it is part of incident "+all[0].ID))
	require.Equal(t, StateContaining, w.reports[all[0].ID].State)
	outcomes := len(w.reports[all[0].ID].Outcomes)
	require.GreaterOrEqual(t, outcomes, holds, "the holds of both are shown on the one")

	w.start()
	require.Len(t, w.r.incidents.All(), 1, "after a restart too")
	require.Len(t, w.r.incidents.All()[0].Alerts, 3)
	w.reports = map[string]Report{}
	require.NoError(t, w.r.showAll(w.ctx))
	require.NotContains(t, w.reports, gone, "it is never shown open again")
	w.r.Offer(updated(takeover("al_b", 10*time.Minute, "192.0.2.2", "192.0.2.3")))
	w.after(time.Second)
	require.Len(t, w.r.incidents.All(), 1)

	for _, id := range []string{"al_a", "al_b", "al_c"} {
		w.r.Offer(resolved(takeover(id, 10*time.Minute), 20*time.Minute))
	}
	w.after(2 * time.Hour)
	w.after(2 * time.Hour)
	for _, h := range w.r.holds {
		require.True(t, h.State == hold.Released, "%s is %s", h.Control, h.State)
	}
	require.Equal(t, StateClosed, w.report().State)
	w.after(9 * 24 * time.Hour)
	left, err := w.stores["incidents"].All(t.Context())
	require.NoError(t, err)
	require.Empty(t, left, "all that was merged is forgotten together")
}

func TestACrashDuringAMergeLeavesOneIncident(t *testing.T) {
	changes := []detections.Change{
		opened(takeover("al_a", time.Minute, "192.0.2.1")), opened(takeover("al_b", 2*time.Minute, "192.0.2.2")),
		opened(takeover("al_c", 3*time.Minute, "192.0.2.1", "192.0.2.2")),
	}
	for _, late := range []bool{false, true} {
		for cut, crashed := 0, true; crashed; cut++ {
			w := newWorld(t, tenantsim.Options{})
			w.setup.Mode, w.late = Observe, late
			require.NoError(t, w.boot(cut))
			for _, c := range changes {
				w.r.Offer(c)
				if err := w.r.step(w.ctx); err != nil {
					break
				}
			}
			if crashed = w.fuse.blown; crashed {
				require.NoError(t, w.boot(-1))
				require.NoError(t, w.r.showAll(w.ctx))
				for _, c := range changes {
					w.r.Offer(c)
					w.step()
				}
			}
			all := w.r.incidents.All()
			require.Len(t, all, 1, "cut %d", cut)
			require.Len(t, all[0].Alerts, 3, "cut %d", cut)
			for id, r := range w.reports {
				require.Equal(t, id != all[0].ID, r.State == StateClosed, "cut %d: %s is shown as %s", cut, id, r.State)
			}
			docs, err := w.stores["incidents"].All(t.Context())
			require.NoError(t, err)
			alerts := 0
			for key, doc := range docs {
				incident, _, isAlert := strings.Cut(key, "/")
				if isAlert {
					alerts++
					require.Equal(t, all[0].ID, incident, "cut %d", cut)
					continue
				}
				var saved savedIncident
				require.NoError(t, json.Unmarshal(doc, &saved))
				require.Equal(t, incident != all[0].ID, saved.MergedInto != "", "cut %d: %s", cut, doc)
			}
			require.Equal(t, 3, alerts, "cut %d", cut)
			w.srv.Close()
		}
	}
}
