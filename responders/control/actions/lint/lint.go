// Package lint reads the JavaScript of an Auth0 Action and reports what Auth0's
// guidelines ask for otherwise: an Action that throws, that waits for a request
// without end, that logs personal data, or that holds a secret, is found before it
// runs in a login.
package lint

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/file"
	"github.com/dop251/goja/parser"

	"portcullis/internal/diag"
)

// The rules, as problems name them and as comments switch them off:
//
//	// portcullis: allow equality since null and undefined are both meant
const (
	RuleSyntax   = "syntax"        // it is no JavaScript that Auth0 runs
	RuleHandler  = "handler"       // nothing that Auth0 calls is exported
	RuleThrow    = "throw"         // a throw fails the login
	RuleEquality = "equality"      // == and != convert before they compare
	RuleGuard    = "guard"         // nesting where guard clauses would do
	RuleTimeout  = "timeout"       // an outgoing request without a timeout below 10 s
	RuleFailure  = "failure"       // an outgoing request whose failure fails the login
	RuleLoop     = "loop"          // requests or log lines in a loop
	RuleLog      = "log"           // more log than Auth0 keeps
	RulePersonal = "personal-data" // personal data in the log
	RuleSecret   = "secret"        // a secret in the code or in the log
	RuleSize     = "size"          // more code than an Action may have
	RuleLastIP   = "last-ip"       // last_ip is that of the very login that is judged
)

// maxCode is how long an Action may be, and maxParsed how long a file may be to be
// read at all, in bytes.
const (
	maxCode   = 100_000
	maxParsed = 400_000
)

// Report is what was found in one file.
type Report struct {
	Problems diag.Problems // must be changed
	Warnings diag.Problems // should be
}

// linter is one run over one file.
type linter struct {
	src      *diag.Source
	text     string
	names    names
	report   Report
	allowed  map[int][]string // rules that a comment switches off, by line
	followed int              // names that were followed
}

// Check lints one Action.
func Check(src *diag.Source) Report {
	l := &linter{src: src, text: strings.TrimPrefix(string(src.Data), "\ufeff")}
	if n := len(src.Data); n > maxCode {
		l.report.Problems = append(l.report.Problems, src.Problem(0, 0, 0, RuleSize, "has %d bytes, an Action may have %d", n, maxCode))
		if n > maxParsed {
			return l.report
		}
	}
	program, problem := l.parse()
	if problem != nil {
		l.report.Problems = append(l.report.Problems, *problem)
		return l.report
	}
	l.allowed = allowances(l.text)
	l.names = l.collect(program)
	l.checkHandlers()
	for _, body := range program.Body {
		visit(body, nil, func(n ast.Node, above []ast.Node) {
			l.checkFlow(n, above)
			l.checkRequest(n, above)
			l.checkLog(n, above)
			l.checkSecret(n, above)
			l.checkLastIP(n)
		})
	}
	for _, h := range l.names.handlers {
		l.checkGuards(h)
	}
	l.checkBudget()
	l.report.Problems.Sort()
	l.report.Warnings.Sort()
	return l.report
}

// parse reads the code. What the parser does not know of newer JavaScript is
// written in a way that it does, in as many bytes.
func (l *linter) parse() (program *ast.Program, problem *diag.Problem) {
	defer func() {
		if r := recover(); r != nil {
			p := l.src.Problem(0, 0, 0, RuleSyntax, "cannot be read: %v", r)
			program, problem = nil, &p
		}
	}()
	text := forAwait.ReplaceAllStringFunc(l.text, func(s string) string { return strings.Replace(s, "await", "     ", 1) })
	text = dynamicImport.ReplaceAllStringFunc(text, func(s string) string { return strings.Replace(s, "import", "Import", 1) })
	program, err := parser.ParseFile(nil, l.src.Name, text, 0, parser.WithDisableSourceMaps)
	if err == nil {
		return program, nil
	}
	p := l.src.Problem(0, 0, 0, RuleSyntax, "cannot be read: %s", err)
	// The parser ends lines where no editor does, at a lone CR, so its line may not be there.
	if list, ok := err.(parser.ErrorList); ok && len(list) > 0 && list[0].Position.Line <= l.src.Lines() {
		at := list[0].Position
		p = l.src.Problem(at.Line, at.Column, 1, RuleSyntax, "cannot be read: %s", lowerFirst(list[0].Message))
	}
	if strings.HasPrefix(strings.TrimSpace(l.src.Line(p.Line)), "import ") || strings.HasPrefix(strings.TrimSpace(l.src.Line(p.Line)), "export ") {
		p = p.WithHint("an Action is a CommonJS module: write require(...) and exports.NAME = ...")
	}
	return nil, &p
}

var (
	forAwait      = regexp.MustCompile(`\bfor\s+await\s*\(`)
	dynamicImport = regexp.MustCompile(`\bimport\s*\(`)
	allowance     = regexp.MustCompile(`//\s*portcullis:\s*allow\s+([a-z-]+)\s+\S`)
)

// allowances are the rules that comments switch off for their own line and the
// next. A reason is needed.
func allowances(text string) map[int][]string {
	out := map[int][]string{}
	for i, line := range strings.Split(text, "\n") {
		for _, m := range allowance.FindAllStringSubmatch(line, -1) {
			out[i+1] = append(out[i+1], m[1])
			out[i+2] = append(out[i+2], m[1])
		}
	}
	return out
}

func lowerFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}

// place turns a node's beginning into a line and a column in characters.
func (l *linter) place(at file.Idx) (line, col int) {
	offset := min(max(int(at)-1, 0), len(l.text))
	before := l.text[:offset]
	begin := strings.LastIndexByte(before, '\n') + 1
	return strings.Count(before, "\n") + 1, utf8.RuneCountInString(before[begin:]) + 1
}

// begin is where a node begins. The parser leaves out where an if stands.
func (l *linter) begin(n ast.Node) file.Idx {
	x, ok := n.(*ast.IfStatement)
	if !ok || x.If > 0 {
		return n.Idx0()
	}
	test := min(max(int(x.Test.Idx0())-1, 0), len(l.text))
	return file.Idx(strings.LastIndex(l.text[:test], "if") + 1)
}

func (l *linter) at(n ast.Node, rule, msg string, hint []string) (diag.Problem, bool) {
	line, col := l.place(l.begin(n))
	for _, off := range l.allowed[line] {
		if off == rule {
			return diag.Problem{}, false
		}
	}
	length := 1
	if end, endCol := l.place(n.Idx1()); end == line && endCol > col {
		length = endCol - col
	}
	p := l.src.Problem(line, col, length, rule, "%s", msg)
	if len(hint) > 0 {
		p.Hint = hint[0]
	}
	return p, true
}

func (l *linter) problem(n ast.Node, rule, msg string, hint ...string) {
	if p, ok := l.at(n, rule, msg, hint); ok {
		l.report.Problems = append(l.report.Problems, p)
	}
}

func (l *linter) warn(n ast.Node, rule, msg string, hint ...string) {
	if p, ok := l.at(n, rule, msg, hint); ok {
		l.report.Warnings = append(l.report.Warnings, p)
	}
}

func (l *linter) checkHandlers() {
	if len(l.names.handlers) > 0 {
		return
	}
	p := l.src.Problem(0, 0, 0, RuleHandler, "exports no handler, so Auth0 has nothing to call").
		WithHint("write exports.onExecutePostLogin = async (event, api) => { ... }, or the handler of another trigger")
	l.report.Warnings = append(l.report.Warnings, p)
}

func (l *linter) checkLastIP(n ast.Node) {
	if p := l.names.pathOf(n); p == "event.user.last_ip" {
		l.warn(n, RuleLastIP, "last_ip is the address of this very login, also when it fails its second factor", "compare with an address that an Action recorded after the second factor")
	}
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
