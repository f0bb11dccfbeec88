package harness

import (
	"net/url"
	"slices"
	"testing"

	"plumbline/harness/sut"
	"plumbline/harness/viewer"
)

// A descriptor is refused for a place of the token that its viewers do not
// have, and for no other.
func TestTokenPlacesOfDescriptorsAreThoseOfViewers(t *testing.T) {
	for _, protocol := range []string{viewer.Plumbline, viewer.MQTT, viewer.JSON, viewer.SSE, viewer.Poll} {
		if got, want := sut.TokenPlaces(protocol), viewer.Places(protocol); len(want) == 0 || !slices.Equal(got, want) {
			t.Errorf("%s: descriptors may say %v, viewers can show a token in %v", protocol, got, want)
		}
	}
}

// A proxy goes where broker and bridge would be looked for: to the usual port
// when the address names none.
func TestHostOf(t *testing.T) {
	for address, want := range map[string]string{
		"mqtt://broker.example":         "broker.example:1883",
		"mqtts://[2001:db8::1]":         "[2001:db8::1]:8883",
		"mqtt://127.0.0.1:1884":         "127.0.0.1:1884",
		"ws://bridge.example/live":      "bridge.example:80",
		"wss://[::1]/":                  "[::1]:443",
		"https://bridge.example:/poll":  "bridge.example:443",
		"wss://127.0.0.1:8443/live?a=b": "127.0.0.1:8443",
		"gopher://bridge.example":       "",
		"mqtt://":                       "",
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := hostOf(u); got != want || (err == nil) != (want != "") {
			t.Errorf("%s is %q, %v, want %q", address, got, err, want)
		}
	}
}
