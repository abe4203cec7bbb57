// Package yamldoc decodes YAML files strictly: every unknown key, wrong type
// and duplicate is reported with its place, all at once, and the text of
// expressions keeps its position so that later stages can point into it.
package yamldoc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"portcullis/internal/diag"
)

// maxNodes bounds how many nodes one file may expand to through aliases.
const maxNodes = 200_000

// Documents parses a file into its documents. Empty documents are left out.
func Documents(src *diag.Source) ([]*yaml.Node, diag.Problems) {
	var docs []*yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(src.Data))
	for {
		var n yaml.Node
		err := safely(func() error { return dec.Decode(&n) })
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return docs, diag.Problems{syntaxProblem(src, err)}
		}
		if len(n.Content) == 0 || n.Content[0].Tag == "!!null" {
			continue
		}
		if p, ok := checkAliases(src, n.Content[0]); !ok {
			return docs, diag.Problems{p}
		}
		docs = append(docs, n.Content[0])
	}
}

// safely turns a panic of the YAML library on hostile input into an error.
func safely(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("yaml: %v", r)
		}
	}()
	return f()
}

var yamlLine = regexp.MustCompile(`line (\d+): `)

func syntaxProblem(src *diag.Source, err error) diag.Problem {
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 0
	if m := yamlLine.FindStringSubmatch(msg); m != nil {
		line, _ = strconv.Atoi(m[1])
		msg = strings.Replace(msg, m[0], "", 1)
	}
	if line == 0 && !strings.Contains(msg, "control characters") && !strings.Contains(msg, "UTF") {
		line = 1 // the library leaves it out
	}
	p := src.Problem(line, 0, 0, "", "not valid YAML: %s", msg)
	if strings.Contains(msg, "cannot start any token") && strings.Contains(src.Line(line), "\t") {
		p = p.WithHint("indent with spaces, not tabs")
	}
	return p
}

// checkAliases refuses an alias that contains itself, and aliases that expand
// to more nodes than a file may hold.
func checkAliases(src *diag.Source, root *yaml.Node) (diag.Problem, bool) {
	var bad diag.Problem
	open := map[*yaml.Node]bool{}
	seen := 0
	var walk func(n *yaml.Node, at *yaml.Node) bool
	walk = func(n, at *yaml.Node) bool {
		if seen++; seen > maxNodes {
			bad = src.Problem(at.Line, at.Column, 1, "", "aliases expand to more than %d nodes", maxNodes)
			return false
		}
		if n.Kind == yaml.AliasNode {
			if open[n.Alias] {
				bad = src.Problem(n.Line, n.Column, len(n.Value)+1, "", "alias *%s contains itself", n.Value)
				return false
			}
			return walk(n.Alias, n)
		}
		open[n] = true
		defer delete(open, n)
		for _, c := range n.Content {
			if !walk(c, c) {
				return false
			}
		}
		return true
	}
	ok := walk(root, root)
	return bad, ok
}

// Resolve follows an alias to the node it names.
func Resolve(n *yaml.Node) *yaml.Node {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// Decoder decodes nodes of one file and collects the problems.
type Decoder struct {
	Src      *diag.Source
	Problems diag.Problems
}

// NodeDecoder is a type that decodes itself from a node.
type NodeDecoder interface {
	DecodeNode(d *Decoder, n *yaml.Node, key string)
}

// Report adds a problem at a node.
func (d *Decoder) Report(n *yaml.Node, key, format string, args ...any) *diag.Problem {
	length := 1
	if n.Kind == yaml.ScalarNode {
		length = max(1, len([]rune(strings.SplitN(n.Value, "\n", 2)[0])))
		if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
			length = 1
		}
	}
	d.Problems = append(d.Problems, d.Src.Problem(n.Line, n.Column, length, key, format, args...))
	return &d.Problems[len(d.Problems)-1]
}

// Decode fills into, a pointer, from a node. Struct fields are known by their
// yaml tag; a tag option "required" reports an absent key. What is absent keeps
// the value it had, so defaults are set before.
func (d *Decoder) Decode(n *yaml.Node, into any, key string) {
	d.value(Resolve(n), reflect.ValueOf(into).Elem(), key)
}

var durationType = reflect.TypeFor[time.Duration]()

func (d *Decoder) value(n *yaml.Node, v reflect.Value, key string) {
	n = Resolve(n)
	if v.CanAddr() {
		if nd, ok := v.Addr().Interface().(NodeDecoder); ok {
			nd.DecodeNode(d, n, key)
			return
		}
		if raw, ok := v.Addr().Interface().(**yaml.Node); ok {
			*raw = n
			return
		}
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		d.Report(n, key, "is empty").Hint = "give it a value or remove the key"
		return
	}
	if v.Type() == durationType {
		if n.Kind != yaml.ScalarNode {
			d.Report(n, key, "must be a length of time, found %s", describe(n)).Hint = "write 90s, 15m, 1h or 30d"
			return
		}
		dur, err := ParseDuration(n.Value)
		if err != nil {
			d.Report(n, key, "%s", err).Hint = "write 90s, 15m, 1h or 30d"
			return
		}
		v.SetInt(int64(dur))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		d.value(n, p.Elem(), key)
		v.Set(p)
	case reflect.Struct:
		d.mapping(n, v, key)
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			d.Report(n, key, "must be a list, found %s", describe(n)).Hint = "write [a, b] or one item a line after '- '"
			return
		}
		out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
		for i, c := range n.Content {
			d.value(c, out.Index(i), fmt.Sprintf("%s[%d]", key, i))
		}
		v.Set(out)
	case reflect.Map:
		if n.Kind != yaml.MappingNode {
			d.Report(n, key, "must be a mapping of names to values, found %s", describe(n))
			return
		}
		out := reflect.MakeMapWithSize(v.Type(), len(n.Content)/2)
		d.pairs(n, key, func(k, val *yaml.Node) {
			e := reflect.New(v.Type().Elem()).Elem()
			d.value(val, e, join(key, k.Value))
			out.SetMapIndex(reflect.ValueOf(k.Value), e)
		})
		v.Set(out)
	case reflect.Interface:
		var a any
		if err := safely(func() error { return n.Decode(&a) }); err != nil {
			d.Report(n, key, "cannot be read: %s", strings.TrimPrefix(err.Error(), "yaml: "))
			return
		}
		if a != nil {
			v.Set(reflect.ValueOf(a))
		}
	default:
		d.scalar(n, v, key)
	}
}

func (d *Decoder) scalar(n *yaml.Node, v reflect.Value, key string) {
	wrong := func(want string) { d.Report(n, key, "must be %s, found %s", want, describe(n)) }
	if n.Kind != yaml.ScalarNode {
		wrong("a single value")
		return
	}
	switch v.Kind() {
	case reflect.String:
		if n.Tag != "!!str" && n.Tag != "!!timestamp" && v.Type() == reflect.TypeFor[string]() {
			// A bare 5 or true where text belongs is nearly always a slip.
			d.Report(n, key, "must be text, found %s", describe(n)).Hint = fmt.Sprintf("write it in quotes: %q", n.Value)
			return
		}
		v.SetString(n.Value)
	case reflect.Bool:
		b, err := strconv.ParseBool(n.Value)
		if n.Tag != "!!bool" || err != nil {
			wrong("true or false")
			return
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int64:
		i, err := strconv.ParseInt(n.Value, 10, 64)
		if n.Tag != "!!int" || err != nil {
			wrong("a whole number")
			return
		}
		v.SetInt(i)
	case reflect.Float64:
		f, err := strconv.ParseFloat(n.Value, 64)
		if n.Tag != "!!int" && n.Tag != "!!float" || err != nil {
			wrong("a number")
			return
		}
		v.SetFloat(f)
	default:
		panic("yamldoc: no decoding into " + v.Type().String())
	}
}

// pairs visits a mapping's keys and values and reports keys that come twice.
func (d *Decoder) pairs(n *yaml.Node, key string, visit func(k, v *yaml.Node)) {
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if k.Kind != yaml.ScalarNode {
			d.Report(k, key, "a key must be a plain word")
			continue
		}
		if line, dup := seen[k.Value]; dup {
			d.Report(k, join(key, k.Value), "is given twice, first on line %d", line)
			continue
		}
		seen[k.Value] = k.Line
		visit(k, n.Content[i+1])
	}
}

func (d *Decoder) mapping(n *yaml.Node, v reflect.Value, key string) {
	if n.Kind != yaml.MappingNode {
		d.Report(n, key, "must be a mapping of keys to values, found %s", describe(n))
		return
	}
	fields, names, required := structKeys(v.Type())
	given := map[string]bool{}
	d.pairs(n, key, func(k, val *yaml.Node) {
		i, ok := fields[k.Value]
		if !ok {
			p := d.Report(k, key, "unknown key %s%s", k.Value, diag.DidYouMean(k.Value, names))
			p.Hint = "known keys: " + strings.Join(names, ", ")
			return
		}
		given[k.Value] = true
		d.value(val, v.Field(i), join(key, k.Value))
	})
	for _, r := range required {
		if !given[r] {
			d.Report(n, key, "key %s is missing", r)
		}
	}
}

func structKeys(t reflect.Type) (fields map[string]int, names, required []string) {
	fields = map[string]int{}
	for i := range t.NumField() {
		name, opts, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if name == "" || name == "-" {
			continue
		}
		fields[name] = i
		names = append(names, name)
		if slices.Contains(strings.Split(opts, ","), "required") {
			required = append(required, name)
		}
	}
	return fields, names, required
}

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.Tag {
	case "!!str":
		return fmt.Sprintf("the text %q", clip(n.Value, 40))
	case "!!int", "!!float":
		return "the number " + n.Value
	case "!!bool":
		return n.Value
	case "!!null":
		return "nothing"
	}
	return clip(n.Value, 40)
}

func clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n]) + "…"
	}
	return s
}
