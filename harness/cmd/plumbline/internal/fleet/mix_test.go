package fleet

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plumbline/devices/mqttdev"
)

// TestMixOfTheReadme loads the mix that the README shows, and holds the usual one
// against what a fleet takes.
func TestMixOfTheReadme(t *testing.T) {
	readme, err := os.ReadFile("../../../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(readme), "kind: Fleet\n")
	body, _, ended := strings.Cut(after, "```")
	if !found || !ended {
		t.Fatal("the README shows no mix")
	}
	file := filepath.Join(t.TempDir(), "mix.yaml")
	if err := os.WriteFile(file, []byte("apiVersion: plumbline/v1\nkind: Fleet\n"+body), 0o600); err != nil {
		t.Fatal(err)
	}
	groups, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	want := mqttdev.Group{Share: 0.1, Period: 5 * time.Second, QoS: 1, Least: 200, Most: 2000, Will: true, Retain: true, Reconnect: 20, Abrupt: true}
	if len(groups) != 2 || groups[1] != want {
		t.Errorf("%+v, want %+v", groups, want)
	}
	for _, mix := range [][]mqttdev.Group{groups, Usual()} {
		if _, err := mqttdev.NewFleet(mqttdev.FleetConfig{Broker: &url.URL{Scheme: "mqtt", Host: "x"}, Devices: 10, Groups: mix}); err != nil {
			t.Error(err)
		}
	}
}

func TestMixesThatAreNone(t *testing.T) {
	for text, says := range map[string]string{
		"apiVersion: plumbline/v1\nkind: Rig\n":                                                   "Fleet",
		"apiVersion: plumbline/v1\nkind: Fleet\ngroups: [{share: 1, period: 1s, qos: 2}]\n":       "group 1",
		"apiVersion: plumbline/v1\nkind: Fleet\ngroups: [{share: 1, period: 1s, payload: [1]}]\n": "group 1",
		"apiVersion: plumbline/v1\nkind: Fleet\ngroups: [{share: 1, periods: 1s}]\n":              "period",
	} {
		file := filepath.Join(t.TempDir(), "mix.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(file); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", text, err, says)
		}
	}
}
