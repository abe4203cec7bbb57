package journal

import (
	"encoding/hex"
	"fmt"
	"strings"
)

const upperHex = "0123456789ABCDEF"

// encodeKey turns any string into one that NATS allows as a key and as one token of a subject; see KV for how.
func encodeKey(key string) (string, error) {
	encoded := encode(key)
	if len(encoded) > maxKey {
		return "", fmt.Errorf("%w: the key has %d bytes as encoded, at most %d", ErrInvalid, len(encoded), maxKey)
	}
	return encoded, nil
}

func encode(key string) string {
	if key == "" {
		return "="
	}
	var b strings.Builder
	for i := range len(key) {
		if c := key[i]; plain(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('=')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&15])
		}
	}
	return b.String()
}

func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '/'
}

func decodeKey(encoded string) (string, error) {
	if encoded == "=" {
		return "", nil
	}
	var b strings.Builder
	for i := 0; i < len(encoded); i++ {
		if encoded[i] != '=' {
			b.WriteByte(encoded[i])
			continue
		}
		if i+3 > len(encoded) {
			return "", fmt.Errorf("key %q: it ends within an encoded byte", encoded)
		}
		c, err := hex.DecodeString(encoded[i+1 : i+3])
		if err != nil {
			return "", fmt.Errorf("key %q: %w", encoded, err)
		}
		b.WriteByte(c[0])
		i += 2
	}
	return b.String(), nil
}

// subject names the messages of one tenant in a stream.
func subject(stream, tenant string) string {
	return stream + "." + encode(tenant)
}

// shorten keeps an absurd key from filling an error message.
func shorten(key string) string {
	if len(key) > 100 {
		return key[:100] + "…"
	}
	return key
}
