package control

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"portcullis/responders/hold"
)

// memory is what a control over fields knows across restarts.
type memory struct {
	Cells map[string]*hold.Cell `json:"cells,omitempty"`
	// Doubt is why letting go must be asked about: lines of the log may be missing.
	Doubt hold.Doubt `json:"doubt,omitzero"`
	// DoubtOp is the write whose line is missing, if that is why.
	DoubtOp string `json:"doubt_op,omitempty"`
	// Heard tells that the log tells of our writes at all.
	Heard bool `json:"heard,omitempty"`
}

// A cell's key is its name, with the subject before it where there is one.
func cellKey(subject, cell string) string {
	if subject == "" {
		return cell
	}
	return subject + ":" + cell
}

func splitKey(key string) (subject, cell string) {
	if i := strings.LastIndex(key, ":"); i >= 0 {
		return key[:i], key[i+1:]
	}
	return "", key
}

func (m *memory) cell(subject, cell string) *hold.Cell { return m.Cells[cellKey(subject, cell)] }

func (m *memory) make(subject, cell string) *hold.Cell {
	c := &hold.Cell{}
	m.Cells[cellKey(subject, cell)] = c
	return c
}

// open reports whether something of ours may be in an object.
func (m *memory) open(subject string) bool {
	for key, c := range m.Cells {
		if s, _ := splitKey(key); s == subject && c.Open() {
			return true
		}
	}
	return false
}

// keepClaims forgets the claims of holds that are over.
func (m *memory) keepClaims(active []*hold.Hold) {
	keys := map[string]bool{}
	for _, h := range active {
		keys[h.Key()] = true
	}
	for _, c := range m.Cells {
		maps.DeleteFunc(c.Claims, func(key string, _ hold.Stand) bool { return !keys[key] })
	}
}

// ours reports whether something of ours may be anywhere.
func (m *memory) ours() bool {
	for _, c := range m.Cells {
		if c.Open() || len(c.Claims) > 0 {
			return true
		}
	}
	return false
}

// knows reports whether any cell knows of a write of ours.
func (m *memory) knows(op string) bool {
	for _, c := range m.Cells {
		if c.Knows(op) {
			return true
		}
	}
	return false
}

// doubt notes that the log may lack lines, if that can matter.
func (m *memory) doubt(d hold.Doubt) bool {
	if m.Doubt.Reason != "" || !m.ours() {
		return false
	}
	m.Doubt = d
	return true
}

// doubtUnconfirmed takes a write of ours that the log does not tell for a sign
// that it lacks lines, where it told of others.
func (m *memory) doubtUnconfirmed(c *hold.Cell, now time.Time) {
	if !m.Heard {
		return
	}
	for _, op := range c.Unconfirmed(now) {
		if m.doubt(hold.Doubt{Reason: fmt.Sprintf("the log does not tell of our own write of %s", op.At.Format("15:04 UTC")), Since: op.At}) {
			m.DoubtOp = op.ID
		}
	}
}

func (m *memory) prune(now time.Time) {
	for key, c := range m.Cells {
		if c.Idle(now) {
			delete(m.Cells, key)
		}
	}
	if !m.ours() {
		m.Doubt, m.DoubtOp = hold.Doubt{}, ""
	}
}

func (f *Fields) load(ctx context.Context) (*memory, error) {
	m := &memory{}
	data, ok, err := f.Store.Get(ctx, f.Name)
	if err != nil {
		return nil, fmt.Errorf("%w: load what is known of %s: %w", ErrStore, f.Name, err)
	}
	if ok {
		if err := json.Unmarshal(data, m); err != nil {
			return nil, fmt.Errorf("load what is known of %s: %w", f.Name, err)
		}
	}
	if m.Cells == nil {
		m.Cells = map[string]*hold.Cell{}
	}
	return m, nil
}

func (f *Fields) save(ctx context.Context, m *memory) error {
	if err := Save(ctx, f.Store, f.Name, m, len(m.Cells) == 0); err != nil {
		return fmt.Errorf("save what is known of %s: %w", f.Name, err)
	}
	return nil
}
