package sut

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// newBridged prepares the default system with a file that stands for the executable.
func newBridged(t *testing.T, config map[string]any) (*SUT, error) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "bridged")
	if err := os.WriteFile(binary, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Binary: binary, Dir: t.TempDir(), Config: config})
	if s != nil {
		t.Cleanup(func() { _ = s.Close() })
	}
	return s, err
}

func TestBridgedConfiguration(t *testing.T) {
	s, err := newBridged(t, map[string]any{
		"viewers.heartbeat": "1s",
		"journal":           map[string]any{"sync": "durable"},
		"viewers.origins":   []string{"https://a.test", "https://b.test"},
	})
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(s.dir, "bridged.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Kind, Data string
		MQTT       struct{ Listen string }
		Viewers    struct {
			Listen, Heartbeat string
			Origins           []string
		}
		Journal struct{ Sync string }
		Auth    struct {
			JWT            struct{ SecretFile string } `yaml:"jwt"`
			RevocationFile string                      `yaml:"revocationFile"`
		}
	}
	lower := strings.ReplaceAll(string(data), "secretFile", "secretfile")
	if err := yaml.Unmarshal([]byte(lower), &config); err != nil {
		t.Fatal(err)
	}
	if config.Kind != "Bridge" || config.Viewers.Heartbeat != "1s" || config.Journal.Sync != "durable" || len(config.Viewers.Origins) != 2 {
		t.Errorf("configuration is\n%s", data)
	}
	if "mqtt://"+config.MQTT.Listen != s.Broker().String() || !strings.Contains(s.ViewerURL(), config.Viewers.Listen) {
		t.Errorf("listens at %s and %s, descriptor says %s and %s", config.MQTT.Listen, config.Viewers.Listen, s.Broker(), s.ViewerURL())
	}
}

func TestNoSecretInLogFolder(t *testing.T) {
	s, err := newBridged(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	file := s.Descriptor().Auth.JWT.SecretFile
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("the secret has mode %v", info.Mode())
	}
	key, err := os.ReadFile(file)
	if err != nil || len(strings.TrimSpace(string(key))) != 64 {
		t.Fatalf("the secret has %d bytes, %v", len(key), err)
	}
	token, err := s.Token(TokenSpec{})
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil || len(entries) < 2 {
		t.Fatalf("log folder holds %d files, %v", len(entries), err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(s.dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(data), strings.TrimSpace(string(key))) || strings.Contains(string(data), token) {
			t.Errorf("%s holds a secret", e.Name())
		}
	}
}

func TestWrongSettingsAreUsageErrors(t *testing.T) {
	for name, config := range map[string]map[string]any{
		"value as group": {"node.name": "x"},
		"group as value": {"viewers": "x"},
	} {
		if _, err := newBridged(t, config); !errors.Is(err, ErrUsage) {
			t.Errorf("%s gave %v", name, err)
		}
	}
	if runtime.GOOS == "windows" {
		return
	}
	d, err := Parse([]byte(wholeDescriptor), "other.yaml", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Descriptor: d, Config: map[string]any{"a": 1}}); !errors.Is(err, ErrUsage) {
		t.Errorf("settings of bridged for another system gave %v", err)
	}
}

func TestFindBridgedSaysWhatToDo(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for _, path := range []string{"", "/nonexistent/bridged"} {
		_, err := FindBridged(path)
		if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "make build") {
			t.Errorf("FindBridged(%q) gave %v", path, err)
		}
	}
}

func TestInfoDigestsFiles(t *testing.T) {
	s, err := newBridged(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	info := s.Info()
	if info.Name != "bridged" || len(info.Artifacts) != 3 {
		t.Fatalf("info is %+v", info)
	}
	const want = "a8076d3d28d21e02012b20eaf7dbf75409a6277134439025f282e368e3305abf" // of "#!/bin/sh\n"
	if a := info.Artifacts[0]; a.Path != "bridged" || a.Size != 10 || a.SHA256 != want {
		t.Errorf("executable is %+v", a)
	}
	for _, a := range info.Artifacts {
		if a.SHA256 == "" || strings.Contains(a.Path, "/") {
			t.Errorf("artifact is %+v", a)
		}
	}
}

func TestMetricsParsesTheTextFormat(t *testing.T) {
	page := "# HELP a b\n# TYPE a counter\na 3\nb{x=\"y z\",le=\"+Inf\"} 4.5 1700000000000\nc NaN\n\nd{} 1e3\n"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(page)) }))
	defer server.Close()
	s := &SUT{desc: &Descriptor{Ops: Ops{Metrics: server.URL}}, source: &Descriptor{}}
	got, err := s.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 4 || got["a"] != 3 || got[`b{x="y z",le="+Inf"}`] != 4.5 || got["d{}"] != 1000 {
		t.Fatalf("metrics are %v", got)
	}
	for _, bad := range []string{"a\n", "a x\n", "b{x=\"1\"}\n"} {
		page = bad
		if _, err := s.Metrics(t.Context()); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
	server.Close()
	if _, err := s.Metrics(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a dead server gave %v", err)
	}
	s.desc = &Descriptor{}
	if _, err := s.Metrics(t.Context()); !errors.Is(err, ErrNoControl) {
		t.Errorf("no page gave %v", err)
	}
}
