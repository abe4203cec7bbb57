package detections

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // zones are known wherever the binary runs
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"

	"portcullis/logstream"
)

// Function describes a function of the expression language.
type Function struct {
	Name      string
	Signature string // names of the arguments, optional ones in brackets
	Meaning   string
	Example   string // a condition
}

// Functions lists the functions of the expression language beside those over the
// elements of a collection (any, all, none, one, count, filter, map) and the
// aggregates, by subject.
func Functions() []Function {
	out := make([]Function, len(helpers))
	for i := range helpers {
		out[i] = helpers[i].Function
	}
	return out
}

// argument is what a helper takes at one place.
type argument struct {
	kind     FieldKind
	prepare  func(text string) (any, error) // of a text that must be in quotes: makes what call gets
	optional bool
}

// helper is a function of ours. With an argument missing it is missing itself,
// and an argument of another kind is an error.
type helper struct {
	Function
	args   []argument
	result FieldKind
	call   func(args []datum) (datum, error)
	total  bool // it is called with what is missing too, and is never missing itself
}

var (
	aTextArg  = argument{kind: TextKind}
	aNumArg   = argument{kind: NumberKind}
	aZone     = argument{kind: TextKind, optional: true, prepare: func(name string) (any, error) { return loadZone(name) }}
	aNetwork  = argument{kind: TextKind, prepare: func(text string) (any, error) { return parseNetwork(text) }}
	optional  = func(a argument) argument { a.optional = true; return a }
	aPlaceArg = argument{kind: NumberKind | MappingKind}
)

var helpers = append(strictHelpers, looseHelpers...)

var strictHelpers = []helper{
	{Function: Function{"lower", "lower(text)", "the text in small letters", `lower(user_name) == "admin"`}, args: []argument{aTextArg}, result: TextKind,
		call: func(a []datum) (datum, error) { return partOf(&a[0], strings.ToLower(a[0].text)), nil }},
	{Function: Function{"upper", "upper(text)", "the text in capitals", `upper(details.country) == "CH"`}, args: []argument{aTextArg}, result: TextKind,
		call: func(a []datum) (datum, error) { return partOf(&a[0], strings.ToUpper(a[0].text)), nil }},
	{Function: Function{"trim", "trim(text, [characters])", "the text without white space, or these characters, at its ends", `trim(user_name) == ""`}, args: []argument{aTextArg, optional(aTextArg)}, result: TextKind,
		call: trimText},
	{Function: Function{"split", "split(text, separator)", "the list of the text's parts", `split(user_id, "|")[0] == "sms"`}, args: []argument{aTextArg, aTextArg}, result: ListKind,
		call: splitText},
	{Function: Function{"replace", "replace(text, old, new)", "the text with every old replaced", `replace(user_name, ".", "") == "ann"`}, args: []argument{aTextArg, aTextArg, aTextArg}, result: TextKind,
		call: replaceText},
	{Function: Function{"len", "len(value)", "characters of a text, elements of a list, members of a mapping", `len(details.request.auth.credentials.scopes) > 20`}, args: []argument{{kind: TextKind | ListKind | MappingKind}}, result: NumberKind,
		call: length},
	{Function: Function{"domain", "domain(email)", "what follows the last @, in small letters", `domain(user_name) == "example.com"`}, args: []argument{aTextArg}, result: TextKind,
		call: func(a []datum) (datum, error) {
			_, domain := parts(a[0].text)
			return filled(&a[0], strings.ToLower(domain)), nil
		}},
	{Function: Function{"local_part", "local_part(email)", "what precedes the last @", `local_part(user_name) startsWith "test"`}, args: []argument{aTextArg}, result: TextKind,
		call: func(a []datum) (datum, error) { local, _ := parts(a[0].text); return filled(&a[0], local), nil }},
	{Function: Function{"network", "network(ip, bits, [bits of IPv6])", "the network around an address, of so many bits; 64 bits of IPv6 unless told", `network(ip, 24) == "203.0.113.0/24"`}, args: []argument{aTextArg, aNumArg, optional(aNumArg)}, result: TextKind,
		call: networkAround},
	{Function: Function{"in_network", "in_network(ip, network)", "whether the address is in the network, a text in quotes", `in_network(ip, "10.0.0.0/8")`}, args: []argument{aTextArg, aNetwork}, result: BoolKind,
		call: func(a []datum) (datum, error) {
			addr, ok := address(a[0].text)
			if !ok {
				return datum{}, nil
			}
			return truthOf(a[1].boxed.(netip.Prefix).Contains(addr)), nil
		}},
	{Function: Function{"is_private", "is_private(ip)", "whether the address is of a private, loopback or link-local network", `not is_private(ip)`}, args: []argument{aTextArg}, result: BoolKind,
		call: func(a []datum) (datum, error) {
			addr, ok := address(a[0].text)
			if !ok {
				return datum{}, nil
			}
			return truthOf(addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast()), nil
		}},
	{Function: Function{"hour", "hour(date, [zone])", "the hour of the day, 0 to 23, in UTC or a zone in quotes", `hour(date, "Europe/Zurich") < 6`}, args: []argument{aTextArg, aZone}, result: NumberKind,
		call: inZone(func(t time.Time) datum { return datumOf(t.Hour()) })},
	{Function: Function{"weekday", "weekday(date, [zone])", "the day of the week: monday, tuesday, …", `weekday(date) in ["saturday", "sunday"]`}, args: []argument{aTextArg, aZone}, result: TextKind,
		call: inZone(func(t time.Time) datum { return datumOf(strings.ToLower(t.Weekday().String())) })},
	{Function: Function{"unix", "unix(date)", "the seconds since 1970", `unix(date) - unix(details.issued_at) > 3600`}, args: []argument{aTextArg}, result: NumberKind,
		call: inZone(func(t time.Time) datum { return numberOf(float64(t.UnixMilli()) / 1000) })},
	{Function: Function{"distance_km", "distance_km(lat1, lon1, lat2, lon2) or distance_km(place, place)", "the kilometres between two places in degrees, or two mappings with latitude and longitude", `distance_km(location_info, details.last_location) > 500`}, args: []argument{aPlaceArg, aPlaceArg, optional(aNumArg), optional(aNumArg)}, result: NumberKind,
		call: distance},
}

var helperByName = func() map[string]*helper {
	out := map[string]*helper{}
	for i := range helpers {
		out[helpers[i].Name] = &helpers[i]
	}
	return out
}()

// partOf is a text that may share the memory of another.
func partOf(d *datum, s string) datum { return datum{kind: textValue, lent: d.lent, text: s} }

// filled is partOf; missing when the text is empty.
func filled(d *datum, s string) datum {
	if s == "" {
		return datum{}
	}
	return partOf(d, s)
}

// maxText bounds the texts and lists that functions make.
const maxText = 64 << 10

var errLarge = errors.New("makes more than 64 KiB")

func trimText(a []datum) (datum, error) {
	if len(a) > 1 {
		return partOf(&a[0], strings.Trim(a[0].text, a[1].text)), nil
	}
	return partOf(&a[0], strings.TrimSpace(a[0].text)), nil
}

func splitText(a []datum) (datum, error) {
	if strings.Count(a[0].text, a[1].text) > maxText {
		return datum{}, errLarge
	}
	return datum{kind: collectionValue, boxed: plain(strings.Split(strings.Clone(a[0].text), a[1].text))}, nil
}

func replaceText(a []datum) (datum, error) {
	if n := strings.Count(a[0].text, a[1].text); len(a[0].text)+n*len(a[2].text) > maxText {
		return datum{}, errLarge
	}
	return datumOf(strings.Clone(strings.ReplaceAll(a[0].text, a[1].text, a[2].text))), nil
}

func length(a []datum) (datum, error) {
	if a[0].kind == textValue {
		return datumOf(utf8.RuneCountInString(a[0].text)), nil
	}
	switch v := a[0].boxed.(type) {
	case []any:
		return datumOf(len(v)), nil
	case map[string]any:
		return datumOf(len(v)), nil
	}
	return datum{}, nil
}

// parts are what stands before and after the last @; empty when there is none.
func parts(email string) (local, domain string) {
	if i := strings.LastIndexByte(email, '@'); i >= 0 {
		return email[:i], email[i+1:]
	}
	return "", ""
}

func address(text string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(text)
	return a.Unmap().WithZone(""), err == nil
}

func networkAround(a []datum) (datum, error) {
	addr, ok := address(a[0].text)
	if !ok {
		return datum{}, nil
	}
	bits := a[1].num
	if addr.Is6() {
		bits = 64
		if len(a) > 2 {
			bits = a[2].num
		}
	}
	p, err := addr.Prefix(int(bits))
	if err != nil || bits != float64(int(bits)) {
		return datum{}, fmt.Errorf("network of %v bits: an address has 0 to %d", bits, addr.BitLen())
	}
	return datumOf(p.String()), nil
}

func parseNetwork(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, fmt.Errorf("%q is no network: write for instance \"10.0.0.0/8\"", text)
	}
	return unmapPrefix(p), nil
}

func loadZone(name string) (*time.Location, error) {
	zone, err := time.LoadLocation(name)
	if err != nil || name == "" || name == "Local" {
		return nil, fmt.Errorf("unknown time zone %q: write for instance \"Europe/Zurich\"", name)
	}
	return zone, nil
}

func inZone(f func(time.Time) datum) func(a []datum) (datum, error) {
	return func(a []datum) (datum, error) {
		t, ok := logstream.ParseTime(a[0].text)
		if !ok {
			return datum{}, nil
		}
		if len(a) > 1 {
			t = t.In(a[1].boxed.(*time.Location))
		}
		return f(t), nil
	}
}

func distance(a []datum) (datum, error) {
	var at [4]float64
	switch len(a) {
	case 2:
		for i := range a {
			place, ok := a[i].boxed.(map[string]any)
			if !ok {
				return datum{}, errors.New("distance_km takes two places or four numbers")
			}
			lat, ok1 := number(place["latitude"])
			lon, ok2 := number(place["longitude"])
			if !ok1 || !ok2 {
				return datum{}, nil
			}
			at[2*i], at[2*i+1] = lat, lon
		}
	case 4:
		for i := range a {
			if a[i].kind != numberValue {
				return datum{}, errors.New("distance_km takes two places or four numbers")
			}
			at[i] = a[i].num
		}
	default:
		return datum{}, errors.New("distance_km takes two places or four numbers")
	}
	return numberOf(distanceKM(at[0], at[1], at[2], at[3])), nil
}

// kindOfDatum is the kind of a value that is there; 0 of one that no event holds.
func kindOfDatum(d *datum) FieldKind {
	switch d.kind {
	case textValue:
		return TextKind
	case numberValue:
		return NumberKind
	case boolValue:
		return BoolKind
	}
	switch d.boxed.(type) {
	case []any:
		return ListKind
	case map[string]any:
		return MappingKind
	}
	return 0
}

// run calls the helper: missing when an argument is, unless the helper is total.
func (h *helper) run(args []datum) (datum, error) {
	if h.total {
		return h.call(args)
	}
	for i := range args {
		if args[i].kind == noValue {
			return datum{}, nil
		}
	}
	for i := range args {
		if want := h.args[i].kind; h.args[i].prepare == nil && kindOfDatum(&args[i])&want == 0 {
			return datum{}, fmt.Errorf("%s: argument %d is not a %s", h.Signature, i+1, want)
		}
	}
	return h.call(args)
}

// helper rewrites a call of one of our functions and checks its arguments as far
// as they are known.
func (t *translator) helper(n *ast.CallNode, h *helper) ast.Node {
	least := slices.IndexFunc(h.args, func(a argument) bool { return a.optional })
	if least < 0 {
		least = len(h.args)
	}
	if len(n.Arguments) < least || len(n.Arguments) > len(h.args) {
		return t.failHint(n, "wrong number of arguments for %s()", h.Name, "write "+h.Signature)
	}
	args := make([]ast.Node, len(n.Arguments))
	for i, a := range n.Arguments {
		want := h.args[i]
		text, quoted := a.(*ast.StringNode)
		switch {
		case want.prepare == nil && t.kindOf(a)&want.kind == 0:
			return t.failHint(a, h.Name+"() takes a %s here", want.kind.String(), "write "+h.Signature)
		case want.prepare == nil:
			args[i] = t.value(a)
		case !quoted:
			return t.failHint(a, h.Name+"() takes a text in quotes here%s", "", "for instance "+h.Example)
		default:
			v, err := want.prepare(text.Value)
			if err != nil {
				return t.fail(a, "%s", err)
			}
			args[i] = at(a, &ast.ConstantNode{Value: v})
		}
	}
	return at(n, call(h.Name, args...))
}

// dates rewrites a comparison of date with a time in quotes into one of seconds:
// as texts, two spellings of one time would differ.
func (t *translator) dates(n *ast.BinaryNode) (left, right ast.Node, is bool) {
	sides := [2]ast.Node{n.Left, n.Right}
	for i, side := range sides {
		path, named := dottedPath(side)
		text, quoted := sides[1-i].(*ast.StringNode)
		if !named || !quoted || path != "date" && path != "data.date" {
			continue
		}
		when, ok := logstream.ParseTime(text.Value)
		if !ok {
			when, ok = logstream.ParseTime(text.Value + "T00:00:00Z")
		}
		if !ok {
			return t.failHint(text, "%q is no time", text.Value, "write for instance \"2026-03-01T12:00:00Z\""), &ast.NilNode{}, true
		}
		sides[i] = at(side, call("unix", t.value(side)))
		sides[1-i] = at(text, &ast.FloatNode{Value: float64(when.UnixMilli()) / 1000})
		return sides[0], sides[1], true
	}
	return nil, nil, false
}

// helper binds a call of one of our functions. Arguments stand in the row while
// it runs, so that a call takes no memory.
func (b *binder) helper(n *ast.CallNode, h *helper) operand {
	args := make([]operand, len(n.Arguments))
	fixed := true
	for i, a := range n.Arguments {
		args[i] = b.operand(a)
		fixed = fixed && args[i].fixed
	}
	return beforehand(operand{get: func(r *row) datum {
		first := len(r.args)
		for i := range args {
			r.args = append(r.args, args[i].get(r))
		}
		d, err := h.run(r.args[first:])
		r.args = r.args[:first]
		if err != nil {
			return r.fail(err)
		}
		return d
	}}, fixed)
}

// vm is the helper for expr's machine.
func (h *helper) vm(args ...any) (any, error) {
	in := make([]datum, len(args))
	for i, a := range args {
		in[i] = datumOf(a)
	}
	d, err := h.run(in)
	if err != nil {
		return nil, err
	}
	return d.keep(), nil
}
