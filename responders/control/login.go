package control

import "time"

// Login is one login that succeeded, as far as a control can tell it from others.
type Login struct {
	At        time.Time
	User      string // its user_id
	IP        string
	JA3, JA4  string
	ASN       string
	Country   string
	UserAgent string
}

// Covering is what a control may also be: it knows which logins a hold on a subject meets. A
// control that does not say is taken to meet every login of the tenant.
type Covering interface {
	Covers(subject string, l Login) bool
}
