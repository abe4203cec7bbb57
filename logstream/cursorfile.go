package logstream

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// CursorFile keeps a cursor in a small text file, replaced as a whole so that
// a crash leaves the old one or the new one.
type CursorFile struct{ path string }

var _ CursorStore = (*CursorFile)(nil)

// NewCursorFile returns the store at path, in a directory that exists.
func NewCursorFile(path string) *CursorFile { return &CursorFile{path: path} }

// LoadCursor returns the cursor in the file, "" when there is no file. Content
// that is no cursor is an error that names the file.
func (c *CursorFile) LoadCursor(context.Context) (string, error) {
	b, err := os.ReadFile(c.path)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read cursor file: %w", err)
	}
	cursor := strings.TrimSpace(string(b))
	if cursor == "" {
		return "", fmt.Errorf("cursor file %s is empty; remove it to start anew", c.path)
	}
	if err := checkCursor(cursor); err != nil {
		return "", fmt.Errorf("cursor file %s: %w; remove it to start anew", c.path, err)
	}
	return cursor, nil
}

// SaveCursor replaces the file and returns once the disk has it.
func (c *CursorFile) SaveCursor(_ context.Context, cursor string) error {
	dir := filepath.Dir(c.path)
	tmp, err := os.CreateTemp(dir, ".cursor-*") // readable by its owner alone
	if err != nil {
		return fmt.Errorf("save cursor: %w", err)
	}
	defer os.Remove(tmp.Name()) // nothing to remove once renamed
	_, err = tmp.WriteString(cursor + "\n")
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), c.path)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("save cursor file %s: %w", c.path, err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
