package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"plumbline/bridge/client"
	"plumbline/bridge/config"
	"plumbline/bridge/devca"
	"plumbline/bridge/internal/brokertest"
	"plumbline/bridge/internal/eventually"
)

// nginx returns nginx with the shipped configuration and one of the shipped upstreams.
func (f *fleet) nginx(upstream string) *program {
	f.t.Helper()
	dir := f.t.TempDir()
	site := f.conf("nginx/plumbline.conf", "/etc/nginx/plumbline/upstream-consistent-hash.conf", filepath.Join(dir, "upstream.conf"),
		"listen 443 ssl", "listen "+f.front+" ssl", "listen [::]:443 ssl", six("listen ", f.front)+" ssl", "listen 80", "listen "+f.plain, "listen [::]:80", six("listen ", f.plain),
		"/etc/nginx/plumbline/bridge.example.pem", f.file(devca.ServerFile),
		"/etc/nginx/plumbline/bridge.example.key", f.file(devca.ServerKeyFile), "/etc/nginx/plumbline/bridge-ca.pem", f.file(devca.CAFile),
		"bridge.internal", "localhost", "https://bridge.example", "https://"+f.front, "bridge.example", "localhost",
		"proxy_connect_timeout 5s", "proxy_connect_timeout 60s") // a busy machine is no bridge that has gone
	main := fmt.Sprintf("daemon off;\nmaster_process off;\npid %[1]s/pid;\nerror_log stderr warn;\nevents { worker_connections 1024; }\nhttp {\naccess_log off;\n", dir)
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		main += fmt.Sprintf("%s_temp_path %s/%s;\n", kind, dir, kind)
	}
	up := f.conf("nginx/upstream-" + upstream + ".conf")
	for name, text := range map[string]string{"nginx.conf": main + site + "}\n", "upstream.conf": up} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			f.t.Fatal(err)
		}
	}
	return newProgram(f.t, f.front, "nginx", "-e", "stderr", "-p", dir, "-c", filepath.Join(dir, "nginx.conf"))
}

// haproxy returns HAProxy with a shipped configuration, changed further by pairs of old and new text.
func (f *fleet) haproxy(file string, pairs ...string) *program {
	f.t.Helper()
	pairs = append(pairs, "maxconn 100000", "maxconn 1000", "bind :443", "bind "+f.front, "bind :::443", six("bind ", f.front), "check port 9464 inter 1s", "check inter 100ms",
		"timeout connect 5s", "timeout connect 60s", "timeout check 2s", "timeout check 60s") // a busy machine is no bridge that has gone
	if file == "http.cfg" {
		pairs = append(pairs, "timeout http-request 5s", "timeout http-request 60s", "bind :80", "bind "+f.plain, "bind :::80", six("bind ", f.plain), "/etc/haproxy/plumbline/bridge.example.pem", f.file("both.pem"),
			"/etc/haproxy/plumbline/bridge-ca.pem", f.file(devca.CAFile), "bridge.internal", "localhost")
	}
	conf := write(f.t, "haproxy.cfg", f.conf("haproxy/"+file, pairs...))
	return newProgram(f.t, f.front, "haproxy", "-db", "-f", conf)
}

// six returns a line of a configuration with the same port of this machine's IPv6 address; a comment where it has none.
func six(line, address string) string {
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		return "#"
	}
	_ = l.Close()
	_, port, _ := net.SplitHostPort(address)
	return line + net.JoinHostPort("::1", port)
}

// TestNginx: behind nginx, by each of the shipped ways to choose a bridge.
func TestNginx(t *testing.T) {
	f := newFleet(t, 3, "x-forwarded-for")
	for _, upstream := range []string{"ip-hash", "consistent-hash"} {
		f.use(f.nginx(upstream))
		f.restart()
	}
	f.passes(2)
	f.polls(2)
	f.carries(false)
	f.redirects()
	f.use(f.nginx("least-conn"))
	f.drains()
	f.rejoins()
}

// TestHAProxy: behind HAProxy that ends TLS.
func TestHAProxy(t *testing.T) {
	f := newFleet(t, 3, "x-forwarded-for")
	f.use(f.haproxy("http.cfg", "balance leastconn\n", "balance source\n    hash-type consistent\n"))
	f.restart()
	f.polls(2)
	f.use(f.haproxy("http.cfg"))
	f.passes(2)
	f.carries(true)
	f.redirects()
	f.sets = append(f.sets, "drain.delay=10m") // of the one that comes back
	f.lingers(f.drains())
}

// TestHAProxyPassesTLS: behind HAProxy that passes TLS through and names the viewer by the PROXY protocol, either version.
func TestHAProxyPassesTLS(t *testing.T) {
	f := newFleet(t, 3, "proxy-protocol")
	f.use(f.haproxy("tcp.cfg", "send-proxy-v2", "send-proxy", "balance leastconn\n", "balance source\n    hash-type consistent\n"))
	f.spoof("127.0.9.1")
	f.polls(1)
	f.use(f.haproxy("tcp.cfg"))
	f.passes(1)
	f.drains()
}

// TestBalancersOutwaitTheBridge: no time-out of a shipped configuration is near the interval of the bridge's pings, or near a poll's wait.
func TestBalancersOutwaitTheBridge(t *testing.T) {
	const poll = 30 * time.Second // PROTOCOL.md section 6
	least := max(2*config.Default().Viewers.Heartbeat.D(), poll+poll/3)
	for file, settings := range map[string][]string{
		"nginx/plumbline.conf": {"proxy_read_timeout", "proxy_send_timeout"},
		"haproxy/http.cfg":     {"timeout client", "timeout server", "timeout tunnel"},
		"haproxy/tcp.cfg":      {"timeout client", "timeout server"},
	} {
		text := readFile(t, filepath.Join("../../deploy", file))
		for _, setting := range settings {
			all := regexp.MustCompile(`(?m)^\s*`+setting+`\s+(\S+?);?(\s|$)`).FindAllStringSubmatch(text, -1)
			if len(all) == 0 {
				t.Errorf("%s does not set %s", file, setting)
			}
			for _, m := range all {
				if d, err := time.ParseDuration(m[1]); err != nil || d < least {
					t.Errorf("%s: %s %s, %v: want %s at least", file, setting, m[1], err, least)
				}
			}
		}
	}
}

// restart: a viewer whose balancer goes away comes back to the same bridge and behind its cursor; others go by their addresses.
func (f *fleet) restart() {
	f.t.Helper()
	v := f.call("127.0.20.1")
	node := v.node()
	nodes := map[string]bool{}
	for i := range 12 {
		from := fmt.Sprintf("127.0.%d.1", 30+i)
		first, second := f.reaches(from), f.reaches(from)
		if second != first {
			f.t.Errorf("%s came to %q and then to %q", from, first, second)
		}
		nodes[first] = true
	}
	if len(nodes) < 2 {
		f.t.Errorf("twelve networks all came to %v", nodes)
	}
	f.server.stop(syscall.SIGTERM)
	brokertest.Retain(f.t, f.nodes[node].addrs.MQTT, "while/away", "first")
	brokertest.Retain(f.t, f.nodes[node].addrs.MQTT, "while/away", "second")
	f.server.start()
	v.await("to have what came while the balancer was away", func() bool { return slices.Equal(v.payload, []string{"first", "second"}) })
	v.await("to have resumed once", func() bool { return len(v.starts) == 2 && v.starts[1].Recovered && len(v.gaps) == 0 })
	if again := v.node(); again != node {
		f.t.Errorf("it came back to %s, it had been at %s", name(again), name(node))
	}
	v.stop()
}

// passes: large and compressed frames, and events one by one, over the HTTP version that viewers get; and who a viewer says to be
// reaches no record.
func (f *fleet) passes(version int) {
	f.t.Helper()
	f.frames()
	f.events(version)
	f.spoof("127.0.8.1")
	f.spoof("::1")
}

// frames: a megabyte that compresses and one that does not.
func (f *fleet) frames() {
	f.t.Helper()
	noise := make([]byte, 3<<18)
	_, _ = rand.Read(noise)
	d := websocket.Dialer{TLSClientConfig: f.tls(), Subprotocols: []string{"plumbline.v1.json"}, HandshakeTimeout: eventually.Patience, EnableCompression: true}
	ws, resp, err := d.Dial("wss://"+f.front+"/ws", nil)
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = ws.Close() }()
	if got := resp.Header.Get("Sec-WebSocket-Extensions"); !strings.HasPrefix(got, "permessage-deflate") {
		f.t.Errorf("extensions %q: compression does not get through", got)
	}
	_ = ws.SetReadDeadline(time.Now().Add(eventually.Patience))
	var e struct {
		event
		Node string `json:"node"`
	}
	next := func(kind string) {
		for e.Type = ""; e.Type != kind || kind == "batch" && len(e.Readings) == 0; {
			if err := ws.ReadJSON(&e); err != nil {
				f.t.Fatalf("waiting for %s: %v", kind, err)
			}
		}
	}
	_ = ws.WriteJSON(map[string]string{"type": "hello", "token": f.token})
	next("welcome")
	node := slices.IndexFunc(f.nodes, func(p *child) bool { return filepath.Base(p.data) == e.Node })
	_ = ws.WriteJSON(map[string]any{"type": "sub", "id": 1, "filter": "large"})
	next("subok")
	for _, payload := range []string{strings.Repeat("sixteen letters.", 1<<16), base64.StdEncoding.EncodeToString(noise)} {
		brokertest.Retain(f.t, f.nodes[node].addrs.MQTT, "large", payload)
		next("batch")
		if got := e.Readings[0].Payload; got != payload {
			f.t.Errorf("%d bytes came, want the same %d", len(got), len(payload))
		}
	}
}

// client returns an HTTP client whose connections come from an address.
func (f *fleet) client(from string) *http.Client {
	tr := &http.Transport{TLSClientConfig: f.tls(), DialContext: dialFrom(from), ForceAttemptHTTP2: true}
	f.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (f *fleet) request(ctx context.Context, path, token string) *http.Request {
	f.t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+f.front+path, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	return req
}

// events: each event of a stream comes before the next one is made, so nothing holds it back.
func (f *fleet) events(version int) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), eventually.Patience)
	defer cancel()
	resp, err := f.client("127.0.7.1").Do(f.request(ctx, "/sse?filter=now", f.token))
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK || resp.ProtoMajor != version {
		f.t.Fatalf("%s over %s, want HTTP/%d", resp.Status, resp.Proto, version)
	}
	lines := bufio.NewScanner(resp.Body)
	next := func(want string) {
		for lines.Scan() {
			if strings.Contains(lines.Text(), want) {
				return
			}
		}
		f.t.Fatalf("the stream ended before %s: %v", want, lines.Err())
	}
	next("event: subok")
	for _, payload := range []string{"one", "two", "three"} {
		for _, p := range f.nodes { // one of them has the stream
			brokertest.Retain(f.t, p.addrs.MQTT, "now", payload)
		}
		next(`"payload":"` + payload + `"`)
	}
}

// spoof: a viewer that names another address, in whatever header, is on record under its own.
func (f *fleet) spoof(from string) {
	f.t.Helper()
	req := f.request(f.t.Context(), "/poll?filter=a", "a.b.c")
	if from == "::1" {
		if req.URL.Host = six("", f.front); req.URL.Host == "#" {
			f.t.Log("not tried over IPv6, which this machine has not")
			return
		}
	}
	req.Header.Set("X-Forwarded-For", "203.0.113.9")
	req.Header.Set("X-Forwarded-Proto", "http")
	req.Header.Set("X-Real-IP", "203.0.113.9")
	req.Header.Set("Forwarded", "for=203.0.113.9;proto=http")
	resp, err := f.client(from).Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		f.t.Errorf("a bad token: %s", resp.Status)
	}
	eventually.Must(f.t, from+" to be on record", func() bool { // a process's log comes by a pipe of its own
		return slices.ContainsFunc(f.nodes, func(p *child) bool {
			return strings.Contains(p.log.String(), `"remote":"`+from) || strings.Contains(p.log.String(), `"remote":"[`+from+"]")
		})
	})
	for _, p := range f.nodes {
		if text := p.log.String(); strings.Contains(text, "203.0.113.9") {
			f.t.Errorf("the address that the viewer named is on record:\n%s", text)
		}
	}
}

// redirects: who comes without TLS is sent to TLS by the balancer.
func (f *fleet) redirects() {
	f.t.Helper()
	req := f.request(f.t.Context(), "/ws", f.token)
	req.URL.Scheme, req.URL.Host = "http", f.plain
	resp, err := f.client("127.0.7.1").Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusPermanentRedirect || !strings.HasPrefix(resp.Header.Get("Location"), "https://") {
		f.t.Errorf("%s to %q", resp.Status, resp.Header.Get("Location"))
	}
}

// drains: a bridge that ends tells each of its viewers when to come back, no two the same; they come to others, which notice nothing
// else; and when it is there again it gets viewers again. Its journal is its own, so those who moved are told that they begin anew.
func (f *fleet) drains() (gone int) {
	f.t.Helper()
	at := map[int][]*caller{}
	for i := range 9 {
		v := f.call(fmt.Sprintf("127.0.%d.1", 50+i))
		at[v.node()] = append(at[v.node()], v)
	}
	for n := range f.nodes {
		if len(at[n]) > len(at[gone]) {
			gone = n
		}
	}
	if len(at) < 2 {
		f.t.Fatalf("nine viewers are all at %s", name(gone))
	}
	f.nodes[gone].signal(syscall.SIGTERM)
	if err := f.nodes[gone].awaitEnd(); err != nil {
		f.t.Errorf("%s: %v\n%s", name(gone), err, f.nodes[gone].log)
	}
	waits := map[time.Duration]bool{}
	for _, v := range at[gone] {
		v.await("to come to another bridge", func() bool { return len(v.starts) == 2 })
		told := v.of(client.EventDraining)
		if len(told) != 1 {
			f.t.Fatalf("%s was told %d times that its bridge drains", v.from, len(told))
		}
		waits[told[0].Wait] = true
		var closed *client.CloseError
		if e := v.of(client.EventDisconnected)[0]; !errors.As(e.Err, &closed) || closed.Code != 1012 || e.Wait != told[0].Wait || e.Wait > time.Second {
			f.t.Errorf("%s: ended with %v, comes back after %s, was told %s", v.from, e.Err, e.Wait, told[0].Wait)
		}
		v.await("to be told that it begins anew", func() bool { return len(v.gaps) == 1 && v.gaps[0].Reason == "epoch" && !v.starts[1].Recovered })
		if v.node() == gone {
			f.t.Errorf("%s is at the bridge that has gone", v.from)
		}
	}
	if len(waits) < 2 {
		f.t.Errorf("%d viewers come back after %v", len(at[gone]), waits)
	}
	delete(at, gone)
	for n, all := range at {
		for _, v := range all {
			if lost := v.of(client.EventDisconnected); len(lost) > 0 {
				f.t.Errorf("%s, at %s, lost its connection: %v", v.from, name(n), lost)
			}
		}
	}
	f.again(gone)
	eventually.Must(f.t, name(gone)+" to get viewers again", func() bool { return f.node("127.0.70.1") == name(gone) })
	return gone
}

// rejoins: bridges that were all away, one after the other, and are back, get as many viewers at once as come.
func (f *fleet) rejoins() {
	f.t.Helper()
	d := websocket.Dialer{TLSClientConfig: f.tls(), Subprotocols: []string{"plumbline.v1.json"}, HandshakeTimeout: eventually.Patience}
	stay := func() error { // a viewer that does not leave: a session that ends makes nginx forget that its bridge was away
		ws, _, err := d.Dial("wss://"+f.front+"/ws", nil)
		if err == nil {
			f.t.Cleanup(func() { _ = ws.Close() })
		}
		return err
	}
	for n := range f.nodes {
		f.nodes[n].signal(syscall.SIGTERM)
		if err := f.nodes[n].awaitEnd(); err != nil {
			f.t.Errorf("%s: %v\n%s", name(n), err, f.nodes[n].log)
		}
		for range 4 {
			_ = stay() // one of them asks the bridge that is gone: it has the fewest
		}
		f.again(n)
	}
	for i := range 12 {
		if err := stay(); err != nil {
			f.t.Fatalf("viewer %d of 12, while all bridges are there: %v\n%s", i+1, err, f.server.log)
		}
	}
}

// lingers: while its drain is delayed a bridge gets nobody new, although it has the fewest viewers, and keeps those that it has.
func (f *fleet) lingers(node int) {
	f.t.Helper()
	var v *caller
	for v == nil || v.node() != node {
		v = f.call("127.0.80.1")
	}
	f.nodes[node].signal(syscall.SIGTERM)
	eventually.Must(f.t, "the balancer to send nobody to "+name(node), func() bool {
		for i := range 4 {
			if f.reaches(fmt.Sprintf("127.0.%d.1", 81+i)) == name(node) {
				return false
			}
		}
		return true
	})
	if told, lost := v.of(client.EventDraining), v.of(client.EventDisconnected); len(told) > 0 || len(lost) > 0 {
		f.t.Errorf("its viewer was told %v and lost its connection: %v", told, lost)
	}
}
