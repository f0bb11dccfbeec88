package sut

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const wholeDescriptor = `apiVersion: plumbline/v1
kind: SUT
name: other
version: "1.2"
start:
  - name: broker
    command: [mosquitto, -c, "{{here}}/mosquitto.conf"]
    files: [{name: extra.conf, text: "listener {{port:mqtt}}\n"}]
    ready: {tcp: "127.0.0.1:{{port:mqtt}}", timeout: 10s}
  - name: bridge
    command: [bridge, --port, "{{port:ws}}"]
    dir: work
    env: [MODE=test]
    ready: {http: "http://127.0.0.1:{{port:ws}}/ready", command: [ask, "{{port:ws}}"]}
broker: {url: "mqtts://127.0.0.1:{{port:mqtt}}", username: dev, passwordFile: broker.pw, ca: ca.pem}
viewer:
  protocol: plumbline
  url: "wss://127.0.0.1:{{port:ws}}/ws"
  subprotocol: plumbline.v1.json
  hello: ['{"subscribe":"{{filter}}","token":"{{token}}"}']
  message: {topic: /topic, payload: /data, list: ""}
  token: {in: header, name: Authorization}
  also: ["wss://127.0.0.1:{{port:ws-2}}/ws"]
  ca: ca.pem
  page: {url: "https://127.0.0.1:{{port:ws}}/?f={{filter}}", signIn: {post: "https://127.0.0.1:{{port:ws}}/session", body: '{"token":"{{token}}"}'}, conflates: true}
auth:
  jwt: {alg: HS256, secretFile: key, issuer: me, audience: you, subjectClaim: sub, grantsClaim: acl}
  revocationFile: revoked
ops: {metrics: "http://127.0.0.1:9/metrics"}
capabilities: [qos1, resume, x-own]
hooks: {restartBroker: [a], restartBridge: [b], killBridge: [c]}
limits: {reconnect: 2s}
`

func TestParseReadsEveryKey(t *testing.T) {
	d, err := Parse([]byte(wholeDescriptor), "other.yaml", "/lab")
	if err != nil {
		t.Fatal(err)
	}
	if d.Start[0].Ready.Timeout != 10*time.Second || d.Limits.Reconnect != 2*time.Second {
		t.Errorf("durations are %v and %v", d.Start[0].Ready.Timeout, d.Limits.Reconnect)
	}
	if d.Remote() || !d.Has("x-own") || d.Has(CapTLS) || d.Auth.JWT.GrantsClaim != "acl" {
		t.Errorf("descriptor is %+v", d)
	}
	if d.bridgeIndex() != 1 || d.brokerIndex() != 0 {
		t.Errorf("bridge is process %d, broker %d", d.bridgeIndex(), d.brokerIndex())
	}
}

func TestNewFillsInTemplatesAndPaths(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "other.yaml")
	if err := os.WriteFile(file, []byte(wholeDescriptor), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Descriptor: d, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	got := s.Descriptor()
	if got.Start[0].Command[2] != dir+"/mosquitto.conf" || got.Start[1].Dir != filepath.Join(dir, "work") ||
		got.Viewer.CA != filepath.Join(dir, "ca.pem") || got.Auth.JWT.SecretFile != filepath.Join(dir, "key") {
		t.Errorf("files are %+v", got)
	}
	if asked := got.Start[1].Ready.Command; len(asked) != 2 || "http://127.0.0.1:"+asked[1]+"/ready" != got.Start[1].Ready.HTTP {
		t.Errorf("the bridge is asked by %q", asked)
	}
	port := strings.TrimPrefix(got.Start[0].Ready.TCP, "127.0.0.1:")
	if got.Broker.URL != "mqtts://127.0.0.1:"+port || strings.Contains(got.Viewer.URL, "{{") || strings.Contains(got.Viewer.URL, ":"+port+"/") {
		t.Errorf("broker %s, viewer %s, port %s", got.Broker.URL, got.Viewer.URL, port)
	}
	if also := got.Viewer.Also; len(also) != 1 || strings.Contains(also[0], "{{") || also[0] == got.Viewer.URL {
		t.Errorf("the other addresses are %v", also)
	}
	extra, err := os.ReadFile(filepath.Join(s.private, "extra.conf"))
	if err != nil || string(extra) != "listener "+port+"\n" {
		t.Errorf("the file of the broker holds %q, %v", extra, err)
	}
	if d.Start[0].Command[2] != "{{here}}/mosquitto.conf" {
		t.Error("filling in changed the descriptor that was given")
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ name, old, new, want string }{
		{"version", "plumbline/v1", "plumbline/v2", `other.yaml:1: apiVersion: is "plumbline/v2"`},
		{"kind", "kind: SUT", "kind: Sut", "other.yaml:2: kind"},
		{"nobody to ask", "command: [ask, ", `command: ["", `, "start[1].ready.command: names no program"},
		{"name", "name: other", `name: ""`, "other.yaml:3: name: is missing"},
		{"unknown key", "username: dev", "user: dev", `unknown key "user"`},
		{"misspelt key", "subprotocol: plumb", "subprotokol: plumb", `did you mean "subprotocol"?`},
		{"file elsewhere", "name: extra.conf", "name: ../extra.conf", `start[0].files[0].name: is "../extra.conf"; it must be a plain name`},
		{"file template", "listener {{port:mqtt}}", "listener {{prt:mqtt}}", "unknown template {{prt:mqtt}}"},
		{"unit", "timeout: 10s", "timeout: 10 seconds", "other.yaml:9"},
		{"password in a URL", "mqtts://127", "mqtts://dev:secret@127", "other.yaml:15"},
		{"no unit", "timeout: 10s", "timeout: 10", "other.yaml:9"},
		{"empty command", "command: [bridge, --port, \"{{port:ws}}\"]", "command: []", "other.yaml:11: start[1].command: is empty"},
		{"same name", "name: bridge", "name: broker", "used twice"},
		{"environment", "MODE=test", "MODE", "NAME=value"},
		{"MQTT version", "username: dev", `mqttVersion: "4"`, `broker.mqttVersion: is "4"; known are 5, 3.1.1`},
		{"broker scheme", "mqtts://127", "tcp://127", `other.yaml:15: broker.url: has scheme "tcp"`},
		{"unknown protocol", "protocol: plumbline", "protocol: plumline", `did you mean "plumbline"?`},
		{"viewer scheme", "wss://127", "https://127", `viewer.url: has scheme "https"`},
		{"another scheme of the other address", "wss://127.0.0.1:{{port:ws-2}}", "ws://127.0.0.1:{{port:ws-2}}", `viewer.also[0]: is "ws://127`},
		{"a user in the other address", "wss://127.0.0.1:{{port:ws-2}}", "wss://me:x@127.0.0.1:{{port:ws-2}}", "viewer.also[0]: holds a user name"},
		{"token place", "in: header", "in: heade", `did you mean "header"?`},
		{"token place of another protocol", "in: header", "in: mqtt-password", "which protocol plumbline has no place for"},
		{"MQTT version of another protocol", "  ca: ca.pem\n  page", "  mqttVersion: \"5\"\n  page", "for viewers that speak mqtt; these speak plumbline"},
		{"algorithm", "alg: HS256", "alg: HS1", "known are HS256"},
		{"no secret", "secretFile: key", `secretFile: ""`, "secretFile: is missing"},
		{"no private key", "alg: HS256", "alg: RS256", "privateKeyFile: is missing"},
		{"capability", "qos1", "qos-1", `did you mean "qos1"?`},
		{"template", "{{here}}", "{{hear}}", "unknown template {{hear}}"},
		{"hello template", "{{token}}", "{{tokn}}", "unknown template {{tokn}}"},
		{"answers of another protocol", "  ca: ca.pem\n  page", "  reply: {ping: pong}\n  page", "viewer.reply: is for viewers that speak json; these speak plumbline"},
		{"a resumption of another protocol", "  ca: ca.pem\n  page", "  resume: [x]\n  page", "viewer.resume: is for viewers that speak json; these speak plumbline"},
		{"lines of another protocol", `list: ""`, "lines: true", "viewer.message.lines: is for viewers that speak json; these speak plumbline"},
		{"negative limit", "reconnect: 2s", "reconnect: -2s", "is negative"},
		{"negative size", "reconnect: 2s", "maxPayload: -1", "is negative"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Replace(wholeDescriptor, c.old, c.new, 1)
			if text == wholeDescriptor {
				t.Fatalf("%q is not in the descriptor", c.old)
			}
			_, err := Parse([]byte(text), "other.yaml", "")
			if !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error is %v, want %q", err, c.want)
			}
		})
	}
	unnumbered := strings.NewReplacer("username: dev", `mqttVersion: "3.1.1"`, "qos1", "exactly-once").Replace(wholeDescriptor)
	if _, err := Parse([]byte(unnumbered), "other.yaml", ""); err == nil || !strings.Contains(err.Error(), "the capability exactly-once needs 5") {
		t.Errorf("exactly-once with MQTT 3.1.1 gave %v", err)
	}
	mqtt := strings.NewReplacer("  protocol: plumbline", "  protocol: mqtt\n  mqttVersion: \"3.1.1\"", "wss://", "ws://").Replace(wholeDescriptor)
	if _, err := Parse([]byte(mqtt), "other.yaml", ""); err != nil {
		t.Error(err)
	}
	mqtt = strings.Replace(mqtt, `"3.1.1"`, `"3.1"`, 1)
	if _, err := Parse([]byte(mqtt), "other.yaml", ""); err == nil || !strings.Contains(err.Error(), `viewer.mqttVersion: is "3.1"; known are 5, 3.1.1`) {
		t.Errorf("another MQTT version gave %v", err)
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none.yaml")); !errors.Is(err, ErrUsage) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file gave %v", err)
	}
}

// pollDescriptor has what only viewers without a WebSocket have.
const pollDescriptor = `apiVersion: plumbline/v1
kind: SUT
name: poll
broker: {url: "mqtt://127.0.0.1:1883"}
viewer:
  protocol: poll
  url: "http://127.0.0.1:{{port:web}}/latest?f={{filter}}&since={{/a~1b/0}}"
  message: {list: /items, topic: /topic, payload: /data, retained: /old}
  interval: 20ms
`

func TestViewersThatPoll(t *testing.T) {
	d, err := Parse([]byte(pollDescriptor), "poll.yaml", "")
	if err != nil {
		t.Fatal(err)
	}
	x := expander{port: func(string) (int, error) { return 8080, nil }}
	if err := d.apply(x); err != nil {
		t.Fatal(err)
	}
	if want := "http://127.0.0.1:8080/latest?f={{filter}}&since={{/a~1b/0}}"; d.Viewer.URL != want {
		t.Errorf("the address is %s, want %s", d.Viewer.URL, want)
	}
	for _, c := range []struct{ name, old, new, want string }{
		{"pointer", "topic: /topic", "topic: topic", "viewer.message.topic: \"topic\" is no JSON pointer"},
		{"pointer with a tilde", "payload: /data", "payload: /a~b", "viewer.message.payload"},
		{"interval", "20ms", "20us", "viewer.interval: is 20µs"},
		{"scheme", "http://127", "ws://127", "protocol poll uses http:// or https://"},
		{"last answer of a stream", "protocol: poll", "protocol: sse", "unknown template {{/a~1b/0}}"},
		{"template of others", "{{filter}}", "{{token}}", "unknown template {{token}}"},
	} {
		if _, err := Parse([]byte(strings.Replace(pollDescriptor, c.old, c.new, 1)), "poll.yaml", ""); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestViewersThatAnswer(t *testing.T) {
	const text = `apiVersion: plumbline/v1
kind: SUT
name: answering
broker: {url: "mqtt://127.0.0.1:1883"}
viewer:
  protocol: json
  url: "ws://127.0.0.1:8080/"
  reply: {"{}": "{}", "2": "3"}
  resume: ['{"from":{{/a/offset | /b}},"filter":"{{filter}}"}']
  message: {lines: true, missed: /missed, topic: /topic, payload: /data}
`
	d, err := Parse([]byte(text), "answering.yaml", "")
	if err != nil {
		t.Fatal(err)
	}
	if v := d.clone().Viewer; v.Reply["{}"] != "{}" || v.Reply["2"] != "3" || len(v.Reply) != 2 || !v.Message.Lines {
		t.Errorf("viewer is %+v", v)
	}
	if err := againstSchema(t, []byte(text)); err != nil {
		t.Error(err)
	}
	for _, c := range []struct{ old, new, want string }{
		{`"2"`, `""`, "viewer.reply: answers an empty frame"},
		{"/a/offset | /b", "/a/offset | b", "viewer.resume[0]: unknown template"},
		{"/a/offset | /b", "/a~", "viewer.resume[0]: unknown template"},
		{"missed: /missed", "missed: missed", `viewer.message.missed: "missed" is no JSON pointer`},
	} {
		if _, err := Parse([]byte(strings.Replace(text, c.old, c.new, 1)), "answering.yaml", ""); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q gave %v, want %q", c.new, err, c.want)
		}
	}
}

func TestDefaultIsValid(t *testing.T) {
	d := Default()
	if err := d.Validate(); err != nil {
		t.Fatal(err)
	}
	// All but a restart of its broker, which is no part of its own, and properties
	// of MQTT 5, which plumbline.v1 has no form for.
	if !d.builtin || len(d.Capabilities) != len(Capabilities())-2 || d.Has(CapBrokerRestart) || d.Has(CapProperties) {
		t.Fatalf("descriptor is %+v", d)
	}
}

func TestPortsAreDistinctAndRemembered(t *testing.T) {
	p := newPorts()
	seen := map[int]bool{}
	for _, name := range []string{"a", "b", "c", "a", "b"} {
		n, err := p.port(name)
		if err != nil {
			t.Fatal(err)
		}
		seen[n] = true
	}
	if len(seen) != 3 {
		t.Fatalf("three names gave %d ports", len(seen))
	}
	old, _ := p.port("a")
	p.forget()
	if renewed, err := p.port("a"); err != nil || renewed == old {
		t.Fatalf("after forget: %d, %v", renewed, err)
	}
}

// TestClaimsThatCannotBeJudged: nobody is failed for what the harness cannot see.
func TestClaimsThatCannotBeJudged(t *testing.T) {
	for _, c := range []struct {
		protocol, url, capability string
		refused                   bool
	}{
		{"json", "ws://127.0.0.1:1/", CapCloseCodes, true},
		{"mqtt", "ws://127.0.0.1:1/", CapGapMarker, true},
		{"sse", "http://127.0.0.1:1/", CapHeartbeat, true},
		{"poll", "http://127.0.0.1:1/", CapHeartbeat, true},
		{"json", "ws://127.0.0.1:1/", CapHeartbeat, false},
		{"mqtt", "ws://127.0.0.1:1/", CapHeartbeat, false},
		{"mqtt", "ws://127.0.0.1:1/", CapProperties, false},
		{"plumbline", "ws://127.0.0.1:1/", CapProperties, true},
		{"json", "ws://127.0.0.1:1/", CapProperties, true},
		{"json", "ws://127.0.0.1:1/", CapCompression, false},
		{"sse", "http://127.0.0.1:1/", CapCompression, true},
		{"plumbline", "ws://127.0.0.1:1/", CapGapMarker, false},
	} {
		text := "apiVersion: plumbline/v1\nkind: SUT\nname: x\nbroker: {url: \"mqtt://127.0.0.1:1\"}\n" +
			"viewer: {protocol: " + c.protocol + ", url: \"" + c.url + "\"}\ncapabilities: [qos1, " + c.capability + "]\n"
		_, err := Parse([]byte(text), "x.yaml", "")
		if c.refused != (err != nil) || (err != nil && !strings.Contains(err.Error(), "capabilities[1]: \""+c.capability+"\" cannot be asked of viewers of protocol "+c.protocol)) {
			t.Errorf("%s over %s: %v", c.capability, c.protocol, err)
		}
	}
}

// An older MQTT at either end has no properties to carry.
func TestPropertiesNeedMQTT5(t *testing.T) {
	text := "apiVersion: plumbline/v1\nkind: SUT\nname: x\nbroker: {url: \"mqtt://127.0.0.1:1\", mqttVersion: \"BROKER\"}\n" +
		"viewer: {protocol: mqtt, url: \"ws://127.0.0.1:1/\", mqttVersion: \"VIEWER\"}\ncapabilities: [properties]\n"
	for _, c := range []struct{ broker, viewer, refused string }{
		{"5", "5", ""}, {"3.1.1", "5", "needs MQTT 5"}, {"5", "3.1.1", "needs MQTT 5"},
	} {
		_, err := Parse([]byte(strings.NewReplacer("BROKER", c.broker, "VIEWER", c.viewer).Replace(text)), "x.yaml", "")
		if (c.refused == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), c.refused)) {
			t.Errorf("broker %s, viewers %s: %v", c.broker, c.viewer, err)
		}
	}
}
