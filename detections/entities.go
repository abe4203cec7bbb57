package detections

import (
	"maps"
	"slices"
	"sync"

	"portcullis/logstream"
)

// Entities are the distinct values seen in an alert's events, sorted, at most
// 200 of each.
type Entities struct {
	IP       []string `json:"ip"`
	UserID   []string `json:"user_id"`
	ClientID []string `json:"client_id"`
	JA4      []string `json:"ja4"`
	FamilyID []string `json:"family_id,omitempty"` // refresh token families, details.familyId
}

// The entities of an event, in the order in which entries hold them.
const (
	entityIP = iota
	entityUser
	entityClient
	entityJA4
	entityFamily
	entityKinds
)

// maxEntities bounds each kind of entity of an alert.
const maxEntities = 200

// entityPaths are the fields that alerts name as entities.
var entityPaths = func() (paths [entityKinds]logstream.Path) {
	for i, f := range [entityKinds]string{"ip", "user_id", "client_id", "security_context.ja4", "details.familyId"} {
		p, err := logstream.ParsePath(f)
		if err != nil {
			panic(err) // the paths are right above
		}
		paths[i] = p
	}
	return paths
}()

// familyless are the event types that are documented to have no token family:
// almost all. It saves looking through their details.
var familyless = sync.OnceValue(func() map[string]bool {
	out := map[string]bool{}
	for _, t := range allTypes() {
		out[t] = true
	}
	for _, t := range TypesWith("details.familyId") {
		delete(out, t)
	}
	return out
})

// entitiesOf are the entities of the event in the row; "" for what it has not.
func (e *Engine) entitiesOf(ev *logstream.Event) (out [entityKinds]string) {
	for i, slot := range e.entityAt {
		if i == entityFamily && familyless()[ev.Type] {
			continue
		}
		out[i] = e.eval.row.text(slot)
	}
	return out
}

// entitySets are the distinct entities of several events.
type entitySets [entityKinds]map[string]struct{}

func (s *entitySets) add(i int, v string) {
	if len(s[i]) >= maxEntities {
		return
	}
	if s[i] == nil {
		s[i] = map[string]struct{}{}
	}
	s[i][v] = struct{}{}
}

func (s *entitySets) clone() entitySets {
	var out entitySets
	for i := range s {
		out[i] = maps.Clone(s[i])
	}
	return out
}

// list is the sets as an alert has them.
func (s *entitySets) list() Entities {
	list := func(i int) []string {
		if len(s[i]) == 0 {
			return []string{}
		}
		return slices.Sorted(maps.Keys(s[i]))
	}
	out := Entities{IP: list(entityIP), UserID: list(entityUser), ClientID: list(entityClient), JA4: list(entityJA4)}
	if len(s[entityFamily]) > 0 {
		out.FamilyID = list(entityFamily)
	}
	return out
}
