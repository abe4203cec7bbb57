package hold

import "time"

// Entry says more of a hold on one entry of the network ACL; the zero value is
// the usual one.
type Entry struct {
	Scope      string        `json:"scope,omitempty"`       // which requests; "" is authentication
	RedirectTo string        `json:"redirect_to,omitempty"` // where level redirect sends them
	LogFirst   time.Duration `json:"log_first,omitempty"`   // counted for so long before it denies
	Confidence float64       `json:"confidence,omitempty"`  // that it is the attacker's, above 0 and at most 1; 0 is 1
	Volume     int           `json:"volume,omitempty"`      // events of the latest evidence
}

// CanLockOut reports whether the entry concerns the API that this program itself
// uses: it needs a proof and a person.
func (e Entry) CanLockOut() bool { return e.Scope == "management" || e.Scope == "tenant" }
