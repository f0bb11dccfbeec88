package peers_test

import (
	"strings"
	"testing"
	"time"

	"plumbline/harness/survey"
	"plumbline/harness/sut"
)

// TestInit: a look at real systems finds what their descriptors say.
func TestInit(t *testing.T) {
	installed(t, "node", "mosquitto", "nats-server", "node/node_modules/mqtt")
	for _, c := range []struct {
		file  string
		hello []string
		want  []string
	}{
		{"node.yaml", nil, []string{
			"protocol: json", `message: {topic: "/topic", payload: "/data", list: ""}`, "token: {in: none}", "capabilities: []",
			"found: the broker speaks MQTT 5, takes devices without a password", `found: the broker calls itself "mosquitto version `, "found: lets pages of any origin in", "payloads are passed on as text",
		}},
		{"node-rooms.yaml", []string{`{"subscribe":"#"}`}, []string{"refuses a viewer without a token (HTTP status 401", "token: {in: header}", "capabilities: [authentication]"}},
		{"mosquitto.yaml", nil, []string{"protocol: mqtt", `subprotocol: "mqtt"`, "found: the broker speaks MQTT 5", "lets a viewer in without a token"}},
		{"nats.yaml", nil, []string{"protocol: mqtt", "found: the broker speaks MQTT 3.1.1", `mqttVersion: "3.1.1"`}},
		{"bridged.sut.yaml", nil, []string{
			"protocol: plumbline", `the server chose the WebSocket subprotocol "plumbline.v1.json"`, "capabilities: [tls]", "TLS 1.3, certificate of ", "that this machine does not trust",
		}},
		{"bridged-sse.yaml", nil, []string{"refuses a viewer without a token (HTTP status 401", "token: {in: header}", "capabilities: [authentication, tls]"}},
	} {
		t.Run(c.file, func(t *testing.T) {
			t.Parallel()
			options := sut.Options{}
			if c.file != "bridged.sut.yaml" {
				d, err := sut.Load(c.file)
				must(t, err)
				options.Descriptor = d
			}
			if strings.HasPrefix(c.file, "bridged") {
				options.Binary = program(t, "bridged", "plumbline/bridge/cmd/bridged")
			}
			s, err := sut.New(options)
			must(t, err)
			t.Cleanup(func() { _ = s.Close() })
			must(t, s.Start(limited(t)))
			look := survey.Options{Broker: s.Broker().String(), Viewer: strings.Replace(s.ViewerURL(), "{{filter}}", "%23", 1), Hello: c.hello, Wait: 20 * time.Second, Origin: s.Origin()}
			must(t, look.Check())
			text, err := survey.Look(limited(t), look).Descriptor("found")
			must(t, err)
			for _, want := range c.want {
				if !strings.Contains(string(text), want) {
					t.Errorf("%q is missing in\n%s", want, text)
				}
			}
		})
	}
}
