package lint

import (
	"regexp"
	"strings"

	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/token"
)

var (
	// Texts that are credentials by their form.
	secretForms = regexp.MustCompile(`^(eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.|sk_(live|test)_[A-Za-z0-9]{8,}|xox[abprs]-[A-Za-z0-9-]{8,}|xapp-[0-9]-|` +
		`(AKIA|ASIA)[A-Z0-9]{16}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_|glpat-|AIza[A-Za-z0-9_-]{30,}|SG\.[A-Za-z0-9_-]{16,}\.)` +
		`|-----BEGIN [A-Z ]*PRIVATE KEY-----|^[a-z][a-z0-9+.-]*://[^/\s:@]+:[^/\s@]+@`)
	authHeader = regexp.MustCompile(`(?i)^(bearer|basic)\s+[A-Za-z0-9._~+/-]{8,}=*$`)
	// Names whose values are credentials.
	secretName = regexp.MustCompile(`(?i)(secret|passwd|password|passphrase|api_?key|access_?key|private_?key|signing_?key|auth_?token|access_?token|bearer|credential)s?$`)
	// Values that are names themselves: of a header, a field or a secret.
	plainName = regexp.MustCompile(`^([A-Z][A-Z0-9_]*|[a-z]+([_-][a-z]+)*|https?://.*)$`)
)

const secretHint = "put it into the Action's secrets and read event.secrets.NAME"

// checkSecret finds credentials that stand in the code.
func (l *linter) checkSecret(n ast.Node, above []ast.Node) {
	switch x := n.(type) {
	case *ast.StringLiteral:
		if v := string(x.Value); secretForms.MatchString(v) || authHeader.MatchString(v) {
			l.problem(x, RuleSecret, "a credential stands in the code, where everybody who may read Actions sees it", secretHint)
		}
	case *ast.TemplateElement:
		if v := string(x.Parsed); secretForms.MatchString(v) || authHeader.MatchString(strings.TrimSpace(v)) {
			l.problem(x, RuleSecret, "a credential stands in the code, where everybody who may read Actions sees it", secretHint)
		}
	case *ast.Binding:
		if id, ok := x.Target.(*ast.Identifier); ok && x.Initializer != nil {
			l.named(string(id.Name), x.Initializer)
		}
	case *ast.PropertyKeyed:
		if k, ok := x.Key.(*ast.StringLiteral); ok {
			l.named(string(k.Value), x.Value)
		}
	case *ast.AssignExpression:
		if dot, ok := x.Left.(*ast.DotExpression); ok && x.Operator == token.ASSIGN {
			l.named(string(dot.Identifier.Name), x.Right)
		}
	}
}

// named reports a text under a name that tells it to be a credential.
func (l *linter) named(name string, value ast.Expression) {
	s, ok := value.(*ast.StringLiteral)
	if b, isOr := value.(*ast.BinaryExpression); isOr && !ok && (b.Operator == token.LOGICAL_OR || b.Operator == token.COALESCE) {
		s, ok = b.Right.(*ast.StringLiteral) // event.secrets.X || "the fallback"
	}
	if !ok || !secretName.MatchString(name) {
		return
	}
	v := string(s.Value)
	if len(v) < 8 || strings.ContainsAny(v, " \t\n") || plainName.MatchString(v) || secretForms.MatchString(v) {
		return // too short to be one, plain words, or told already
	}
	l.problem(s, RuleSecret, name+" stands in the code, where everybody who may read Actions sees it", secretHint)
}
