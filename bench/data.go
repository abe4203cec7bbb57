package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// build compiles one of our programs.
func build(ctx context.Context, binary, pkg string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, pkg)
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%shint: run bench from the root of the checkout", pkg, err, text)
	}
	return nil
}

// events returns the file of events, which it writes unless the same generator
// did so before.
func events(ctx context.Context, o options, msgs io.Writer) (string, error) {
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return "", fmt.Errorf("make the folder for events: %w", err)
	}
	generator := filepath.Join(o.dir, "gen")
	if err := build(ctx, generator, "./bench/gen"); err != nil {
		return "", err
	}
	code, err := os.ReadFile(generator)
	if err != nil {
		return "", fmt.Errorf("read the generator: %w", err)
	}
	file := filepath.Join(o.dir, fmt.Sprintf("events-%d.jsonl", o.events))
	mark, want := file+".generator", fmt.Sprintf("%x\n", sha256.Sum256(code))
	if have, err := os.ReadFile(mark); err == nil && string(have) == want {
		return file, nil
	}
	fmt.Fprintf(msgs, "writing %d events to %s\n", o.events, file)
	if err := os.Remove(mark); err != nil && !os.IsNotExist(err) {
		return "", fmt.Errorf("replace %s: %w", file, err)
	}
	// A fifth as many users as events, as in the file that the goals are for.
	cmd := exec.CommandContext(ctx, generator, "-o", file, "--events", strconv.Itoa(o.events),
		"--users", strconv.Itoa(max(o.events/5, 1)), "--addresses", strconv.Itoa(min(max(o.events*3/10, 1), 4_000_000)),
		"--attacks", strconv.Itoa(min(6, o.events/2000)))
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("write events: %w: %s", err, strings.TrimSpace(string(text)))
	}
	if err := os.WriteFile(mark, []byte(want), 0o644); err != nil {
		return "", fmt.Errorf("remember the generator of %s: %w", file, err)
	}
	return file, nil
}
