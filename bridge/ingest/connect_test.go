package ingest

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"plumbline/bridge/devca"
	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/journal"
)

// TestN83SilentConnectionsAreCut is M9, D18, N14, N72: nothing, half a CONNECT, and a CONNECT dribbled in.
func TestN83SilentConnectionsAreCut(t *testing.T) {
	b, _ := start(t, func(o *Options) { o.ConnectTimeout = 300 * time.Millisecond })
	whole := (&client{v: 4}).connectPacket(login{id: "slow"})
	for name, head := range map[string][]byte{"silent": nil, "half": whole[:len(whole)/2]} {
		c := dial(t, b, 4)
		c.send(head)
		c.wantClosed()
		_ = name
	}
	c := dial(t, b, 4)
	drip := time.NewTicker(40 * time.Millisecond) // the stimulus itself is slow
	defer drip.Stop()
	for _, one := range whole[:len(whole)-1] {
		if _, err := c.Write([]byte{one}); err != nil {
			break // cut while dribbling: that is what is wanted
		}
		<-drip.C
	}
	c.wantClosed()
}

// TestN83GiantPacketReservesNothing is M10, D17, N83.
func TestN83GiantPacketReservesNothing(t *testing.T) {
	b, _ := start(t, func(o *Options) { o.MaxPacketBytes = 64 << 10 })
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 20 {
		c := dial(t, b, 4)
		c.send([]byte{0x10, 0xFF, 0xFF, 0xFF, 0x7F})
		c.wantClosed()
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 32<<20 {
		t.Errorf("20 headers of 256 MiB allocated %d MiB", grown>>20)
	}
	c := dial(t, b, 5).ok(login{id: "c", clean: true})
	c.publish("t", strings.Repeat("x", 65<<10), 0, 0, 0, nil)
	c.wantClosed()
}

func TestLimits(t *testing.T) {
	b, _ := start(t, func(o *Options) { o.MaxPerAddress = 2 })
	first := dial(t, b, 5).ok(login{id: "1"})
	dial(t, b, 5).ok(login{id: "2"})
	dial(t, b, 5).wantClosed()
	_ = first.Close()
	eventually.Must(t, "the place of a closed connection", func() bool {
		c := dial(t, b, 5)
		_, _ = c.Write(c.connectPacket(login{id: "3"}))
		first, _, err := c.read()
		return err == nil && first == 0x20
	})
}

// TestConnectCodes holds D8, D13, D15 and what else a CONNECT may ask wrongly.
func TestConnectCodes(t *testing.T) {
	b, _ := start(t, nil)
	for _, tc := range []struct {
		name string
		v    byte
		l    login
		code int // -1 = closed without CONNACK
	}{
		{"D15 empty id, session kept", 4, login{}, 2},
		{"empty id, clean session", 4, login{clean: true}, 0},
		{"D13 authentication method", 5, login{id: "c", props: cat([]byte{0x15}, str("SCRAM"))}, 0x8C},
		{"id too long", 5, login{id: strings.Repeat("x", 300)}, 0x85},
		{"id too long, 3.1.1", 4, login{id: strings.Repeat("x", 300)}, 2},
		{"will to a wildcard", 5, login{id: "c", will: &willSpec{topic: "a/#", payload: "x"}}, 0x90},
		{"will to $SYS", 5, login{id: "c", will: &willSpec{topic: "$SYS/a", payload: "x"}}, 0x90},
		{"will to a wildcard, 3.1.1", 4, login{id: "c", will: &willSpec{topic: "a/#", payload: "x"}}, -1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := dial(t, b, tc.v)
			c.send(c.connectPacket(tc.l))
			first, body, err := c.read()
			switch {
			case tc.code < 0 && err == nil:
				t.Errorf("got packet %x %x, want a cut", first, body)
			case tc.code >= 0 && (err != nil || first != 0x20 || int(body[1]) != tc.code):
				t.Errorf("got %x %x %v, want CONNACK %#x", first, body, err, tc.code)
			}
			if tc.code != 0 {
				c.wantClosed()
			}
		})
	}
	c := dial(t, b, 6)
	c.send(c.connectPacket(login{id: "future"}))
	c.wantClosed()
}

// TestN83Keepalive is M14 and D21.
func TestN83Keepalive(t *testing.T) {
	b, _ := start(t, nil)
	for _, k := range []uint16{0, 43_691, 65_535} {
		c := dial(t, b, 5)
		body := c.connect(login{id: "k", keepalive: k})
		if i := bytes.IndexByte(body, 0x13); body[1] != 0 || i < 0 || binary.BigEndian.Uint16(body[i+1:]) != serverKeepalive {
			t.Errorf("keepalive %d: CONNACK %x lacks Server Keep Alive %d", k, body, serverKeepalive)
		}
		c.send([]byte{0xC0, 0})
		c.want(13)
		old := dial(t, b, 4).ok(login{id: "k4", keepalive: k})
		old.send([]byte{0xC0, 0})
		old.want(13)
	}
	begin := time.Now()
	dial(t, b, 4).ok(login{id: "one", keepalive: 1}).wantClosed()
	if took := time.Since(begin); took < 1400*time.Millisecond {
		t.Errorf("keepalive 1 s cut after %s, [MQTT-3.1.2-22] allows 1.5 s", took)
	}
}

func users(t *testing.T) *Users {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte("pw"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	u, err := NewUsers([]User{
		{Name: "dev", Hash: string(hash), Publish: []string{"dev/#"}, Subscribe: []string{"cmd/dev/#"}},
		{Name: "all", Hash: string(hash), Publish: []string{"#"}, Subscribe: []string{"#"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestUsers(t *testing.T) { // N39, N49, N52
	b, j := start(t, func(o *Options) { o.Users = users(t) })
	for _, l := range []login{{id: "a"}, {id: "a", user: "dev", password: "wrong"}, {id: "a", user: "nobody", password: "pw"}, {id: "a", user: "dev"}} {
		l.will = &willSpec{topic: "dev/will", payload: "of a refused CONNECT"}
		c := dial(t, b, 5)
		if body := c.connect(l); body[1] != 0x86 {
			t.Errorf("login %q/%q: %#x, want 0x86", l.user, l.password, body[1])
		}
		c.wantClosed()
		if body := dial(t, b, 4).connect(l); body[1] != 5 {
			t.Errorf("login 3.1.1 %q/%q: %d, want 5", l.user, l.password, body[1])
		}
	}
	for range 2 { // the second login comes from the cache
		c := dial(t, b, 5).ok(login{id: "d", user: "dev", password: "pw", clean: true})
		c.publish("dev/1", "x", 1, 1, 0, nil)
		if _, code, _ := ackCode(c.want(4)); code != 0 {
			t.Errorf("allowed publish: %#x", code)
		}
		c.publish("other/1", "x", 1, 2, 0, nil)
		if _, code, _ := ackCode(c.want(4)); code != 0x87 {
			t.Errorf("forbidden publish: %#x, want 0x87", code)
		}
		for filter, want := range map[string]byte{"cmd/dev/+": 0, "cmd/#": 0x87, "#": 0x87, "cmd/+/x": 0x87} {
			if code := c.subscribe(filter); code != want {
				t.Errorf("SUBSCRIBE %s: %#x, want %#x", filter, code, want)
			}
		}
		_ = c.Close()
	}
	if wrong := dial(t, b, 5).connect(login{id: "d", user: "dev", password: "pwx"}); wrong[1] != 0x86 {
		t.Error("the cache accepts another password")
	}
	for _, e := range stored(t, j) {
		if e.Topic != "dev/1" {
			t.Errorf("stored %q", e.Topic)
		}
	}
}

func TestUsersFile(t *testing.T) {
	hash, _ := bcrypt.GenerateFromPassword([]byte("pw"), bcrypt.MinCost)
	path := filepath.Join(t.TempDir(), "users.yaml")
	load := func(text string) error {
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "HASH", `"`+string(hash)+`"`)), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := LoadUsers(path)
		return err
	}
	if err := load("users:\n  - {name: a, hash: HASH, publish: [\"x/#\"]}\n"); err != nil {
		t.Errorf("good file: %v", err)
	}
	for _, tc := range []struct{ text, want string }{
		{"users:\n  - {name: a, hash: HASH, publsh: [\"x/#\"]}\n", "publsh"},
		{"users:\n  - {name: a, hash: plain}\n", "htpasswd"},
		{"users:\n  - {name: a, hash: HASH}\n  - {name: a, hash: HASH}\n", "twice"},
		{"users:\n  - {hash: HASH}\n", "no name"},
		{"users:\n  - {name: a, hash: HASH, subscribe: [\"x/#/y\"]}\n", `"a"`},
	} {
		if err := load(tc.text); err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), string(hash)) {
			t.Errorf("%q: %v, want %q in it and no hash", tc.text, err, tc.want)
		}
	}
	if _, err := LoadUsers(path + ".none"); err == nil {
		t.Error("a missing file is no error")
	}
}

func TestTLS(t *testing.T) {
	cert, err := devca.Ensure(t.TempDir(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	over := func(connect time.Duration) (*Broker, *journal.Journal) {
		return start(t, func(o *Options) {
			o.Listeners[0].TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}
			o.ConnectTimeout = connect
		})
	}
	hasty, _ := over(500 * time.Millisecond)
	dial(t, hasty, 5).wantClosed() // silent: the handshake is within the time for CONNECT
	b, j := over(wait)
	c := dial(t, b, 5)
	c.Conn = tls.Client(c.Conn, &tls.Config{InsecureSkipVerify: true})
	c.r.Reset(c.Conn)
	c.ok(login{id: "tls", clean: true})
	c.publish("t", "x", 1, 1, 0, nil)
	c.want(4)
	if len(stored(t, j)) != 1 {
		t.Error("not stored")
	}
	plain := dial(t, b, 5)
	plain.send(plain.connectPacket(login{id: "plain"}))
	plain.wantClosed()
}

func TestN99LogHoldsNoSecretsMQTT(t *testing.T) {
	var buf safeBuffer
	b, _ := start(t, func(o *Options) {
		o.Log = slog.New(slog.NewJSONHandler(&buf, &slog.HandlerOptions{Level: slog.LevelDebug}))
		o.Users = users(t)
	})
	c := dial(t, b, 5)
	c.connect(login{id: "x", user: "dev", password: "hunter2-secret"})
	c = dial(t, b, 5).ok(login{id: "x", user: "dev", password: "pw", clean: true})
	c.publish("dev/1", "payload-canary", 1, 1, 0, nil)
	c.want(4)
	c.publish("dev/#", "payload-canary", 1, 2, 0, nil) // a protocol error, which the library logs with the whole packet
	_, _, _ = c.read()
	c.send(packet(0x10, []byte("garbage-canary")))
	c.wantClosed()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	log := buf.String()
	for _, bad := range []string{"hunter2", "payload-canary", "garbage-canary", `"pw"`} {
		if strings.Contains(log, bad) {
			t.Errorf("the log holds %q:\n%s", bad, log)
		}
	}
	if !strings.Contains(log, `"msg":"refused","action":"mqtt login"`) {
		t.Errorf("the log lacks the refused login:\n%s", log)
	}
}

func TestCloseWithoutStart(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b, _ := start(t, func(o *Options) { _ = o.Listeners[0].Socket.Close(); o.Listeners[0].Socket = l })
	for range 2 {
		if err := b.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}

// TestN40SessionBelongsToItsUser is N40: another user's client id gives neither its session nor its place.
func TestN40SessionBelongsToItsUser(t *testing.T) {
	b, _ := start(t, func(o *Options) { o.Users = users(t) })
	session := u32(0x11, 3600)
	owner := dial(t, b, 5).ok(login{id: "x", user: "all", password: "pw", props: session})
	owner.send(packet(0x82, []byte{0, 1, 0}, str("secret"), []byte{1}))
	owner.want(9)
	thief := dial(t, b, 5)
	if body := thief.connect(login{id: "x", user: "dev", password: "pw", props: session}); body[1] != 0x85 {
		t.Errorf("CONNECT with another user's client id: %#x, want 0x85", body[1])
	}
	thief.wantClosed()
	owner.send([]byte{0xC0, 0}) // still there
	owner.want(13)
	_ = owner.Close()
	p := dial(t, b, 5).ok(login{id: "p", user: "all", password: "pw", clean: true})
	p.publish("secret", "for all only", 1, 1, 0, nil)
	p.want(4)
	if body := dial(t, b, 5).connect(login{id: "x", user: "dev", password: "pw", props: session}); body[1] != 0x85 {
		t.Errorf("CONNECT to another user's waiting session: %#x, want 0x85", body[1])
	}
	back := dial(t, b, 5)
	if body := back.connect(login{id: "x", user: "all", password: "pw", props: session}); body[0] != 1 || body[1] != 0 {
		t.Fatalf("the owner's CONNACK %x, want its session", body)
	}
	if body := string(back.want(3)); !strings.HasSuffix(body, "for all only") {
		t.Errorf("the owner got %q", body)
	}
}

// TestCloseIsBounded: subscribers that read nothing cannot hold up the end.
func TestCloseIsBounded(t *testing.T) {
	b, _ := start(t, func(o *Options) { o.WriteTimeout = time.Minute })
	for _, id := range []string{"s1", "s2", "s3"} {
		dial(t, b, 5).ok(login{id: id, clean: true}).subscribe("big")
	}
	p := dial(t, b, 5).ok(login{id: "p", clean: true})
	for n := uint16(1); n <= 200; n++ {
		p.publish("big", strings.Repeat("x", 200<<10), 1, n, 0, nil)
		p.want(4)
	}
	closesInTime(t, b)
}

// closesInTime fails the test when Close waits for what may never come.
func closesInTime(t *testing.T, b *Broker) {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- b.Close() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(wait):
		t.Fatal("Close waits")
	}
}
