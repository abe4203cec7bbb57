package detections

import "time"

// Incident is the alerts of one campaign against one tenant, folded together.
type Incident struct {
	ID         string     `json:"id"`
	Tenant     string     `json:"tenant"`
	Campaign   string     `json:"campaign"`
	Title      string     `json:"title"`
	Severity   Severity   `json:"severity"` // the highest of its alerts so far
	OpenedAt   time.Time  `json:"opened_at"`
	UpdatedAt  time.Time  `json:"updated_at"`
	ResolvedAt *time.Time `json:"resolved_at"` // when its last alert resolved; nil while one is open
	Alerts     []Alert    `json:"alerts"`      // in order of opening
}
