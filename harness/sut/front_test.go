package sut_test

import (
	"slices"
	"testing"

	"plumbline/harness/conform/targets"
	"plumbline/harness/sut"
)

// A program before bridged is reached in its place, and told where bridged is.
func TestAFrontStandsBeforeBridged(t *testing.T) {
	d := sut.Fronted("/bin/front", "--own", "argument")
	d.Name = "fronted"
	if err := d.Validate(); err != nil {
		t.Fatal(err)
	}
	binary, err := targets.Daemon()
	must(t, err)
	s, err := sut.New(sut.Options{Descriptor: d, Binary: binary, Config: map[string]any{"viewers.heartbeat": "1s"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	filled := s.Descriptor()
	command := filled.Start[0].Command
	if !slices.Equal(command[:3], []string{"/bin/front", "--own", "argument"}) {
		t.Errorf("command %q", command)
	}
	after := func(flag string) string { return command[slices.Index(command, flag)+1] }
	if "mqtt://"+after("--broker") != filled.Broker.URL || "wss://"+after("--viewers")+"/ws" != filled.Viewer.URL {
		t.Errorf("devices go to %s and viewers to %s, the front is told %q", filled.Broker.URL, filled.Viewer.URL, command)
	}
	for _, pair := range [][2]string{{"--broker", "--broker-to"}, {"--viewers", "--viewers-to"}} {
		if after(pair[0]) == after(pair[1]) {
			t.Errorf("%s and %s are both %s", pair[0], pair[1], after(pair[0]))
		}
	}
	if own := sut.Default(); own.Broker.URL == d.Broker.URL || own.Start[0].Command[0] == "/bin/front" {
		t.Error("the descriptor of bridged itself has changed")
	}
	bridged := slices.Index(command, "--")
	if bridged < 0 || !slices.Contains(command[bridged:], "--config") {
		t.Errorf("bridged is not started: %q", command)
	}
}
