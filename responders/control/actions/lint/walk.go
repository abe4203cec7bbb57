package lint

import (
	"reflect"
	"strings"

	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/token"
)

var nodeType = reflect.TypeFor[ast.Node]()

// visit walks a node and all below it, parents first. above are the nodes around
// it, outermost first.
func visit(n ast.Node, above []ast.Node, enter func(n ast.Node, above []ast.Node)) {
	enter(n, above)
	above = append(above[:len(above):len(above)], n)
	for _, c := range children(n) {
		visit(c, above, enter)
	}
}

// children are the nodes directly below one. The syntax tree has no walk of its
// own; its nodes are structs, and what is below stands in their fields.
func children(n ast.Node) []ast.Node {
	if dot, ok := n.(*ast.DotExpression); ok {
		return []ast.Node{dot.Left} // the member's name is no variable
	}
	v := reflect.ValueOf(n)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return nil
	}
	v = v.Elem()
	var out []ast.Node
	for i := range v.NumField() {
		if v.Type().Field(i).Name == "DeclarationList" { // what is declared below, a second time
			continue
		}
		out = append(out, nodesIn(v.Field(i))...)
	}
	return out
}

func nodesIn(v reflect.Value) []ast.Node {
	switch v.Kind() {
	case reflect.Slice:
		var out []ast.Node
		for i := range v.Len() {
			out = append(out, nodesIn(v.Index(i))...)
		}
		return out
	case reflect.Interface, reflect.Pointer:
		if v.IsNil() || !v.CanInterface() {
			return nil
		}
		if n, ok := v.Interface().(ast.Node); ok {
			return []ast.Node{n}
		}
	case reflect.Struct:
		if v.CanAddr() && v.Addr().Type().Implements(nodeType) && v.Addr().CanInterface() {
			if n, ok := v.Addr().Interface().(ast.Node); ok {
				return []ast.Node{n}
			}
		}
	}
	return nil
}

// bare is an expression without the marks of optional chaining.
func bare(n ast.Node) ast.Node {
	for {
		switch x := n.(type) {
		case *ast.OptionalChain:
			n = x.Expression
		case *ast.Optional:
			n = x.Expression
		default:
			return n
		}
	}
}

// names is what is known of names before the walk. Scopes are not told apart: an
// Action is small, and a name that means two things in it confuses people as well.
type names struct {
	handlers []handler
	modules  map[string]string   // by name: what was required, as axios or https.get
	paths    map[string]string   // by name: the part of the event that it stands for
	personal map[string]string   // by name: the part of the event that is in its text
	values   map[string]ast.Node // by name: the constant expression that it is
	funcs    map[string]ast.Node // by name: the function that it is
	stops    bool                // there is a timer that may end a request
}

type function struct {
	params []string
	body   ast.Node
}

// handler is a function that Auth0 calls.
type handler struct {
	name string
	fn   *function
}

// functionOf tells a function's parameters and body; nil if n is none.
func functionOf(n ast.Node) *function {
	var list *ast.ParameterList
	f := &function{}
	switch x := n.(type) {
	case *ast.FunctionLiteral:
		list, f.body = x.ParameterList, x.Body
	case *ast.ArrowFunctionLiteral:
		list, f.body = x.ParameterList, x.Body
	case *ast.FunctionDeclaration:
		return functionOf(x.Function)
	default:
		return nil
	}
	for _, p := range list.List {
		name := ""
		if id, ok := p.Target.(*ast.Identifier); ok {
			name = string(id.Name)
		}
		f.params = append(f.params, name)
	}
	return f
}

// collect learns the names of a program.
func (l *linter) collect(program *ast.Program) names {
	l.names = names{modules: map[string]string{}, paths: map[string]string{}, personal: map[string]string{}, values: map[string]ast.Node{},
		funcs: map[string]ast.Node{}}
	l.names.paths["event"] = "event"
	each := func(enter func(n ast.Node)) {
		for _, b := range program.Body {
			visit(b, nil, func(n ast.Node, _ []ast.Node) { enter(n) })
		}
	}
	each(func(n ast.Node) {
		switch x := n.(type) {
		case *ast.FunctionDeclaration:
			if x.Function.Name != nil {
				l.names.funcs[string(x.Function.Name.Name)] = x
			}
		case *ast.Binding:
			l.names.bind(x.Target, x.Initializer)
		case *ast.CallExpression:
			if name, ok := bare(x.Callee).(*ast.Identifier); ok && name.Name == "setTimeout" {
				l.names.stops = true
			}
		}
	})
	each(func(n ast.Node) {
		if a, ok := n.(*ast.AssignExpression); ok && a.Operator == token.ASSIGN {
			l.names.export(a)
		}
	})
	for _, h := range l.names.handlers {
		if len(h.fn.params) > 0 && h.fn.params[0] != "" {
			l.names.paths[h.fn.params[0]] = "event"
		}
	}
	// What stands for a part of the event may be declared by what stands for another: a
	// second look finds those whose turn was too early.
	for range 2 {
		each(func(n ast.Node) {
			if b, ok := n.(*ast.Binding); ok && b.Initializer != nil {
				l.names.alias(b.Target, b.Initializer)
			}
		})
	}
	return l.names
}

// bind notes what a declaration says of its names.
func (ns *names) bind(target ast.Node, value ast.Expression) {
	if value == nil {
		return
	}
	module := required(value)
	switch t := target.(type) {
	case *ast.Identifier:
		name := string(t.Name)
		switch {
		case module != "":
			ns.modules[name] = module
		case functionOf(value) != nil:
			ns.funcs[name] = value
		default:
			ns.values[name] = value
		}
	case *ast.ObjectPattern:
		for _, p := range t.Properties {
			if key, name := property(p); name != "" && module != "" {
				ns.modules[name] = module + "." + key
			}
		}
	}
}

// property is a member of a pattern: its key, and the name that it is bound to.
func property(p ast.Property) (key, name string) {
	switch x := p.(type) {
	case *ast.PropertyShort:
		return string(x.Name.Name), string(x.Name.Name)
	case *ast.PropertyKeyed:
		k, _ := x.Key.(*ast.StringLiteral)
		id, _ := x.Value.(*ast.Identifier)
		if a, ok := x.Value.(*ast.AssignExpression); ok {
			id, _ = a.Left.(*ast.Identifier)
		}
		if k != nil && id != nil {
			return string(k.Value), string(id.Name)
		}
	}
	return "", ""
}

// required is the module that an expression loads: require("axios"),
// require("axios").default, require("https").get.
func required(n ast.Node) string {
	switch x := bare(n).(type) {
	case *ast.CallExpression:
		if id, ok := x.Callee.(*ast.Identifier); ok && id.Name == "require" && len(x.ArgumentList) == 1 {
			if s, ok := x.ArgumentList[0].(*ast.StringLiteral); ok {
				return strings.TrimPrefix(string(s.Value), "node:")
			}
		}
	case *ast.DotExpression:
		if m := required(x.Left); m != "" {
			if x.Identifier.Name == "default" {
				return m
			}
			return m + "." + string(x.Identifier.Name)
		}
	}
	return ""
}

// export notes a handler: exports.onExecutePostLogin = …, also by module.exports.
func (ns *names) export(a *ast.AssignExpression) {
	dot, ok := a.Left.(*ast.DotExpression)
	if !ok {
		return
	}
	name := string(dot.Identifier.Name)
	if owner := nameOf(dot.Left); name == "exports" && owner == "module" {
		object, _ := a.Right.(*ast.ObjectLiteral)
		if object == nil {
			return
		}
		for _, p := range object.Value {
			switch x := p.(type) {
			case *ast.PropertyShort:
				ns.handle(string(x.Name.Name), &x.Name)
			case *ast.PropertyKeyed:
				if k, ok := x.Key.(*ast.StringLiteral); ok {
					ns.handle(string(k.Value), x.Value)
				}
			}
		}
		return
	} else if owner != "exports" && owner != "module.exports" {
		return
	}
	ns.handle(name, a.Right)
}

func (ns *names) handle(name string, value ast.Node) {
	if !strings.HasPrefix(name, "onExecute") && !strings.HasPrefix(name, "onContinue") {
		return
	}
	if id, ok := value.(*ast.Identifier); ok {
		if f := ns.funcs[string(id.Name)]; f != nil {
			value = f
		}
	}
	if fn := functionOf(value); fn != nil {
		ns.handlers = append(ns.handlers, handler{name, fn})
	}
}

// nameOf is a dotted name as it is written, "" if n is none.
func nameOf(n ast.Node) string {
	switch x := bare(n).(type) {
	case *ast.Identifier:
		return string(x.Name)
	case *ast.DotExpression:
		if left := nameOf(x.Left); left != "" {
			return left + "." + string(x.Identifier.Name)
		}
	}
	return ""
}

// pathOf is the part of the event that an expression stands for, such as
// event.user.email, with * for a member that is not known; "" if it is none.
func (ns *names) pathOf(n ast.Node) string {
	switch x := bare(n).(type) {
	case *ast.Identifier:
		return ns.paths[string(x.Name)]
	case *ast.DotExpression:
		if p := ns.pathOf(x.Left); p != "" {
			return p + "." + string(x.Identifier.Name)
		}
	case *ast.BracketExpression:
		p := ns.pathOf(x.Left)
		if p == "" {
			return ""
		}
		if s, ok := x.Member.(*ast.StringLiteral); ok {
			return p + "." + string(s.Value)
		}
		return p + ".*"
	}
	return ""
}

// alias notes names that stand for a part of the event, or for a text with one.
func (ns *names) alias(target ast.Node, value ast.Expression) {
	if b, ok := bare(value).(*ast.BinaryExpression); ok && (b.Operator == token.LOGICAL_OR || b.Operator == token.COALESCE) {
		value = b.Left // event.user || {}
	}
	path := ns.pathOf(value)
	switch t := target.(type) {
	case *ast.Identifier:
		if path != "" {
			ns.paths[string(t.Name)] = path
		} else if p := ns.personalIn(value); p != "" {
			ns.personal[string(t.Name)] = p
		}
	case *ast.ObjectPattern:
		if path == "" {
			return
		}
		for _, p := range t.Properties {
			key, name := property(p)
			if name != "" {
				ns.paths[name] = path + "." + key
			} else if keyed, ok := p.(*ast.PropertyKeyed); ok {
				if k, ok := keyed.Key.(*ast.StringLiteral); ok {
					ns.inner(path+"."+string(k.Value), keyed.Value)
				}
			}
		}
	}
}

// inner notes the names of a pattern within a pattern.
func (ns *names) inner(path string, target ast.Node) {
	if a, ok := target.(*ast.AssignExpression); ok {
		target = a.Left
	}
	pattern, ok := target.(*ast.ObjectPattern)
	if !ok {
		return
	}
	for _, p := range pattern.Properties {
		if key, name := property(p); name != "" {
			ns.paths[name] = path + "." + key
		}
	}
}

// within reports whether one of the nodes above is as asked, without leaving the
// function that n stands in.
func within(above []ast.Node, is func(ast.Node) bool) bool {
	for i := len(above) - 1; i >= 0; i-- {
		if is(above[i]) {
			return true
		}
		if functionOf(above[i]) != nil {
			return false
		}
	}
	return false
}

func isLoop(n ast.Node) bool {
	switch n.(type) {
	case *ast.ForStatement, *ast.ForInStatement, *ast.ForOfStatement, *ast.WhileStatement, *ast.DoWhileStatement:
		return true
	}
	return false
}
