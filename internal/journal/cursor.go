package journal

import (
	"context"
	"net/url"
)

// Cursor keeps how far one source of one tenant was read; the zero value is not usable, see [Journal.Cursor].
type Cursor struct {
	j              *Journal
	tenant, source string
}

const cursorBucket = "cursors"

// Cursor returns the cursor of one source of one tenant. It costs nothing until it is used.
func (j *Journal) Cursor(tenant, source string) Cursor {
	return Cursor{j: j, tenant: tenant, source: source}
}

// LoadCursor returns what was saved last, and "" before the first SaveCursor.
func (c Cursor) LoadCursor(ctx context.Context) (string, error) {
	kv, err := c.j.KV(ctx, cursorBucket)
	if err != nil {
		return "", err
	}
	value, _, err := kv.Get(ctx, c.key())
	return string(value), err
}

// SaveCursor keeps cursor; it is durable when SaveCursor returns without an error.
func (c Cursor) SaveCursor(ctx context.Context, cursor string) error {
	kv, err := c.j.KV(ctx, cursorBucket)
	if err != nil {
		return err
	}
	return kv.Put(ctx, c.key(), []byte(cursor))
}

// key cannot be the same for two pairs: an escaped tenant has no slash.
func (c Cursor) key() string {
	return url.PathEscape(c.tenant) + "/" + c.source
}
