package detections

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"portcullis/internal/yamldoc"
)

// Edge says why two alerts belong together. The edges of an incident connect
// all its alerts, as far as they are kept: one for each alert or incident that
// joined.
type Edge struct {
	A     string    `json:"a"`    // the alert that was there
	B     string    `json:"b"`    // the alert that joined
	Kind  string    `json:"kind"` // ip, network, ja4, user_id, user_name, token family or campaign
	Value string    `json:"value"`
	Since time.Time `json:"since"` // when the later of both opened
}

// addEdge keeps an edge while there is room.
func (in *Incident) addEdge(e Edge) {
	if len(in.Edges) < maxEdges && !slices.Contains(in.Edges, e) {
		in.Edges = append(in.Edges, e)
	}
}

// String is the edge as a sentence.
func (e Edge) String() string {
	if e.Kind == linkNames[linkCampaign] {
		return fmt.Sprintf("%s — %s: of campaign %s within %s, since %s", e.A, e.B, shown(e.Value), yamldoc.FormatDuration(foldWithin), e.Since.Format(time.RFC3339))
	}
	return fmt.Sprintf("%s — %s: by %s %s, since %s", e.A, e.B, e.Kind, shown(e.Value), e.Since.Format(time.RFC3339))
}

// maxReasons bounds the values that an explanation names.
const maxReasons = 5

// Explain says in one sentence why the alerts of an incident belong together.
func (in Incident) Explain() string {
	if len(in.Alerts) < 2 {
		return "this incident is one alert"
	}
	counts := map[link]int{}
	for _, e := range in.Edges {
		if k := slices.Index(linkNames[:], e.Kind); k >= 0 {
			counts[link{linkKind(k), e.Value}] = 0
		}
	}
	if len(counts) == 0 { // from before edges were kept
		counts[link{linkCampaign, in.Campaign}] = 0
	}
	for i := range in.Alerts {
		for _, l := range linksOf(&in.Alerts[i]) {
			if _, used := counts[l]; used {
				counts[l]++
			}
		}
	}
	used := make([]link, 0, len(counts))
	for l := range counts {
		used = append(used, l)
	}
	slices.SortFunc(used, func(a, b link) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), compareLinks(a, b))
	})
	var parts []string
	for _, l := range used[:min(len(used), maxReasons)] {
		if l.kind == linkCampaign {
			parts = append(parts, fmt.Sprintf("%d are of campaign %s within %s of each other", counts[l], shown(l.value), yamldoc.FormatDuration(foldWithin)))
			continue
		}
		parts = append(parts, fmt.Sprintf("%d share %s %s", counts[l], linkNames[l.kind], shown(l.value)))
	}
	text := fmt.Sprintf("these %d alerts belong together because %s", len(in.Alerts), strings.Join(parts, ", "))
	if more := len(used) - maxReasons; more > 0 {
		text += fmt.Sprintf(", and %d more values link others", more)
	}
	return text
}

// shown is a stranger's text, short and harmless on a terminal.
func shown(s string) string {
	if r := []rune(s); len(r) > 80 {
		s = string(r[:79]) + "…"
	}
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) }) {
		return strconv.QuoteToGraphic(s)
	}
	return s
}
