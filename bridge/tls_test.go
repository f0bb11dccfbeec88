package bridge

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"plumbline/bridge/devca"
	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/wire"
)

// clientHello spells a ClientHello record (RFC 5246 section 7.4.1.2) with what no Go client would send.
func clientHello(version uint16, suites []uint16, compression []byte) []byte {
	vec := func(size int, body []byte) []byte { // body behind its length in size bytes
		head := binary.BigEndian.AppendUint64(nil, uint64(len(body)))
		return append(head[8-size:], body...)
	}
	ext := func(kind uint16, body []byte) []byte {
		return append(binary.BigEndian.AppendUint16(nil, kind), vec(2, body)...)
	}
	var list []byte
	for _, s := range suites {
		list = binary.BigEndian.AppendUint16(list, s)
	}
	exts := slices.Concat(
		ext(10, vec(2, []byte{0, 23})),                  // supported_groups: P-256
		ext(11, vec(1, []byte{0})),                      // uncompressed points
		ext(13, vec(2, []byte{4, 3, 8, 4, 4, 1, 2, 1})), // signature_algorithms
	)
	body := binary.BigEndian.AppendUint16(nil, version)
	body = append(body, make([]byte, 32)...)
	body = slices.Concat(body, vec(1, nil), vec(2, list), vec(1, compression), vec(2, exts))
	return slices.Concat([]byte{22, 3, 1}, vec(2, slices.Concat([]byte{1}, vec(3, body))))
}

// offer sends a ClientHello and returns the server's ServerHello, nil when it answers with an alert or hangs up.
func offer(t *testing.T, addr string, record []byte) []byte {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write(record); err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 5)
	if _, err := io.ReadFull(conn, head); err != nil {
		return nil
	}
	body := make([]byte, binary.BigEndian.Uint16(head[3:]))
	if _, err := io.ReadFull(conn, body); err != nil || head[0] != 22 || body[0] != 2 {
		return nil
	}
	return body
}

func TestN84OldTLSIsRefused(t *testing.T) {
	addr := run(t, nil).b.Addresses().Viewers
	const good = tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
	if offer(t, addr, clientHello(tls.VersionTLS12, []uint16{good}, []byte{0})) == nil {
		t.Fatal("TLS 1.2 with a good suite is refused: what follows would show nothing")
	}
	for version, name := range map[uint16]string{0x0002: "SSL 2", 0x0300: "SSL 3", tls.VersionTLS10: "TLS 1.0", tls.VersionTLS11: "TLS 1.1"} {
		if offer(t, addr, clientHello(version, []uint16{good, 0xC013, 0x002F}, []byte{0})) != nil {
			t.Errorf("%s is accepted", name)
		}
	}
	for name, suites := range map[string][]uint16{
		"NULL":            {0x0001, 0x0002, 0x003B, 0xC006, 0xC010},
		"export":          {0x0003, 0x0006, 0x0008, 0x0014},
		"RC4":             {tls.TLS_RSA_WITH_RC4_128_SHA, tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA, tls.TLS_ECDHE_RSA_WITH_RC4_128_SHA},
		"3DES":            {tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA, 0xC008},
		"CBC only":        {tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256},
		"no fresh secret": {tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_128_CBC_SHA},
		"anonymous":       {0x0018, 0x0034, 0xC018},
		"unknown to us":   {0xFEFE},
	} {
		if offer(t, addr, clientHello(tls.VersionTLS12, suites, []byte{0})) != nil {
			t.Errorf("%s: a suite is accepted", name)
		}
	}
}

func TestN85NoCompressionNoRenegotiation(t *testing.T) {
	r := run(t, nil)
	addr := r.b.Addresses().Viewers
	suites := []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
	if offer(t, addr, clientHello(tls.VersionTLS12, suites, []byte{1})) != nil {
		t.Error("DEFLATE alone is accepted")
	}
	sh := offer(t, addr, clientHello(tls.VersionTLS12, suites, []byte{1, 0}))
	if sh == nil {
		t.Fatal("refused with null among the methods")
	}
	session := 4 + 2 + 32 // header, version, random
	if method := sh[session+1+int(sh[session])+2]; method != 0 {
		t.Errorf("compression method %d", method)
	}
	path, err := exec.LookPath("openssl")
	if err != nil {
		t.Fatal("openssl is missing, of which the test takes a client that renegotiates: make deps-test")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "s_client", "-connect", addr, "-tls1_2", "-CAfile", filepath.Join(r.cfg.Data, "tls", "ca.pem"))
	cmd.Stdin = strings.NewReader("R\n") // renegotiate
	out, err := cmd.CombinedOutput()
	text := string(out)
	if !strings.Contains(text, "Cipher is ECDHE") || !strings.Contains(text, "RENEGOTIATING") {
		t.Fatalf("the client did not come so far: %v\n%s", err, text)
	}
	if err == nil || !strings.Contains(text, "no renegotiation") && !strings.Contains(text, "unexpected message") {
		t.Errorf("renegotiation: %v\n%s", err, text)
	}
}

func TestN86OneCertificateWhateverTheName(t *testing.T) {
	r := run(t, nil)
	var first []byte
	for _, name := range []string{"", "localhost", "tenant.example"} {
		conf := &tls.Config{ServerName: name, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}
		c, err := tls.Dial("tcp", r.b.Addresses().Viewers, conf)
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		raw := c.ConnectionState().PeerCertificates[0].Raw
		_ = c.Close()
		if first == nil {
			first = raw
		} else if !bytes.Equal(raw, first) {
			t.Errorf("%q gets another certificate", name)
		}
	}
	conf := r.tls()
	conf.ServerName = "tenant.example"
	if c, err := tls.Dial("tcp", r.b.Addresses().Viewers, conf); err == nil {
		_ = c.Close()
		t.Error("a client takes it for tenant.example")
	}
}

// recorder keeps what is written and never answers.
type recorder struct {
	net.Conn
	sent []byte
}

func (r *recorder) Write(p []byte) (int, error)      { r.sent = append(r.sent, p...); return len(p), nil }
func (r *recorder) Read([]byte) (int, error)         { return 0, io.EOF }
func (r *recorder) SetDeadline(time.Time) error      { return nil }
func (r *recorder) SetWriteDeadline(time.Time) error { return nil }
func (r *recorder) Close() error                     { return nil }

// TestN90NoEarlyData: a ClientHello with the early_data extension (RFC 8446 section 4.2.10) ends the handshake, so no command
// in it could be taken.
func TestN90NoEarlyData(t *testing.T) {
	addr := run(t, nil).b.Addresses().Viewers
	rec := &recorder{}
	_ = tls.Client(rec, &tls.Config{ServerName: "localhost", MinVersion: tls.VersionTLS13}).Handshake()
	plain := rec.sent
	if offer(t, addr, plain) == nil {
		t.Fatal("the same without early data is refused: what follows would show nothing")
	}
	early := append(slices.Clone(plain), 0, 42, 0, 0)
	grow := func(at, size int) { // the length in size bytes at at
		var wide [8]byte
		copy(wide[8-size:], early[at:at+size])
		copy(early[at:at+size], binary.BigEndian.AppendUint64(nil, binary.BigEndian.Uint64(wide[:])+4)[8-size:])
	}
	at := 5 + 4 + 2 + 32
	at += 1 + int(early[at])                           // session id
	at += 2 + int(binary.BigEndian.Uint16(early[at:])) // suites
	at += 1 + int(early[at])                           // compression
	grow(at, 2)
	grow(6, 3)
	grow(3, 2)
	if offer(t, addr, early) != nil {
		t.Error("early data is accepted")
	}
}

// pairs makes n development pairs, each of its own authority.
func pairs(t *testing.T, n int) (dirs []string) {
	t.Helper()
	for range n {
		dir := t.TempDir()
		if _, err := devca.Ensure(dir, time.Now()); err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, dir)
	}
	return dirs
}

// install copies a file into place in one step, as a renewal tool does.
func install(t *testing.T, from, to string) {
	t.Helper()
	raw, err := os.ReadFile(from)
	if err == nil {
		if err = os.WriteFile(to+".new", raw, 0o600); err == nil {
			err = os.Rename(to+".new", to)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// trusting returns the settings of a client that trusts dir's authority only.
func trusting(t *testing.T, dir string) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(filepath.Join(dir, devca.CAFile))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

// TestN87Rotation: viewers, MQTT and operators get the new certificate without a restart, those connected stay, and a bad pair
// changes nothing but the alarm.
func TestN87Rotation(t *testing.T) {
	dirs, place := pairs(t, 2), t.TempDir()
	certFile, keyFile := filepath.Join(place, "cert.pem"), filepath.Join(place, "key.pem")
	put := func(cert, key int) {
		install(t, filepath.Join(dirs[key], devca.ServerKeyFile), keyFile)
		install(t, filepath.Join(dirs[cert], devca.ServerFile), certFile)
	}
	put(0, 0)
	r := run(t, func(c *Config) {
		c.Viewers.TLS.Cert, c.Viewers.TLS.Key = certFile, keyFile
		c.Ops.TLS.Cert, c.Ops.TLS.Key = certFile, keyFile
		c.MQTT.TLS.Cert, c.MQTT.TLS.Key = certFile, keyFile
	})
	a := r.b.Addresses()
	shows := func(addr string, n int) bool {
		c, err := tls.Dial("tcp", addr, trusting(t, dirs[n]))
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}
	v := r.dialURL(r.url(), trusting(t, dirs[0]))
	v.send(map[string]any{"type": "hello", "token": r.token(nil)})
	v.want("welcome")
	v.sub(1, "a", nil)
	put(1, 0) // a certificate without its key
	ready := func() string {
		client := http.Client{Transport: &http.Transport{TLSClientConfig: r.opsTLS(dirs...), DisableKeepAlives: true}, Timeout: patience}
		resp, err := client.Get("https://" + a.Ops + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		text, _ := io.ReadAll(resp.Body)
		return fmt.Sprint(resp.StatusCode, " ", string(text))
	}
	eventually.Must(t, "the alarm", func() bool { return strings.HasPrefix(ready(), "200") && strings.Contains(ready(), "viewers.tls") })
	r.b.Reload()
	for name, addr := range map[string]string{"viewers": a.Viewers, "mqtt": a.MQTT, "ops": a.Ops} {
		if !shows(addr, 0) {
			t.Errorf("%s: the old certificate is gone", name)
		}
	}
	if got := r.metric("bridge_tls_reload_failures_total"); got != 3 {
		t.Errorf("%v failures counted, want one of each listener", got)
	}
	put(1, 1)
	eventually.Must(t, "the new certificate everywhere", func() bool { return shows(a.Viewers, 1) && shows(a.MQTT, 1) && shows(a.Ops, 1) })
	if shows(a.Viewers, 0) {
		t.Error("the old certificate is still shown")
	}
	if got := ready(); strings.Contains(got, "alarms") {
		t.Errorf("the alarm stays: %s", got)
	}
	v.send(map[string]any{"type": "ping", "id": "still here"})
	v.want("pong")
}

// opsTLS trusts the authorities of all dirs.
func (r *running) opsTLS(dirs ...string) *tls.Config {
	r.t.Helper()
	pool := x509.NewCertPool()
	for _, dir := range dirs {
		pem, err := os.ReadFile(filepath.Join(dir, devca.CAFile))
		if err != nil {
			r.t.Fatal(err)
		}
		pool.AppendCertsFromPEM(pem)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

// metric returns the sum of a metric over its labels.
func (r *running) metric(name string) (sum float64) {
	r.t.Helper()
	families, err := r.b.m.Registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// TestN91StrictTransport: with a certificate of the operator's every answer binds the browser to TLS, the upgrade too; with the
// development certificate none does, for it would bind all of localhost.
func TestN91StrictTransport(t *testing.T) {
	dir := pairs(t, 1)[0]
	r := run(t, func(c *Config) {
		c.Viewers.TLS.Cert, c.Viewers.TLS.Key = filepath.Join(dir, devca.ServerFile), filepath.Join(dir, devca.ServerKeyFile)
	})
	d := websocket.Dialer{TLSClientConfig: trusting(t, dir), Subprotocols: []string{wire.Subprotocol}}
	ws, resp, err := d.Dial(r.url(), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = ws.Close()
	client := http.Client{Transport: &http.Transport{TLSClientConfig: trusting(t, dir)}}
	plain, err := client.Get("https://" + r.b.Addresses().Viewers + "/ws")
	if err != nil {
		t.Fatal(err)
	}
	_ = plain.Body.Close()
	for _, resp := range []*http.Response{resp, plain} {
		if got := resp.Header.Get("Strict-Transport-Security"); got != strictTransport {
			t.Errorf("%s: Strict-Transport-Security %q", resp.Status, got)
		}
	}
	dev := run(t, nil)
	if got := dev.handshake("https://"+dev.b.Addresses().Viewers+"/ws", upgrade()).Header.Get("Strict-Transport-Security"); got != "" {
		t.Errorf("with the development certificate: %q", got)
	}
}

// TestN01PlaintextIsRefused: on the TLS port plain HTTP gets an answer that says so, and the request in it is not looked at.
func TestN01PlaintextIsRefused(t *testing.T) {
	log := &journaled{}
	r := runLogged(t, testConfig(t.TempDir()), log.logger())
	token, host := r.token(nil), r.b.Addresses().Viewers
	conn, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	h := upgrade()
	h.Set("Authorization", "Bearer "+token)
	req := &http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: "http", Host: host, Path: "/ws"}, Host: host, Header: h, ProtoMajor: 1, ProtoMinor: 1}
	if resp := roundTrip(t, conn, req); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("status %d", resp.StatusCode)
	}
	if got := r.metric("bridge_auth_total"); got != 0 {
		t.Errorf("%v tokens were looked at", got)
	}
	r.drain()
	if strings.Contains(log.String(), token) {
		t.Error("the token is in the log")
	}
}
