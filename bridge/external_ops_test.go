package bridge

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"plumbline/bridge/config"
	"plumbline/bridge/internal/brokertest"
	"plumbline/bridge/internal/eventually"
)

// readyz returns the status and the body of /readyz.
func readyz(t *testing.T, r *running) (int, readiness) {
	t.Helper()
	resp, err := http.Get("http://" + r.b.Addresses().Ops + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	var body readiness
	if err == nil {
		err = json.Unmarshal(raw, &body)
	}
	if err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return resp.StatusCode, body
}

// TestExternalReadiness: a bridge without any way in is not ready and says why; with an embedded broker it is.
func TestExternalReadiness(t *testing.T) {
	broker := brokertest.New(t, brokertest.Lines)
	r := run(t, externalOnly(broker.Addr))
	if a := r.b.Addresses(); a.MQTT != "" {
		t.Errorf("an embedded broker listens on %s", a.MQTT)
	}
	eventually.Must(t, "the bridge to be ready", func() bool {
		code, body := readyz(t, r)
		return code == 200 && len(body.External) == 1 && body.External[0].Connected
	})
	broker.Stop(syscall.SIGTERM)
	eventually.Must(t, "the bridge to say that no broker is connected", func() bool {
		code, body := readyz(t, r)
		return code == 503 && strings.Contains(body.Reason, "no external broker is connected: site-a: ") && strings.Contains(body.Reason, broker.Addr)
	})
	broker.Start()
	eventually.Must(t, "the bridge to be ready again", func() bool { code, _ := readyz(t, r); return code == 200 })

	both := run(t, func(c *Config) {
		externalOnly(brokertest.FreePort(t))(c)
		c.MQTT.Listen = "127.0.0.1:0"
	})
	code, body := readyz(t, both)
	if code != 200 || len(body.External) != 1 || body.External[0].Connected || body.External[0].Error == "" {
		t.Errorf("with an embedded broker: %d %+v", code, body)
	}
}

// TestSeveralBrokers: three ways in at once, told apart by prefix, and commands that find their way back.
func TestSeveralBrokers(t *testing.T) {
	one, two := brokertest.New(t, brokertest.Lines), brokertest.New(t, brokertest.Lines)
	r := run(t, func(c *Config) {
		externalOnly(one.Addr)(c)
		c.MQTT.Listen = "127.0.0.1:0"
		e := config.DefaultExternal("site-b")
		e.URL, e.Prefix, e.Filters = "mqtt://"+two.Addr, "site-b/", []string{"press/#"}
		c.External = append(c.External, e)
	})
	eventually.Must(t, "both brokers to be connected", r.b.externallyConnected)
	v := r.open(nil)
	ok := v.sub(1, "#", nil)
	p := r.publisher("dev")
	r.publish(p, "press/1", "embedded")
	brokertest.Retain(t, one.Addr, "press/1", "one")
	brokertest.Retain(t, two.Addr, "press/1", "two")
	brokertest.Retain(t, two.Addr, "hall/1", "not asked for")
	for _, name := range []string{"site-a/press/cmd", "site-b/press/cmd"} {
		if err := r.b.external.Publish(t.Context(), name, []byte("go"), 1); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if r.b.external.For("press/1") != nil {
		t.Error("a topic of the embedded broker has an external one")
	}
	readings, _ := v.collect(5, ok.Offset)
	var got []string
	for _, x := range readings {
		got = append(got, x.Topic+" "+x.Payload)
	}
	slices.Sort(got)
	if want := "press/1 embedded,site-a/press/1 one,site-a/press/cmd go,site-b/press/1 two,site-b/press/cmd go"; strings.Join(got, ",") != want {
		t.Errorf("viewer got %q", got)
	}
}

// TestExternalFilesAreChecked: a file that is named and missing ends New, as any other mistake in the configuration.
func TestExternalFilesAreChecked(t *testing.T) {
	c := testConfig(t.TempDir())
	externalOnly("127.0.0.1:1")(&c)
	c.External[0].CredentialsFile = filepath.Join(c.Data, "none")
	if b, err := New(Options{Config: c}); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "external.site-a.credentialsFile") {
		t.Errorf("New: %v, %v", b, err)
	}
}
