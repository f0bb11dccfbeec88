package main

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"
)

// devices: defects between devices and bridge.
var devices = map[string]maker{
	"F07": ackEarly, "F16": noWill, "F61": subscriptionLost, "F61r": partlyLost, "F64": ghost, "F62": partlyLost, "F67": wrap, "F61d": partlyServed, "F62d": partlyServed,
	"F71": noUnsuback, "C-dup": resend, "C-qos0": dropUnassured,
}

// noUnsuback (F71) never answers UNSUBSCRIBE, which MQTT demands [MQTT-3.10.4-4].
func noUnsuback(f *front, _ param) *flaw {
	return &flaw{fromBroker: func(_ *link, p packet) bool {
		if p.kind() != mqttUnsuback {
			return true
		}
		f.count.fire()
		return false
	}}
}

// ackEarly (F07) acknowledges a message and hands it on some time later: a kill
// in between loses it.
func ackEarly(f *front, p param) *flaw {
	late := p.time(0)
	return &flaw{
		fromDevice: func(l *link, q packet) bool {
			if q.kind() != mqttPublish {
				return true
			}
			_, id := q.publish()
			if id == 0 {
				return true
			}
			l.mu.Lock()
			l.acked[id] = true
			l.mu.Unlock()
			if l.answer(puback(id)) == nil {
				f.count.fire()
			}
			<-time.After(late)
			return true
		},
		fromBroker: swallowAcks,
	}
}

// swallowAcks keeps answers of the broker from a device that has them already.
func swallowAcks(l *link, q packet) bool {
	if q.kind() != mqttPuback || len(q.body) < 2 {
		return true
	}
	id := uint16(q.body[0])<<8 | uint16(q.body[1])
	l.mu.Lock()
	defer l.mu.Unlock()
	mine := l.acked[id]
	delete(l.acked, id)
	return !mine
}

// noWill (F16) makes every end of a device a proper one: its will is not sent.
func noWill(f *front, _ param) *flaw {
	return &flaw{
		fromDevice: func(l *link, q packet) bool {
			l.parted = l.parted || q.kind() == mqttDisconnect
			return true
		},
		deviceLost: func(l *link) {
			if !l.parted && l.send(packet{first: mqttDisconnect}) == nil {
				f.count.fire()
			}
		},
	}
}

// subscriptionLost (F61) is a bridge that subscribes once: after the connection
// of a device was lost messages are acknowledged and go nowhere.
func subscriptionLost(f *front, _ param) *flaw {
	var mu sync.Mutex
	lost := false
	return &flaw{
		deviceLost: func(l *link) {
			mu.Lock()
			defer mu.Unlock()
			lost = lost || l.published > 0
		},
		fromDevice: func(l *link, q packet) bool {
			if q.kind() != mqttPublish {
				return true
			}
			l.published++
			_, id := q.publish()
			mu.Lock()
			drop := lost
			mu.Unlock()
			if drop {
				f.count.fire()
				if id != 0 {
					_ = l.answer(puback(id)) // a device that is gone needs none
				}
			}
			return !drop
		},
	}
}

// partlyLost (F62, F61r) serves, after a restart, a share of the filters of its
// viewers no more, though it confirms them.
func partlyLost(f *front, p param) *flaw {
	share, draw := p.number(0), f.random()
	var mu sync.Mutex
	return &flaw{
		subscribed: func(_ *session, st *stream) {
			mu.Lock()
			defer mu.Unlock()
			if f.restarted && draw.Float64() < share {
				f.count.fire()
				st.state = false
			}
		},
		arrive: func(_ *session, st *stream, rs []reading) []reading {
			if st.state != nil {
				return nil
			}
			return rs
		},
	}
}

// partlyServed (F61d, F62d) is a bridge that has, after a restart of the broker,
// asked it again for a share of its filters less: what comes under those topics
// goes on to nobody.
func partlyServed(f *front, p param) *flaw {
	share, draw := p.number(0), f.random()
	var mu sync.Mutex
	lost := map[string]bool{} // by topic
	return &flaw{arrive: func(_ *session, _ *stream, rs []reading) []reading {
		if !f.restarted {
			return rs
		}
		mu.Lock()
		defer mu.Unlock()
		return slices.DeleteFunc(rs, func(r reading) bool {
			gone, drawn := lost[r.Topic]
			if !drawn {
				gone = draw.Float64() < share
				lost[r.Topic] = gone
			}
			return gone && fired(f)
		})
	}}
}

// dropUnassured loses every N-th message of QoS 0: a control, because that
// quality promises no more (MQTT 5.0 section 4.3.1).
func dropUnassured(f *front, p param) *flaw {
	n := p.count(0)
	return &flaw{fromDevice: func(l *link, q packet) bool {
		if _, id := q.publish(); q.kind() != mqttPublish || id != 0 {
			return true
		}
		l.published++
		return l.published%n != 0 || !fired(f)
	}}
}

// wrap (F67) loses the message at which a counter of so many messages of one
// connection starts anew.
func wrap(f *front, p param) *flaw {
	n := p.count(0)
	return &flaw{fromDevice: func(l *link, q packet) bool {
		_, id := q.publish()
		if q.kind() != mqttPublish || id == 0 {
			return true
		}
		if l.published++; l.published%n != 0 {
			return true
		}
		f.count.fire()
		_ = l.answer(puback(id)) // as above
		return false
	}}
}

// resend sends every N-th message a second time with DUP set: a control, no
// defect, because MQTT allows it (MQTT 5.0 section 4.4).
func resend(f *front, p param) *flaw {
	n := p.count(0)
	return &flaw{fromDevice: func(l *link, q packet) bool {
		_, id := q.publish()
		if q.kind() != mqttPublish || id == 0 {
			return true
		}
		if l.published++; l.published%n == 0 && l.send(q) == nil {
			f.count.fire()
			q.first |= 0x08
			l.mu.Lock()
			l.acked[id] = true // one of the two answers is enough
			l.mu.Unlock()
			_ = l.send(q) // the broker that is gone needs none
			return false
		}
		return true
	}, fromBroker: swallowAcks}
}

// ghost (F64) lets two clients of one identifier live side by side.
func ghost(f *front, _ param) *flaw {
	var mu sync.Mutex
	seen := map[string]int{}
	return &flaw{fromDevice: func(l *link, q packet) bool {
		if q.kind() != mqttConnect {
			return true
		}
		at, id := q.clientID()
		mu.Lock()
		seen[id]++
		n := seen[id]
		mu.Unlock()
		if at == 0 || n == 1 {
			return true
		}
		f.count.fire()
		other := fmt.Sprintf("%s.%d", id, n)
		body := append([]byte{}, q.body[:at]...)
		body = binary.BigEndian.AppendUint16(body, uint16(len(other)))
		body = append(append(body, other...), q.body[at+2+len(id):]...)
		_ = l.send(packet{first: q.first, body: body}) // the broker that is gone needs none
		return false
	}}
}
