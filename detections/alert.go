package detections

import "time"

// Alert is a signal that a person or a response should know of. It opens once
// per group and episode, is updated in place, and resolves after a quiet
// window. All times are event times in UTC.
type Alert struct {
	ID         string            `json:"id"`
	Rule       string            `json:"rule"`
	Tenant     string            `json:"tenant"`
	Severity   Severity          `json:"severity"`
	Campaign   string            `json:"campaign"`
	Group      map[string]string `json:"group"`
	OpenedAt   time.Time         `json:"opened_at"`
	UpdatedAt  time.Time         `json:"updated_at"`  // the latest event that kept it open, or when an exception that ended it was taken away
	ResolvedAt *time.Time        `json:"resolved_at"` // nil while open
	Late       bool              `json:"late"`        // opened by events behind the watermark
	Count      int               `json:"count"`       // events of the episode
	Entities   Entities          `json:"entities"`
	EventIDs   []string          `json:"event_ids"` // the first and the latest, at most 200
	Evidence   map[string]any    `json:"evidence"`
	Responses  []Response        `json:"responses"`
	Notes      []string          `json:"notes,omitempty"` // what about the numbers is not exact

	Fold        Fold `json:"fold,omitempty"`         // what folds it into an incident; FoldCampaign if empty
	FoldNetwork bool `json:"fold_network,omitempty"` // addresses of one network link it too

	Title string `json:"-"` // the rule's title
}

// endedBy is the alert as it is after something else than its quiet time ended
// it, at a time of the engine's clock. That clock may be behind the alert's own
// events, and no alert ends before them.
func (a Alert) endedBy(clock int64) Alert {
	end := msTime(clock)
	if end.Before(a.UpdatedAt) {
		end = a.UpdatedAt
	}
	a.ResolvedAt = &end
	return a
}

// Fold says what makes an alert part of an incident of its campaign.
type Fold string

// The ways to fold. FoldCampaign is for alerts of an attack on the tenant, of
// which one wave makes thousands; FoldLinked for those of one victim, which have
// nothing to do with another victim's unless they share an address, a
// fingerprint, a user or a token family.
const (
	FoldCampaign Fold = "campaign" // any other such alert of the campaign within the fold time
	FoldLinked   Fold = "linked"   // only one that shares a value with it
)

// Response is one thing that was done, proposed, refused or skipped because of
// an alert. Package responders fills it in.
type Response struct {
	Kind    string `json:"kind"`              // hold | message
	Control string `json:"control,omitempty"` // bot-detection, network-acl
	Level   string `json:"level"`
	Subject string `json:"subject"` // what it is aimed at, for instance an address; "" for the tenant
	Mode    string `json:"mode"`    // observe | propose | enforce
	Outcome string `json:"outcome"` // done | proposed | refused | skipped | failed
	Reason  string `json:"reason"`
}

// Severity orders alerts and incidents.
type Severity string

// The severities, weakest first.
const (
	Info     Severity = "info"
	Low      Severity = "low"
	Medium   Severity = "medium"
	High     Severity = "high"
	Critical Severity = "critical"
)

// Severities lists every severity, weakest first.
var Severities = []Severity{Info, Low, Medium, High, Critical}

// Rank is the place of s in Severities, or -1 for an unknown one.
func (s Severity) Rank() int {
	for i, t := range Severities {
		if s == t {
			return i
		}
	}
	return -1
}
