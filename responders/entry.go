package responders

import (
	"errors"
	"fmt"
	"strings"

	"portcullis/internal/diag"
	"portcullis/responders/control"
	"portcullis/responders/hold"
)

// EntryChecker is a control whose holds are entries: each names a subject.
type EntryChecker interface {
	// CheckEntry reports why an entry at a level makes no sense.
	CheckEntry(level string, e hold.Entry) error
	// Doubt says why a person should look at an entry before it is held; "" when
	// nobody need.
	Doubt(h *hold.Hold) string
}

func (a *Ask) entry() hold.Entry {
	return hold.Entry{Scope: a.Scope, RedirectTo: a.RedirectTo, LogFirst: a.LogFirst, Confidence: a.Confidence}
}

// checkEntry checks what is said of entries, and gives the subject to try.
func (a *Ask) checkEntry(c Checker, subject *string) error {
	entries, ok := c.(EntryChecker)
	if a.Match == "" && a.entry() == (hold.Entry{}) && (!ok || !a.Subject.Given()) {
		if a.Subject.Given() {
			*subject = "198.51.100.1" // for the control to refuse
		}
		return nil
	}
	switch {
	case !ok:
		return fmt.Errorf("match, scope, redirect_to, log_first and confidence are for entries of a network ACL, not for %s", a.Hold)
	case !a.Subject.Given():
		return errors.New("match, scope, redirect_to, log_first and confidence need a subject")
	case a.Confidence < 0 || a.Confidence > 1:
		return errors.New("confidence is above 0 and at most 1")
	}
	s, known := control.SampleSubject(a.kind())
	if !known {
		return fmt.Errorf("no subject is of the kind %q%s: one of %s", a.Match, diag.DidYouMean(a.Match, control.SubjectKinds()), strings.Join(control.SubjectKinds(), ", "))
	}
	*subject = s.String()
	if a.entry().CanLockOut() {
		if a.Mode == Enforce {
			return fmt.Errorf("scope %s can lock out this program and the people who run the tenant: a person must approve it, so its mode is propose at most", a.Scope)
		}
		a.Mode = Careful(a.Mode, Propose)
	}
	levels := []string{a.Level}
	for _, r := range a.Ladder {
		levels = append(levels, r.Level)
	}
	for _, level := range levels {
		if a.Ladder != nil && level == "" {
			continue
		}
		if err := entries.CheckEntry(level, a.entry()); err != nil {
			return err
		}
	}
	return nil
}

// kind is the kind of the subject.
func (a *Ask) kind() string {
	if a.Match == "" {
		return control.KindIP
	}
	return a.Match
}

// name gives the plan its subject in its one form: one of n that an alert on count
// events names.
func (pl *planned) name(t Tenant, c Checker, kind string, n, count int) error {
	clean, err := t.subject(c, pl.hold.Subject, kind)
	if err != nil {
		return err
	}
	pl.hold.Subject = clean
	if _, ok := c.(EntryChecker); ok {
		pl.hold.Entry.Volume = max(1, count/n)
	}
	return nil
}

// subject checks that a subject of a control may be acted on, and returns it in
// its one form. kind is what it is, where its text does not tell.
func (t Tenant) subject(c Checker, text, kind string) (string, error) {
	if k, ok := c.(interface{ SubjectKind() string }); ok {
		if k.SubjectKind() == "" {
			return "", errors.New("it takes no subject")
		}
		return text, nil
	}
	s, err := control.ParseSubject(text)
	if kind != "" {
		s, err = control.NewSubject(kind, text)
	}
	if err != nil {
		return "", err
	}
	return s.String(), t.NeverTouch.Subject(s)
}

// doubt makes a plan that a control has doubts about a proposal.
func (pl *planned) doubt(c Checker) {
	entries, ok := c.(EntryChecker)
	if !ok || pl.hold.Subject == "" {
		return
	}
	why := entries.Doubt(&pl.hold)
	if why == "" {
		return
	}
	pl.hold.Note = why
	pl.hold.Mode = string(Careful(Mode(pl.hold.Mode), Propose))
}
