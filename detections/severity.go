package detections

import (
	"fmt"

	"portcullis/internal/yamldoc"
)

// raise is a condition over the evidence of an episode, and how severe an alert
// that fulfils it is at least.
type raise struct {
	prog     *program
	severity Severity
}

// compileRaises compiles what makes an alert more severe.
func (c *compiled) compileRaises(t *translator, d *yamldoc.Decoder) {
	list := keyNode(c.node, "severity_when")
	for i, r := range c.SeverityWhen {
		key := fmt.Sprintf("severity_when[%d]", i)
		if i < len(list.Content) && r.Severity != "" {
			reportSeverity(d, keyNode(list.Content[i], "severity"), key+".severity", r.Severity)
			if r.Severity.Rank() >= 0 && r.Severity.Rank() <= c.Severity.Rank() {
				d.Report(keyNode(list.Content[i], "severity"), key+".severity", "%s is not more severe than %s, which the alert is anyway", r.Severity, c.Severity)
			}
		}
		if !r.If.Given() {
			continue // reported as missing
		}
		if n, ok := t.parse(r.If.Value); ok {
			if !onlyRises(n) {
				t.failHint(n, "must be a condition that more events can only make truer%s", "", "compare with > or >=, for instance count() > 100 or distinct(user_name) > 50")
			}
			c.raises = append(c.raises, raise{t.condition(r.If.Value), r.Severity})
		}
		t.report(d, r.If, key+".if")
	}
}

// severity is how severe the episode is by now. The aggregates of its evidence
// are in v.agg.
func (c *compiled) severity(v *evaluator) Severity {
	out := c.Severity
	for _, r := range c.raises {
		if r.severity.Rank() <= out.Rank() {
			continue
		}
		holds, err := r.prog.holds(v.agg)
		if err != nil {
			v.fail(c, err)
		}
		if holds {
			out = r.severity
		}
	}
	return out
}

// setEvidence puts the aggregates of an episode where expressions look for them.
func (ep *episode) setEvidence(c *compiled, v *evaluator) {
	v.agg.clear()
	for i, acc := range ep.evidence {
		v.agg.set(c.aggs[i].name, acc.value())
	}
}

// rose reports whether an episode is more severe by now than its alert said.
func (e *Engine) rose(c *compiled, ep *episode, told Severity) bool {
	if len(c.raises) == 0 {
		return false
	}
	ep.setEvidence(c, &e.eval)
	return c.severity(&e.eval).Rank() > told.Rank()
}
