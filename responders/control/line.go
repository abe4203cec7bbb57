package control

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"portcullis/responders/hold"
)

// Line is one line of the tenant's log of the type sapi: a write that somebody
// made by the Management API or the dashboard.
type Line struct {
	ID     string     `json:"id"` // log_id
	At     time.Time  `json:"at"`
	Method string     `json:"method"` // lower case
	Path   string     `json:"path"`
	Client string     `json:"client,omitempty"` // the application's id
	By     string     `json:"by,omitempty"`     // who, for people
	Op     string     `json:"op,omitempty"`     // the correlation id
	Whose  hold.Whose `json:"whose,omitempty"`

	Request  json.RawMessage `json:"request,omitempty"`  // the body of the request
	Response json.RawMessage `json:"response,omitempty"` // the resource after it
}

// ReadLine reads a line from an event of the log. Whose it is the caller must tell.
// ok is false for one that does not say of what it is.
func ReadLine(id string, at time.Time, event []byte) (ln Line, ok bool) {
	var body struct {
		ClientID   string `json:"client_id"`
		ClientName string `json:"client_name"`
		References struct {
			CorrelationID string `json:"correlation_id"`
		} `json:"references"`
		Details struct {
			Request struct {
				Method, Path string
				Body         json.RawMessage
				Auth         struct {
					User struct{ Email, Name string }
				}
			}
			Response struct{ Body json.RawMessage }
		} `json:"details"`
	}
	if json.Unmarshal(event, &body) != nil {
		return ln, false
	}
	d := body.Details
	path := d.Request.Path
	if p, err := url.PathUnescape(path); err == nil {
		path = p
	}
	ln = Line{ID: id, At: at.UTC(), Method: strings.ToLower(d.Request.Method), Path: path, Client: body.ClientID, Op: body.References.CorrelationID,
		Request: d.Request.Body, Response: d.Response.Body}
	for _, by := range []string{d.Request.Auth.User.Email, d.Request.Auth.User.Name, body.ClientName, body.ClientID, "somebody"} {
		if ln.By == "" {
			ln.By = by
		}
	}
	return ln, path != ""
}

// masked stands for a secret in the log.
const masked = "*****"

// Chosen is the part of an object that a line's request names, with the values that
// the answer tells: by spec, each field or nothing.
func (s Spec) Chosen(ln Line) json.RawMessage {
	request, response := decode(ln.Request), decode(ln.Response)
	fields := map[string]hold.Value{}
	for path := range s {
		v, named := at(request, path)
		if !named {
			continue
		}
		if after, told := at(response, path); told && after != any(masked) {
			v = after
		}
		if v != any(masked) {
			fields[path] = hold.ValueOf(v)
		}
	}
	raw, err := json.Marshal(Object(fields))
	if err != nil {
		return nil // values are JSON
	}
	return raw
}

// Hear learns from a line of the log who chose what. Lines may come twice, late and
// in any order. It reports what people should know, and whether the line is about
// this control. The error wraps [ErrStore] if the store failed.
func (f *Fields) Hear(ctx context.Context, ln Line, now time.Time) (notes []string, concerned bool, err error) {
	subject, chosen, concerned := f.Setting.Told(ln)
	if !concerned || subject == "" && f.Subject != "" {
		return nil, false, nil
	}
	m, err := f.load(ctx)
	if err != nil {
		return nil, true, err
	}
	values := f.told(m, subject, chosen)
	if ln.Whose == hold.Ours && len(values) > 0 && now.Sub(ln.At) < hold.LateLife && !m.knows(ln.Op) {
		// What is written ahead of every request is not there: the store is older
		// than the tenant.
		why := fmt.Sprintf("the store does not know of our own write of %s: it was lost or put back to an older state", ln.At.Format("15:04 UTC"))
		m.doubt(hold.Doubt{Reason: why, Since: ln.At})
		notes = append(notes, why+": a person is asked before "+f.Name+" is let go")
	}
	v := &visit{f: f, subject: subject}
	for _, cell := range slices.Sorted(maps.Keys(values)) {
		c := m.cell(subject, cell)
		if c == nil {
			c = m.make(subject, cell)
		}
		held, fought := len(c.Claims) > 0, c.Fight != nil
		finding := c.Hear(f.order(cell), hold.Told{Value: values[cell], At: ln.At, Whose: ln.Whose, Op: ln.Op, By: ln.By, Client: ln.Client})
		switch {
		case c.Fight != nil && !fought:
			notes = append(notes, f.fight(v.field(cell), cell, values[cell], ln))
		case !held:
		case finding == hold.Loosened:
			notes = append(notes, fmt.Sprintf("%s was set to %s by %s during a hold: left as they chose", v.field(cell), text(cell, values[cell]), ln.By))
		case finding == hold.Tightened:
			notes = append(notes, fmt.Sprintf("%s was set to %s by %s during a hold: kept, also when the holds end", v.field(cell), text(cell, values[cell]), ln.By))
		case finding == hold.Foreign:
			notes = append(notes, fmt.Sprintf("%s was set to %s by %s during a hold: it comes back when the holds end", v.field(cell), text(cell, values[cell]), ln.By))
		}
	}
	if ln.Whose == hold.Ours {
		m.Heard = true
		if m.DoubtOp != "" && m.DoubtOp == ln.Op {
			m.Doubt, m.DoubtOp = hold.Doubt{}, ""
		}
	}
	if ln.Whose == hold.Twins {
		notes = append(notes, fmt.Sprintf("another daemon of this installation (%s) changed %s: one tenant must have one", ln.Op, f.what(subject)))
	}
	return notes, true, f.save(ctx, m)
}

// told are the values of the cells of fields that a line's request named.
func (f *Fields) told(m *memory, subject string, chosen json.RawMessage) map[string]hold.Value {
	values := f.Spec.values(chosen, f.cells(m, subject))
	named := decode(chosen)
	maps.DeleteFunc(values, func(cell string, _ hold.Value) bool {
		path, _, _, _ := f.Spec.field(cell)
		_, has := at(named, path)
		return !has
	})
	return values
}

// fight says that an application keeps lowering what is held, and how to have it
// stop.
func (f *Fields) fight(field, cell string, v hold.Value, ln Line) string {
	path, _, _, _ := f.Spec.field(cell)
	return fmt.Sprintf("the application %s set %s back to %s for the third time: it is not held for a day. If that is Terraform, have it leave the field to people: lifecycle { ignore_changes = [%s] }",
		ln.Client, field, text(cell, v), path)
}

// Gap notes that lines of the log may be missing: while something of ours is in the
// tenant, nothing is let go without asking. It reports whether that matters.
func (f *Fields) Gap(ctx context.Context, reason string, since time.Time) (bool, error) {
	m, err := f.load(ctx)
	if err != nil || !m.doubt(hold.Doubt{Reason: reason, Since: since}) {
		return false, err
	}
	return true, f.save(ctx, m)
}
