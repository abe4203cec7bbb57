package yamldoc

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Size is a number of bytes, written with its unit: 8MiB, 20GB.
type Size int64

// units are the units of sizes.
var units = []struct {
	name  string
	bytes Size
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3},
}

// ParseSize reads a size: a number and one of KB, MB, GB, TB (thousands) or KiB,
// MiB, GiB, TiB (1024s). It must be positive.
func ParseSize(s string) (Size, error) {
	for _, u := range units {
		number, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if n *= float64(u.bytes); err == nil && n >= 1 && n < math.MaxInt64 {
			return Size(n), nil
		}
		break
	}
	return 0, fmt.Errorf("%q is not a size", s)
}

// String writes the size as a person would: 8MiB, 20GB, or the bytes alone.
func (s Size) String() string {
	number, name := s, " bytes"
	for _, u := range units {
		if s%u.bytes == 0 && s/u.bytes < number {
			number, name = s/u.bytes, u.name
		}
	}
	return strconv.FormatInt(int64(number), 10) + name
}

// DecodeNode reads a size from a node.
func (s *Size) DecodeNode(d *Decoder, n *yaml.Node, key string) {
	const how = "write 8MiB, 500MB or 20GB"
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" {
		d.Report(n, key, "must be a size with its unit, found %s", describe(n)).Hint = how
		return
	}
	size, err := ParseSize(n.Value)
	if err != nil {
		d.Report(n, key, "%s", err).Hint = how
		return
	}
	*s = size
}
