package yamldoc

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSizesAreReadAndWritten(t *testing.T) {
	for text, want := range map[string]Size{"8MiB": 8 << 20, "20GB": 20e9, "1.5GiB": 3 << 29, "1 TB": 1e12, "1TiB": 1 << 40, "3KB": 3000} {
		got, err := ParseSize(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
		back, err := ParseSize(got.String())
		require.NoError(t, err, got.String())
		require.Equal(t, want, back)
	}
	require.Equal(t, []string{"8MiB", "20GB", "1500KiB", "1537 bytes"}, []string{Size(8 << 20).String(), Size(20e9).String(), Size(1536e3).String(), Size(1537).String()})
	for _, text := range []string{"", "MB", "8", "8M", "-1GB", "0GB", "NaNGB", "InfGB", "9e30TB", "1 2GB", "8mb"} {
		_, err := ParseSize(text)
		require.ErrorContains(t, err, "is not a size", text)
	}
}
