package ingest

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/journal"
)

// TestReleaseIsSavedBeforePubcomp: with PUBCOMP a client may use the identifier for another message, which a bridge that was
// killed and knew the old one would acknowledge without storing it.
func TestReleaseIsSavedBeforePubcomp(t *testing.T) {
	r := &restartable{t: t, dir: t.TempDir()}
	b := r.start()
	defer r.stop()
	in := login{id: "s", props: kept1h}
	c := dial(t, b, 5).ok(in)
	taken := func() []uint16 {
		k, err := b.sessions.store.read(b.sessions.store.path("s"))
		if err != nil {
			t.Fatal(err)
		}
		return k.Taken
	}
	for id := uint16(1); id <= 20; id++ {
		c.publish("x", "y", 2, id, 0, nil)
		c.want(5)
		c.send(ackOf(0x62, id))
		c.want(7)
		if left := taken(); len(left) != 0 {
			t.Fatalf("after PUBCOMP %d a restart would still know %v", id, left)
		}
	}
	c.publish("x", "y", 2, 50, 0, nil)
	c.want(5)
	if err := os.Remove(b.sessions.store.path("s")); err != nil { // what is there instead cannot be written
		t.Fatal(err)
	}
	if err := os.Mkdir(b.sessions.store.path("s"), 0o700); err != nil {
		t.Fatal(err)
	}
	c.send(ackOf(0x62, 50))
	if kinds := c.wantClosed(); bytes.IndexByte(kinds, 7) >= 0 {
		t.Error("PUBCOMP although the release is not saved")
	}
	c = dial(t, b, 5).ok(in) // saves anew
	c.send(ackOf(0x62, 50))
	if _, code, _ := ackCode(c.want(7)); code != 0 || len(taken()) != 0 {
		t.Errorf("PUBCOMP %#x, %v left", code, taken())
	}
}

// TestQoS2StepsAreSaved: what PUBREC and PUBREL promise holds after a kill at once.
func TestQoS2StepsAreSaved(t *testing.T) {
	r := &restartable{t: t, dir: t.TempDir()}
	b := r.start()
	defer r.stop()
	saved := func() *kept {
		k, err := b.sessions.store.read(b.sessions.store.path("s"))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	c := dial(t, b, 5).ok(login{id: "s", props: kept1h})
	c.sub("x", 2, nil)
	c.publish("y", "up", 2, 9, 0, nil)
	c.want(5)
	if k := saved(); len(k.Taken) != 1 || k.Taken[0] != 9 {
		t.Errorf("after PUBREC a restart would know %v", k.Taken)
	}
	p := dial(t, b, 5).ok(login{id: "p", clean: true})
	p.publish("x", "down", 2, 1, 0, nil)
	g := c.next()
	if k := saved(); len(k.Flights) != 1 || k.Flights[0].ID != g.id || k.Flights[0].Released {
		t.Errorf("after PUBLISH %d a restart would know %+v", g.id, k.Flights)
	}
	c.send(ackOf(0x50, g.id))
	c.want(6)
	if k := saved(); len(k.Flights) != 1 || !k.Flights[0].Released {
		t.Errorf("after PUBREL a restart would know %+v", k.Flights)
	}
}

// TestPropertiesArriveWhole [MQTT-3.3.2-17]: Request Problem Information is about answers, and a Maximum Packet Size keeps
// messages back; neither takes properties out of them.
func TestPropertiesArriveWhole(t *testing.T) {
	b, _ := start(t, nil)
	p := dial(t, b, 5).ok(login{id: "p", clean: true})
	quiet := dial(t, b, 5).ok(login{id: "quiet", clean: true, props: []byte{0x17, 0}})
	small := dial(t, b, 5).ok(login{id: "small", clean: true, props: u32(0x27, 100)})
	quiet.sub("x", 1, nil)
	small.sub("x", 1, nil)
	long := userProp("k", strings.Repeat("v", 90))
	p.publish("x", "too large for one", 1, 1, 0, long)
	p.want(4)
	p.publish("x", "for both", 1, 2, 0, userProp("k", "v"))
	p.want(4)
	if g := quiet.next(); !bytes.Equal(g.props, long) {
		t.Errorf("without problem information: properties %q", g.props)
	}
	if g := small.next(); g.payload != "for both" || !bytes.Equal(g.props, userProp("k", "v")) {
		t.Errorf("with 100 bytes at most: %q, properties %q", g.payload, g.props)
	}
	exact := 100 - len(p.publishPacket("x", "", 1, 1, 0, nil)) - len(userProp("k", "")) // a packet of 100 bytes to the byte
	whole := userProp("k", strings.Repeat("v", exact))
	p.publish("x", "", 1, 3, 0, whole)
	p.want(4)
	if g := small.next(); !bytes.Equal(g.props, whole) {
		t.Errorf("exactly 100 bytes: %+v", g)
	}
}

// TestExpiryOfWhatIsSentAgain [MQTT-4.3.3-7] [MQTT-3.3.2-6]: what was under way comes again although its time is over, and is told
// what is left of it.
func TestExpiryOfWhatIsSentAgain(t *testing.T) {
	b, j := start(t, nil)
	in := []login{{id: "one", props: kept1h}, {id: "two", props: kept1h}} // by the QoS of the subscription
	var subs []*client
	for i, l := range in {
		s := dial(t, b, 5).ok(l)
		s.sub("e", byte(i+1), nil)
		subs = append(subs, s)
	}
	p := dial(t, b, 5).ok(login{id: "p", clean: true})
	ids := map[string][]uint16{}
	for i, seconds := range []uint32{1, 1000} {
		p.publish("e", fmt.Sprint(seconds), 2, uint16(i+1), 0, u32(2, seconds))
		p.want(5)
		for k, s := range subs {
			ids[in[k].id] = append(ids[in[k].id], s.next().id)
		}
	}
	for k, s := range subs {
		leave(t, b, s, in[k].id)
	}
	eventually.Must(t, "the short one's end", func() bool { // the clock itself is what is waited for
		return time.Since(stored(t, j)[0].Time) > 1100*time.Millisecond
	})
	for k, l := range in {
		s := dial(t, b, 5).ok(l)
		for i, left := range []uint32{1, 999} {
			g := s.next()
			if got := binary.BigEndian.Uint32(g.props[1:]); !g.dup || int(g.qos) != k+1 || g.id != ids[l.id][i] || got == 0 || got > left {
				t.Errorf("message %d: %+v, want it again with at most %d s left", i, g, left)
			}
		}
	}
}

// shaky is a journal that cannot be read while it is shaken.
type shaky struct {
	*journal.Journal
	shaken atomic.Bool
	asked  atomic.Int64
}

func (s *shaky) ReadInto(dst []journal.Entry, after uint64, maxEntries, maxBytes int) ([]journal.Entry, error) {
	if s.shaken.Load() {
		s.asked.Add(1)
		return dst, errors.New("too many open files")
	}
	return s.Journal.ReadInto(dst, after, maxEntries, maxBytes)
}

// TestUnreadableForAMomentIsNotLost: a journal that cannot be read at the moment is asked again, for what was under way before a
// restart too.
func TestUnreadableForAMomentIsNotLost(t *testing.T) {
	r := &restartable{t: t, dir: t.TempDir()}
	b := r.start()
	in := login{id: "s", props: cat(kept1h, []byte{0x21, 0, 2})}
	s := dial(t, b, 5).ok(in)
	s.sub("x", 1, nil)
	dial(t, b, 5).ok(login{id: "p", clean: true}).storm("x", 0, 5)
	s.next()
	s.next()
	r.stop()

	var bad shaky
	bad.shaken.Store(true)
	r.change = func(o *Options) {
		bad.Journal = o.Journal.(*journal.Journal)
		o.Journal = &bad
	}
	b = r.start()
	defer r.stop()
	s = dial(t, b, 5).ok(in)
	eventually.Must(t, "the journal to be read in vain", func() bool { return bad.asked.Load() > 0 })
	s.quiet()
	bad.shaken.Store(false)
	for i := range 5 {
		g := s.next()
		if g.payload != fmt.Sprint(i) {
			t.Fatalf("message %d: %+v", i, g)
		}
		s.send(ackOf(0x40, g.id))
	}
}

// TestASlowSaveHoldsUpNobodyElse: what clients acknowledged is written down beside the way of the messages.
func TestASlowSaveHoldsUpNobodyElse(t *testing.T) {
	r := &restartable{t: t, dir: t.TempDir()}
	b := r.start()
	dial(t, b, 5).ok(login{id: "slow", props: kept1h})
	b.sessions.mu.Lock()
	slow := b.sessions.byID["slow"]
	b.sessions.mu.Unlock()
	slow.saving.Lock() // as a disk that hangs
	slow.mu.Lock()
	slow.dirty = true
	slow.mu.Unlock()
	defer r.stop()
	defer slow.saving.Unlock()
	s := dial(t, b, 5).ok(login{id: "s", clean: true})
	s.sub("x", 0, nil)
	p := dial(t, b, 5).ok(login{id: "p", clean: true})
	tick := time.NewTicker(upkeepEvery / 4)
	defer tick.Stop()
	for i := range 10 { // over more than two rounds of upkeep
		p.publish("x", fmt.Sprint(i), 0, 0, 0, nil)
		if g := s.next(); g.payload != fmt.Sprint(i) {
			t.Fatalf("%+v", g)
		}
		<-tick.C
	}
}

// TestRevokedBetweenHandshakeAndConnect: a certificate that is revoked after its handshake is good for no CONNECT.
func TestRevokedBetweenHandshakeAndConnect(t *testing.T) {
	ca := newAuthority(t, "ca")
	b, revoked := startMTLS(t, ca, true, "cn")
	dev := ca.client("dev", nil)
	c := dialTLS(t, b, dev)
	if err := c.Conn.(*tls.Conn).HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(revoked, []byte(dev.Leaf.SerialNumber.Text(16)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually.Must(t, "the list", func() bool { return b.opts.Certificates.check(dev.Leaf) != nil })
	b.Reload()
	if body := c.connect(login{id: "x", clean: true}); body[1] != 0x86 {
		t.Errorf("CONNECT with a revoked certificate: %#x, want 0x86", body[1])
	}
	c.wantClosed()
}

// TestN39SharedAddressIsNoPass: who logs in from the address of a good login, behind the same proxy or router, may not guess on.
func TestN39SharedAddressIsNoPass(t *testing.T) {
	b, _ := start(t, func(o *Options) { o.Users, o.LoginFailures = users(t), 3 })
	good := login{id: "known", user: "all", password: "pw", clean: true}
	dial(t, b, 5).ok(good)
	var m [2]float64
	for i := range 8 {
		if body := dial(t, b, 5).connect(login{id: "x", user: "all", password: "guess"}); body[1] != 0x86 {
			t.Errorf("guess %d: %#x", i, body[1])
		}
	}
	m[0], m[1] = rejected(t, b, "password"), rejected(t, b, "throttled")
	if m != [2]float64{3, 5} {
		t.Errorf("%v passwords checked, %v guesses throttled; want 3 and 5", m[0], m[1])
	}
	dial(t, b, 5).ok(good) // the device itself is let in
}

// TestConnectAndSubscribeToTheLetter holds what the library lets pass or answers wrongly.
func TestConnectAndSubscribeToTheLetter(t *testing.T) {
	b, _ := start(t, nil)
	for name, tc := range map[string]struct {
		v    byte
		l    login
		edit func(p []byte) []byte
		code int // of CONNACK; -1 = closed without
	}{
		"user name that is no UTF-8":    {5, login{user: "\xff"}, nil, 0x81},
		"the same, 3.1.1":               {4, login{user: "\xff"}, nil, 4},
		"user name with NUL":            {5, login{user: "a\x00b"}, nil, 0x81},
		"empty password":                {5, login{user: "u"}, func(p []byte) []byte { p[9] |= 0x40; p[1] += 2; return cat(p, []byte{0, 0}) }, 0},
		"empty password, 3.1.1":         {4, login{user: "u"}, func(p []byte) []byte { p[9] |= 0x40; p[1] += 2; return cat(p, []byte{0, 0}) }, 0},
		"will QoS without a will":       {5, login{}, func(p []byte) []byte { p[9] |= 8; return p }, 0x81}, // [MQTT-3.1.2-11]
		"password without a user name":  {4, login{password: "x"}, nil, -1},                                // [MQTT-3.1.2-22]
		"the same is fine with MQTT 5":  {5, login{password: "x"}, nil, 0},                                 // MQTT 5 section 3.1.2.9
		"a version from the past":       {2, login{}, nil, 1},                                              // [MQTT-3.1.2-2]
		"a version from the future":     {6, login{}, nil, 0x84},                                           // [MQTT-3.1.2-2]
		"a version from the far future": {200, login{}, nil, 0x84},
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, b, tc.v)
			tc.l.clean, tc.l.id = true, strings.ReplaceAll(name, " ", "-") // one session each
			p := c.connectPacket(tc.l)
			if tc.edit != nil {
				p = tc.edit(p)
			}
			c.send(p)
			first, body, err := c.read()
			switch {
			case tc.code < 0 && err == nil:
				t.Errorf("got packet %x %x, want a cut", first, body)
			case tc.code >= 0 && (err != nil || first != 0x20 || int(body[1]) != tc.code):
				t.Errorf("got %x %x %v, want CONNACK %#x", first, body, err, tc.code)
			}
		})
	}
	c := dial(t, b, 5).ok(login{id: "ids", clean: true})
	c.send(packet(0x82, []byte{0, 1, 4, 0x0B, 5, 0x0B, 6}, str("x"), []byte{0})) // MQTT 5 section 3.8.2.1.2
	if body := c.want(14); body[0] != 0x82 {
		t.Errorf("two subscription identifiers: DISCONNECT %#x, want 0x82", body[0])
	}
}

// TestFiltersAreBounded: by levels and by bytes, for each costs memory, and what is saved must be read again.
func TestFiltersAreBounded(t *testing.T) {
	r := &restartable{t: t, dir: t.TempDir()}
	b := r.start()
	in := login{id: "s", props: kept1h}
	c := dial(t, b, 5).ok(in)
	if code := c.sub("a"+strings.Repeat("/+", maxLevels-1), 0, nil); code != 0 {
		t.Errorf("%d levels: %#x", maxLevels, code)
	}
	if code := c.sub("a"+strings.Repeat("/+", maxLevels), 0, nil); code != 0x97 {
		t.Errorf("%d levels: %#x, want 0x97", maxLevels+1, code)
	}
	good, size := 1, 2*maxLevels-1
	for i := range 10 {
		filter := fmt.Sprint(i, strings.Repeat("x", 40_000))
		size += len(filter)
		code := c.sub(filter, 0, nil)
		if want := size <= maxFilterBytes; want != (code == 0) {
			t.Errorf("filter %d, %d bytes together: %#x", i, size, code)
		} else if want {
			good++
		}
	}
	c.send(packet(0xA2, []byte{0, 5, 0}, str("a"+strings.Repeat("/+", maxLevels-1))))
	c.want(11)
	if code := c.sub("a/b", 0, nil); code != 0 { // room again
		t.Errorf("after UNSUBSCRIBE: %#x", code)
	}
	r.stop()
	b = r.start()
	defer r.stop()
	if body := dial(t, b, 5).connect(in); body[0] != 1 || body[1] != 0 || len(b.sessions.byID["s"].subs) != good {
		t.Errorf("after a restart CONNACK %x, %d subscriptions, want %d", body, len(b.sessions.byID["s"].subs), good)
	}
}
