package mqtt

import (
	"time"

	"plumbline/harness/conform"
)

func (s *suite) windowChecks() []conform.Check {
	return []conform.Check{
		s.five("3.3.4-9", "", must, "A server shall have no more messages open than the client's Receive Maximum.", func(t *conform.Trial) {
			s.window(t, 3, 40, false)
		}),
		s.five("3.3.4-9", "b", must, "A server shall go on to send when a window that was full is acknowledged, in order.", func(t *conform.Trial) {
			s.window(t, 10, 300, true)
		}),
		s.five("3.3.4-9", "c", must, "The window shall hold for messages that waited for an absent client.", s.windowAfterAbsence, LacksSessions),
		s.five("3.3.4-7", "a", must, "More open messages than the server's Receive Maximum shall end the connection.", func(t *conform.Trial) {
			if c := s.exceed(t); c != nil && !c.c.Ended() && !t.Decided() {
				t.Failf("the connection is still open")
			}
		}, LacksQoS2),
		s.five("3.3.4-7", "b", should, "The client shall be told by DISCONNECT 0x93 that it exceeded the Receive Maximum.", func(t *conform.Trial) {
			for range 8 { // whether it is still read is a race where the server closes under what it has not read
				if c := s.exceed(t); c != nil && !c.over && !t.Decided() {
					t.Failf("no DISCONNECT: %s", c.state())
				}
			}
		}, LacksQoS2),
		s.five("3.1.2-24", "", must, "A message beyond the client's Maximum Packet Size shall be left out, and those behind it sent.", func(t *conform.Trial) {
			sub, topic := s.listener(t, v5, 1, withProps(num(propMaxPacket, 300)))
			pub := s.join(t, v5, "pub")
			pub.publish(publish{topic: topic, payload: string(make([]byte, 1000)), qos: 1})
			pub.publish(publish{topic: topic, payload: "small", qos: 1})
			sub.take("small")
		}),
	}
}

// window publishes n messages to a client with that Receive Maximum. It
// acknowledges when the window is full, all at once or one by one.
func (s *suite) window(t *conform.Trial, size, n int, oneByOne bool) {
	sub, topic := s.listener(t, v5, 1, withProps(num(propReceiveMax, uint32(size))))
	sub.manual = true
	pub := s.join(t, v5, "pub")
	done := make(chan struct{})
	go func() {
		defer close(done)
		pub.numbered(topic, 1, n)
	}()
	s.drainWindow(t, sub, size, n, oneByOne)
	if t.Decided() {
		pub.c.Close()
	}
	<-done
}

func (s *suite) drainWindow(t *conform.Trial, sub *client, size, n int, oneByOne bool) {
	var got []packet
	var open []uint16
	for len(got) < n && !t.Decided() {
		wait := t.Patience()
		if len(open) == size {
			wait = 150 * time.Millisecond // none more may come now
		}
		p, ok := sub.message(wait)
		if ok {
			got, open = append(got, p), append(open, p.id)
		}
		if len(open) > size {
			t.Failf("%d messages are open, Receive Maximum is %d", len(open), size)
		}
		if !ok && len(open) == 0 {
			t.Failf("after %d of %d messages, all acknowledged, no more came: %s", len(got), n, sub.state())
		}
		acks := 0
		if oneByOne && len(open) > 0 {
			acks = 1
		} else if !ok {
			acks = len(open)
		}
		for _, id := range open[:acks] {
			sub.send(ack(pktPuback, id))
		}
		open = open[acks:]
	}
	inOrder(t, got, n)
}

func (s *suite) windowAfterAbsence(t *conform.Trial) {
	sub, topic := s.listener(t, v5, 1, lasting)
	defer s.forget(v5, sub.id)
	sub.leave()
	s.join(t, v5, "pub").numbered(topic, 1, 30)
	again := s.rejoin(t, v5, sub.id, lasting, withProps(num(propReceiveMax, 5)))
	again.manual = true
	s.drainWindow(t, again, 5, 30, false)
}

// exceed opens more messages of QoS 2 than the server's Receive Maximum, all in
// one write, and reads until the server is done. nil when that is too many.
func (s *suite) exceed(t *conform.Trial) *client {
	c := s.join(t, v5, "exceed")
	most := s.server.receiveMax
	if most > 3000 {
		t.Skipf("the server's Receive Maximum is %d", most)
		return nil
	}
	topic := s.topic()
	var all []byte
	for i := uint32(1); i <= most+500; i++ { // a client that is wrong once is wrong on
		all = append(all, publish{topic: topic, payload: "x", qos: 2, id: uint16(i)}.bytes(v5)...)
	}
	c.send(all)
	deadline := time.Now().Add(t.Patience())
	for {
		p, ok := c.read(deadline)
		if !ok {
			break
		}
		switch {
		case p.kind == pktDisconnect:
			t.Sayf("%s", p)
		case p.kind == pktPubrec && p.code >= 0x80:
			t.Skipf("the server refuses messages, which opens its window again: %s", p)
		}
	}
	return c
}
