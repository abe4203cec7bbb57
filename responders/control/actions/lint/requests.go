package lint

import (
	"fmt"
	"strings"

	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/token"
)

// maxTimeout is the longest that a request may take, in milliseconds: all Actions
// of a flow together have 20 s.
const maxTimeout = 10_000

// request is an outgoing call: where its options stand and what ends it.
type request struct {
	client  string
	options []int // indexes of the arguments that may be the options
	key     string
}

// requestOf tells whether a call goes out.
func (ns *names) requestOf(call *ast.CallExpression) (request, bool) {
	name := nameOf(call.Callee)
	root, method, _ := strings.Cut(name, ".")
	module := ns.modules[root]
	if module == "" {
		if name == "fetch" || name == "globalThis.fetch" {
			return request{"fetch", []int{1}, "signal"}, true
		}
		return request{}, false
	}
	if method != "" {
		module += "." + method
	}
	client, method, _ := strings.Cut(module, ".")
	switch client {
	case "node-fetch", "undici":
		if method == "" || method == "default" || method == "fetch" || method == "request" {
			return request{client, []int{1}, "signal"}, true
		}
	case "axios":
		switch method {
		case "", "default", "request":
			return request{client, []int{0, 1}, "timeout"}, true
		case "get", "delete", "head", "options":
			return request{client, []int{1}, "timeout"}, true
		case "post", "put", "patch", "postForm", "putForm", "patchForm":
			return request{client, []int{2}, "timeout"}, true
		}
	case "got", "ky", "needle", "superagent", "request", "request-promise":
		switch method {
		case "", "default", "get", "post", "put", "patch", "delete", "head":
			return request{client, []int{0, 1, 2}, "timeout"}, true
		}
	case "http", "https":
		if method == "get" || method == "request" {
			return request{client, []int{0, 1}, "timeout"}, true
		}
	}
	return request{}, false
}

// checkRequest finds outgoing requests that may last too long, that fail the
// login when they fail, or that are made in a loop.
func (l *linter) checkRequest(n ast.Node, above []ast.Node) {
	call, ok := n.(*ast.CallExpression)
	if !ok {
		return
	}
	req, ok := l.names.requestOf(call)
	if !ok {
		return
	}
	l.checkTimeout(call, req)
	if within(above, isLoop) {
		l.warn(call, RuleLoop, "requests in a loop: together they may outlast the flow", "ask once, and do not repeat what failed")
	}
	if h := l.handlerAround(above); h != nil && blocking(h.name) && !l.handled(call, above) {
		l.warn(call, RuleFailure, "when this request fails, the login fails with it", "put it in try { … } catch { … } and decide there")
	}
}

// checkTimeout reports a request without an end that comes soon enough.
func (l *linter) checkTimeout(call *ast.CallExpression, req request) {
	hint := "add timeout: 5000 to its options"
	if req.key == "signal" {
		hint = "add signal: AbortSignal.timeout(5000) to its options"
	}
	value, unclear := l.option(call, req)
	switch {
	case value == nil && unclear:
		return // the options come from elsewhere
	case value == nil:
		if req.client == "axios" && strings.Contains(l.text, "axios.defaults.timeout") {
			return
		}
		l.problem(call, RuleTimeout, fmt.Sprintf("this %s request has no timeout: it may hold the login for 20 s, and then fail it", req.client), hint)
		return
	}
	ms, known := l.milliseconds(value)
	switch {
	case known && (ms >= maxTimeout || ms <= 0):
		l.problem(value, RuleTimeout, fmt.Sprintf("a timeout of %v ms: it must be below %d", ms, maxTimeout), "all Actions of a flow have 20 s together")
	case !known && req.key == "signal" && !l.names.stops && nameOf(value) != "" && l.names.values[nameOf(value)] == nil:
		l.warn(value, RuleTimeout, "it cannot be seen when this signal ends the request", hint)
	}
}

// option is the value that ends a request; unclear if the options cannot be read.
func (l *linter) option(call *ast.CallExpression, req request) (value ast.Node, unclear bool) {
	for _, i := range req.options {
		if i >= len(call.ArgumentList) {
			continue
		}
		v, odd := l.member(call.ArgumentList[i], req.key, 0)
		if v == nil && req.key == "signal" {
			v, _ = l.member(call.ArgumentList[i], "timeout", 0)
		}
		if v == nil && req.key == "timeout" {
			v, _ = l.member(call.ArgumentList[i], "signal", 0)
		}
		if v != nil {
			return v, false
		}
		unclear = unclear || odd
	}
	return nil, unclear
}

// member finds a member of an object that is written out, here or where its name
// is declared; odd tells that some of the object cannot be seen.
func (l *linter) member(n ast.Node, key string, depth int) (value ast.Node, odd bool) {
	if depth > 4 || l.tired() {
		return nil, true
	}
	switch x := bare(n).(type) {
	case *ast.Identifier:
		if v := l.names.values[string(x.Name)]; v != nil {
			return l.member(v, key, depth+1)
		}
		return nil, l.names.funcs[string(x.Name)] == nil && x.Name != "undefined"
	case *ast.ObjectLiteral:
		for _, p := range x.Value {
			switch p := p.(type) {
			case *ast.PropertyShort:
				if string(p.Name.Name) == key {
					return &p.Name, false
				}
			case *ast.PropertyKeyed:
				if k, ok := p.Key.(*ast.StringLiteral); ok && string(k.Value) == key {
					return p.Value, false
				}
			case *ast.SpreadElement:
				v, o := l.member(p.Expression, key, depth+1)
				if v != nil {
					return v, false
				}
				odd = odd || o
			}
		}
		return nil, odd
	case *ast.CallExpression, *ast.DotExpression, *ast.BracketExpression, *ast.ConditionalExpression:
		return nil, true
	}
	return nil, false
}

// tired bounds how often names are followed in one file: constants that are made
// of each other, many times over, would be followed for ever.
func (l *linter) tired() bool {
	l.followed++
	return l.followed > 100_000
}

// milliseconds is the number that an expression comes to: 5000, 5 * 1000, a
// constant, AbortSignal.timeout(5000), {request: 5000}.
func (l *linter) milliseconds(n ast.Node) (float64, bool) {
	return l.number(n, 0)
}

func (l *linter) number(n ast.Node, depth int) (float64, bool) {
	if depth > 8 || l.tired() {
		return 0, false
	}
	switch x := bare(n).(type) {
	case *ast.NumberLiteral:
		switch v := x.Value.(type) {
		case int64:
			return float64(v), true
		case float64:
			return v, true
		}
	case *ast.Identifier:
		if v := l.names.values[string(x.Name)]; v != nil {
			return l.number(v, depth+1)
		}
	case *ast.BinaryExpression:
		a, okA := l.number(x.Left, depth+1)
		b, okB := l.number(x.Right, depth+1)
		if !okA || !okB {
			return 0, false
		}
		switch x.Operator {
		case token.MULTIPLY:
			return a * b, true
		case token.PLUS:
			return a + b, true
		}
	case *ast.CallExpression:
		if nameOf(x.Callee) == "AbortSignal.timeout" && len(x.ArgumentList) == 1 {
			return l.number(x.ArgumentList[0], depth+1)
		}
	case *ast.ObjectLiteral: // got: the longest of its parts
		if v, _ := l.member(x, "request", 0); v != nil {
			return l.number(v, depth+1)
		}
	}
	return 0, false
}

// handlerAround is the handler that a node stands in directly; nil in a function
// of its own, whose caller may catch.
func (l *linter) handlerAround(above []ast.Node) *handler {
	for i := len(above) - 1; i >= 0; i-- {
		f := functionOf(above[i])
		if f == nil {
			continue
		}
		for j := range l.names.handlers {
			if l.names.handlers[j].fn.body == f.body {
				return &l.names.handlers[j]
			}
		}
		return nil
	}
	return nil
}

// handled reports whether a failure of a call ends at a catch.
func (l *linter) handled(call ast.Node, above []ast.Node) bool {
	if caught(call, above) {
		return true
	}
	return within(above, func(n ast.Node) bool {
		c, ok := n.(*ast.CallExpression)
		if !ok {
			return false
		}
		dot, ok := bare(c.Callee).(*ast.DotExpression)
		return ok && dot.Identifier.Name == "catch" || nameOf(c.Callee) == "Promise.allSettled"
	})
}
