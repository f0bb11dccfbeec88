package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"plumbline/bridge"
	"plumbline/bridge/internal/eventually"
)

// TestN82FilesRunOut: crowds on both listeners, more than the process may open files. Operators get their answers all the while,
// who is connected goes on, the process never meets its limit, and new ones come in when the crowd has gone.
func TestN82FilesRunOut(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	p := launch(t, data, bridge.Addresses{}, nil, []string{"/bin/sh", "-c", `ulimit -n 200 && exec "$0" "$@"`}, nil)
	p.awaitReady()
	for _, part := range []string{"may open 200 files", "LimitNOFILE=21641"} {
		if !strings.Contains(p.log.String(), part) {
			t.Errorf("the log lacks the advice %q:\n%s", part, p.log)
		}
	}
	b := load(p, 400)
	b.progress(0.1)
	crowd := press(t, 400, p.addrs.MQTT, p.addrs.Viewers)
	before := b.sum()
	eventually.Must(t, "refusals by both listeners", func() bool {
		text := metrics(t, p)
		return strings.Contains(text, `bridge_ws_refused_total{reason="files"}`) && strings.Contains(text, `bridge_mqtt_rejected_total{reason="limit"}`)
	})
	if code, out, errs := invoke(t, "", "health", "--set", "ops.listen="+p.addrs.Ops); code != exitOK {
		t.Errorf("health under the crowd: exit %d, %s %s", code, out, errs)
	}
	eventually.Must(t, "messages of those who were there before", func() bool { return b.sum() > before })
	crowd.leave()
	b.stop() // and its viewers come back for the rest
	late := load(p, 50)
	late.progress(1)
	if text := p.log.String(); strings.Contains(text, "too many open files") {
		t.Errorf("it met its limit:\n%.2000s", text)
	}
}

func metrics(t *testing.T, p *child) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.addrs.Ops+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req) // each time a new connection
	if err != nil {
		t.Fatalf("the operators' listener: %v", err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// pressing keeps many silent connections open, and opens new ones for those that are closed.
type pressing struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func press(t *testing.T, each int, addrs ...string) *pressing {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c := &pressing{cancel: cancel}
	t.Cleanup(c.leave)
	opened := make(chan struct{}, each*len(addrs))
	for _, addr := range addrs {
		for range each {
			c.wg.Go(func() {
				for ctx.Err() == nil {
					conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
					if err != nil {
						continue
					}
					select {
					case opened <- struct{}{}:
					default:
					}
					end := context.AfterFunc(ctx, func() { _ = conn.Close() })
					_, _ = conn.Read(make([]byte, 1)) // until it is closed
					end()
					_ = conn.Close()
				}
			})
		}
	}
	eventually.Must(t, fmt.Sprintf("%d connections", each), func() bool { return len(opened) >= each })
	return c
}

func (c *pressing) leave() {
	c.cancel()
	c.wg.Wait()
}
