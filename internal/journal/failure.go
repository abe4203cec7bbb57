package journal

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

// What the server says of a failed write is text, whether in its log or in the answer to a client; these are the words of
// the operating systems within it.
var (
	fullWords     = []string{"no space left", "not enough space", "disk quota exceeded", "quota exceeded", "file too large"}
	readOnlyWords = []string{"read-only file system", "permission denied", "operation not permitted", "access is denied", "write protected"}
	// failedWords are how the embedded server announces that it writes no more; deadWords, that it stops altogether.
	failedWords = append([]string{"critical write error"}, deadWords...)
	deadWords   = []string{"disabling jetstream", "will be disabled", "permission denied", "operation not permitted"}
)

// Codes of the server's API that say that a limit of the store or of the account is reached.
const (
	codeAccountResources    jetstream.ErrorCode = 10002
	codeInsufficient        jetstream.ErrorCode = 10023
	codeStorageResources    jetstream.ErrorCode = 10047
	codeStreamStoreFailed   jetstream.ErrorCode = 10077
	codeReservationTooLarge jetstream.ErrorCode = 10065
)

// probeBytes must be free before the server is restarted: with less, the next write or two would fail again.
const probeBytes = 8 << 20

func containsAny(text string, words []string) bool {
	text = strings.ToLower(text)
	for _, word := range words {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

// fileError says for people why files cannot be written, and what to do; nil if the text names no such reason.
func (j *Journal) fileError(text string) error {
	switch {
	case containsAny(text, fullWords):
		return fmt.Errorf("%w: no room for the files in %s: free at least %d MiB; writing goes on by itself then",
			ErrFull, j.name(), probeBytes>>20)
	case containsAny(text, readOnlyWords):
		return fmt.Errorf("%w: the files in %s cannot be written: mount its file system writable and give it to the user that portcullis runs as; "+
			"writing goes on by itself then", ErrReadOnlyStore, j.name())
	}
	return nil
}

// watchLog fails the session when the server announces that it writes no more. It sends no answer to the write in
// question, which would wait for nothing.
func (s *session) watchLog(line string) {
	if !containsAny(line, failedWords) {
		return
	}
	reason := s.j.fileError(line)
	if reason == nil {
		reason = fmt.Errorf("the files in %s cannot be written: %s", s.j.name(), line)
	}
	s.fail(reason)
	if containsAny(line, deadWords) {
		s.die()
	}
}

// explain turns the error of an operation into one for callers and people.
func (s *session) explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if reason := s.failure(); reason != nil && !errors.Is(err, reason) && !errors.Is(err, ErrDamaged) {
		return reason
	}
	if errors.Is(err, ErrFull) || errors.Is(err, ErrReadOnlyStore) {
		return err
	}
	var apiErr *jetstream.APIError
	if errors.As(err, &apiErr) {
		switch apiErr.ErrorCode {
		case codeAccountResources, codeInsufficient, codeStorageResources, codeReservationTooLarge:
			return s.limitReached(err)
		case codeStreamStoreFailed:
			if strings.Contains(apiErr.Description, "maximum") {
				return s.limitReached(err)
			}
		}
		if reason := s.j.fileError(apiErr.Description); reason != nil {
			return reason
		}
	}
	if errors.Is(err, context.DeadlineExceeded) && s.server != nil {
		if status := s.server.Healthz(&server.HealthzOptions{}); status.Error != "" {
			if reason := s.j.fileError(status.Error); reason != nil {
				s.fail(reason)
				return reason
			}
		}
	}
	if s.replaced() && !s.j.stopping() && ctx.Err() == nil {
		return errors.New("the embedded server was restarted meanwhile: try again")
	}
	return cause(ctx, err)
}

// replaced tells whether the connection of the session was closed.
func (s *session) replaced() bool {
	return s.conn != nil && s.conn.IsClosed()
}

func (s *session) limitReached(err error) error {
	if s.server == nil {
		return fmt.Errorf("%w: %s refuses to store more (%w): raise the limits of the account or of the servers", ErrFull, s.j.name(), err)
	}
	return fmt.Errorf("%w: the store in %s has reached its limit of %d MiB: raise it, or keep events, findings and deeds for a shorter time",
		ErrFull, s.j.name(), s.j.opts.MaxStoreBytes>>20)
}

// probe writes probeBytes into the directory, to the disk, and removes them.
func (j *Journal) probe() error {
	err := writeAndRemove(filepath.Join(j.opts.Dir, "PROBE"))
	if err == nil {
		return nil
	}
	if reason := j.fileError(err.Error()); reason != nil {
		return reason
	}
	return fmt.Errorf("the files in %s cannot be written: %w", j.opts.Dir, err)
}

func writeAndRemove(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	// What a file system cannot compress.
	block := make([]byte, 1<<20)
	_, _ = rand.Read(block)
	_, err = f.Write(bytes.Repeat(block, probeBytes/len(block)))
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close(), os.Remove(path))
}
