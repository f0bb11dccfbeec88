package viewer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"plumbline/harness/record"
)

// payloads returns what was recorded of a kind, as numbers that a payload "pN" stands for.
func payloads(log *record.Log, kind record.Kind) (out []int) {
	for _, r := range log.Records {
		if r.Kind != kind {
			continue
		}
		found := -1
		for n := range 100 {
			if record.Digest(fmt.Appendf(nil, "p%d", n)) == r.Digest {
				found = n
			}
		}
		out = append(out, found)
	}
	return out
}

func mqttConfig(r *recording, url, version string) Config {
	return Config{
		Name: "viewer-1", Protocol: MQTT, MQTTVersion: version, QoS: 1, URL: url, Filters: []string{"a/#", "b/+"}, Recorder: r.Recorder,
		Reconnect: Backoff{Initial: 5 * time.Millisecond, Max: 20 * time.Millisecond, Seed: 1},
	}
}

// brokers are the servers that every test of what a sound server does runs against.
var brokers = map[string]struct {
	start   func(*testing.T) broker
	version string
}{
	"mosquitto with MQTT 5":       {openMosquitto, "5"},
	"mosquitto with MQTT 3.1.1":   {openMosquitto, "3.1.1"},
	"nats-server with MQTT 3.1.1": {nats, "3.1.1"},
}

func TestMQTTRecordsWhatABrokerSends(t *testing.T) {
	for name, c := range brokers {
		t.Run(name, func(t *testing.T) {
			r, b := newRecording(t), c.start(t)
			p := b.publisher(t)
			p.publish(1, "a/old p1", "c/old p2")
			cfg := mqttConfig(r, b.viewers, c.version)
			cfg.Silence = time.Second // within which a broker on a busy machine answers
			v := open(t, cfg)
			until(t, "the retained value", func() bool { return v.Counters().Restored == 1 })
			p.publish(0, "a/x p3", "c/x p4", "b/x p5", "b/x/y p6")
			p.publish(1, "a/x p7")
			must(t, v.WaitReceived(limit(t), 3))
			must(t, v.WaitIdle(limit(t), 1500*time.Millisecond)) // longer than the silence: PINGREQ keeps it
			if c := v.Counters(); c.Received != 3 || c.Malformed != 0 || c.Connects != 1 || c.Disconnects != 0 || c.Heartbeats == 0 {
				t.Fatalf("counters are %+v", c)
			}
			if err := v.WaitOffset(limit(t), 1); !errors.Is(err, ErrNoOffsets) {
				t.Errorf("WaitOffset gave %v", err)
			}
			must(t, v.Close())
			log := r.log()
			got := payloads(log, record.Received)
			if slices.Sort(got); !slices.Equal(got, []int{3, 5, 7}) { // no order is promised between topics
				t.Errorf("received %v", got)
			}
			if got := payloads(log, record.Restored); !slices.Equal(got, []int{1}) {
				t.Errorf("restored %v", got)
			}
			for _, rec := range log.Records {
				if rec.At <= 0 || (rec.Flags&record.FlagRetained != 0) != (rec.Kind == record.Restored) {
					t.Errorf("record is %+v", rec)
				}
			}
			if n := len(events(log, record.Subscribed)); n != 2 || len(events(log, record.Connected)) != 1 {
				t.Errorf("events are %+v", log.Events)
			}
		})
	}
}

func TestMQTTResumes(t *testing.T) {
	for name, c := range brokers {
		t.Run(name, func(t *testing.T) {
			for _, resume := range []bool{true, false} {
				r, b := newRecording(t), c.start(t)
				p := b.publisher(t)
				cfg := mqttConfig(r, b.viewers, c.version)
				cfg.Resume = resume
				away := make(chan struct{}) // closed when the viewer may come back
				dials := 0
				cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					if dials++; dials > 1 {
						<-away
					}
					return (&net.Dialer{}).DialContext(ctx, network, address)
				}
				var mu sync.Mutex
				seen := map[string]bool{}
				cfg.Resolve = func(_ string, payload []byte) (uint32, uint64, uint8) {
					mu.Lock()
					defer mu.Unlock()
					seen[string(payload)] = true
					return record.NoStream, 0, record.FlagForeign
				}
				v := open(t, cfg)
				p.publish(0, "a/x p1")
				must(t, v.WaitReceived(limit(t), 1))
				v.Cut()
				until(t, "the cut", func() bool { return !v.Connected() })
				p.publish(0, "a/x p2", "a/x p3")
				close(away)
				must(t, v.WaitConnected(limit(t), 2))
				p.publish(0, "a/x p4")
				want := []int{1, 2, 3, 4}
				if !resume {
					want = []int{1, 4}
				}
				until(t, "all messages", func() bool { mu.Lock(); defer mu.Unlock(); return len(seen) >= len(want) })
				must(t, v.Close())
				log := r.log()
				got := payloads(log, record.Received)
				slices.Sort(got) // QoS 1 may repeat, and what is repeated may come late
				if got = slices.Compact(got); !slices.Equal(got, want) {
					t.Errorf("resume %v: received %v, want %v", resume, got, want)
				}
				subscribed := events(log, record.Subscribed)
				if len(subscribed) != 4 || subscribed[3].Fields["recovered"] != fmt.Sprint(resume) {
					t.Errorf("resume %v: events are %+v", resume, subscribed)
				}
			}
		})
	}
}

func TestMQTTConnectionRefused(t *testing.T) {
	passwords := write(t, "passwords", "ada:right\n")
	hashPasswords(t, passwords)
	b := mosquitto(t, "allow_anonymous false\npassword_file "+passwords)
	for _, version := range []string{"5", "3.1.1"} {
		r := newRecording(t)
		cfg := mqttConfig(r, b.viewers, version)
		cfg.Token, cfg.Place.Name = func(context.Context) (string, error) { return "right", nil }, "ada"
		must(t, open(t, cfg).Close())
		cfg.Token = func(context.Context) (string, error) { return "wrong", nil }
		_, err := Open(limit(t), cfg)
		var refused *RefusedError
		if !errors.As(err, &refused) || refused.Packet != "CONNACK" || !strings.Contains(refused.Reason, "not authorised") {
			t.Errorf("MQTT %s: Open gave %v", version, err)
		}
		if len(events(r.log(), record.Refused)) != 1 {
			t.Errorf("MQTT %s: the refusal was not recorded", version)
		}
	}
}

func TestMQTTSubscriptionRefused(t *testing.T) {
	for version, code := range map[string]byte{"5": 0x87, "3.1.1": 0x80} {
		url := broker5(t, "mqtt", func(c *websocket.Conn) {
			connack, suback := connack5, []byte{0x90, 5, 0, 1, 0, 1, code}
			if version != "5" {
				connack, suback = []byte{0x20, 2, 0, 0}, []byte{0x90, 4, 0, 1, 1, code}
			}
			binaryFrames(c, connack)
			_, _, _ = c.ReadMessage()
			binaryFrames(c, suback)
			_, _, _ = c.ReadMessage()
		})
		r := newRecording(t)
		_, err := Open(limit(t), mqttConfig(r, url, version))
		var refused *RefusedError
		if !errors.As(err, &refused) || refused.Packet != "SUBACK" || refused.Filter != "b/+" || refused.Code != int(code) {
			t.Errorf("MQTT %s: Open gave %v", version, err)
		}
		if len(events(r.log(), record.Refused)) != 1 {
			t.Errorf("MQTT %s: the refusal was not recorded", version)
		}
	}
}

// broker5 is a server whose every byte a test decides.
func broker5(t *testing.T, chosen string, serve func(c *websocket.Conn)) string {
	t.Helper()
	upgrader := websocket.Upgrader{Subprotocols: []string{chosen}, CheckOrigin: func(*http.Request) bool { return true }}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		if _, _, err := c.ReadMessage(); err == nil { // CONNECT
			serve(c)
		}
	}))
	t.Cleanup(server.Close)
	return "ws" + strings.TrimPrefix(server.URL, "http")
}

func binaryFrames(c *websocket.Conn, frames ...[]byte) {
	for _, f := range frames {
		if c.WriteMessage(websocket.BinaryMessage, f) != nil {
			return
		}
	}
}

var (
	connack5 = []byte{0x20, 3, 0, 0, 0}
	suback5  = []byte{0x90, 5, 0, 1, 0, 1, 1}
)

// publish5 is a PUBLISH of MQTT 5 without properties.
func publish5(flags byte, topic string, id uint16, payload string) []byte {
	return publishPacket(flags, topic, id, "\x00"+payload)
}

func TestMQTTPacketsMayBeSplitAndJoined(t *testing.T) {
	acks := make(chan []byte, 1)
	url := broker5(t, "mqtt", func(c *websocket.Conn) {
		for _, b := range connack5 {
			binaryFrames(c, []byte{b}, nil)
		}
		if _, _, err := c.ReadMessage(); err != nil { // SUBSCRIBE
			return
		}
		first, second := publish5(2, "a/x", 7, "p1"), publish5(2, "a/x", 8, "p2")
		binaryFrames(c, slices.Concat(suback5, first, second[:3]), second[3:], slices.Concat(publish5(10, "a/x", 8, "p2"), publish5(0, "a/x", 0, "p3")))
		var all []byte
		for len(all) < 12 {
			_, data, err := c.ReadMessage()
			if err != nil {
				break
			}
			all = append(all, data...)
		}
		acks <- all
		_, _, _ = c.ReadMessage()
	})
	r := newRecording(t)
	v := open(t, mqttConfig(r, url, "5"))
	must(t, v.WaitReceived(limit(t), 4))
	if got := <-acks; !bytes.Equal(got, []byte{0x40, 2, 0, 7, 0x40, 2, 0, 8, 0x40, 2, 0, 8}) {
		t.Errorf("acknowledged % x", got)
	}
	must(t, v.Close())
	log := r.log()
	if got := payloads(log, record.Received); !slices.Equal(got, []int{1, 2, 2, 3}) {
		t.Errorf("received %v", got)
	}
	if log.Records[2].Flags&record.FlagDup == 0 || log.Records[1].Flags&record.FlagDup != 0 {
		t.Errorf("records are %+v", log.Records)
	}
}

// What waited for a viewer may come in one frame with the answer that the
// session was kept; it belongs to the session, and nobody subscribes again.
func TestMQTTResumedSessionBeginsAtOnce(t *testing.T) {
	var sessions atomic.Int64
	again := make(chan []byte, 1)
	url := broker5(t, "mqtt", func(c *websocket.Conn) {
		if sessions.Add(1) == 1 {
			binaryFrames(c, connack5)
			_, _, _ = c.ReadMessage()
			binaryFrames(c, suback5)
			return
		}
		binaryFrames(c, slices.Concat([]byte{0x20, 3, 1, 0, 0}, publish5(2, "a/x", 7, "p1")))
		_, data, _ := c.ReadMessage()
		again <- data
		_, _, _ = c.ReadMessage()
	})
	r := newRecording(t)
	cfg := mqttConfig(r, url, "5")
	cfg.Resume = true
	v := open(t, cfg)
	must(t, v.WaitReceived(limit(t), 1))
	if got := <-again; !bytes.Equal(got, []byte{0x40, 2, 0, 7}) {
		t.Errorf("the viewer said % x", got)
	}
	must(t, v.Close())
	log := r.log()
	subscribed := events(log, record.Subscribed)
	if len(subscribed) != 4 || subscribed[3].Fields["recovered"] != "true" || subscribed[3].At > log.Records[0].At {
		t.Errorf("events are %+v, the message came at %d", subscribed, log.Records[0].At)
	}
}

func TestFloodEndsTheViewerAndTheRecording(t *testing.T) {
	url := broker5(t, "mqtt", func(c *websocket.Conn) {
		binaryFrames(c, connack5)
		_, _, _ = c.ReadMessage()
		binaryFrames(c, suback5)
		many := bytes.Repeat(publish5(0, "a/x", 0, "p1"), 1000)
		for c.WriteMessage(websocket.BinaryMessage, many) == nil { // until the viewer is gone
		}
	})
	r := newRecording(t)
	cfg := mqttConfig(r, url, "5")
	cfg.Plausible = func() uint64 { return 15_000 }
	v := open(t, cfg)
	select {
	case <-v.Done():
	case <-limit(t).Done():
		t.Fatal("waited for the viewer to end")
	}
	if err := v.Err(); !errors.Is(err, ErrFlood) {
		t.Errorf("the viewer ended with %v", err)
	}
	if err := v.WaitReceived(limit(t), 1<<40); !errors.Is(err, ErrFlood) {
		t.Errorf("a wait gave %v", err)
	}
	must(t, v.Close())
	log := r.log()
	if n := len(log.Records); n < 15_000 || n > 15_000+2*plausibleEvery {
		t.Errorf("%d readings were recorded", n)
	}
	if ends := events(log, record.Disconnected); len(ends) != 1 || !strings.Contains(ends[0].Fields["error"], "more came than") {
		t.Errorf("events are %+v", ends)
	}
}

func TestMQTTServersThatBreakTheRules(t *testing.T) {
	huge := []byte{0x30, 0xFF, 0xFF, 0xFF, 0x7F}
	for _, c := range []struct {
		name, chosen string
		first        [][]byte // for CONNECT
		then         [][]byte // for SUBSCRIBE
		want         string
	}{
		{"other subprotocol", "mqttv3.1", nil, nil, `chose subprotocol "", not "mqtt"`},
		{"garbage", "", [][]byte{[]byte("HTTP/1.1 200 OK\r\n")}, nil, "packet of type 4 with flags 0x8"},
		{"type 0", "", [][]byte{{0, 0}}, nil, "reserved"},
		{"length of five bytes", "", [][]byte{{0x30, 0xFF, 0xFF, 0xFF, 0xFF, 1}}, nil, "more than four bytes"},
		{"length with a needless byte", "", [][]byte{{0x20, 0x83, 0x00, 0, 0, 0}}, nil, "than it needs"},
		{"huge packet", "", [][]byte{connack5}, [][]byte{suback5, huge}, "the limit is"},
		{"cut CONNACK", "", [][]byte{{0x20, 1, 0}}, nil, "CONNACK of 1 bytes"},
		{"CONNACK with wrong properties", "", [][]byte{{0x20, 5, 0, 0, 2, 0x7E, 0}}, nil, "CONNACK of 5 bytes"},
		{"CONNACK with a session", "", [][]byte{{0x20, 3, 1, 0, 0}}, nil, "was to begin clean"},
		{"second CONNACK", "", [][]byte{connack5, connack5}, nil, "second CONNACK"},
		{"PUBLISH before CONNACK", "", [][]byte{publish5(0, "a/x", 0, "p1")}, nil, "before CONNACK"},
		{"SUBACK of another packet", "", [][]byte{connack5}, [][]byte{{0x90, 5, 0, 2, 0, 1, 1}}, "for packet 2"},
		{"SUBACK of one filter", "", [][]byte{connack5}, [][]byte{{0x90, 4, 0, 1, 0, 1}}, "with 1 reason codes"},
		{"second SUBACK", "", [][]byte{connack5}, [][]byte{suback5, suback5}, "second SUBACK"},
		{"QoS 2", "", [][]byte{connack5}, [][]byte{suback5, publish5(4, "a/x", 1, "p")}, "QoS 2, granted was 1"},
		{"QoS 3", "", [][]byte{connack5}, [][]byte{suback5, publish5(6, "a/x", 1, "p")}, "QoS 3"},
		{"identifier 0", "", [][]byte{connack5}, [][]byte{suback5, publishPacket(2, "a/x", 0, "\x00\x00\x00p")}, "packet identifier 0"},
		{"wildcard in a topic", "", [][]byte{connack5}, [][]byte{suback5, publish5(0, "a/+", 0, "p")}, `PUBLISH to "a/+"`},
		{"topic alias", "", [][]byte{connack5}, [][]byte{suback5, publishPacket(0, "", 0, "\x03\x23\x00\x01p")}, `PUBLISH to ""`},
		{"topic that is not UTF-8", "", [][]byte{connack5}, [][]byte{suback5, publish5(0, "a/\xff", 0, "p")}, "PUBLISH of"},
		{"flags", "", [][]byte{connack5}, [][]byte{suback5, {0xD1, 0}}, "with flags 0x1"},
		{"packet of clients", "", [][]byte{connack5}, [][]byte{suback5, {0xC0, 0}}, "packet of type 12 from a server"},
		{"DISCONNECT", "", [][]byte{connack5}, [][]byte{suback5, {0xE0, 2, 0x87, 0}}, "0x87"},
	} {
		t.Run(c.name, func(t *testing.T) {
			url := broker5(t, or(c.chosen, "mqtt"), func(conn *websocket.Conn) {
				binaryFrames(conn, c.first...)
				if _, _, err := conn.ReadMessage(); err != nil {
					return
				}
				binaryFrames(conn, c.then...)
				for {
					if _, _, err := conn.ReadMessage(); err != nil {
						return
					}
				}
			})
			r := newRecording(t)
			cfg := mqttConfig(r, url, "5")
			cfg.Reconnect.Off, cfg.Silence = true, 2*time.Second
			v, err := Open(limit(t), cfg)
			if err == nil {
				select {
				case <-v.Done():
				case <-limit(t).Done():
					t.Fatal("waited for the viewer to end")
				}
				err = v.Err()
				must(t, v.Close())
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error is %v, want %q", err, c.want)
			}
		})
	}
}

func TestMQTTSilenceIsALoss(t *testing.T) {
	url := broker5(t, "mqtt", func(c *websocket.Conn) {
		binaryFrames(c, connack5, suback5)
		for { // takes every PINGREQ and answers none
			if _, _, err := c.ReadMessage(); err != nil {
				return
			}
		}
	})
	r := newRecording(t)
	cfg := mqttConfig(r, url, "5")
	cfg.Silence = 60 * time.Millisecond
	v := open(t, cfg)
	must(t, v.WaitConnected(limit(t), 2))
	must(t, v.Close())
	if got := events(r.log(), record.Disconnected)[0].Fields; got["error"] != "silence" {
		t.Fatalf("disconnected with %v", got)
	}
}

// FuzzMQTT looks for packets that make a viewer panic or run past their end.
func FuzzMQTT(f *testing.F) {
	for _, seed := range [][]byte{connack5, suback5, publish5(2, "a/x", 1, "p"), {0xE0, 2, 0x87, 0}, {0x30, 0xFF, 0xFF, 0xFF, 0x7F}, {0x20, 8, 0, 0, 5, 0x1F, 0, 2, 'n', 'o'}} {
		f.Add(seed, byte(5))
		f.Add(seed, byte(4))
	}
	f.Fuzz(func(t *testing.T, in []byte, version byte) {
		rec, err := record.NewRecorder(t.TempDir(), record.NewClock())
		must(t, err)
		defer rec.Close()
		v := &Viewer{cfg: Config{Name: "v", Recorder: rec, Filters: []string{"a/#", "b"}, QoS: 1}, clock: rec.Clock(), changed: make(chan struct{})}
		m := &mqtt{Viewer: v, version: 4 + version&1, topics: topics{}}
		v.dialect = m
		s := &mqttSession{socket: &socket{}, m: m, granted: 1}
		for i := range in { // byte by byte, and CONNACK first as often as not
			if s.packets(int64(i), in[i:i+1]) != nil {
				break
			}
		}
		s = &mqttSession{socket: &socket{}, m: m, granted: 1, answered: true}
		_ = s.packets(1, in)
		if len(s.pending) > len(in) {
			t.Fatalf("%d bytes are kept of %d", len(s.pending), len(in))
		}
	})
}
