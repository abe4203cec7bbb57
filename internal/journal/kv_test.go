package journal

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var oddKeys = []string{
	"", "=", ".", "..", ".a", "a.", "a..b", "*", ">", "a b", "acme.eu", "auth0|5f7c8ec7c33c6c004bbafe82", "a/b", "/", "=2E",
	"-_", "ключ", "\x00", "\xff\xfe", "line\nbreak", "192.0.2.0/24", "2001:db8::/32", "UPPER", "upper", "=ZZ", strings.Repeat("k", maxKey),
}

func TestAnyStringIsAKey(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir})
	kv, err := j.KV(t.Context(), "things")
	require.NoError(t, err)
	want := map[string][]byte{}
	for _, key := range oddKeys {
		require.NoError(t, kv.Put(t.Context(), key, []byte("value of "+key)), "%q", key)
		want[key] = []byte("value of " + key)
	}
	check := func(kv *KV) {
		for _, key := range oddKeys {
			value, found, err := kv.Get(t.Context(), key)
			require.NoError(t, err)
			require.True(t, found, "%q", key)
			require.Equal(t, "value of "+key, string(value))
		}
		all, err := kv.All(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, all)
	}
	check(kv)
	require.NoError(t, j.Close())

	j = open(t, Options{Dir: dir})
	kv, err = j.KV(t.Context(), "things")
	require.NoError(t, err)
	check(kv)
}

func TestKeysThatDifferAreStoredApart(t *testing.T) {
	seen := map[string]string{}
	for _, key := range oddKeys {
		encoded := encode(key)
		require.NotContains(t, seen, encoded)
		seen[encoded] = key
		decoded, err := decodeKey(encoded)
		require.NoError(t, err)
		require.Equal(t, key, decoded)
	}
	for _, bad := range []string{"a=", "a=2", "a=zz"} {
		_, err := decodeKey(bad)
		require.Error(t, err)
	}
}

func FuzzKeyEncoding(f *testing.F) {
	for _, key := range oddKeys {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		decoded, err := decodeKey(encode(key))
		require.NoError(t, err)
		require.Equal(t, key, decoded)
	})
}

func TestADeletedKeyIsGone(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir})
	kv, err := j.KV(t.Context(), "things")
	require.NoError(t, err)
	require.NoError(t, kv.Delete(t.Context(), "never there"))
	require.NoError(t, kv.Put(t.Context(), "a", []byte("1")))
	require.NoError(t, kv.Put(t.Context(), "b", nil))
	require.NoError(t, kv.Delete(t.Context(), "a"))
	for range 2 {
		_, found, err := kv.Get(t.Context(), "a")
		require.NoError(t, err)
		require.False(t, found)
		value, found, err := kv.Get(t.Context(), "b")
		require.NoError(t, err)
		require.True(t, found, "an empty value is a value")
		require.Empty(t, value)
		all, err := kv.All(t.Context())
		require.NoError(t, err)
		require.Len(t, all, 1)

		require.NoError(t, j.Close())
		j = open(t, Options{Dir: dir})
		kv, err = j.KV(t.Context(), "things")
		require.NoError(t, err)
	}
	require.NoError(t, kv.Put(t.Context(), "a", []byte("again")))
	value, found, err := kv.Get(t.Context(), "a")
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, "again", string(value))
}

func TestAKeyIsCreatedOnce(t *testing.T) {
	kv, err := open(t, Options{Dir: t.TempDir()}).KV(t.Context(), "things")
	require.NoError(t, err)
	got := make(chan string, 8)
	for i := range 8 {
		go func() {
			has, err := kv.Create(t.Context(), "id", []byte{byte('a' + i)})
			got <- fmt.Sprint(string(has), err)
		}()
	}
	first := <-got
	for range 7 {
		require.Equal(t, first, <-got)
	}
	value, found, err := kv.Get(t.Context(), "id")
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, first, fmt.Sprint(string(value), nil))
	require.NoError(t, kv.Delete(t.Context(), "id"))
	has, err := kv.Create(t.Context(), "id", []byte("new"))
	require.NoError(t, err)
	require.Equal(t, "new", string(has))
}

func TestAnEmptyBucketHasNoKeys(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	kv, err := j.KV(t.Context(), "things")
	require.NoError(t, err)
	all, err := kv.All(t.Context())
	require.NoError(t, err)
	require.Empty(t, all)
}

func TestJSONValues(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	kv, err := j.KV(t.Context(), "things")
	require.NoError(t, err)
	type hold struct{ Level string }
	got := hold{Level: "untouched"}
	found, err := kv.GetJSON(t.Context(), "h", &got)
	require.NoError(t, err)
	require.False(t, found)
	require.Equal(t, "untouched", got.Level)
	require.NoError(t, kv.PutJSON(t.Context(), "h", hold{Level: "maximum"}))
	found, err = kv.GetJSON(t.Context(), "h", &got)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, "maximum", got.Level)

	require.ErrorIs(t, kv.PutJSON(t.Context(), "h", func() {}), ErrInvalid)
	require.NoError(t, kv.Put(t.Context(), "h", []byte("{")))
	_, err = kv.GetJSON(t.Context(), "h", &got)
	require.ErrorContains(t, err, `get "h" in bucket things`)
}

func TestWhatABucketRefuses(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	for _, name := range []string{"", "a.b", "a b", "*", "journal", strings.Repeat("b", 65)} {
		_, err := j.KV(t.Context(), name)
		require.ErrorIs(t, err, ErrInvalid, "%q", name)
	}
	kv, err := j.KV(t.Context(), "things")
	require.NoError(t, err)
	long := strings.Repeat("k", maxKey+1)
	require.ErrorIs(t, kv.Put(t.Context(), long, nil), ErrInvalid)
	_, _, err = kv.Get(t.Context(), long)
	require.ErrorIs(t, err, ErrInvalid)
	require.Less(t, len(err.Error()), 300)
	require.ErrorIs(t, kv.Put(t.Context(), "k", bytes.Repeat([]byte("v"), maxPayload)), ErrTooLarge)
}

func TestCursorsAreKeptPerTenantAndSource(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir})
	value, err := j.Cursor("acme", "poll").LoadCursor(t.Context())
	require.NoError(t, err)
	require.Empty(t, value)
	require.NoError(t, j.Cursor("acme", "poll").SaveCursor(t.Context(), "900"))
	require.NoError(t, j.Cursor("acme", "file").SaveCursor(t.Context(), "other source"))
	require.NoError(t, j.Cursor("acme/poll", "").SaveCursor(t.Context(), "no mix-up"))
	require.NoError(t, j.Cursor("acme", "poll").SaveCursor(t.Context(), "901"))
	require.NoError(t, j.Close())

	j = open(t, Options{Dir: dir})
	value, err = j.Cursor("acme", "poll").LoadCursor(t.Context())
	require.NoError(t, err)
	require.Equal(t, "901", value)
}
