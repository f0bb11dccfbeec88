package ingest

import (
	"bytes"
	"context"
	"errors"
	"unicode/utf8"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"plumbline/bridge/audit"
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
		mqtt.OnPacketRead, mqtt.OnPacketEncode, mqtt.OnWill:
		return true
	}
	return false
}

// connOf returns the client's connection, nil for the inline clients.
func connOf(cl *mqtt.Client) *conn {
	c, _ := cl.Net.Conn.(*conn)
	return c
}

// contextOf is the context of what a client's connection stores.
func (b *Broker) contextOf(cl *mqtt.Client) context.Context {
	if c := connOf(cl); c != nil {
		return c.ctx
	}
	return b.ctx
}

// OnConnect implements mqtt.Hook: what the library lets pass and the standard does not.
func (h *hook) OnConnect(cl *mqtt.Client, pk packets.Packet) error {
	c := connOf(cl)
	if c == nil {
		return nil
	}
	if code, reason := h.checkConnect(cl, &pk); reason != "" {
		h.refuseConnect(cl, code, reason)
		return code
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

// checkConnect says what is wrong with a CONNECT; reason is "" when nothing is.
func (h *hook) checkConnect(cl *mqtt.Client, pk *packets.Packet) (code packets.Code, reason string) {
	p, v5 := pk.Connect, cl.Properties.ProtocolVersion == 5
	switch {
	case h.b.draining.Load():
		return packets.ErrServerUnavailable, "draining"
	case v5 && pk.Properties.AuthenticationMethod != "": // D13 [MQTT-4.12.0-1]
		return packets.ErrBadAuthenticationMethod, "auth-method"
	case len(cl.ID) > maxClientID:
		return packets.ErrClientIdentifierNotValid, "client-id"
	case !utf8.Valid(p.Username) || bytes.IndexByte(p.Username, 0) >= 0: // [MQTT-3.1.3-11]
		return packets.ErrMalformedUsername, "user-name"
	case !p.WillFlag && p.WillQos > 0, !v5 && p.PasswordFlag && !p.UsernameFlag: // [MQTT-3.1.2-11], 3.1.1 [MQTT-3.1.2-22]
		return packets.ErrMalformedFlags, "flags"
	case p.WillFlag && (topic.ValidName(p.WillTopic) != nil || hidden(p.WillTopic)):
		return packets.ErrTopicNameInvalid, "will-topic"
	}
	return packets.CodeSuccess, ""
}

func (h *hook) refuseConnect(cl *mqtt.Client, code packets.Code, reason string) {
	h.b.m.MQTTRejected.WithLabelValues(reason).Inc()
	c := connOf(cl)
	c.recorded = true
	audit.Refused(h.b.log, audit.Event{Action: "mqtt connection", Reason: reason, Remote: c.addr})
	_ = h.b.server.SendConnack(cl, code, false, nil) // the connection ends either way
}

// OnConnectAuthenticate implements mqtt.Hook.
func (h *hook) OnConnectAuthenticate(cl *mqtt.Client, pk packets.Packet) bool {
	c := connOf(cl)
	if c == nil {
		return false
	}
	if !h.b.authenticate(cl, c, pk) {
		return false
	}
	// After the password, so that it tells strangers nothing.
	present, refusal, reason := h.b.sessions.attach(cl, c, pk.Connect.Clean)
	if reason != "" {
		h.refuseConnect(cl, refusal, reason)
		c.answered = true // the library's own answer must not follow
		return false
	}
	c.present = present
	if !h.claim(cl, c, pk.Connect) {
		h.refuseConnect(cl, packets.ErrClientIdentifierNotValid, "session")
		c.answered = true
		return false
	}
	if !h.b.stillMay(c) { // changed since it was looked at, and Reload has not met this client
		return h.b.loginRefused(c, "revoked")
	}
	return true
}

// OnACLCheck implements mqtt.Hook. Everything that clients send and get is decided elsewhere; the library may do nothing.
func (h *hook) OnACLCheck(*mqtt.Client, string, bool) bool { return false }

// may asks the access list whether a client may publish to a topic, or subscribe to a filter.
func (h *hook) may(cl *mqtt.Client, name string, write bool) bool {
	if h.b.opts.Users == nil || h.b.opts.Users.may(string(cl.Properties.Username), cl.ID, name, write) {
		return true
	}
	action := "subscribe"
	if write {
		action = "publish"
	}
	h.b.m.Denied.WithLabelValues(action).Inc()
	if c := connOf(cl); c != nil && c.mayRecord() {
		audit.Refused(h.b.log, audit.Event{Action: "mqtt " + action, Reason: "not on the list", Subject: string(cl.Properties.Username), Remote: c.addr})
	}
	return false
}

// OnSessionEstablished implements mqtt.Hook: it comes after CONNACK.
func (h *hook) OnSessionEstablished(cl *mqtt.Client, pk packets.Packet) {
	c := connOf(cl)
	if c.emptyWill {
		pk.Connect.WillPayload = nil
	}
	if cancelled := h.b.wills.connected(cl, pk); cancelled != nil {
		c.session.dropWill(cancelled)
	}
	c.session.saveOr("CONNECT")
	c.session.begin()
}

// OnDisconnect implements mqtt.Hook. Any end but DISCONNECT 0x00 is one for which the will was left [MQTT-3.14.4-3]; of those the
// library overlooks the other reason codes, and a cut that comes while the reader is busy.
func (h *hook) OnDisconnect(cl *mqtt.Client, _ error, _ bool) {
	if c := connOf(cl); c != nil && !c.farewell {
		h.b.wills.died(cl)
	}
	h.b.wills.disconnected(cl)
}

// OnWill implements mqtt.Hook: the will goes our way, the library's copy goes nowhere (M11, M25, D9, D10).
func (h *hook) OnWill(cl *mqtt.Client, _ mqtt.Will) (mqtt.Will, error) {
	h.b.wills.died(cl)
	cl.Properties.Will.WillDelayInterval = 0 // else the library would keep its own copy and send it later
	return mqtt.Will{TopicName: sinkTopic, Flag: 1}, nil
}

// hidden reports whether a topic belongs to the server [MQTT-4.7.2-1].
func hidden(name string) bool { return name != "" && name[0] == '$' }

// OnPacketRead implements mqtt.Hook. It takes every packet that concerns messages away from the library, and gives it one that
// does nothing instead. The errors that it returns end the connection; the will is due then.
func (h *hook) OnPacketRead(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	c := connOf(cl)
	if c == nil || c.refused {
		return pk, packets.ErrRejectPacket
	}
	switch pk.FixedHeader.Type {
	case packets.Connect:
		if w := &pk.Connect; c.session == nil && w.WillFlag && len(w.WillPayload) == 0 { // D8: the library refuses it
			w.WillPayload, c.emptyWill = []byte{0}, true
		}
		// An empty password is one (MQTT 5 section 3.1.3.6), and the library refuses it. In 3.1.1 it needs a user name as any other.
		if len(pk.Connect.Password) == 0 && (pk.Connect.UsernameFlag || pk.ProtocolVersion == 5) {
			pk.Connect.PasswordFlag = false
		}
		return pk, nil
	case packets.Disconnect:
		if pk.FixedHeader.Remaining == 1 { // D7: the library overlooks a reason code without properties
			pk.ReasonCode = c.lastByte
		}
		c.farewell = pk.ReasonCode == packets.CodeSuccess.Code
		return pk, nil
	case packets.Publish, packets.Puback, packets.Pubrec, packets.Pubrel, packets.Pubcomp, packets.Subscribe, packets.Unsubscribe, packets.Auth:
	default:
		return pk, nil
	}
	if err := h.handle(cl, c, pk); err != nil {
		var code packets.Code
		if errors.As(err, &code) && code != packets.ErrRejectPacket {
			_ = h.b.server.DisconnectClient(cl, code)
		}
		return pk, packets.ErrRejectPacket
	}
	return inert, nil
}

// inert is a packet that the library drops in silence.
var inert = packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish}, TopicName: "$SYS/inert"}

// answer acknowledges a QoS 1 or 2 publish with a reason code; QoS 0 has no answer.
func (h *hook) answer(cl *mqtt.Client, pk packets.Packet, code packets.Code) {
	var kind byte
	switch pk.FixedHeader.Qos {
	case 1:
		kind = packets.Puback
	case 2:
		kind = packets.Pubrec
	default:
		return
	}
	ack := packets.Packet{FixedHeader: packets.FixedHeader{Type: kind}, PacketID: pk.PacketID, ReasonCode: code.Code}
	ack.Properties.ReasonString = code.Reason
	_ = cl.WritePacket(ack) // a failed write has closed the connection
}

// cut ends a connection without DISCONNECT, the only refusal that MQTT 3.1.1 has. The will is due then.
func (h *hook) cut(cl *mqtt.Client) error {
	if c := connOf(cl); c != nil {
		c.refused = true
		c.lingers.Store(true) // so that what was acknowledged before arrives
		_ = c.Close()
	}
	return packets.ErrRejectPacket
}

// noPacket makes the library encode nothing and write nothing.
const noPacket byte = packets.Reserved

// OnPacketEncode implements mqtt.Hook: mends what goes out.
func (h *hook) OnPacketEncode(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	c := connOf(cl)
	if c == nil {
		return pk
	}
	switch pk.FixedHeader.Type {
	case packets.Publish: // its properties are the publisher's [MQTT-3.3.2-17]; tooLarge has looked at its size
		pk.Mods.DisallowProblemInfo, pk.Mods.MaxSize = false, 0
	case packets.Disconnect:
		c.lingers.Store(true)
		if cl.Properties.ProtocolVersion < 5 {
			pk.FixedHeader.Type = noPacket // a 3.1.1 server never sends DISCONNECT (3.1.1 section 3.14)
		}
	case packets.Connack:
		if c.answered {
			pk.FixedHeader.Type = noPacket
			return pk
		}
		return h.connack(cl, c, pk)
	}
	return pk
}

// connack completes the answer to a CONNECT with what the library does not know.
func (h *hook) connack(cl *mqtt.Client, c *conn, pk packets.Packet) packets.Packet {
	if pk.ReasonCode != packets.CodeSuccess.Code {
		c.lingers.Store(true)
		switch v := cl.Properties.ProtocolVersion; {
		case v > 5: // [MQTT-3.1.2-2], for versions that there are not yet
			pk.ReasonCode = packets.ErrUnsupportedProtocolVersion.Code
		case v < 3: // 3.1.1 [MQTT-3.1.2-2]
			pk.ReasonCode = packets.Err3UnsupportedProtocolVersion.Code
		case v < 5 && pk.ReasonCode >= 0x80: // some the library has turned already
			return connack3(pk)
		}
		return pk
	}
	c.accepted.Store(true)
	pk.SessionPresent = c.present
	pk.Properties.ReceiveMaximum = maxReceive
	pk.Properties.MaximumPacketSize = uint32(h.b.opts.MaxPacketBytes)
	pk.Properties.SharedSubAvailable, pk.Properties.SharedSubAvailableFlag = 0, true
	return pk
}

// connack3 turns a reason code of MQTT 5 into a return code that 3.1.1 has (D8, D15; 3.1.1 table 3.1).
func connack3(pk packets.Packet) packets.Packet {
	switch pk.ReasonCode {
	case packets.ErrUnspecifiedError.Code, packets.ErrClientIdentifierNotValid.Code: // the library uses the first for an empty id without clean session [MQTT-3.1.3-8]
		pk.ReasonCode = packets.Err3ClientIdentifierNotValid.Code
	case packets.ErrUnsupportedProtocolVersion.Code:
		pk.ReasonCode = packets.Err3UnsupportedProtocolVersion.Code
	case packets.ErrServerBusy.Code, packets.ErrServerUnavailable.Code, packets.ErrServerShuttingDown.Code, packets.ErrQuotaExceeded.Code:
		pk.ReasonCode = packets.Err3ServerUnavailable.Code
	case packets.ErrNotAuthorized.Code, packets.ErrBadUsernameOrPassword.Code:
		pk.ReasonCode = packets.Err3NotAuthorized.Code
	default:
		pk.FixedHeader.Type = noPacket // a malformed CONNECT gets no answer [MQTT-3.1.4-1]
	}
	return pk
}
