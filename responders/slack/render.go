package slack

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"portcullis/detections"
	"portcullis/responders"
)

// Lengths as size counts them, and numbers of things shown before "and N more".
const (
	headerSize  = 150
	wordSize    = 80  // a rule, a control, an identifier
	valueSize   = 100 // something a stranger may have chosen
	reasonSize  = 200
	sectionSize = 1700 // less than the 3000 Slack takes, for the sake of the whole message

	maxRules  = 3 // in the sentence on what happened
	maxGroups = 2 // of one rule there
	maxKeys   = 3 // of one group there
	keySize   = 30
	groupSize = 60
	maxIDs    = 6 // rules among the ids
	maxLines  = 15
)

// Text renders a report as plain text of several lines for people: a header,
// what happened, what was done, what was not done and why, and the ids. It is
// the whole message when no Slack is configured and Slack's notification text
// when one is. Its length is bounded whatever the incident; text that strangers
// chose is on one line, without control characters, and masked.
func Text(r responders.Report) string { return look(r).text() }

func (v view) text() string {
	var b strings.Builder
	b.WriteString(v.header + "\n")
	b.WriteString(v.happened.plain() + "\n")
	for _, n := range v.notes {
		b.WriteString(n.plain() + "\n")
	}
	for _, f := range v.facts {
		b.WriteString(f.name + ": " + f.value.plain() + "\n")
	}
	for _, s := range []section{v.did, v.didNot} {
		b.WriteString(s.title + ":\n" + s.fit(line.plain) + "\n")
	}
	b.WriteString(v.ids.plain())
	return b.String()
}

// view is a report in the words and the order both renderings share.
type view struct {
	header      string
	happened    line
	notes       []line // what a reader must know before trusting the numbers
	facts       []fact
	did, didNot section
	ids         line
}

type fact struct {
	name  string
	value line
}

type section struct {
	title string
	lines []line // the first maxLines
	total int
	empty string // said when there are none
}

// line is a run of text in which values are kept apart from our own words.
type line []span

type span struct {
	text  string
	value bool // shown as a code span
}

func (l *line) say(format string, args ...any) {
	*l = append(*l, span{text: fmt.Sprintf(format, args...)})
}

func (l *line) value(s string, limit int) {
	if s = clean(s, limit); s == "" {
		s = "(empty)"
	}
	*l = append(*l, span{text: s, value: true})
}

// prose adds a sentence written elsewhere, such as a reason.
func (l *line) prose(s string, limit int) { l.say("%s", clean(s, limit)) }

func (l line) plain() string {
	var b strings.Builder
	for _, s := range l {
		b.WriteString(s.text)
	}
	return b.String()
}

// fit renders the lines that go into one section and says how many do not.
func (s section) fit(render func(line) string) string {
	if s.total == 0 {
		return "- " + s.empty
	}
	var b strings.Builder
	used, shown := 0, 0
	for _, l := range s.lines {
		// Every span may need two backticks; counting them always makes both
		// renderings show the same lines.
		if used += size(l.plain()) + 2*len(l) + len("- \n"); used > sectionSize {
			break
		}
		b.WriteString("- " + render(l) + "\n")
		shown++
	}
	if more := s.total - shown; more > 0 {
		fmt.Fprintf(&b, "- and %s more", number(more))
	}
	return strings.TrimRight(b.String(), "\n")
}

func look(r responders.Report) view {
	started, last := lifetime(r.Incident)
	users, addresses := distinct(r.Incident.Alerts, userIDs), distinct(r.Incident.Alerts, ips)
	v := view{header: header(r), happened: happened(r.Incident.Alerts, users, addresses, started, last)}

	feed := cmp.Or(clean(r.Feed, reasonSize), "unknown")
	if !strings.HasPrefix(feed, "clear") {
		var l line
		l.say("The feed is not clear, so the numbers may be too low: %s", feed)
		v.notes = append(v.notes, l)
	}
	if late := countLate(r.Incident.Alerts); late > 0 {
		var l line
		l.say("%s opened on evidence that came late.", count(late, "alert", "alerts"))
		v.notes = append(v.notes, l)
	}

	v.add("Started", stamp(started))
	v.add("Last seen", stamp(last))
	v.add("Users targeted", users.String())
	v.add("Addresses", addresses.String())
	v.add("Feed health", feed)
	v.add("Mode", modeWords(r.Mode))
	if at := r.Incident.ResolvedAt; at != nil {
		v.add("Attack over", stamp(*at))
	}

	v.did, v.didNot = deeds(r)
	v.ids = ids(r.Incident)
	return v
}

func (v *view) add(name, value string) {
	v.facts = append(v.facts, fact{name: name, value: line{{text: value}}})
}

// header is "SEV2 Credential stuffing - CONTAINING - tenant acme-prod". A long
// title gives way, since state and tenant are what people act on.
func header(r responders.Report) string {
	state := cmp.Or(clean(string(r.State), 20), "UNKNOWN")
	tenant := cmp.Or(clean(r.Incident.Tenant, 50), "unknown")
	before, after := sev(r.Incident.Severity)+" ", " - "+state+" - tenant "+tenant
	title := clean(r.Incident.Title, headerSize-size(before)-size(after))
	return before + cmp.Or(title, "Incident") + after
}

// sev is the on-call word for a severity.
func sev(s detections.Severity) string {
	switch s {
	case detections.Critical:
		return "SEV1"
	case detections.High:
		return "SEV2"
	case detections.Medium:
		return "SEV3"
	}
	return "SEV4"
}

// happened says in one sentence what the alerts saw.
func happened(alerts []detections.Alert, users, addresses tally, started, last time.Time) line {
	var l line
	sums := sumRules(alerts)
	if len(sums) == 0 {
		l.say("No alert is attached to this incident.")
		return l
	}
	for i, s := range sums {
		if i == maxRules {
			l.say("; and %s", count(len(sums)-i, "more rule", "more rules"))
			break
		}
		if i > 0 {
			l.say("; ")
		}
		l.say("%s: %s", s.title, count(s.events, "event", "events"))
		s.sayGroups(&l)
	}
	l.say("; involving %s %s and %s %s, ", users, plural(users.n, "user", "users"), addresses, plural(addresses.n, "address", "addresses"))
	if last.Sub(started) < time.Minute {
		l.say("at %s.", stamp(started))
	} else {
		l.say("from %s to %s.", stamp(started), clock(last, started))
	}
	return l
}

func (s ruleSum) sayGroups(l *line) {
	said := 0
	for _, g := range s.first {
		if len(g) == 0 {
			continue
		}
		if said++; said == 1 {
			l.say(" for ")
		} else {
			l.say(", ")
		}
		for i, k := range slices.Sorted(maps.Keys(g)) {
			if i == maxKeys {
				l.say(" …")
				break
			}
			if i > 0 {
				l.say(" ")
			}
			l.say("%s ", clean(k, keySize))
			l.value(g[k], groupSize)
		}
	}
	if more := s.groups - len(s.first); more > 0 {
		l.say(" and %s", count(more, "more group", "more groups"))
	}
}

func ids(inc detections.Incident) line {
	var l line
	l.say("incident ")
	// Our own identifiers are not masked: people paste them into commands.
	l = append(l, span{text: cmp.Or(cut(visible(inc.ID), valueSize), "(none)"), value: true})
	seen := map[string]bool{}
	for _, a := range inc.Alerts {
		if a.Rule == "" || seen[a.Rule] {
			continue
		}
		seen[a.Rule] = true
		if len(seen) == 1 {
			l.say(" - rules ")
		}
		if len(seen) <= maxIDs {
			if len(seen) > 1 {
				l.say(", ")
			}
			l = append(l, span{text: cut(visible(a.Rule), wordSize), value: true})
		}
	}
	if more := len(seen) - maxIDs; more > 0 {
		l.say(" and %s more", number(more))
	}
	return l
}

func modeWords(m responders.Mode) string {
	switch m {
	case responders.Observe:
		return "observe (nothing is changed)"
	case responders.Propose:
		return "propose (asks first)"
	case responders.Enforce:
		return "enforce"
	}
	return cmp.Or(clean(string(m), wordSize), "unknown")
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "unknown"
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}

// clock is the time of day alone where t is on the day of near.
func clock(t, near time.Time) string {
	if t.UTC().Format(time.DateOnly) == near.UTC().Format(time.DateOnly) {
		return t.UTC().Format("15:04 UTC")
	}
	return stamp(t)
}

func count(n int, one, many string) string { return number(n) + " " + plural(n, one, many) }

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// number writes 10000 as 10,000.
func number(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
