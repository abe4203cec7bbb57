package config

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
)

// Secret is a text that never shows: every way of printing it gives <secret>.
//
// The text is behind a pointer, since package fmt calls no method on what lies
// in an unexported field of something it prints.
type Secret struct{ text *string }

const hidden = "<secret>"

// Reveal returns the text itself, for the one place that sends it.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// Format writes <secret> for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// String returns <secret>.
func (s Secret) String() string { return hidden }

// MarshalText writes <secret>, in JSON and YAML too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// LogValue is <secret>.
func (s Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// readSecret takes a secret from a file or from an environment variable,
// whichever is named.
func readSecret(file, env string) (Secret, error) {
	if env != "" {
		return newSecret(os.Getenv(env), "the environment variable "+env, "is not set")
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return Secret{}, fmt.Errorf("read the secret: %w", err)
	}
	return newSecret(string(data), "the file "+file, "is empty")
}

// byteOrderMark is what some editors put at the start of a file.
const byteOrderMark = "\ufeff"

// newSecret takes a secret out of the text around it; empty says what is wrong
// when there is none.
func newSecret(text, source, empty string) (Secret, error) {
	v := strings.TrimSpace(strings.TrimPrefix(text, byteOrderMark))
	if v == "" {
		return Secret{}, fmt.Errorf("%s %s", source, empty)
	}
	if strings.ContainsAny(v, "\r\n") {
		return Secret{}, fmt.Errorf("%s holds more than one line: put the secret alone on one line", source)
	}
	return Secret{&v}, nil
}

// ClientSecret reads the tenant's client secret. It is empty when the tenant
// uses a private key.
func (c *Config) ClientSecret(t *Tenant) (Secret, error) {
	if t.KeyFile != "" {
		return Secret{}, nil
	}
	s, err := readSecret(c.path(t.SecretFile), t.SecretEnv)
	if err != nil {
		return s, fmt.Errorf("client secret of tenant %s: %w", t.Name, err)
	}
	return s, nil
}

// PrivateKey reads the tenant's private key; nil when it uses a secret.
func (c *Config) PrivateKey(t *Tenant) ([]byte, error) {
	if t.KeyFile == "" {
		return nil, nil
	}
	data, err := os.ReadFile(c.path(t.KeyFile))
	if err != nil {
		return nil, fmt.Errorf("private key of tenant %s: %w", t.Name, err)
	}
	return bytes.TrimPrefix(data, []byte(byteOrderMark)), nil
}

// BotToken reads Slack's bot token.
func (c *Config) BotToken() (Secret, error) {
	s, err := readSecret(c.path(c.Slack.BotTokenFile), c.Slack.BotTokenEnv)
	if err != nil {
		return s, fmt.Errorf("slack bot token: %w", err)
	}
	return s, nil
}

// WebhookToken reads the token that a tenant's log stream bears.
func (c *Config) WebhookToken(t *Tenant) (Secret, error) {
	s, err := readSecret(c.path(t.Logs.Webhook.TokenFile), t.Logs.Webhook.TokenEnv)
	if err != nil {
		return s, fmt.Errorf("webhook token of tenant %s: %w", t.Name, err)
	}
	return s, nil
}

// AdminToken reads the token of the admin listener; empty when none is named.
func (c *Config) AdminToken() (Secret, error) {
	if c.HTTP == nil || c.HTTP.TokenFile == "" {
		return Secret{}, nil
	}
	s, err := readSecret(c.path(c.HTTP.TokenFile), "")
	if err != nil {
		return s, fmt.Errorf("admin token: %w", err)
	}
	return s, nil
}

// CertFiles are the certificate and key of the listener.
func (c *Config) CertFiles() (cert, key string) {
	return c.path(c.HTTP.CertFile), c.path(c.HTTP.KeyFile)
}
