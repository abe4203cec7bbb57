package detections

import (
	"errors"
	"fmt"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
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

// markEach writes eachMark for every [*] that stands outside quotes.
func markEach(text string) string {
	if !strings.Contains(text, "[*]") {
		return text
	}
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
		}
		out.WriteByte(c)
	}
	return out.String()
}

// parse reads an expression and reports what is wrong with its syntax.
func (t *translator) parse(text string) (ast.Node, *conf.Config, bool) {
	if len(text) > maxExpression {
		t.problems = append(t.problems, exprProblem{msg: fmt.Sprintf("is longer than %d characters", maxExpression)})
		return nil, nil, false
	}
	c := t.config()
	tree, err := parser.ParseWithConfig(markEach(text), c)
	if err != nil {
		if !t.aggregates {
			// count() and others mean something else to expr: see whether they were meant.
			probe := newTranslator(t.params, t.lists)
			probe.aggregates = true
			if n, _, ok := probe.parse(text); ok {
				probe.aggregates = false
				probe.value(n)
				if len(probe.problems) > 0 {
					t.problems = append(t.problems, probe.problems...)
					return nil, nil, false
				}
			}
		}
		t.problems = append(t.problems, problemOf(err))
		return nil, nil, false
	}
	return tree.Node, c, true
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
