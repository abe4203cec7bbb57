package detections

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"

	"portcullis/internal/yamldoc"
)

// maxExpression bounds the length of an expression in bytes, and with it how
// deep the parser descends; maxPredicates bounds how often one event's arrays
// are walked inside each other.
const (
	maxExpression = 16 << 10
	maxPredicates = 3
)

// eachMark stands for [*] while expr reads an expression: letters, as many as
// there were characters, so that places stay right.
const eachMark = "\ua56a\ua56a\ua56a"

// digitMark stands for the digits of a length of time, 7d, while expr reads an
// expression: letters again, one for each.
const digitMark = '\ua500'

// lengthOf reads a name that stands for a length of time.
func lengthOf(name string) (time.Duration, bool) {
	var text strings.Builder
	marked := false
	for _, r := range name {
		if r >= digitMark && r < digitMark+10 {
			r, marked = r-digitMark+'0', true
		}
		text.WriteRune(r)
	}
	if !marked {
		return 0, false
	}
	d, err := yamldoc.ParseDuration(text.String())
	return d, err == nil
}

// lengthAt is how many bytes of text at i are a length of time.
func lengthAt(text string, i int) int {
	if i > 0 && (isWord(text[i-1]) || text[i-1] == '.') {
		return 0
	}
	n := i
	for n < len(text) && text[n] >= '0' && text[n] <= '9' {
		n++
	}
	if n == i || n == len(text) || !strings.ContainsRune("smhdw", rune(text[n])) || n+1 < len(text) && isWord(text[n+1]) {
		return 0
	}
	return n + 1 - i
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// markEach writes eachMark for every [*], and digitMarks for the digits of every
// length of time, that stand outside quotes.
func markEach(text string) string {
	var out strings.Builder
	quote := byte(0)
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quote != 0 && quote != '`' && c == '\\' && i+1 < len(text):
			out.WriteByte(c)
			i++
			c = text[i]
		case quote == 0 && (c == '"' || c == '\'' || c == '`'):
			quote = c
		case c == quote:
			quote = 0
		case quote == 0 && strings.HasPrefix(text[i:], "[*]"):
			out.WriteString(eachMark)
			i += 2
			continue
		case quote == 0 && lengthAt(text, i) > 0:
			for n := lengthAt(text, i) - 1; n > 0; n-- {
				out.WriteRune(digitMark + rune(text[i]-'0'))
				i++
			}
			c = text[i]
		}
		out.WriteByte(c)
	}
	return out.String()
}

// config holds what expr must know, made once for each of the two states of
// aggregates.
func (t *translator) config() *conf.Config {
	i := 0
	if t.aggregates {
		i = 1
	}
	known := &t.configs[i]
	if *known == nil {
		if *known, _ = configs[i].Get().(*conf.Config); *known == nil {
			*known = newConfig(t.aggregates)
		}
	}
	return *known
}

// configs are kept between rules: making one costs more than compiling a rule.
// Expr writes to a config while it uses it, so each has one user at a time.
var configs [2]sync.Pool

// done gives back what t borrowed.
func (t *translator) done() {
	for i, c := range t.configs {
		if c != nil {
			configs[i].Put(c)
		}
	}
	t.configs = [2]*conf.Config{}
}

// fromExpr are the functions of expr that rules may use beside the helpers. They
// read no clock, and what they make is bounded by what they are given.
var fromExpr = strings.Fields("all none any one filter map find findIndex findLast count sum abs ceil floor round int float string trimPrefix trimSuffix indexOf lastIndexOf min max mean first last keys values sort reverse")

func newConfig(aggregates bool) *conf.Config {
	c := conf.New(map[string]any{})
	options := []expr.Option{expr.AllowUndefinedVariables()}
	for _, f := range builtin.Builtins {
		if !slices.Contains(fromExpr, f.Name) {
			options = append(options, expr.DisableBuiltin(f.Name))
		}
	}
	for i := range helpers {
		options = append(options, expr.Function(helpers[i].Name, helpers[i].vm))
	}
	if aggregates {
		// A function of the same name makes the parser leave expr's own count,
		// sum, … alone. It is never called: aggregate stands a name in for it.
		for _, name := range aggregateNames() {
			options = append(options, expr.Function(name, func(...any) (any, error) { return nil, nil }))
		}
	}
	for name, f := range functions {
		options = append(options, expr.Function(name, f.call, f.types...))
	}
	for _, o := range options {
		o(c)
	}
	for name := range c.Disabled {
		delete(c.Builtins, name)
	}
	return c
}

// parse reads an expression and reports what is wrong with its syntax.
func (t *translator) parse(text string) (ast.Node, bool) {
	if len(text) > maxExpression {
		t.problems = append(t.problems, exprProblem{msg: fmt.Sprintf("is longer than %d characters", maxExpression)})
		return nil, false
	}
	tree, err := parser.ParseWithConfig(markEach(text), t.config())
	if err != nil {
		if !t.aggregates {
			// count() and others mean something else to expr: see whether they were meant.
			probe := newTranslator(t.params, t.lists, newNameTable())
			defer probe.done()
			probe.aggregates = true
			if n, ok := probe.parse(text); ok {
				probe.aggregates = false
				probe.value(n)
				if len(probe.problems) > 0 {
					t.problems = append(t.problems, probe.problems...)
					return nil, false
				}
			}
		}
		t.problems = append(t.problems, problemOf(err))
		return nil, false
	}
	return tree.Node, true
}

func problemOf(err error) exprProblem {
	var fe *file.Error
	if errors.As(err, &fe) {
		msg := strings.ReplaceAll(fe.Message, eachMark, "[*]")
		if msg == "unexpected token EOF" {
			msg = endsEarly
		}
		return exprProblem{loc: fe.Location, msg: msg}
	}
	return exprProblem{msg: err.Error()}
}

const endsEarly = "the expression ends too early"
