package lint

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/token"
)

// maxLog is how many characters of its log Auth0 keeps of one run.
const maxLog = 256

// logCall tells whether a node writes to the log.
func logCall(n ast.Node) (*ast.CallExpression, bool) {
	call, ok := n.(*ast.CallExpression)
	if !ok {
		return nil, false
	}
	owner, method, _ := strings.Cut(nameOf(call.Callee), ".")
	return call, owner == "console" && slices.Contains([]string{"log", "info", "warn", "error", "debug", "trace", "dir", "table"}, method)
}

// checkLog finds personal data, secrets and loops in what is logged.
func (l *linter) checkLog(n ast.Node, above []ast.Node) {
	call, ok := logCall(n)
	if !ok {
		return
	}
	if within(above, isLoop) {
		l.warn(call, RuleLoop, "a log line in a loop: "+fmt.Sprint(maxLog)+" characters of the log are kept", "count in the loop and log the count")
	}
	for _, arg := range call.ArgumentList {
		path := l.names.personalIn(arg)
		switch {
		case path == "":
		case strings.HasPrefix(path, "event.secrets"):
			l.problem(arg, RuleSecret, path+" goes into the log", "log that it is missing, never what it is")
		default:
			l.problem(arg, RulePersonal, path+" is personal data and goes into the log", "log the user_id, or nothing: the tenant's log has the event")
		}
	}
}

// checkBudget adds up the texts of all log lines.
func (l *linter) checkBudget() {
	sum := 0
	var over ast.Node
	for _, h := range l.names.handlers {
		visit(h.fn.body, nil, func(n ast.Node, _ []ast.Node) {
			if call, ok := logCall(n); ok {
				for _, arg := range call.ArgumentList {
					sum += literals(arg)
				}
				if sum > maxLog && over == nil {
					over = call
				}
			}
		})
	}
	if over != nil {
		l.warn(over, RuleLog, fmt.Sprintf("the log lines have %d characters together, and Auth0 keeps %d", sum, maxLog), "shorten them to what somebody will search for")
	}
}

// literals counts the characters of the texts in an expression.
func literals(n ast.Node) int {
	sum := 0
	visit(n, nil, func(n ast.Node, _ []ast.Node) {
		switch x := n.(type) {
		case *ast.StringLiteral:
			sum += utf8.RuneCountInString(string(x.Value))
		case *ast.TemplateElement:
			sum += utf8.RuneCountInString(string(x.Parsed))
		}
	})
	return sum
}

// personalParts are the members of the event that tell of a person, and what they
// hold that does not.
var personalParts = []struct {
	path string
	fine []string
}{
	{"event.user", []string{"user_id", "created_at", "updated_at", "last_password_reset", "email_verified", "phone_verified", "enrolledFactors", "multifactor"}},
	{"event.request", []string{"method", "hostname", "language", "asn", "geoip.countryCode", "geoip.continentCode"}},
	{"event.secrets", nil},
	{"event.message_options", []string{"action", "message_type"}},
	{"event.notification", []string{"message_type", "delivery_method"}},
	{"event.session.device", []string{"initial_asn", "last_asn"}},
	{"event.refresh_token.device", []string{"initial_asn", "last_asn"}},
	{"event.transaction.login_hint", nil},
	{"event.transaction.state", nil},
}

// personalPath reports whether a part of the event tells of a person: also when
// it holds such a part, as event does.
func personalPath(path string) bool {
	if path == "event" || path == "event.session" || path == "event.refresh_token" || path == "event.transaction" {
		return true
	}
	for _, p := range personalParts {
		rest, below := strings.CutPrefix(path, p.path)
		if !below || rest != "" && rest[0] != '.' {
			continue
		}
		return !slices.ContainsFunc(p.fine, func(f string) bool { return rest == "."+f || strings.HasPrefix(rest, "."+f+".") })
	}
	return false
}

// personalIn is a part of the event that tells of a person and whose text is in
// the value of an expression; "" if there is none. What only a comparison, a test
// or a function sees of it is not in it.
func (ns *names) personalIn(n ast.Node) string {
	n = bare(n)
	if p := ns.pathOf(n); p != "" {
		for _, harmless := range []string{".length", ".toString", ".size"} {
			p = strings.TrimSuffix(p, harmless)
		}
		if personalPath(p) && !strings.HasSuffix(nameOf(n), ".length") {
			return p
		}
		return ""
	}
	first := func(nodes ...ast.Node) string {
		for _, c := range nodes {
			if c != nil {
				if p := ns.personalIn(c); p != "" {
					return p
				}
			}
		}
		return ""
	}
	switch x := n.(type) {
	case *ast.Identifier:
		return ns.personal[string(x.Name)]
	case *ast.BinaryExpression:
		switch x.Operator {
		case token.PLUS, token.LOGICAL_OR, token.LOGICAL_AND, token.COALESCE:
			return first(x.Left, x.Right)
		}
	case *ast.ConditionalExpression:
		return first(x.Consequent, x.Alternate)
	case *ast.TemplateLiteral:
		for _, e := range x.Expressions {
			if p := ns.personalIn(e); p != "" {
				return p
			}
		}
	case *ast.ArrayLiteral:
		for _, e := range x.Value {
			if e != nil {
				if p := ns.personalIn(e); p != "" {
					return p
				}
			}
		}
	case *ast.ObjectLiteral:
		for _, p := range x.Value {
			switch p := p.(type) {
			case *ast.PropertyShort:
				if path := first(&p.Name); path != "" {
					return path
				}
			case *ast.PropertyKeyed:
				if path := first(p.Value); path != "" {
					return path
				}
			case *ast.SpreadElement:
				if path := first(p.Expression); path != "" {
					return path
				}
			}
		}
	case *ast.SpreadElement:
		return first(x.Expression)
	case *ast.AwaitExpression:
		return first(x.Argument)
	case *ast.CallExpression:
		return ns.personalInCall(x)
	}
	return ""
}

// personalInCall looks through functions that keep the text of what they get.
func (ns *names) personalInCall(call *ast.CallExpression) string {
	switch nameOf(call.Callee) {
	case "JSON.stringify", "String", "util.inspect", "util.format", "inspect", "encodeURIComponent", "Object.values", "Object.entries", "structuredClone":
		for _, a := range call.ArgumentList {
			if p := ns.personalIn(a); p != "" {
				return p
			}
		}
		return ""
	}
	dot, ok := bare(call.Callee).(*ast.DotExpression)
	if !ok || !slices.Contains([]string{"toString", "toLowerCase", "toUpperCase", "trim", "normalize", "concat", "join", "padEnd", "padStart", "replace"}, string(dot.Identifier.Name)) {
		return ""
	}
	return ns.personalIn(dot.Left)
}
