package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"plumbline/bridge"
	"plumbline/bridge/auth"
	"plumbline/bridge/client"
	"plumbline/bridge/devca"
	"plumbline/bridge/internal/brokertest"
	"plumbline/bridge/internal/eventually"
)

// fleet is some bridges with one key and one certificate, behind a balancer. Each has a journal of its own.
type fleet struct {
	t      *testing.T
	dir    string // certificates, keys, and the balancer's files
	sets   []string
	nodes  []*child // bridge-1 and so on
	token  string
	roots  *x509.CertPool
	front  string   // where the balancer listens for viewers
	plain  string   // and for those without TLS
	server *program // the balancer
}

// newFleet starts the bridges; a balancer on this machine is their trusted proxy.
func newFleet(t *testing.T, nodes int, proxyHeader string) *fleet {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("viewers come from 127.0.N.1, which only Linux has without further ado")
	}
	f := &fleet{t: t, dir: t.TempDir(), roots: x509.NewCertPool(), front: brokertest.FreePort(t), plain: brokertest.FreePort(t)}
	if _, err := devca.Ensure(f.dir, time.Now()); err != nil {
		t.Fatal(err)
	}
	f.roots.AppendCertsFromPEM([]byte(readFile(t, f.file(devca.CAFile))))
	both := readFile(t, f.file(devca.ServerFile)) + readFile(t, f.file(devca.ServerKeyFile))
	if err := os.WriteFile(f.file("both.pem"), []byte(both), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := auth.EnsureSecret(f.file("jwt.key"), nil); err != nil {
		t.Fatal(err)
	}
	f.sets = []string{"auth.jwt.secretFile=" + f.file("jwt.key"), "viewers.tls.cert=" + f.file(devca.ServerFile), "viewers.tls.key=" + f.file(devca.ServerKeyFile),
		"viewers.trustedProxies=127.0.0.1", "viewers.proxyHeader=" + proxyHeader, "viewers.compression=on", "viewers.dashboard=false",
		"mqtt.maxPacketBytes=2MiB", "history.store=off", "drain.spread=1s",
		"viewers.authTimeout=1m", "viewers.writeTimeout=1m"} // a busy machine is no fault of anybody
	for n := range nodes {
		f.nodes = append(f.nodes, launch(t, f.file(name(n)), bridge.Addresses{}, nil, nil, nil, append(f.sets, "node="+name(n))...))
	}
	for _, p := range f.nodes {
		p.awaitReady()
	}
	code, token, errs := invoke(t, "", "token", "--set", "data="+f.nodes[0].data, "--set", f.sets[0], "--sub", "anna", "--grants", "#", "--publish", "command/#")
	if code != exitOK {
		t.Fatalf("token: exit %d, %s", code, errs)
	}
	f.token = strings.TrimSpace(token)
	return f
}

func name(node int) string { return fmt.Sprintf("bridge-%d", node+1) }

func (f *fleet) file(name string) string { return filepath.Join(f.dir, name) }

// again starts a node that has ended.
func (f *fleet) again(node int) {
	f.t.Helper()
	old := f.nodes[node]
	f.nodes[node] = begin(f.t, old.data, old.addrs, append(f.sets, "node="+name(node))...)
}

// conf returns a file of the folder deploy with this machine's names in place of the example's: pairs of old and new text, of which
// each old one must stand there. What is left of the example's own names is an error.
func (f *fleet) conf(file string, pairs ...string) string {
	f.t.Helper()
	text := readFile(f.t, filepath.Join("../../deploy", file))
	for n, p := range f.nodes {
		_, ops, _ := net.SplitHostPort(p.addrs.Ops)
		example := name(n) + ".internal:8443"
		text = strings.ReplaceAll(text, "server "+name(n)+" "+example, "server "+name(n)+" "+example+" port "+ops) // HAProxy asks for health
		text = strings.ReplaceAll(text, example, p.addrs.Viewers)
	}
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			f.t.Fatalf("%s does not have %q", file, pairs[i])
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	var used strings.Builder
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		used.WriteString(line)
	}
	if left := regexp.MustCompile(`/etc/\S+|\S*\.(internal|example)\b\S*`).FindAllString(used.String(), -1); len(left) > 0 {
		f.t.Fatalf("%s still has %q", file, left)
	}
	return text
}

// program is a real balancer as a process of its own, which can be stopped and started again.
type program struct {
	t    *testing.T
	line []string
	addr string // where it listens when it is ready
	log  *lockedBuffer
	cmd  *exec.Cmd
	gone chan struct{}
}

// newProgram finds a program that belongs to a Debian package.
func newProgram(t *testing.T, addr, binary string, args ...string) *program {
	t.Helper()
	path, err := exec.LookPath(binary)
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/" + binary); err != nil {
			t.Fatalf("%s is not installed: make deps-test installs it", binary)
		}
	}
	p := &program{t: t, line: append([]string{path}, args...), addr: addr, log: &lockedBuffer{}}
	t.Cleanup(func() { p.stop(syscall.SIGKILL) })
	return p
}

// start returns when the program listens.
func (p *program) start() {
	p.t.Helper()
	p.cmd = exec.Command(p.line[0], p.line[1:]...) // it ends by stop
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	brokertest.DieWithTest(p.cmd)
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.gone = make(chan struct{})
	go func() { _ = p.cmd.Wait(); close(p.gone) }()
	eventually.Must(p.t, p.line[0]+" to listen on "+p.addr, func() bool {
		select {
		case <-p.gone:
			p.t.Fatalf("%v ended:\n%s", p.line, p.log)
		default:
		}
		c, err := net.Dial("tcp", p.addr)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

// stop ends the program and waits for its end. A second call does nothing.
func (p *program) stop(sig syscall.Signal) {
	p.t.Helper()
	if p.cmd == nil {
		return
	}
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Error(err)
	}
	<-p.gone
	p.cmd = nil
}

// use puts another balancer before the bridges.
func (f *fleet) use(p *program) {
	f.t.Helper()
	if f.server != nil {
		f.server.stop(syscall.SIGKILL)
	}
	f.server = p
	p.start()
}

func (f *fleet) tls() *tls.Config {
	return &tls.Config{RootCAs: f.roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}
}

// dialFrom returns a dialer of connections that come from an address of this machine.
func dialFrom(from string) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext
}

// node returns the bridge that a viewer from an address comes to; "" when none answers.
func (f *fleet) node(from string) string {
	d := websocket.Dialer{TLSClientConfig: f.tls(), Subprotocols: []string{"plumbline.v1.json"}, HandshakeTimeout: eventually.Patience, NetDialContext: dialFrom(from)}
	ws, _, err := d.Dial("wss://"+f.front+"/ws", nil)
	if err != nil {
		return ""
	}
	defer func() { _ = ws.Close() }()
	var welcome struct{ Node string }
	_ = ws.SetReadDeadline(time.Now().Add(eventually.Patience))
	if ws.WriteJSON(map[string]string{"type": "hello", "token": f.token}) != nil || ws.ReadJSON(&welcome) != nil {
		return ""
	}
	return welcome.Node
}

// reaches is node, again until one answers.
func (f *fleet) reaches(from string) (node string) {
	f.t.Helper()
	eventually.Must(f.t, "a bridge to answer "+from, func() bool { node = f.node(from); return node != "" })
	return node
}

// caller is a viewer that comes through the balancer and comes back by itself.
type caller struct {
	f    *fleet
	from string
	stop func() // ends it; a second call does nothing

	mu      sync.Mutex
	events  []client.Event
	starts  []client.Update
	gaps    []client.Gap
	payload []string
}

// call connects a viewer from an address and returns when it is subscribed.
func (f *fleet) call(from string) *caller {
	f.t.Helper()
	v := &caller{f: f, from: from}
	ctx, cancel := context.WithCancel(f.t.Context())
	limit, done := context.WithTimeout(ctx, eventually.Patience)
	defer done()
	c, err := client.Dial(limit, client.Options{
		URL: "wss://" + f.front + "/ws", TLS: f.tls(), NetDial: dialFrom(from), MinBackoff: 10 * time.Millisecond, MaxBackoff: 200 * time.Millisecond,
		Token:   func(context.Context) (string, error) { return f.token, nil },
		OnEvent: func(e client.Event) { v.mu.Lock(); v.events = append(v.events, e); v.mu.Unlock() },
	})
	if err != nil {
		f.t.Fatalf("%v\n%s", err, f.server.log)
	}
	sub, err := c.Subscribe("#", client.SubscribeOptions{})
	if err != nil {
		f.t.Fatal(err)
	}
	var reads sync.WaitGroup
	reads.Go(func() {
		for u, err := range sub.All(ctx) {
			if err != nil {
				return // the test has ended, or it will miss what it waits for
			}
			v.take(u)
		}
	})
	v.stop = func() { cancel(); _ = c.Close(); reads.Wait() }
	f.t.Cleanup(v.stop)
	v.await("to be subscribed", func() bool { return len(v.starts) > 0 })
	return v
}

func (v *caller) take(u client.Update) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch u.Kind {
	case client.KindStart:
		v.starts = append(v.starts, u)
	case client.KindGap:
		v.gaps = append(v.gaps, u.Gap)
	}
	for _, r := range u.Readings {
		v.payload = append(v.payload, string(r.Payload))
	}
}

// await waits for something that is looked at under the caller's lock.
func (v *caller) await(what string, ok func() bool) {
	v.f.t.Helper()
	eventually.Must(v.f.t, v.from+" "+what, func() bool { v.mu.Lock(); defer v.mu.Unlock(); return ok() })
}

// of returns the events of a kind.
func (v *caller) of(kind client.EventKind) []client.Event {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(v.events), func(e client.Event) bool { return e.Kind != kind })
}

// node is the bridge that it is connected with, or was last.
func (v *caller) node() int {
	v.f.t.Helper()
	all := v.of(client.EventConnected)
	n := slices.IndexFunc(v.f.nodes, func(p *child) bool { return filepath.Base(p.data) == all[len(all)-1].Node })
	if n < 0 {
		v.f.t.Fatalf("%s came to %q", v.from, all[len(all)-1].Node)
	}
	return n
}
