package sigma

import (
	"regexp"
	"slices"
	"strings"

	"portcullis/detections"
)

// lint looks for what makes a rule mean something else than it says.
func (l *loader) lint() {
	if l.cond == nil || len(l.disabled) > 0 {
		return
	}
	types := l.cond.types()
	n := value(l.node, "detection")
	if types != nil && len(types) == 0 {
		l.refuse("contradiction", n, "no event has all the types asked for")
	}
	if l.cond.op == "or" && types == nil {
		with := slices.ContainsFunc(l.cond.kids, func(k *expr) bool { return k.types() != nil })
		if with {
			l.refuse("or-broadening", value(n, "condition"), "one side of or asks for no type: it matches events of every type").Hint = "was and meant?"
		}
	}
	l.lintFields(types)
	l.lintOperations()
	if at := value(l.node, "splunk"); at != nil && countsInText.MatchString(at.Value) && l.onlySelects() {
		l.warn("base-only", at, "the query beside the rule counts, the rule does not: each event that it selects is told, with severity info")
	}
}

// countsInText is a query that compares what it counted with a threshold.
var countsInText = regexp.MustCompile(`(?s)(?:\bcount\b|\bdc\(|\bjoin\b).*\bwhere\b[^\n|]*>=?\s*[{0-9]`)

// onlySelects reports whether the rule asks for nothing but types and descriptions.
func (l *loader) onlySelects() bool {
	only := true
	l.cond.leaves(false, func(e *expr, negated bool) {
		only = only && !negated && (e.field == "type" || e.field == "description")
	})
	return only
}

func (l *loader) lintFields(types []string) {
	told := map[string]bool{}
	for _, f := range l.fieldsUsed {
		if types == nil || told[f.path] {
			continue
		}
		told[f.path] = true
		if _, presence := detections.FieldOf(types, f.path); presence == detections.Never {
			l.refuse("dead-field", f.node, "no event of the types asked for has %s", f.path)
			continue
		}
		l.partial(f, types)
	}
}

// partial tells the types on which a field never is.
func (l *loader) partial(f usedField, types []string) {
	var without []string
	for _, t := range types {
		if _, p := detections.FieldOf([]string{t}, f.path); p == detections.Never {
			without = append(without, t)
		}
	}
	if len(without) > 0 {
		l.warn("partial-field", f.node, "%s is never on events of type %s", f.path, strings.Join(without, ", "))
	}
}

// strictValues are settings that protect. A rule that tells of protection turned
// off and asks for one of them tells the opposite.
var strictValues = []string{"all-applications", "confidence-score", "block", "admin_notification"}

var turnsOff = regexp.MustCompile(`(?i)\b(disabl|turned off|turn off|downgrade)`)

// lintOperations checks conditions on management calls against what these calls
// carry.
func (l *loader) lintOperations() {
	var deletes, captcha, protects, others bool
	var body, enabled *usedField
	l.cond.leaves(false, func(e *expr, negated bool) {
		switch {
		case e.field == "description":
			for _, v := range e.values {
				deletes = deletes || strings.HasPrefix(strings.ToLower(v.plain), "delete ")
				captcha = captcha || strings.Contains(strings.ToLower(v.plain), "captcha")
			}
		case strings.HasPrefix(e.field, "details.response.body") || strings.HasPrefix(e.field, "details.request.body"):
			strict := !negated && len(e.values) > 0 && !slices.ContainsFunc(e.values, func(v literal) bool { return !slices.Contains(strictValues, v.plain) })
			protects = protects || strict
			others = others || !strict
		}
	})
	for i := range l.fieldsUsed {
		f := &l.fieldsUsed[i]
		if strings.HasPrefix(f.path, "details.request.body.") && l.cond.op != "or" {
			body = f
			if strings.HasSuffix(f.path, ".enabled") {
				enabled = f
			}
		}
	}
	switch {
	case deletes && body != nil:
		l.refuse("contradiction", body.node, "an operation that deletes has no body: %s is never there", body.path).Hint = "ask for it in a search of its own"
	case captcha && enabled != nil:
		l.refuse("wrong-list", enabled.node, "the settings of bot detection (captcha) have no enabled: one of the listed operations can never match")
	case protects && !others && turnsOff.MatchString(l.doc.Title+" "+l.text("description")):
		l.refuse("inverted", value(l.node, "detection"), "the rule tells of protection turned off, and asks for values that mean it is on")
	}
}
