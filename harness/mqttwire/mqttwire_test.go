package mqttwire

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/eclipse/paho.golang/packets"
)

// What is written here is read by another implementation, and the other way round.
func TestPacketsMeanTheSameToAnotherImplementation(t *testing.T) {
	hello, err := Connection{Version: V5, ClientID: "c", Clean: true, KeepAlive: 2, Expiry: 600, Username: "u", Password: "p"}.Packet()
	if err != nil {
		t.Fatal(err)
	}
	got := decode[*packets.Connect](t, hello)
	if got.ClientID != "c" || !got.CleanStart || got.KeepAlive != 2 || *got.Properties.SessionExpiryInterval != 600 || got.Username != "u" || string(got.Password) != "p" {
		t.Errorf("CONNECT reads as %+v", got)
	}
	filters := Subscription{Version: V5, ID: 7, Filters: []string{"a/#", "b"}, QoS: 1, Fresh: true}
	ask, err := filters.Packet()
	if err != nil {
		t.Fatal(err)
	}
	if got := decode[*packets.Subscribe](t, ask); got.PacketID != 7 || len(got.Subscriptions) != 2 || got.Subscriptions[1].Topic != "b" ||
		got.Subscriptions[0].QoS != 1 || got.Subscriptions[0].RetainHandling != packets.RetainDoNotSend || got.Subscriptions[0].RetainAsPublished {
		t.Errorf("SUBSCRIBE reads as %+v", got)
	}
	data, err := AppendMessage(nil, V5, Message{Topic: []byte("a/x"), Payload: []byte("p"), QoS: 1, ID: 9, Dup: true, Retain: true, User: [2]string{"k", "v"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := decode[*packets.Publish](t, data); got.Topic != "a/x" || string(got.Payload) != "p" || got.PacketID != 9 || !got.Duplicate || !got.Retain || got.QoS != 1 || len(got.Properties.User) != 1 || got.Properties.User[0] != (packets.User{Key: "k", Value: "v"}) {
		t.Errorf("PUBLISH reads as %+v", got)
	}
	if got := decode[*packets.Puback](t, AppendPuback(nil, 9)); got.PacketID != 9 || got.ReasonCode != 0 {
		t.Errorf("PUBACK reads as %+v", got)
	}

	most, alive := uint16(20), uint16(30)
	answer, err := cut(t, &packets.Connack{SessionPresent: true, Properties: &packets.Properties{
		ReceiveMaximum: &most, ServerKeepAlive: &alive, AssignedClientID: "x", User: []packets.User{{Key: "k", Value: "v"}},
	}}).Connack(V5)
	if err != nil || !answer.Present || answer.ReceiveMaximum != 20 || answer.KeepAlive != 30 || answer.Reason != "normal" {
		t.Errorf("CONNACK reads as %+v, %v", answer, err)
	}
	codes, granted, err := cut(t, &packets.Suback{PacketID: 7, Reasons: []byte{0x87, 1}, Properties: &packets.Properties{ReasonString: "no"}}).Answered(filters)
	if err != nil || !slices.Equal(codes, []byte{0x87, 1}) || granted != 1 {
		t.Errorf("SUBACK reads as % x, %d, %v", codes, granted, err)
	}
	id := 3
	m, err := cut(t, &packets.Publish{Topic: "a", Payload: []byte("p"), QoS: 1, PacketID: 5, Properties: &packets.Properties{
		SubscriptionIdentifier: &id, ContentType: "c", ResponseTopic: "r", CorrelationData: []byte("d"),
	}}).Message(V5, 1)
	if err != nil || string(m.Topic) != "a" || string(m.Payload) != "p" || m.ID != 5 {
		t.Errorf("PUBLISH reads as %+v, %v", m, err)
	}
	if id, code, err := cut(t, &packets.Puback{PacketID: 5, ReasonCode: 0x97, Properties: &packets.Properties{ReasonString: "full"}}).Puback(V5); err != nil || id != 5 || code != 0x97 {
		t.Errorf("PUBACK reads as %d, %#x, %v", id, code, err)
	}
	if bye, err := cut(t, &packets.Disconnect{ReasonCode: 0x8B, Properties: &packets.Properties{ReasonString: "soon"}}).Disconnect(); err != nil || bye.Code != 0x8B || bye.Reason != "soon" {
		t.Errorf("DISCONNECT reads as %+v, %v", bye, err)
	}
}

func decode[P any](t *testing.T, data []byte) P {
	t.Helper()
	p, err := packets.ReadPacket(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	got, ok := p.Content.(P)
	if !ok {
		t.Fatalf("reads as %T", p.Content)
	}
	return got
}

func cut(t *testing.T, p interface {
	WriteTo(w io.Writer) (int64, error)
}) Packet {
	t.Helper()
	var b bytes.Buffer
	if _, err := p.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	got, size, err := Cut(b.Bytes(), 1<<20)
	if err != nil || size != b.Len() {
		t.Fatalf("cut %d of %d bytes, %v", size, b.Len(), err)
	}
	return got
}

// MQTT 3.1.1 has no properties: its packets are spelt out here.
func TestOlderVersion(t *testing.T) {
	hello, err := Connection{Version: V311, ClientID: "c", Expiry: 600, KeepAlive: 2}.Packet()
	if want := "\x10\x0d\x00\x04MQTT\x04\x00\x00\x02\x00\x01c"; err != nil || string(hello) != want {
		t.Errorf("CONNECT is %q, %v, want %q", hello, err, want)
	}
	ask, err := Subscription{Version: V311, ID: 1, Filters: []string{"#"}, QoS: 1, Fresh: true}.Packet()
	if want := "\x82\x06\x00\x01\x00\x01#\x01"; err != nil || string(ask) != want {
		t.Errorf("SUBSCRIBE is %q, %v, want %q", ask, err, want)
	}
	data, err := AppendMessage(nil, V311, Message{Topic: []byte("a"), Payload: []byte("p")})
	if want := "\x30\x04\x00\x01ap"; err != nil || string(data) != want {
		t.Errorf("PUBLISH is %q, %v, want %q", data, err, want)
	}
	p, _, _ := Cut([]byte("\x20\x02\x00\x05"), 100)
	if a, err := p.Connack(V311); err != nil || a.Code != 5 || a.Reason != "not authorised" {
		t.Errorf("CONNACK reads as %+v, %v", a, err)
	}
	p, _, _ = Cut([]byte("\x20\x02\x00\x01"), 100) // a server of MQTT 3.1.1 to a client of MQTT 5
	if a, err := p.Connack(V5); err != nil || a.Code != 1 {
		t.Errorf("CONNACK reads as %+v, %v", a, err)
	}
}

func TestReadIsBounded(t *testing.T) {
	for in, want := range map[string]error{
		"":                         io.EOF,
		"\x30":                     io.ErrUnexpectedEOF,
		"\x30\x02a":                io.ErrUnexpectedEOF,
		"\x00\x00":                 ErrMalformed,
		"\x30\xff\xff\xff\xff\x01": ErrMalformed,
		"\x30\xff\xff\xff\x7f":     ErrMalformed, // 256 MiB are announced
		"\x30\x80\x00":             ErrMalformed,
		"\x30\x02ab":               nil,
	} {
		p, err := Read(bufio.NewReader(strings.NewReader(in)), 1<<20)
		if !errors.Is(err, want) || (want == nil && string(p.Body) != "ab") {
			t.Errorf("%q reads as %+v, %v", in, p, err)
		}
	}
}

// The words for a refusal are those of the standard, also where no viewer is refused.
func TestReasonsHaveNames(t *testing.T) {
	for _, code := range []byte{0x10, 0x87, 0x90, 0x91, 0x92, 0x94, 0x96, 0x99, 0x9A, 0x9B, 0xA0, 0xA1} {
		if name := ReasonName(code); name == ReasonName(0x7F) {
			t.Errorf("%#02x: %q", code, name)
		}
	}
}

func TestWhatIsTooLongIsNotSent(t *testing.T) {
	long := strings.Repeat("x", 1<<16)
	_, connect := Connection{Version: V5, Username: "u", Password: long}.Packet()
	_, subscribe := Subscription{Version: V5, ID: 1, Filters: []string{long}}.Packet()
	_, publish := AppendMessage(nil, V5, Message{Topic: []byte(long)})
	if connect == nil || subscribe == nil || publish == nil || strings.Contains(connect.Error(), "xxx") {
		t.Errorf("%v, %v, %v", connect, subscribe, publish)
	}
	_, user := AppendMessage(nil, V5, Message{Topic: []byte("a"), User: [2]string{"k", long}})
	if user == nil || strings.Contains(user.Error(), "xxx") || fits(268_435_455) != nil || fits(268_435_456) == nil {
		t.Errorf("%v, %v, %v", user, fits(268_435_455), fits(268_435_456))
	}
}

// What a message says about itself is read back by the very client of others, and
// by us, in its order.
func TestWhatAMessageSaysAboutItself(t *testing.T) {
	said := Properties{Text: true, ContentType: "text/plain; charset=größe", ResponseTopic: "a/r", Correlation: []byte{0, 255}, User: [][2]string{{"b", "2"}, {"a", ""}, {"b", "1"}}}
	data, err := AppendMessage(nil, V5, Message{Topic: []byte("a/x"), Payload: []byte("p"), QoS: 1, ID: 9, User: [2]string{"k", "v"}, Extra: &said})
	if err != nil {
		t.Fatal(err)
	}
	got := decode[*packets.Publish](t, data).Properties
	if *got.PayloadFormat != 1 || got.ContentType != said.ContentType || got.ResponseTopic != "a/r" || string(got.CorrelationData) != "\x00\xff" || len(got.User) != 4 ||
		got.User[0] != (packets.User{Key: "b", Value: "2"}) || got.User[3] != (packets.User{Key: "k", Value: "v"}) {
		t.Errorf("another client reads %+v", got)
	}
	p, _, err := Cut(data, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	m, err := p.Message(V5, 1)
	want := said
	want.User = append(slices.Clone(said.User), [2]string{"k", "v"})
	if read := m.Properties(); err != nil || !read.Equal(want) || string(m.Payload) != "p" {
		t.Errorf("reads as %+v, %v", read, err)
	}
	for name, other := range map[string]Properties{
		"order": {Text: true, ContentType: said.ContentType, ResponseTopic: "a/r", Correlation: said.Correlation, User: [][2]string{{"b", "1"}, {"a", ""}, {"b", "2"}}},
		"none":  {},
	} {
		if said.Equal(other) {
			t.Errorf("%s makes no difference", name)
		}
	}
	long := strings.Repeat("x", 1<<16)
	for _, extra := range []Properties{{ContentType: long}, {ResponseTopic: long}, {Correlation: []byte(long)}, {User: [][2]string{{"k", long}}}} {
		if _, err := AppendMessage(nil, V5, Message{Topic: []byte("a"), Extra: &extra}); err == nil || strings.Contains(err.Error(), "xxx") {
			t.Errorf("%v", err)
		}
	}
	plain, err := AppendMessage(nil, V311, Message{Topic: []byte("a"), Extra: &said})
	if err != nil {
		t.Fatal(err)
	}
	if p, _, err = Cut(plain, 100); err != nil {
		t.Fatal(err)
	}
	if m, err := p.Message(V311, 1); err != nil || !m.Properties().Equal(Properties{}) {
		t.Errorf("a message of MQTT 3.1.1 says %+v, %v", m.Properties(), err)
	}
}

// FuzzPackets holds the two ways of reading against each other.
func FuzzPackets(f *testing.F) {
	for _, seed := range []string{"\x20\x03\x00\x00\x00", "\x30\x05\x00\x01a\x00p", "\x90\x04\x00\x01\x00\x01", "\xe0\x02\x87\x00", "\x30\x80\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		p, size, err := Cut(in, 1<<16)
		q, readErr := Read(Unbuffered(bytes.NewReader(in)), 1<<16)
		if size > 0 && (readErr != nil || p.Type != q.Type || p.Flags != q.Flags || !bytes.Equal(p.Body, q.Body)) {
			t.Fatalf("cut %+v, read %+v, %v", p, q, readErr)
		}
		if err != nil && readErr == nil {
			t.Fatalf("cut says %v, read nothing", err)
		}
		for _, version := range []byte{V311, V5} {
			_, _ = q.Connack(version)
			if m, err := q.Message(version, 1); err == nil {
				_ = m.Properties()
			}
			_, _, _ = q.Answered(Subscription{Version: version, ID: 1, Filters: []string{"a"}, QoS: 1})
		}
		_, _ = q.Disconnect()
		_, _, _ = q.Puback(V5)
	})
}
