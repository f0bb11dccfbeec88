package harness_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// policy says which of our folders a folder may import. It is a statement of
// policy, not a description: a change here is a change of the design. The
// longest matching prefix decides; a package may always import its own subtree
// unless a more specific line says otherwise.
var policy = map[string][]string{
	"reports":               {"reports"},
	"devices":               {"devices"},
	"bridge":                {"bridge"},
	"harness":               {"harness", "reports", "devices"},
	"harness/oracle":        {"harness/record", "harness/stats", "reports"}, // records, never a live system
	"harness/stats":         {"reports"},
	"harness/clocks":        {},
	"harness/record":        {"reports", "devices"},
	"harness/sut":           {"harness/record", "harness/strictyaml", "harness/fault", "reports", "devices", "bridge"}, // fault: whether a clock can be stepped here
	"scenarios":             {"scenarios", "harness", "reports"},
	"harness/cmd/plumbline": {"harness", "reports", "devices", "bridge", "scenarios"},
}

// engine lists the packages that must not import the root package harness or
// the packages above it back.
var engine = []string{
	"harness/conform", "harness/clocks", "harness/agent", "harness/browser",
	"harness/codecfile",
	"harness/record", "harness/live", "harness/local", "harness/stats", "harness/oracle", "harness/load", "harness/generator", "harness/fault",
	"harness/octets", "harness/sut", "harness/mqttwire", "harness/remote", "harness/viewer", "harness/survey", "harness/witness", "harness/bench", "harness/profile", "harness/strictyaml",
}

// testFrameworks may be linked by these folders only; bridged must never grow
// their flags.
var (
	testFrameworks  = []string{"github.com/onsi/ginkgo", "github.com/onsi/gomega"}
	frameworkUsers  = []string{"harness/match", "harness/spec", "scenarios", "harness/cmd/plumbline"}
	frameworkBanned = []string{"bridge/cmd/bridged"}
)

type listed struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func list(t *testing.T) map[string]listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,Deps", "plumbline/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	packages := map[string]listed{}
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("go list output: %v", err)
		}
		packages[own(p.ImportPath)] = p
	}
	if len(packages) < 20 {
		t.Fatalf("go list found %d packages; the policy would be checked against nothing", len(packages))
	}
	return packages
}

func own(path string) string {
	trimmed, found := strings.CutPrefix(path, "plumbline/")
	if !found {
		return ""
	}
	return trimmed
}

func under(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

func allowed(path string) []string {
	best, targets := "", []string(nil)
	for folder, to := range policy {
		if under(path, folder) && len(folder) > len(best) {
			best, targets = folder, to
		}
	}
	return targets
}

func anyUnder(path string, folders []string) bool {
	for _, folder := range folders {
		if under(path, folder) {
			return true
		}
	}
	return false
}

func TestArrows(t *testing.T) {
	for path, p := range list(t) {
		targets := allowed(path)
		if targets == nil {
			t.Errorf("%s: no line of the policy covers it", path)
			continue
		}
		for _, imported := range p.Imports {
			to := own(imported)
			if to == "" {
				continue
			}
			if !anyUnder(to, targets) && !under(to, path) {
				t.Errorf("%s imports %s; the policy allows %v", path, to, targets)
			}
			if anyUnder(path, engine) && !anyUnder(to, engine) && under(to, "harness") {
				t.Errorf("%s imports %s: an engine package must not look upwards", path, to)
			}
		}
	}
}

func TestTestFrameworksStayInTheirRooms(t *testing.T) {
	packages := list(t)
	for path, p := range packages {
		for _, imported := range p.Imports {
			for _, framework := range testFrameworks {
				if strings.HasPrefix(imported, framework) && !anyUnder(path, frameworkUsers) {
					t.Errorf("%s imports %s; only %v may", path, imported, frameworkUsers)
				}
			}
		}
	}
	for _, path := range frameworkBanned {
		p, found := packages[path]
		if !found {
			t.Fatalf("%s is gone; correct this list", path)
		}
		for _, dep := range p.Deps {
			for _, framework := range testFrameworks {
				if strings.HasPrefix(dep, framework) {
					t.Errorf("%s links %s", path, dep)
				}
			}
		}
	}
}
