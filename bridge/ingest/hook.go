package ingest

import (
	"bytes"
	"errors"
	"fmt"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/storage"
	"github.com/mochi-mqtt/server/v2/packets"

	"plumbline/bridge/topic"
)

// maxClientID bounds client identifiers, which the journal's producer table keeps.
const maxClientID = 256

// maxKeepalive is what the library's arithmetic can hold (M14: seconds × 1.5 in 16 bits).
const maxKeepalive = 43_690

// serverKeepalive is given to an MQTT 5 client that asked for none or for more than the arithmetic holds [MQTT-3.2.2-21].
const serverKeepalive = 600

// sinkTopic takes what the library must send somewhere and nobody may see.
const sinkTopic = "$plumbline/sink"

// hook connects the broker library to the journal. Its methods run on the goroutine that reads the client's connection,
// OnPacketEncode also on the one that writes it.
type hook struct {
	mqtt.HookBase
	b *Broker
}

// ID implements mqtt.Hook.
func (h *hook) ID() string { return "plumbline" }

// Provides implements mqtt.Hook.
func (h *hook) Provides(kind byte) bool {
	switch kind {
	case mqtt.OnConnect, mqtt.OnConnectAuthenticate, mqtt.OnACLCheck, mqtt.OnSessionEstablished, mqtt.OnDisconnect,
		mqtt.OnPacketRead, mqtt.OnPacketEncode, mqtt.OnPublish, mqtt.OnWill, mqtt.StoredRetainedMessages:
		return true
	}
	return false
}

// connOf returns the client's connection, nil for the inline clients.
func connOf(cl *mqtt.Client) *conn {
	c, _ := cl.Net.Conn.(*conn)
	return c
}

// OnConnect implements mqtt.Hook: what the library lets pass and the standard does not.
func (h *hook) OnConnect(cl *mqtt.Client, pk packets.Packet) error {
	c := connOf(cl)
	if c == nil {
		return nil
	}
	if h.b.draining.Load() {
		h.refuseConnect(cl, packets.ErrServerUnavailable, "draining")
		return errDraining
	}
	if cl.Properties.ProtocolVersion == 5 && pk.Properties.AuthenticationMethod != "" { // D13 [MQTT-4.12.0-1]
		h.refuseConnect(cl, packets.ErrBadAuthenticationMethod, "auth-method")
		return packets.ErrBadAuthenticationMethod
	}
	if len(cl.ID) > maxClientID {
		h.refuseConnect(cl, packets.ErrClientIdentifierNotValid, "client-id")
		return packets.ErrClientIdentifierTooLong
	}
	if w := pk.Connect; w.WillFlag && (topic.ValidName(w.WillTopic) != nil || hidden(w.WillTopic)) {
		h.refuseConnect(cl, packets.ErrTopicNameInvalid, "will-topic")
		return packets.ErrTopicNameInvalid
	}
	keepalive := int64(pk.Connect.Keepalive)
	if keepalive == 0 || keepalive > maxKeepalive { // M14
		keepalive = noKeepalive // TCP keepalive finds a dead peer of a 3.1.1 client
		cl.State.Keepalive = 0
		if cl.Properties.ProtocolVersion == 5 {
			keepalive = serverKeepalive
			cl.State.Keepalive, cl.State.ServerKeepalive = serverKeepalive, true
		}
	}
	c.keepalive.Store(keepalive)
	return nil
}

func (h *hook) refuseConnect(cl *mqtt.Client, code packets.Code, reason string) {
	h.b.m.MQTTRejected.WithLabelValues(reason).Inc()
	_ = h.b.server.SendConnack(cl, code, false, nil) // the connection ends either way
}

// OnConnectAuthenticate implements mqtt.Hook.
func (h *hook) OnConnectAuthenticate(cl *mqtt.Client, pk packets.Packet) bool {
	if h.b.opts.Users == nil || connOf(cl) == nil {
		return true
	}
	if h.b.opts.Users.check(h.b.ctx, string(pk.Connect.Username), pk.Connect.Password) {
		return h.ownsSession(cl)
	}
	h.b.m.MQTTRejected.WithLabelValues("password").Inc()
	h.b.log.Warn("mqtt login refused", "remote", connOf(cl).addr)
	return false
}

// ownsSession refuses a client id whose session is another user's: the library would hand over its subscriptions and the
// messages that wait, without asking the access list again. It is asked after the password, so that it tells strangers nothing.
func (h *hook) ownsSession(cl *mqtt.Client) bool {
	old, ok := h.b.server.Clients.Get(cl.ID)
	if !ok || bytes.Equal(old.Properties.Username, cl.Properties.Username) {
		return true
	}
	h.refuseConnect(cl, packets.ErrClientIdentifierNotValid, "session")
	connOf(cl).refused = true // the library's own answer must not follow ours
	return false
}

// OnACLCheck implements mqtt.Hook. For reading it is asked with the filter at SUBSCRIBE and with the topic at delivery.
func (h *hook) OnACLCheck(cl *mqtt.Client, name string, write bool) bool {
	if name == sinkTopic {
		return false
	}
	if h.b.opts.Users == nil || cl.Net.Inline {
		return true
	}
	if h.b.opts.Users.may(string(cl.Properties.Username), name, write) {
		return true
	}
	action := "subscribe"
	if write {
		action = "publish"
	}
	h.b.m.Denied.WithLabelValues(action).Inc()
	return false
}

// OnSessionEstablished implements mqtt.Hook.
func (h *hook) OnSessionEstablished(cl *mqtt.Client, pk packets.Packet) {
	h.b.wills.connected(cl, pk)
}

// OnDisconnect implements mqtt.Hook.
func (h *hook) OnDisconnect(cl *mqtt.Client, _ error, _ bool) { h.b.wills.disconnected(cl) }

// OnWill implements mqtt.Hook: the will goes our way, the library's copy goes nowhere (M11, M25, D9, D10).
func (h *hook) OnWill(cl *mqtt.Client, _ mqtt.Will) (mqtt.Will, error) {
	h.b.wills.died(cl)
	cl.Properties.Will.WillDelayInterval = 0 // else the library would keep its own copy and send it later
	return mqtt.Will{TopicName: sinkTopic, Flag: 1}, nil
}

// hidden reports whether a topic belongs to the server [MQTT-4.7.2-1].
func hidden(name string) bool { return name != "" && name[0] == '$' }

// OnPacketRead implements mqtt.Hook: refuses what the library would swallow without an answer or accept wrongly.
func (h *hook) OnPacketRead(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	c := connOf(cl)
	if c != nil && c.refused {
		return pk, packets.ErrRejectPacket
	}
	switch pk.FixedHeader.Type {
	case packets.Publish:
		if pk.TopicName == "" || !hidden(pk.TopicName) && topic.ValidName(pk.TopicName) == nil {
			return pk, nil // an empty name is an alias, which PublishValidate refuses with 0x94 (D6)
		}
		return h.refuseTopic(cl, pk)
	case packets.Subscribe:
		filters := make(packets.Subscriptions, len(pk.Filters))
		for i, f := range pk.Filters {
			if topic.ValidFilter(f.Filter) != nil {
				f.Filter = "##" // the library takes "a#", "a+" and, whatever its options say, $share/… (M23); this one it refuses with 0x8F
			}
			filters[i] = f
		}
		pk.Filters = filters
	}
	return pk, nil
}

// refuseTopic answers a PUBLISH to a topic that is no valid name or belongs to the server (D12 [MQTT-4.3.2-4]).
func (h *hook) refuseTopic(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	h.b.m.Refused.WithLabelValues("topic").Inc()
	if pk.FixedHeader.Qos > 0 {
		if cl.Properties.ProtocolVersion < 5 {
			return pk, h.cut(cl)
		}
		h.answer(cl, pk, packets.Code{Code: packets.ErrTopicNameInvalid.Code, Reason: "topic: not a valid name, or one of the server's"})
	}
	inert := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish}, ProtocolVersion: pk.ProtocolVersion, TopicName: "$SYS/refused"}
	return inert, nil // the library drops a QoS 0 publish to $SYS in silence
}

// answer ends a QoS 1 or 2 publish with a reason code.
func (h *hook) answer(cl *mqtt.Client, pk packets.Packet, code packets.Code) {
	kind := packets.Puback
	if pk.FixedHeader.Qos == 2 { // M6: the library answers a PUBACK
		kind = packets.Pubrec
	}
	ack := packets.Packet{FixedHeader: packets.FixedHeader{Type: kind}, PacketID: pk.PacketID, ReasonCode: code.Code}
	ack.Properties.ReasonString = code.Reason
	_ = cl.WritePacket(ack) // a failed write has closed the connection
}

// cut ends a connection without DISCONNECT, the only refusal that MQTT 3.1.1 has. The will is due then.
func (h *hook) cut(cl *mqtt.Client) error {
	if c := connOf(cl); c != nil {
		c.refused = true
		_ = c.Close()
	}
	return packets.ErrRejectPacket
}

// noPacket makes the library encode nothing and write nothing.
const noPacket byte = packets.Reserved

// OnPacketEncode implements mqtt.Hook: mends what goes out.
func (h *hook) OnPacketEncode(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	switch pk.FixedHeader.Type {
	case packets.Disconnect:
		if cl.Properties.ProtocolVersion < 5 {
			pk.FixedHeader.Type = noPacket // a 3.1.1 server never sends DISCONNECT (3.1.1 section 3.14)
		}
	case packets.Connack:
		if c := connOf(cl); c != nil && c.refused {
			pk.FixedHeader.Type = noPacket
		} else if cl.Properties.ProtocolVersion < 5 && pk.ReasonCode >= 0x80 {
			pk = connack3(pk)
		}
	case packets.Puback, packets.Pubrec:
		if pk.FixedHeader.Type == packets.Pubrec && pk.ReasonCode == packets.ErrPacketIdentifierInUse.Code {
			pk.ReasonCode, pk.Properties.ReasonString = packets.CodeSuccess.Code, "" // resent before PUBREL: no fault, and stored already [MQTT-4.3.3-10]
		}
		if pk.ReasonCode < packets.CodeNoMatchingSubscribers.Code {
			pk.ReasonCode = packets.CodeSuccess.Code // the library puts the QoS there (MQTT 5 table 3.4)
		}
		if c := connOf(cl); c != nil && c.note != "" && c.noteID == pk.PacketID {
			pk.Properties.ReasonString = c.note
			c.note = ""
		}
	}
	return pk
}

// connack3 turns a reason code of MQTT 5 into a return code that 3.1.1 has (D8, D15; 3.1.1 table 3.1).
func connack3(pk packets.Packet) packets.Packet {
	switch pk.ReasonCode {
	case packets.ErrUnspecifiedError.Code, packets.ErrClientIdentifierNotValid.Code: // the library uses the first for an empty id without clean session [MQTT-3.1.3-8]
		pk.ReasonCode = packets.Err3ClientIdentifierNotValid.Code
	case packets.ErrUnsupportedProtocolVersion.Code:
		pk.ReasonCode = packets.Err3UnsupportedProtocolVersion.Code
	case packets.ErrServerBusy.Code, packets.ErrServerUnavailable.Code, packets.ErrServerShuttingDown.Code:
		pk.ReasonCode = packets.Err3ServerUnavailable.Code
	case packets.ErrNotAuthorized.Code, packets.ErrBadUsernameOrPassword.Code:
		pk.ReasonCode = packets.Err3NotAuthorized.Code
	default:
		pk.FixedHeader.Type = noPacket // a malformed CONNECT gets no answer [MQTT-3.1.4-1]
	}
	return pk
}

// StoredRetainedMessages implements mqtt.Hook: the broker's retained messages come back from the journal after a restart.
func (h *hook) StoredRetainedMessages() ([]storage.Message, error) {
	var out []storage.Message
	for _, e := range h.b.opts.Retained {
		if !e.Retain || len(e.Payload) == 0 {
			continue
		}
		out = append(out, storage.Message{
			T: storage.RetainedKey, ID: storage.RetainedKey + "_" + e.Topic, TopicName: e.Topic, Payload: e.Payload, Created: e.Time.Unix(),
			FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: e.QoS, Retain: true},
		})
	}
	return out, nil
}

// asCode turns an error of the journal into an answer that PUBACK may carry (MQTT 5 table 3.4).
func asCode(err error) packets.Code {
	var code packets.Code
	if errors.As(err, &code) {
		return code
	}
	return packets.Code{Code: packets.ErrUnspecifiedError.Code, Reason: fmt.Sprintf("not stored: %v", err)}
}
