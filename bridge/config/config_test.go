package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bridge.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const whole = `# all groups
apiVersion: plumbline/v1
kind: Bridge
node: "n1"
data: state
mqtt:    {listen: "127.0.0.1:0", anonymous: true, usersFile: "", maxPacketBytes: 64KiB, maxClients: 10, tls: {cert: "", key: ""}}
external:
  site-a:
    url: mqtts://broker.example
    credentialsFile: site-a.cred
    prefix: site-a/
    filters: ["plant/#", "office/+"]
    tls: {ca: ca.pem, serverName: mqtt.internal}
    sessionExpiry: 2h
  lab: {url: "mqtt://127.0.0.1:1884", prefix: lab/, receiveMaximum: 20}
viewers:
  listen: "[::1]:0"
  path: /live
  plaintext: true
  origins: ["https://a.example", "http://localhost:3000"]
  heartbeat: 500ms
  maxSubscriptions: 7
auth:    {jwt: {alg: HS512, leeway: 0s, issuer: me}, revocationFile: "revoked.txt"}
journal: {sync: durable, segmentBytes: 1MiB, retainBytes: 16 MiB, retainAge: 1h30m}
ops:     {listen: ""}
drain:   {spread: 0}
log:     {level: debug, format: text}
`

func TestLoadWhole(t *testing.T) {
	path := file(t, whole)
	env := []string{"PATH=/bin", "PLUMBLINE_BRIDGE_VIEWERS_MAX_FRAME_BYTES=128KiB", "PLUMBLINE_BRIDGE_NODE=from-env", "PLUMBLINE_BRIDGE_AUTH_JWT_AUDIENCE=aud",
		"PLUMBLINE_BRIDGE_EXTERNAL_SITE_A_CLIENT_ID=me"}
	c, err := Load(path, env, []string{"node=from-set", "viewers.origins=https://b.example,https://c.example", "external.new.url=mqtt://[::1]", "external.new.prefix=n/"})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(path)
	want := Default()
	want.Node, want.Data = "from-set", filepath.Join(dir, "state")
	want.MQTT.Listen, want.MQTT.MaxPacketBytes, want.MQTT.MaxClients = "127.0.0.1:0", 65536, 10
	a, lab, fresh := DefaultExternal("site-a"), DefaultExternal("lab"), DefaultExternal("new")
	a.URL, a.CredentialsFile, a.Prefix, a.Filters = "mqtts://broker.example", filepath.Join(dir, "site-a.cred"), "site-a/", []string{"plant/#", "office/+"}
	a.TLS, a.SessionExpiry, a.ClientID = ExternalTLS{CA: filepath.Join(dir, "ca.pem"), ServerName: "mqtt.internal"}, Duration(2*time.Hour), "me"
	lab.URL, lab.Prefix, lab.ReceiveMaximum = "mqtt://127.0.0.1:1884", "lab/", 20
	fresh.URL, fresh.Prefix = "mqtt://[::1]", "n/"
	want.External = []External{a, lab, fresh}
	if a.Address() != "broker.example:8883" || lab.Address() != "127.0.0.1:1884" || fresh.Address() != "[::1]:1883" {
		t.Errorf("addresses %s, %s, %s", a.Address(), lab.Address(), fresh.Address())
	}
	want.Viewers.Listen, want.Viewers.Path, want.Viewers.Plaintext = "[::1]:0", "/live", true
	want.Viewers.Origins = []string{"https://b.example", "https://c.example"}
	want.Viewers.Heartbeat, want.Viewers.MaxSubscriptions, want.Viewers.MaxFrameBytes = Duration(500*time.Millisecond), 7, 131072
	want.Auth.JWT.Alg, want.Auth.JWT.Leeway, want.Auth.JWT.Issuer, want.Auth.JWT.Audience = "HS512", 0, "me", "aud"
	want.Auth.RevocationFile = filepath.Join(dir, "revoked.txt")
	want.Journal = Journal{Sync: "durable", SegmentBytes: 1 << 20, RetainBytes: 16 << 20, RetainAge: Duration(90 * time.Minute), TailBytes: 64 << 20}
	want.Ops.Listen, want.Drain.Spread, want.Log = "", 0, Log{"debug", "text"}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestDefaultIsValid(t *testing.T) {
	if c, err := Load("", nil, nil); err != nil || !reflect.DeepEqual(c, Default()) {
		t.Fatalf("no file: %v", err)
	}
	for _, text := range []string{"", "# only a comment\n", "---\n", "viewers:\n"} {
		if _, err := Load(file(t, text), nil, nil); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestOtherSpellingsOfYAML: what tools and editors write means the same.
func TestOtherSpellingsOfYAML(t *testing.T) {
	for name, text := range map[string]string{
		"JSON":         `{"apiVersion": "plumbline/v1", "viewers": {"path": "/live"}, "external": {"a": {"url": "mqtt://127.0.0.1", "prefix": "a/"}}, "history": {"rules": [{"filter": "x", "skip": true}]}}`,
		"quoted keys":  "'viewers':\n  \"path\": /live\n'external': {'a': {'url': 'mqtt://127.0.0.1', 'prefix': a/}}\nhistory: {rules: [{'filter': x, 'skip': true}]}\n",
		"lines of DOS": "viewers:\r\n  path: /live\r\nexternal:\r\n  a: {url: \"mqtt://127.0.0.1\", prefix: a/}\r\nhistory: {rules: [{filter: x, skip: true}]}\r\n",
		"a mark ahead": "\ufeffviewers: {path: /live}\nexternal: {a: {url: \"mqtt://127.0.0.1\", prefix: a/}}\nhistory: {rules: [{filter: x, skip: true}]}\n",
	} {
		c, err := Load(file(t, text), nil, nil)
		if err != nil || c.Viewers.Path != "/live" || len(c.External) != 1 || c.External[0].Prefix != "a/" || len(c.History.Rules) != 1 || !c.History.Rules[0].Skip {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}

// TestFileNamesCountFromTheFile: every setting that names a file is taken from the configuration's own folder.
func TestFileNamesCountFromTheFile(t *testing.T) {
	c := Default()
	c.declare("site")
	leaves, _ := fields(&c)
	var names []string
	for _, f := range leaves {
		if regexp.MustCompile(`(?i)(^data|file|\.cert|\.key|[.a-z]ca)$`).MatchString(f.path) && f.val.Kind() == reflect.String {
			f.val.SetString("below")
			names = append(names, f.path)
		}
	}
	for _, known := range []string{"data", "mqtt.tls.clientCA", "auth.jwt.keySetCA", "external.site.tls.ca", "history.sqlite.file", "history.postgres.dsnFile", "history.influx.credentialsFile", "history.influx.ca"} {
		if !slices.Contains(names, known) {
			t.Fatalf("%s is not looked at: %q", known, names)
		}
	}
	dir := t.TempDir()
	anchor(&c, dir)
	leaves, _ = fields(&c)
	for _, f := range leaves {
		if slices.Contains(names, f.path) && f.val.String() != filepath.Join(dir, "below") {
			t.Errorf("%s: %q counts from where the process was started", f.path, f.val)
		}
	}
}

// TestErrorsSayWhereAndHow: every mistake names its place and its mend.
func TestErrorsSayWhereAndHow(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		env, set   []string
		want       []string
	}{
		{"unknown key at the top", "viewer: {}\n", nil, nil, []string{"bridge.yaml:1", `"viewer"`, `did you mean "viewers"`}},
		{"unknown key in a group", "viewers:\n  listen: 127.0.0.1:0\n  hartbeat: 5s\n", nil, nil, []string{"bridge.yaml:3", "viewers", `"hartbeat"`, `did you mean "heartbeat"`}},
		{"unknown key, nothing near", "zzzzzz: 1\n", nil, nil, []string{"known are", "apiVersion"}},
		{"duplicate key", "node: a\nnode: b\n", nil, nil, []string{"bridge.yaml:2", "node is given twice", "keep one"}},
		{"duplicate group", "viewers: {path: /a}\nviewers: {path: /b}\n", nil, nil, []string{"bridge.yaml:2", "viewers is given twice", "keep one"}},
		{"name that is no name", "node: \"a\\nb\"\n", nil, nil, []string{"bridge.yaml:1: node", "control characters"}},
		{"wrong unit", "journal: {segmentBytes: 64MeB}\n", nil, nil, []string{"bridge.yaml:1", "journal.segmentBytes", "64MeB", "64KiB"}},
		{"HTTP/2 without TLS", "viewers: {plaintext: true, http2: true}\n", nil, nil, []string{"viewers.http2", "viewers.plaintext", "keep one"}},
		{"duration without unit", "viewers:\n  heartbeat: 25\n", nil, nil, []string{"bridge.yaml:2", "viewers.heartbeat", "250ms"}},
		{"no number", "mqtt: {maxClients: many}\n", nil, nil, []string{"mqtt.maxClients", "whole number"}},
		{"no boolean", "mqtt: {anonymous: yes}\n", nil, nil, []string{"mqtt.anonymous", "true or false"}},
		{"list for one value", "node: [a]\n", nil, nil, []string{"node", "one value"}},
		{"one value for a list", "viewers: {origins: https://a.example}\n", nil, nil, []string{"viewers.origins", "list"}},
		{"scalar for a group", "mqtt: 1883\n", nil, nil, []string{"mqtt", "keys with values"}},
		{"not YAML", "mqtt: {listen\n", nil, nil, []string{"bridge.yaml"}},
		{"two documents", "node: a\n---\nnode: b\n", nil, nil, []string{"more than one"}},
		{"impossible limit", "viewers: {heartbeat: 1h}\n", nil, nil, []string{"viewers.heartbeat", "allowed is 50ms to 10m"}},
		{"wrong apiVersion", "apiVersion: plumbline/v2\n", nil, nil, []string{"apiVersion", "plumbline/v1"}},
		{"wrong kind", "kind: SUT\n", nil, nil, []string{"kind", "Bridge"}},
		{"open to the world, no TLS", "viewers: {listen: \"0.0.0.0:8443\"}\n", nil, nil, []string{"viewers.tls", "cert and key"}},
		{"open to the world, plaintext", "viewers: {listen: \"0.0.0.0:80\", plaintext: true}\n", nil, nil, []string{"viewers.plaintext", "loopback"}},
		{"anonymous beyond loopback", "mqtt: {listen: \":1883\", plaintext: true}\n", nil, nil, []string{"mqtt.anonymous", "usersFile"}},
		{"MQTT plaintext beyond loopback", "mqtt: {listen: \":1883\", anonymous: false, usersFile: u}\n", nil, nil, []string{"mqtt.tls", "mqtt.plaintext"}},
		{"nobody could log in", "mqtt: {anonymous: false}\n", nil, nil, []string{"mqtt.usersFile"}},
		{"path that no request can have", "viewers: {path: /a//ws}\n", nil, nil, []string{"viewers.path", "/ws"}},
		{"path with dots", "viewers: {path: /a/../ws}\n", nil, nil, []string{"viewers.path", "/ws"}},
		{"no MQTT at all", "mqtt: {listen: \"\"}\n", nil, nil, []string{"mqtt.listen", "at least one"}},
		{"anonymous WebSocket beyond loopback", "mqtt: {plaintext: true, websocket: {listen: \":9001\"}}\n", nil, nil, []string{"mqtt.anonymous", "mqtt.websocket.listen"}},
		{"plain WebSocket beyond loopback", "mqtt: {anonymous: false, usersFile: u, websocket: {listen: \":9001\"}}\n", nil, nil, []string{"mqtt.tls", "mqtt.websocket.listen"}},
		{"plain MQTT beside TLS beyond loopback", "mqtt: {listen: \":1883\", anonymous: false, usersFile: u, tls: {listen: \":8883\", cert: c, key: k}}\n", nil, nil, []string{"mqtt.tls", "mqtt.plaintext"}},
		{"wss without a certificate", "mqtt: {websocket: {tlsListen: \"127.0.0.1:9002\"}}\n", nil, nil, []string{"mqtt.tls", "cert and key"}},
		{"client certificates without authority", "mqtt: {tls: {cert: c, key: k, clientAuth: require}}\n", nil, nil, []string{"mqtt.tls.clientCA"}},
		{"authority without effect", "mqtt: {tls: {cert: c, key: k, clientCA: a}}\n", nil, nil, []string{"mqtt.tls.clientAuth", "none"}},
		{"certificate names nobody", "mqtt: {tls: {cert: c, key: k, clientAuth: require, clientCA: a, clientUser: cn}}\n", nil, nil, []string{"mqtt.tls.clientUser", "usersFile"}},
		{"WebSocket origin with a path", "mqtt: {websocket: {origins: [\"https://a.example/x\"]}}\n", nil, nil, []string{"mqtt.websocket.origins"}},
		{"half a key pair", "viewers: {tls: {cert: a.pem}}\n", nil, nil, []string{"viewers.tls", "both"}},
		{"origin with a path", "viewers: {origins: [\"https://a.example/\"]}\n", nil, nil, []string{"viewers.origins", "without path"}},
		{"origin with a wildcard", "viewers: {origins: [\"https://*.example\"]}\n", nil, nil, []string{"viewers.origins"}},
		{"origin with the default port", "viewers: {origins: [\"https://a.example:443\"]}\n", nil, nil, []string{"viewers.origins", "default port"}},
		{"public key missing", "auth: {jwt: {alg: ES256}}\n", nil, nil, []string{"auth.jwt.publicKeyFile"}},
		{"algorithm none", "auth: {jwt: {alg: none}}\n", nil, nil, []string{"auth.jwt.alg", "HS256"}},
		{"compression level", "viewers: {compression: 9}\n", nil, nil, []string{"viewers.compression", "off, on"}},
		{"another proxy header", "viewers: {proxyHeader: x-real-ip}\n", nil, nil, []string{"viewers.proxyHeader", "x-forwarded-for, forwarded, proxy-protocol"}},
		{"PROXY headers of nobody", "viewers: {proxyHeader: proxy-protocol}\n", nil, nil, []string{"viewers.proxyHeader", "viewers.trustedProxies is empty"}},
		{"everybody a proxy", "viewers: {trustedProxies: [\"0.0.0.0/0\"]}\n", nil, nil, []string{"viewers.trustedProxies", "everybody would be believed"}},
		{"a long delay of the drain", "drain: {delay: 1h}\n", nil, nil, []string{"drain.delay", "10m"}},
		{"handshake rate below zero", "viewers: {handshakeRate: -1}\n", nil, nil, []string{"viewers.handshakeRate", "allowed is 0"}},
		{"no port", "ops: {listen: localhost}\n", nil, nil, []string{"ops.listen", "host:port"}},
		{"port out of range", "ops: {listen: \"127.0.0.1:70000\"}\n", nil, nil, []string{"ops.listen", "65535"}},
		{"profiles for everybody", "ops: {listen: \":9464\", pprof: true}\n", nil, nil, []string{"ops.pprof", "loopback"}},
		{"profiles nowhere", "ops: {listen: \"\", pprof: true}\n", nil, nil, []string{"ops.pprof", "ops.listen"}},
		{"unknown variable", "", []string{"PLUMBLINE_BRIDGE_VIEWERS_LISTN=x"}, nil, []string{"PLUMBLINE_BRIDGE_VIEWERS_LISTN", "did you mean", "PLUMBLINE_BRIDGE_VIEWERS_LISTEN"}},
		{"bad variable", "", []string{"PLUMBLINE_BRIDGE_DRAIN_SPREAD=soon"}, nil, []string{"PLUMBLINE_BRIDGE_DRAIN_SPREAD", "time span"}},
		{"impossible variable", "", []string{"PLUMBLINE_BRIDGE_VIEWERS_HEARTBEAT=1h"}, nil, []string{"environment variable PLUMBLINE_BRIDGE_VIEWERS_HEARTBEAT: viewers.heartbeat"}},
		{"impossible setting", "", nil, []string{"viewers.heartbeat=1h"}, []string{"--set viewers.heartbeat: viewers.heartbeat"}},
		{"two faults", "node: a\nviewers:\n  heartbeat: 1h\nlog:\n  level: loud\n", nil, nil, []string{"bridge.yaml:3: viewers.heartbeat", "bridge.yaml:5: log.level"}},
		{"faults of every kind", "node: a\nnode: b\nviewer: {}\nviewers:\n  heartbeat: 25\n  hartbeat: 5s\n  origins: x\nhistory:\n  rules:\n    - {filtr: a, skip: maybe}\n    - b\nlog: loud\n", nil, nil,
			[]string{"bridge.yaml:2: node", "bridge.yaml:3: top level", "bridge.yaml:5: viewers.heartbeat", "bridge.yaml:6: viewers", "bridge.yaml:7: viewers.origins", `bridge.yaml:10: history.rules item 1: unknown key "filtr"`, "bridge.yaml:10: history.rules item 1: skip", "bridge.yaml:11: history.rules item 2", "bridge.yaml:12: log"}},
		{"two variables and two settings", "", []string{"PLUMBLINE_BRIDGE_NOD=x", "PLUMBLINE_BRIDGE_DRAIN_SPREAD=soon"}, []string{"node", "log.levl=info"}, []string{"PLUMBLINE_BRIDGE_NOD", "PLUMBLINE_BRIDGE_DRAIN_SPREAD", `--set "node"`, "--set log.levl"}},
		{"no way in", "mqtt: {listen: \"\"}\n", nil, nil, []string{"mqtt.listen", "external"}},
		{"setting without value", "", nil, []string{"node"}, []string{"--set", "key=value"}},
		{"unknown setting", "", nil, []string{"journal.snyc=os"}, []string{"--set", `did you mean "journal.sync"`}},
		{"a group as setting", "", nil, []string{"journal=os"}, []string{"unknown key"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Load(file(t, tc.text), tc.env, tc.set)
			if !errors.Is(err, ErrConfig) {
				t.Fatalf("error %v, want ErrConfig", err)
			}
			for _, part := range tc.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q lacks %q", err, part)
				}
			}
			if tc.text == "" {
				return
			}
			for one := range strings.SplitSeq(err.Error(), "\n") {
				if !regexp.MustCompile(`bridge\.yaml:[1-9]\d*: `).MatchString(one) {
					t.Errorf("%q names no line", one)
				}
			}
		})
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none.yaml"), nil, nil); !errors.Is(err, ErrConfig) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]Bytes{"0": 0, "7": 7, "7B": 7, "64KiB": 65536, "64 KiB": 65536, "1GB": 1e9, "2GiB": 2 << 30} {
		if got, err := ParseBytes(text); err != nil || got != want {
			t.Errorf("ParseBytes(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "KiB", "-1", "1.5MiB", "1kib", "9999999999GiB", "0x10", "1 K iB"} {
		if got, err := ParseBytes(text); err == nil {
			t.Errorf("ParseBytes(%q) = %d, want an error", text, got)
		}
	}
}

func TestEveryFieldHasItsVariable(t *testing.T) {
	c := Default()
	c.declare("site")
	c.declare("site-tls")
	leaves, _ := fields(&c)
	seen := map[string]string{}
	for _, f := range leaves {
		name := envName(f.path)
		if other, double := seen[name]; double {
			t.Errorf("%s and %s share %s", f.path, other, name)
		}
		seen[name] = f.path
	}
	if got := envName("viewers.maxFrameBytes"); got != "PLUMBLINE_BRIDGE_VIEWERS_MAX_FRAME_BYTES" {
		t.Errorf("envName = %s", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(whole)
	f.Add("a: &x [*x]")
	f.Fuzz(func(t *testing.T, text string) {
		c := Default()
		if bad := parse(&c, "f", []byte(text), places{}); len(bad) == 0 {
			_ = c.Validate()
		}
	})
}
