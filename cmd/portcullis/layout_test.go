package main

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// layout is the map of docs/architecture.md: what each package may import of
// ours. A folder stands for all packages below it that have no line of their
// own. What is not named may import nothing of ours.
var layout = map[string][]string{
	"logstream":          {},
	"detections":         {"logstream", "internal/diag", "internal/yamldoc"},
	"detections/sigma":   {"detections", "logstream", "internal/diag", "internal/yamldoc"},
	"responders":         {"detections", "internal/auth0", "internal/diag", "internal/yamldoc", "responders"},
	"catalog":            {},
	"config":             {"catalog", "detections/sigma", "detections", "responders", "internal/diag", "internal/yamldoc"},
	"internal/diag":      {},
	"internal/yamldoc":   {"internal/diag"},
	"internal/auth0":     {},
	"internal/faultdisk": {},
	"internal/faultnet":  {},
	"internal/httpapi":   {},
	"internal/journal":   {},
	"internal/schemagen": {},
	"internal/tenantsim": {},
	"cmd/portcullis":     {"detections/sigma", "logstream", "detections", "responders", "catalog", "config", "internal"},
	"responders/hold":    {},
	"responders/control": {"internal/auth0", "internal/diag", "internal/yamldoc", "responders/hold", "responders/control"},
	"responders/slack":   {"detections", "responders"},
	"bench":              {"bench", "logstream", "detections", "catalog"},
	"bench/quality":      {"config", "detections", "internal/tenantsim", "logstream", "responders"},
}

// soleImporters are modules that one package of ours owns.
var soleImporters = map[string]string{
	"github.com/auth0/go-auth0":       "internal/auth0",
	"github.com/nats-io/":             "internal/journal",
	"github.com/slack-go/slack":       "responders/slack",
	"github.com/spf13/cobra":          "cmd/portcullis",
	"github.com/dop251/goja":          "responders/control/actions/lint",
	"github.com/rogpeppe/go-internal": "",
}

func TestImportsFollowTheLayout(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "portcullis/...").Output()
	require.NoError(t, err)
	dec := json.NewDecoder(strings.NewReader(string(out)))
	seen := 0
	for dec.More() {
		var p struct {
			ImportPath string
			Imports    []string
		}
		require.NoError(t, dec.Decode(&p))
		name := strings.TrimPrefix(p.ImportPath, "portcullis/")
		allowed, ok := layout[nearest(name)]
		require.True(t, ok, "package %s is not on the map", name)
		seen++
		for _, imp := range p.Imports {
			if ours, isOurs := strings.CutPrefix(imp, "portcullis/"); isOurs {
				require.True(t, within(ours, allowed), "%s must not import %s", name, ours)
			}
			for module, owner := range soleImporters {
				if strings.HasPrefix(imp, module) {
					require.Equal(t, owner, name, "only %s may import %s", owner, module)
				}
			}
		}
	}
	require.GreaterOrEqual(t, seen, len(layout)-1)
}

// nearest is the folder of the map that a package belongs to.
func nearest(name string) string {
	for name != "" {
		if _, ok := layout[name]; ok {
			return name
		}
		i := strings.LastIndex(name, "/")
		if i < 0 {
			return ""
		}
		name = name[:i]
	}
	return ""
}

func within(pkg string, allowed []string) bool {
	return slices.ContainsFunc(allowed, func(a string) bool { return pkg == a || strings.HasPrefix(pkg, a+"/") })
}
