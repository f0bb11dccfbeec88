package scenarios_test

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/extensions/globals"
	"github.com/onsi/ginkgo/v2/types"
	"github.com/onsi/gomega"

	"plumbline/harness"
	"plumbline/harness/spec"
)

// profileVariable names another profile for go test and ginkgo.
const profileVariable = "PLUMBLINE_PROFILE"

// asked is what the command line asks of Ginkgo, taken before any test: spec.Execute, which some tests call, leaves its own label
// filter behind, and TestScenarios after one of them selected nothing.
var asked struct { //nolint:gochecknoglobals // set by TestMain
	suite    types.SuiteConfig
	reporter types.ReporterConfig
}

func TestMain(m *testing.M) {
	flag.Parse()
	asked.suite, asked.reporter = ginkgo.GinkgoConfiguration()
	m.Run()
}

// TestScenarios is the door for go test and ginkgo: the same catalogue as
// behind the command, against the bridge of this repository, built here.
func TestScenarios(t *testing.T) {
	if testing.Short() {
		t.Skip("runs every scenario against a real bridge for about a minute; leave -short out")
	}
	if runtime.GOOS == "windows" {
		t.Skip("SIGSTOP and pseudo terminals do not exist on Windows")
	}
	name := os.Getenv(profileVariable)
	if name == "" {
		name = "smoke"
	}
	p, err := spec.Catalogue().Load(name)
	if err != nil {
		t.Fatal(err)
	}
	rig, err := harness.NewRig(harness.Config{Profile: p, Dir: t.TempDir(), Seed: uint64(ginkgo.GinkgoRandomSeed())})
	if err != nil {
		t.Fatal(err)
	}
	onceEach(t)
	globals.Reset() // go test -count runs this more than once
	buildOnce(rig, t.TempDir())
	// The machine of a test suite is shared: a figure that it was too busy to
	// establish is no failure of the code, a violation is.
	if err := spec.Emit(rig, spec.EmitOptions{Context: t.Context(), Tolerate: true, Twice: true}); err != nil {
		t.Fatal(err)
	}
	suite, reporter := asked.suite, asked.reporter
	suite.FailOnEmpty = true
	ginkgo.RunSpecs(t, "scenarios", suite, reporter)
}

// buildOnce builds bridged in the first process of ginkgo -p and tells the
// others where it is.
func buildOnce(rig *harness.Rig, dir string) {
	ginkgo.SynchronizedBeforeSuite(func(ctx ginkgo.SpecContext) []byte {
		binary := filepath.Join(dir, "bridged")
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", binary, "plumbline/bridge/cmd/bridged")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		out, err := build.CombinedOutput()
		gomega.Expect(err).NotTo(gomega.HaveOccurred(), string(out))
		return []byte(binary)
	}, func(binary []byte) { rig.UseBinary(string(binary)) })
}

// The command lists what Ginkgo would run, spec by spec.
func TestAllDoorsListTheSameScenarios(t *testing.T) {
	rig := rigOf(t, "smoke")
	onceEach(t)
	globals.Reset()
	defer globals.Reset()
	if err := spec.Emit(rig, spec.EmitOptions{}); err != nil {
		t.Fatal(err)
	}
	var ginkgos []string
	report := ginkgo.PreviewSpecs("scenarios", types.ReporterConfig{Succinct: true})
	for _, r := range report.SpecReports.WithLeafNodeType(types.NodeTypeIt) {
		ginkgos = append(ginkgos, r.FullText())
	}
	listed, err := spec.List(rig.Profile(), "")
	if err != nil {
		t.Fatal(err)
	}
	var commands []string
	for _, sc := range listed {
		commands = append(commands, sc.Guarantee()+" "+sc.Title)
	}
	slices.Sort(ginkgos)
	slices.Sort(commands)
	if !slices.Equal(ginkgos, commands) || len(commands) == 0 {
		t.Errorf("ginkgo would run\n%q\nthe command lists\n%q", ginkgos, commands)
	}
}

// onceEach lets a test call Ginkgo under go test -count: Ginkgo refuses that
// flag, because it cannot tell that its tree is built anew each time.
func onceEach(t *testing.T) {
	t.Helper()
	count := flag.Lookup("test.count").Value
	was := count.String()
	if err := count.Set("1"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := count.Set(was); err != nil {
			t.Error(err)
		}
	})
}
