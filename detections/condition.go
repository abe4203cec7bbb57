package detections

import (
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// noCondition names what can be neither true nor false; "" for all that may be
// one, such as a member of details.
func (t *translator) noCondition(n ast.Node) string {
	if path, ok := dottedPath(n); ok {
		return t.noConditionName(path)
	}
	switch n := n.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
		return aNumber
	case *ast.StringNode:
		return aText
	case *ast.NilNode:
		return "nil"
	case *ast.ArrayNode, *ast.MapNode:
		return aCollection
	case *ast.ChainNode:
		return t.noCondition(n.Node)
	case *ast.UnaryNode:
		if n.Operator == "-" || n.Operator == "+" {
			return aNumber
		}
	case *ast.BinaryNode:
		switch n.Operator {
		case "+", "-", "*", "/", "%", "**", "^":
			return "the result of " + n.Operator
		case "??":
			if left := t.noCondition(n.Left); left != "" && t.noCondition(n.Right) != "" {
				return left
			}
		}
	case *ast.BuiltinNode:
		if what := builtinKinds[n.Name]; what != "" {
			return fmt.Sprintf("%s(), %s", n.Name, what)
		}
	case *ast.CallNode:
		return t.noConditionCall(n)
	}
	return ""
}

// noConditionCall is noCondition for an aggregate. The first and the last value
// may be true or false, as far as their field may.
func (t *translator) noConditionCall(n *ast.CallNode) string {
	callee, ok := n.Callee.(*ast.IdentifierNode)
	if ok {
		if h := helperByName[callee.Value]; h != nil && h.result&BoolKind == 0 {
			return callee.Value + "(), a " + h.result.String()
		}
	}
	if !ok || !t.aggregates {
		return ""
	}
	switch _, is := aggregateFuncs[callee.Value]; {
	case !is || len(n.Arguments) > 1:
		return "" // another problem, told elsewhere
	case callee.Value == "first" || callee.Value == "last":
		if len(n.Arguments) == 1 {
			return t.noCondition(n.Arguments[0])
		}
		return ""
	case callee.Value == "values":
		return "values(), " + aCollection
	}
	return callee.Value + "(), " + aNumber
}

// noConditionName is noCondition for a dotted name. Names that are unknown are
// told elsewhere.
func (t *translator) noConditionName(path string) string {
	path = strings.TrimPrefix(path, "data.")
	root, rest, dotted := strings.Cut(path, ".")
	switch {
	case root == "params":
		switch t.params[rest].(type) {
		case int, float64:
			return path + ", " + aNumber
		case string:
			return path + ", " + aText
		}
	case strings.Contains(path, "[*]"):
		return path + ", " + aCollection
	case dotted:
	case slices.Contains(textFields, path):
		return path + ", " + aText
	case slices.Contains(mappingFields, path):
		return path + ", " + aCollection
	}
	return ""
}

// neverListed names what no list can hold, since lists hold texts; "" for the rest.
func (t *translator) neverListed(n ast.Node) string {
	if path, ok := dottedPath(n); ok {
		if name, isParam := strings.CutPrefix(path, "params."); isParam {
			switch t.params[name].(type) {
			case int, float64, bool:
				return path
			}
		}
		return ""
	}
	switch n := n.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
		return aNumber
	case *ast.BoolNode:
		return "true or false"
	case *ast.NilNode:
		return "nil"
	case *ast.UnaryNode:
		switch n.Node.(type) {
		case *ast.IntegerNode, *ast.FloatNode:
			return aNumber
		}
	}
	return ""
}

const (
	aNumber     = "a number"
	aText       = "a text"
	aCollection = "a collection"
)

// The members of an event by what they hold. Of the others that Auth0
// documents, is_mobile is true or false.
var (
	textFields = []string{
		"agent_id", "audience", "client_id", "client_ip", "client_name", "connection", "connection_id", "date",
		"description", "environment_name", "external_agent_id", "hostname", "identity_user_id", "ip", "log_id",
		"mtls_thumbprint_sha256", "organization_id", "organization_name", "scope", "session_connection", "strategy",
		"strategy_type", "tenant_name", "tracking_id", "transaction_linking_id", "type", "user_agent", "user_id", "user_name",
	}
	mappingFields = []string{"auth0_client", "details", "location_info", "references", "security_context"}
)

// builtinKinds says what expr's functions give that are never true or false.
var builtinKinds = kindsOf(map[string]string{
	aNumber:     "count sum mean abs ceil floor round int float indexOf lastIndexOf findIndex",
	aText:       "trimPrefix trimSuffix string",
	aCollection: "filter map keys values reverse sort",
})

func kindsOf(names map[string]string) map[string]string {
	out := map[string]string{}
	for what, list := range names {
		for name := range strings.FieldsSeq(list) {
			out[name] = what
		}
	}
	return out
}
