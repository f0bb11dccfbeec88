package config

import (
	"errors"
	"strings"
	"testing"
)

// TestExternalErrorsSayWhereAndHow: what cannot work with an external broker names its place and its mend.
func TestExternalErrorsSayWhereAndHow(t *testing.T) {
	for _, tc := range []struct {
		name, body string
		want       []string
	}{
		{"a list", "  - site-a\n", []string{"external", "keys with values"}},
		{"no settings", "  site-a:\n", []string{"external.site-a.url", "mqtts://HOST:8883"}},
		{"unknown key", "  site-a: {urll: \"mqtt://127.0.0.1\"}\n", []string{"bridge.yaml:2", "external.site-a", `did you mean "url"`}},
		{"bad name", "  Site_A: {url: \"mqtt://127.0.0.1\", prefix: a/}\n", []string{"external", `"Site_A"`, "lower case"}},
		{"twice", "  a: {prefix: a/}\n  a: {prefix: b/}\n", []string{"bridge.yaml:3", "external.a is given twice"}},
		{"wrong scheme", "  a: {url: \"tcp://127.0.0.1\", prefix: a/}\n", []string{"external.a.url", "mqtts://HOST:PORT"}},
		{"path", "  a: {url: \"mqtt://127.0.0.1/x\", prefix: a/}\n", []string{"external.a.url", "exactly"}},
		{"plaintext beyond loopback", "  a: {url: \"mqtt://broker.example\", prefix: a/}\n", []string{"external.a.url", "mqtts://", "plaintext: true"}},
		{"TLS and plaintext", "  a: {url: \"mqtts://broker.example\", plaintext: true, prefix: a/}\n", []string{"external.a.plaintext", "contradict"}},
		{"TLS files without TLS", "  a: {url: \"mqtt://127.0.0.1\", tls: {ca: x}, prefix: a/}\n", []string{"external.a.tls", "mqtts://"}},
		{"half a pair", "  a: {url: \"mqtts://h\", tls: {cert: x}, prefix: a/}\n", []string{"external.a.tls", "both"}},
		{"no prefix beside the embedded broker", "  a: {url: \"mqtt://127.0.0.1\"}\n", []string{"external.a.prefix", "mqtt.listen", "a/"}},
		{"prefix without slash", "  a: {url: \"mqtt://127.0.0.1\", prefix: a}\n", []string{"external.a.prefix", "slash"}},
		{"prefix with wildcard", "  a: {url: \"mqtt://127.0.0.1\", prefix: +/}\n", []string{"external.a.prefix", "wildcards"}},
		{"same prefix", "  a: {url: \"mqtt://127.0.0.1\", prefix: x/}\n  b: {url: \"mqtt://127.0.0.1\", prefix: x/}\n", []string{"external.b.prefix", "own"}},
		{"shared subscription", "  a: {url: \"mqtt://127.0.0.1\", prefix: a/, filters: [\"$share/g/#\"]}\n", []string{"external.a.filters", "shared"}},
		{"the broker's own topics", "  a: {url: \"mqtt://127.0.0.1\", prefix: a/, filters: [\"$SYS/#\"]}\n", []string{"external.a.filters", "belong to the broker"}},
		{"overlap", "  a: {url: \"mqtt://127.0.0.1\", prefix: a/, filters: [\"x/#\", \"+/y\"]}\n", []string{"external.a.filters", "overlaps"}},
		{"comma in a filter", "  a: {url: \"mqtt://127.0.0.1\", prefix: a/, filters: [\"x,y\"]}\n", []string{"bridge.yaml:2", "external.a.filters", "comma"}},
		{"session too short", "  a: {url: \"mqtt://127.0.0.1\", prefix: a/, sessionExpiry: 59m}\n", []string{"external.a.sessionExpiry", "1h"}},
		{"window", "  a: {url: \"mqtt://127.0.0.1\", prefix: a/, receiveMaximum: 0}\n", []string{"external.a.receiveMaximum", "1 to"}},
		{"back-off", "  a: {url: \"mqtt://127.0.0.1\", prefix: a/, reconnectMin: 5s, reconnectMax: 1s}\n", []string{"external.a.reconnectMax", "5s"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Load(file(t, "external:\n"+tc.body), nil, nil)
			if !errors.Is(err, ErrConfig) {
				t.Fatalf("error %v, want ErrConfig", err)
			}
			for _, part := range tc.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q lacks %q", err, part)
				}
			}
		})
	}
	if _, err := Load(file(t, "mqtt: {listen: \"\"}\nexternal: {a: {url: \"mqtt://127.0.0.1\"}}\n"), nil, nil); err != nil {
		t.Errorf("one external broker alone, without prefix: %v", err)
	}
}

// TestExternalPasswordInURLIsNotRepeated: the error about it must not spread it.
func TestExternalPasswordInURLIsNotRepeated(t *testing.T) {
	_, err := Load(file(t, "external: {a: {url: \"mqtts://anna:geheim@broker.example\", prefix: a/}}\n"), nil, nil)
	if err == nil || !strings.Contains(err.Error(), "credentialsFile") || strings.Contains(err.Error(), "geheim") {
		t.Errorf("error %v", err)
	}
}
