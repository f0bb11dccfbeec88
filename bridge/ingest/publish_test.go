package ingest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"plumbline/bridge/journal"
)

func TestPublishIsStoredBeforeItsAck(t *testing.T) { // M4
	b, j := start(t, nil)
	for _, v := range []byte{4, 5} {
		c := dial(t, b, v).ok(login{id: fmt.Sprint("c", v), clean: true})
		before := len(stored(t, j))
		for i := range uint16(50) {
			c.publish("a/b", fmt.Sprint(i), 1, i+1, 0, nil)
			c.want(4)
			if got := len(stored(t, j)); got != before+int(i)+1 {
				t.Fatalf("v%d: acknowledged %d, stored %d", v, i+1, got-before)
			}
		}
		c.publish("a/c", "two", 2, 77, 1, nil) // QoS 2, retained
		c.want(5)
		last := stored(t, j)[before+50]
		if last.Topic != "a/c" || string(last.Payload) != "two" || last.QoS != 2 || !last.Retain || last.Time.IsZero() {
			t.Errorf("stored %+v", last)
		}
		c.publish("a/c", "two", 2, 77, 9, nil) // resent with DUP before PUBREL
		c.want(5)
		if got := len(stored(t, j)); got != before+51 {
			t.Errorf("QoS 2 resent was stored again: %d entries more", got-before-51)
		}
		c.publish("a/d", "zero", 0, 0, 0, nil)
		if e := waitStored(t, j, before+52); e[before+51].Topic != "a/d" || e[before+51].QoS != 0 {
			t.Errorf("QoS 0 stored as %+v", e[before+51])
		}
	}
}

func TestN93ProducerSequenceStoresOnce(t *testing.T) {
	b, j := start(t, nil)
	seq := func(n string) []byte { return userProp(SequenceProperty, n) }
	c := dial(t, b, 5).ok(login{id: "dev", clean: true})
	for i, s := range []string{"1", "2", "2", "1", "3"} {
		c.publish("s", s, 1, uint16(i+1), 0, seq(s))
		id, code, props := ackCode(c.want(4))
		duplicate := i == 2 || i == 3
		if id != uint16(i+1) || code != 0 || strings.Contains(props, "duplicate") != duplicate {
			t.Errorf("publish %d: id %d, code %#x, properties %q", i, id, code, props)
		}
	}
	_ = c.Close()
	c = dial(t, b, 5).ok(login{id: "dev"})
	c.publish("s", "3", 1, 1, 8, seq("3")) // resent on a new connection
	c.want(4)
	c.publish("s", "4", 1, 2, 0, seq("4"))
	c.want(4)
	d := dial(t, b, 5).ok(login{id: "other", clean: true})
	d.publish("s", "o1", 1, 1, 0, seq("1")) // another client counts for itself
	d.want(4)
	for _, bad := range []string{"0", "-1", "x", "", "18446744073709551616"} {
		d.publish("s", "bad", 1, 9, 0, seq(bad))
		if _, code, props := ackCode(d.want(4)); code != 0x83 || !strings.Contains(props, SequenceProperty) {
			t.Errorf("sequence %q: code %#x %q, want 0x83 with the reason", bad, code, props)
		}
	}
	var got []string
	for _, e := range stored(t, j) {
		got = append(got, string(e.Payload))
	}
	if want := "1 2 3 4 o1"; strings.Join(got, " ") != want {
		t.Errorf("stored %v, want %s", got, want)
	}
}

// broken is a journal that refuses while broken is set.
type broken struct {
	*journal.Journal
	err atomic.Pointer[error]
}

func (b *broken) Append(ctx context.Context, m journal.Message) (uint64, bool, error) {
	if err := b.err.Load(); err != nil {
		return 0, false, *err
	}
	return b.Journal.Append(ctx, m)
}

func TestRefusalWhenTheJournalRefuses(t *testing.T) { // M5, M6, N101
	var fail broken
	b, j := start(t, func(o *Options) {
		fail.Journal = o.Journal.(*journal.Journal)
		o.Journal = &fail
	})
	set := func(err error) { fail.err.Store(&err) }
	watcher := dial(t, b, 5).ok(login{id: "w", clean: true})
	if code := watcher.subscribe("x/#"); code != 0 {
		t.Fatalf("subscribe: %#x", code)
	}

	for err, want := range map[error]byte{journal.ErrDegraded: 0x97, journal.ErrTooLarge: 0x83, errors.New("odd"): 0x80} {
		set(err)
		c := dial(t, b, 5).ok(login{id: "v5", clean: true})
		c.publish("x/1", "p", 1, 1, 0, nil)
		if _, code, props := ackCode(c.want(4)); code != want || len(props) < 10 {
			t.Errorf("%v: PUBACK %#x %q, want %#x with a reason", err, code, props, want)
		}
		c.publish("x/2", "p", 2, 2, 0, nil)
		if _, code, _ := ackCode(c.want(5)); code != want { // M6: not a PUBACK
			t.Errorf("%v: PUBREC %#x, want %#x", err, code, want)
		}
		c.publish("x/0", "p", 0, 0, 1, nil) // dropped, not published, not retained
		c.send([]byte{0xC0, 0})
		c.want(13)
		_ = c.Close()

		old := dial(t, b, 4).ok(login{id: "v4", clean: true})
		old.send(cat(old.publishPacket("x/3", "p", 1, 1, 0, nil), old.publishPacket("x/4", "p", 1, 2, 0, nil)))
		if kinds := old.wantClosed(); len(kinds) != 0 {
			t.Errorf("%v: 3.1.1 got packets %v before the cut, want none", err, kinds)
		}
	}
	fail.err.Store(nil)
	c := dial(t, b, 5).ok(login{id: "v5", clean: true})
	c.publish("x/good", "p", 1, 1, 0, nil)
	c.want(4)
	if e := stored(t, j); len(e) != 1 || e[0].Topic != "x/good" {
		t.Errorf("stored %d entries, want only the one after recovery", len(e))
	}
	if body := watcher.want(3); string(body[2:8]) != "x/good" {
		t.Errorf("a subscriber saw a refused message: %q", body)
	}
}

// TestTopicsOfTheServer is D12 and N43: what the library swallows without an answer.
func TestTopicsOfTheServer(t *testing.T) {
	b, j := start(t, nil)
	for _, topic := range []string{"$SYS/x", "$sys/x", "$share/g/t", "$other"} {
		c := dial(t, b, 5).ok(login{id: "v5", clean: true})
		c.publish(topic, "p", 1, 1, 0, nil)
		if _, code, _ := ackCode(c.want(4)); code != 0x90 {
			t.Errorf("%s: PUBACK %#x, want 0x90", topic, code)
		}
		c.publish(topic, "p", 2, 2, 0, nil)
		if _, code, _ := ackCode(c.want(5)); code != 0x90 {
			t.Errorf("%s: PUBREC %#x, want 0x90", topic, code)
		}
		c.publish(topic, "p", 0, 0, 1, nil)
		c.publish("fine", "p", 1, 3, 0, nil)
		c.want(4)
		old := dial(t, b, 4).ok(login{id: "v4", clean: true})
		old.publish(topic, "p", 1, 1, 0, nil)
		old.wantClosed()
	}
	for _, e := range stored(t, j) {
		if e.Topic != "fine" {
			t.Errorf("stored %q", e.Topic)
		}
	}
	for _, filter := range []string{"a#", "a+/b", "a/#/b", "$share/g/t"} {
		if code := dial(t, b, 5).ok(login{id: "f", clean: true}).subscribe(filter); code < 0x80 {
			t.Errorf("SUBSCRIBE %q: %#x, want a refusal", filter, code)
		}
	}
}

// TestN51TopicAlias is D6 and M12: an alias could hide a topic from the access list, so none is allowed, and none is swallowed.
func TestN51TopicAlias(t *testing.T) {
	b, j := start(t, func(o *Options) { o.Users = users(t) })
	for _, topic := range []string{"", "dev/1", "other/1"} {
		c := dial(t, b, 5).ok(login{id: "alias", user: "dev", password: "pw", clean: true})
		c.publish(topic, "p", 1, 1, 0, []byte{0x23, 0, 1})
		if body := c.want(14); body[0] != 0x94 {
			t.Errorf("alias with %q: DISCONNECT %#x, want 0x94", topic, body[0])
		}
		c.wantClosed()
	}
	if n := len(stored(t, j)); n != 0 {
		t.Errorf("%d stored", n)
	}
}

func TestUserPropertiesStayWithTheMessage(t *testing.T) { // D3, D2
	b, _ := start(t, nil)
	s := dial(t, b, 5).ok(login{id: "s", clean: true})
	s.subscribe("p")
	c := dial(t, b, 5).ok(login{id: "c", clean: true})
	c.publish("p", "x", 1, 1, 0, userProp("k", "v"))
	if _, _, props := ackCode(c.want(4)); strings.Contains(props, "v") {
		t.Errorf("PUBACK carries the publisher's properties: %q", props)
	}
	body := string(s.want(3))
	if !strings.Contains(body, string(userProp("k", "v"))) {
		t.Errorf("the subscriber misses the property: %q", body)
	}
	if n := body[3]; int(n) != len(userProp("k", "v")) { // nothing else, above all no expiry of 86,400 s
		t.Errorf("property length %d, want %d: %q", n, len(userProp("k", "v")), body)
	}
}

func TestRetainedMessagesComeBack(t *testing.T) {
	b, _ := start(t, func(o *Options) {
		for topic, payload := range map[string]string{"r/1": "kept", "r/2": ""} {
			if _, _, err := o.Journal.Append(t.Context(), journal.Message{Topic: topic, Payload: []byte(payload), Retain: true}); err != nil {
				t.Fatal(err)
			}
		}
	})
	c := dial(t, b, 5).ok(login{id: "c", clean: true})
	c.subscribe("r/#")
	if body := string(c.want(3)); !strings.Contains(body, "r/1") || !strings.HasSuffix(body, "kept") {
		t.Errorf("retained: %q", body)
	}
}

// TestN93QoS2IsResent is [MQTT-4.3.3-10]: a resent QoS 2 PUBLISH is acknowledged as the first was, and stored once.
func TestN93QoS2IsResent(t *testing.T) {
	for _, v := range []byte{4, 5} {
		b, j := start(t, nil)
		session := []byte(nil)
		if v == 5 {
			session = u32(0x11, 3600)
		}
		c := dial(t, b, v).ok(login{id: "d", props: session})
		c.publish("a", "x", 2, 7, 0, nil)
		c.want(5)
		_ = c.Close() // before PUBREL
		c = dial(t, b, v).ok(login{id: "d", props: session})
		c.publish("a", "x", 2, 7, 8, nil)
		if _, code, _ := ackCode(c.want(5)); code != 0 {
			t.Errorf("version %d: PUBREC %#x, want 0x00: a publisher would take the message for refused", v, code)
		}
		c.send(packet(0x62, []byte{0, 7}))
		c.want(7)
		if e := stored(t, j); len(e) != 1 {
			t.Errorf("version %d: stored %d times", v, len(e))
		}
	}
}

func TestSharedSubscriptionsAreRefused(t *testing.T) { // M23
	b, _ := start(t, nil)
	if code := dial(t, b, 5).ok(login{id: "f", clean: true}).subscribe("$share/g/t"); code != 0x9E {
		t.Errorf("SUBSCRIBE $share/g/t: %#x, want 0x9E", code)
	}
	if code := dial(t, b, 4).ok(login{id: "f4", clean: true}).subscribe("$share/g/t"); code != 0x80 {
		t.Errorf("3.1.1 SUBSCRIBE $share/g/t: %#x, want 0x80", code)
	}
}
