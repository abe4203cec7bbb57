package responders

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"
	"gopkg.in/yaml.v3"

	"portcullis/detections"
	"portcullis/internal/diag"
	"portcullis/internal/yamldoc"
	"portcullis/responders/control"
	"portcullis/responders/hold"
)

// Policy chooses responses: when its condition holds for an alert, its
// responses are asked for.
type Policy struct {
	ID    string       `yaml:"id,required"`
	Title string       `yaml:"title"`
	When  yamldoc.Text `yaml:"when,required"`
	Late  string       `yaml:"late"` // what late alerts may do: "tell" (default) or "act"
	Mode  Mode         `yaml:"mode"` // no further than this, whatever the tenant's mode
	Do    []Ask        `yaml:"do,required"`

	when *vm.Program
}

// Ask is one response that a policy asks for: exactly one of Hold and Restore.
type Ask struct {
	Hold    string `yaml:"hold"`    // a control to tighten
	Restore string `yaml:"restore"` // a control whose protections are put back that somebody switched off

	Level     string        `yaml:"level"`
	Ladder    []AskRung     `yaml:"ladder"`    // instead of a level: the levels one after the other
	Subject   yamldoc.Text  `yaml:"subject"`   // an expression: one text, or a list of them
	For       time.Duration `yaml:"for"`       // after the latest evidence
	Probation time.Duration `yaml:"probation"` // how long each lower level of a ladder is kept on the way down; as For if absent
	MinDwell  time.Duration `yaml:"min_dwell"` // in force for so long at least, whatever the evidence
	AtMost    time.Duration `yaml:"at_most"`   // renewed no longer than this; 24h if absent
	Mode      Mode          `yaml:"mode"`
	Reason    string        `yaml:"reason"`

	// For entries of the network ACL.
	Match      string        `yaml:"match"`       // the kind of the subject; ip if absent
	Scope      string        `yaml:"scope"`       // which requests; authentication if absent
	RedirectTo string        `yaml:"redirect_to"` // for the level redirect
	LogFirst   time.Duration `yaml:"log_first"`   // counted for so long before it denies, save when severity is critical
	Confidence float64       `yaml:"confidence"`  // that the subject is the attacker's; 1 if absent

	subject *vm.Program
	ladder  *hold.Ladder
}

// AskRung is one level of a ladder.
type AskRung struct {
	Level string        `yaml:"level,required"`
	After time.Duration `yaml:"after"` // how long the attack must have gone on since the first level
}

// What a restored protection is held for where its policy says nothing. It is not
// let go without a person's word, since that would leave it off again.
const (
	restoreFor    = 24 * time.Hour
	restoreAtMost = 7 * 24 * time.Hour
)

const defaultAtMost = 24 * time.Hour

// What expressions of policies see.
type policyEnv struct {
	Tenant   string         `expr:"tenant"`
	Feed     string         `expr:"feed"` // clear, degraded or blind
	Alert    policyAlert    `expr:"alert"`
	Incident policyIncident `expr:"incident"`
}

type policyAlert struct {
	Rule     string            `expr:"rule"`
	Severity string            `expr:"severity"`
	Campaign string            `expr:"campaign"`
	Count    int               `expr:"count"`
	Late     bool              `expr:"late"`
	Group    map[string]string `expr:"group"`
	Evidence map[string]any    `expr:"evidence"`
	Entities policyEntities    `expr:"entities"`
}

type policyEntities struct {
	IP       []string `expr:"ip"`
	UserID   []string `expr:"user_id"`
	ClientID []string `expr:"client_id"`
	JA4      []string `expr:"ja4"`
	FamilyID []string `expr:"family_id"`
}

type policyIncident struct {
	Severity string `expr:"severity"`
	Alerts   int    `expr:"alerts"`
}

func envOf(a detections.Alert, in detections.Incident, feed Feed) policyEnv {
	return policyEnv{
		Tenant: a.Tenant, Feed: feed.Verdict(),
		Alert: policyAlert{Rule: a.Rule, Severity: string(a.Severity), Campaign: a.Campaign, Count: a.Count, Late: a.Late, Group: a.Group,
			Evidence: a.Evidence, Entities: policyEntities(a.Entities)},
		Incident: policyIncident{Severity: string(in.Severity), Alerts: len(in.Alerts)},
	}
}

// Checker tells whether a control knows a level and takes a subject.
type Checker interface {
	Check(level, subject string) error
}

// LoadPolicies reads policy files. controls are the controls that policies may
// name, ruleIDs the rules. The error is a [diag.Problems] with every problem;
// policies without one are returned all the same.
func LoadPolicies(files []detections.File, controls map[string]Checker) ([]*Policy, error) {
	var policies []*Policy
	var problems diag.Problems
	seen := map[string]string{}
	for _, f := range files {
		src := diag.NewSource(f.Name, f.Data)
		docs, ps := yamldoc.Documents(src)
		problems = append(problems, ps...)
		for _, doc := range docs {
			p := &Policy{Late: "tell"}
			d := &yamldoc.Decoder{Src: src}
			d.Decode(doc, p, "")
			if first, dup := seen[p.ID]; dup && p.ID != "" {
				d.Report(doc, "", "the id %s is already used in %s", p.ID, first)
			}
			if len(d.Problems) == 0 {
				p.check(d, doc, controls)
			}
			for i := range d.Problems {
				d.Problems[i].Key = strings.TrimSuffix(p.ID+"."+d.Problems[i].Key, ".")
			}
			if problems = append(problems, d.Problems...); len(d.Problems) == 0 {
				seen[p.ID] = f.Name
				policies = append(policies, p)
			}
		}
	}
	return policies, problems.Err()
}

func (p *Policy) check(d *yamldoc.Decoder, doc *yaml.Node, controls map[string]Checker) {
	p.when = compilePolicy(d, p.When, "when", expr.AsBool())
	if p.Late != "tell" && p.Late != "act" {
		d.Report(nodeAt(doc, "late"), "late", "must be tell or act")
	}
	if p.Mode != "" && !p.Mode.Known() {
		d.Report(nodeAt(doc, "mode"), "mode", "unknown mode %s: one of observe, propose, enforce", p.Mode)
	}
	names := make([]string, 0, len(controls))
	for n := range controls {
		names = append(names, n)
	}
	slices.Sort(names)
	for i := range p.Do {
		p.Do[i].check(d, doc, i, controls, names)
	}
}

func (a *Ask) check(d *yamldoc.Decoder, doc *yaml.Node, i int, controls map[string]Checker, names []string) {
	key := fmt.Sprintf("do[%d]", i)
	report := func(name, format string, args ...any) *diag.Problem {
		at, k := nodeAt(doc, "do", i), key
		if name != "" {
			at, k = nodeAt(doc, "do", i, name), key+"."+name
		}
		return d.Report(at, k, format, args...)
	}
	named := "hold"
	if a.Restore != "" {
		named = "restore"
		if a.Hold != "" || a.Level != "" || a.Ladder != nil {
			report("restore", "stands alone, without hold, level and ladder")
			return
		}
		a.Hold, a.Level = a.Restore, control.Floor
		if a.Mode == "" {
			a.Mode = Propose
		}
		if a.For == 0 {
			a.For = restoreFor
		}
		if a.AtMost == 0 {
			a.AtMost = max(restoreAtMost, a.For)
		}
	}
	if a.Hold == "" {
		report("", "names neither hold nor restore")
		return
	}
	if a.For == 0 {
		report("", "for is missing").Hint = "say how long it lasts after the latest evidence, for instance for: 30m"
	}
	if a.AtMost == 0 {
		a.AtMost = max(defaultAtMost, a.For)
	}
	if a.AtMost < a.For {
		report("at_most", "is shorter than for")
	}
	if a.AtMost < a.MinDwell {
		report("min_dwell", "is longer than at_most")
	}
	if a.Mode != "" && !a.Mode.Known() {
		report("mode", "unknown mode %s: one of observe, propose, enforce", a.Mode)
	}
	c, ok := controls[a.Hold]
	if !ok {
		report(named, "unknown control %s%s", a.Hold, diag.DidYouMean(a.Hold, names)).Hint = "controls: " + strings.Join(names, ", ")
		return
	}
	subject := ""
	if a.Subject.Given() {
		a.subject = compilePolicy(d, a.Subject, key+".subject")
	}
	if err := a.checkEntry(c, &subject); err != nil {
		report("", "%s", err)
		return
	}
	if a.Probation != 0 && a.Ladder == nil {
		report("probation", "is for a ladder")
	}
	if a.Ladder != nil {
		a.checkLadder(d, doc, i, c, subject)
		return
	}
	if err := c.Check(a.Level, subject); err != nil {
		at := nodeAt(doc, "do", i, "level")
		if a.Level == "" || a.Subject.Given() || a.Restore != "" {
			at = nodeAt(doc, "do", i, named)
		}
		d.Report(at, key, "%s", err)
	}
}

// checkLadder checks that each rung is a level of the control, and stricter than
// the one before where the control can tell.
func (a *Ask) checkLadder(d *yamldoc.Decoder, doc *yaml.Node, i int, c Checker, subject string) {
	key := fmt.Sprintf("do[%d].ladder", i)
	if a.Level != "" {
		d.Report(nodeAt(doc, "do", i, "level"), key, "give level or ladder, not both")
	}
	if len(a.Ladder) == 0 {
		d.Report(nodeAt(doc, "do", i, "ladder"), key, "has no level")
	}
	ranks, _ := c.(interface {
		Ranks(weaker, level string) bool
	})
	a.ladder = &hold.Ladder{Probation: a.Probation}
	for n, r := range a.Ladder {
		at := nodeAt(doc, "do", i, "ladder", n)
		a.ladder.Rungs = append(a.ladder.Rungs, hold.Rung{Level: r.Level, After: r.After})
		if err := c.Check(r.Level, subject); err != nil {
			d.Report(at, key, "%s", err)
			continue
		}
		switch {
		case n == 0 && r.After != 0:
			d.Report(at, key, "the first level begins at once: it takes no after")
		case n > 0 && r.After <= a.Ladder[n-1].After:
			d.Report(at, key, "%s must come after %s", r.Level, a.Ladder[n-1].Level).Hint = "give it an after that is longer than the one before, for instance after: 15m"
		case n > 0 && ranks != nil && !ranks.Ranks(a.Ladder[n-1].Level, r.Level):
			d.Report(at, key, "%s is not stricter than %s", r.Level, a.Ladder[n-1].Level)
		}
	}
}

// levels names what is asked of the control, for the hold's id.
func (a *Ask) levels() string {
	names := []string{a.Level}
	if a.Ladder != nil {
		names = make([]string, len(a.Ladder))
		for i, r := range a.Ladder {
			names[i] = r.Level
		}
	}
	text := strings.Join(names, ">")
	if a.Scope != "" {
		text += "@" + a.Scope
	}
	if a.RedirectTo != "" {
		text += " " + a.RedirectTo
	}
	return text
}

// nodeAt walks keys and indexes down from n, as far as they lead.
func nodeAt(n *yaml.Node, path ...any) *yaml.Node {
	for _, step := range path {
		n = yamldoc.Resolve(n)
		next := n
		switch step := step.(type) {
		case int:
			if n.Kind == yaml.SequenceNode && step < len(n.Content) {
				next = n.Content[step]
			}
		case string:
			for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
				if n.Content[i].Value == step {
					next = n.Content[i+1]
				}
			}
		}
		if next == n {
			break
		}
		n = next
	}
	return yamldoc.Resolve(n)
}

func compilePolicy(d *yamldoc.Decoder, t yamldoc.Text, key string, options ...expr.Option) *vm.Program {
	prog, err := expr.Compile(t.Value, append(options, expr.Env(policyEnv{}), expr.DisableBuiltin("now"))...)
	if err != nil {
		var fe *file.Error
		if errors.As(err, &fe) {
			d.ReportAt(t, fe.From, fe.To, key, "%s", fe.Message)
		} else {
			d.ReportAt(t, 0, 1, key, "%s", err)
		}
	}
	return prog
}

// Known reports whether m is one of the modes.
func (m Mode) Known() bool { return m == Observe || m == Propose || m == Enforce }

var modeRank = map[Mode]int{Observe: 0, Propose: 1, Enforce: 2}

// Careful is the more careful of two modes; an empty one does not count.
func Careful(a, b Mode) Mode {
	if a == "" || b != "" && modeRank[b] < modeRank[a] {
		return b
	}
	return a
}
