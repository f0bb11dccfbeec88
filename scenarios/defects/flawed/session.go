package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"time"
)

// session is one connection of a viewer. The goroutine that carries frames to
// the viewer owns streams; up and down share what mu guards.
type session struct {
	f                  *front
	client, bridge     net.Conn
	clientIn, bridgeIn *bufio.Reader
	random             *rand.Rand // of the goroutine towards the viewer
	done               chan struct{}
	ending             sync.Once
	browser            bool // the handshake says that the viewer is one
	returns            bool // a browser's that is not its first

	writeClient, writeBridge sync.Mutex
	compressor               *compressor // towards the viewer, nil for none; set before the first frame

	streams map[uint64]*stream
	heard   time.Time // from the bridge, by the wall clock, where the flaw asks
	ticks   int64     // the same in milliseconds of the uptime, as the flaw keeps them

	mu     sync.Mutex
	opaque bool // not plumbline.v1.json, or compact: frames are passed on as they come
	hello  hello
	head   uint64                // of the journal at welcome
	subs   map[uint64]*subscribe // as the viewer asked, until answered
	grants []string              // of the viewer's own token, where the flaw enforces them
	state  int                   // for the flaw
	spoke  time.Time             // the viewer last, where the flaw asks
	shown  token                 // the viewer's own, where the flaw shows the bridge another
}

// relay carries the handshake and then frames, or anything else byte by byte.
func (s *session) relay() {
	s.subs = map[uint64]*subscribe{}
	// The bridge may end it first, for example when no request comes.
	answered := make(chan []byte, 1)
	go func() {
		answer, whole := readHead(s.bridgeIn)
		if !whole {
			_, _ = s.client.Write(answer)
			s.end()
		}
		answered <- s.f.wall.date(answer)
	}()
	request, whole := readHead(s.clientIn)
	if bytes.HasPrefix(request, plainPath) {
		s.present()
		s.end()
		<-answered
		return
	}
	s.browser = bytes.Contains(request, []byte("\r\nUser-Agent: Mozilla/"))
	if s.browser && !upgrades(request) { // what follows on it would reach the bridge unseen
		request = bytes.Replace(request, []byte("\r\nConnection: keep-alive"), []byte("\r\nConnection: close"), 1)
	}
	if whole && s.f.flaw.request != nil {
		request = s.f.flaw.request(s, request)
	}
	if whole {
		request, s.compressor = s.f.negotiate(request)
	}
	_, err := s.bridge.Write(request)
	if !whole || err != nil {
		s.end()
		<-answered
		return
	}
	if !upgrades(request) { // its body must not wait for the answer
		splice(s.client, s.clientIn, s.bridge, s.bridgeIn, answered)
		return
	}
	answer := <-answered
	upgraded := bytes.HasPrefix(answer, []byte("HTTP/1.1 101"))
	if upgraded && s.compressor != nil {
		answer = s.compressor.accept(answer)
	}
	if _, err := s.client.Write(answer); err != nil {
		return
	}
	if !upgraded {
		answered <- nil // it was passed on
		splice(s.client, s.clientIn, s.bridge, s.bridgeIn, answered)
		return
	}
	said := bytes.ToLower(answer)
	s.opaque = !bytes.Contains(said, []byte("sec-websocket-protocol: plumbline.v1.json")) ||
		(s.compressor == nil && bytes.Contains(said, []byte("permessage-deflate"))) // the bridge compresses itself
	s.carry()
}

func upgrades(head []byte) bool {
	return bytes.Contains(bytes.ToLower(head), []byte("\r\nupgrade: websocket"))
}

// end closes both connections. It may be called from anywhere.
func (s *session) end() {
	s.ending.Do(func() {
		close(s.done)
		_, _ = s.client.Close(), s.bridge.Close()
	})
}

// carry relays frames until one side has ended.
func (s *session) carry() {
	var ways sync.WaitGroup
	ways.Go(func() { s.up(); s.end() })
	frames := make(chan frame)
	ways.Go(func() {
		defer close(frames)
		for {
			f, _, err := readFrame(s.bridgeIn)
			if err != nil {
				return
			}
			select {
			case frames <- f:
			case <-s.done:
				return
			}
		}
	})
	s.down(frames)
	if s.f.flaw.ended != nil {
		s.f.flaw.ended(s)
	}
	// The viewer may still have to read the close frame and answer it.
	if half, ok := s.client.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_ = s.client.SetReadDeadline(time.Now().Add(time.Second))
	ways.Wait()
}

// up carries frames of the viewer to the bridge.
func (s *session) up() {
	for {
		f, masked, err := readFrame(s.clientIn)
		if err != nil {
			return
		}
		f.bare = !masked // the bridge is to see that
		if f.text() && !s.opaque {
			f.payload = s.asked(f.payload)
			if f.payload == nil {
				continue
			}
		}
		if s.f.flaw.viewerFrame != nil && !s.f.flaw.viewerFrame(s, f) {
			continue
		}
		// Also when the bridge is gone a viewer is read to its end: bytes that
		// nobody has read would turn the close frame on its way into a reset.
		_ = s.toBridge(f)
	}
}

// viewer returns the name that the viewer gave itself.
func (s *session) viewer() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hello.Client
}

// asked keeps what a viewer says and lets the flaw change it; nil swallows it.
func (s *session) asked(text []byte) []byte {
	switch typeOf(text) {
	case "hello":
		s.mu.Lock()
		_ = json.Unmarshal(text, &s.hello) // what is malformed the bridge refuses
		s.opaque = s.opaque || s.hello.Compact
		s.mu.Unlock()
	case "sub":
		var sub subscribe
		if json.Unmarshal(text, &sub) == nil {
			s.mu.Lock()
			s.subs[sub.ID] = &sub
			s.mu.Unlock()
			if s.f.flaw.resume != nil && sub.Since != nil {
				changed := sub
				since := *sub.Since
				changed.Since = &since
				if s.f.flaw.resume(s, &changed) {
					text = encode(changed)
				}
			}
		}
	}
	if s.f.flaw.viewerText != nil {
		text = s.f.flaw.viewerText(s, text)
	}
	return text
}

func (s *session) toBridge(frames ...frame) error {
	var data []byte
	for _, f := range frames {
		data = appendFrame(data, f, !f.bare)
	}
	s.writeBridge.Lock()
	defer s.writeBridge.Unlock()
	_, err := s.bridge.Write(data)
	return err
}

func (s *session) toViewer(frames ...frame) error {
	s.writeClient.Lock()
	defer s.writeClient.Unlock()
	var data []byte
	for _, f := range frames {
		data = appendFrame(data, s.compressor.frame(f), false)
	}
	_, err := s.client.Write(data)
	return err
}

// down carries frames of the bridge to the viewer, and readings when they are due.
func (s *session) down(frames <-chan frame) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if at, any := s.nextDue(); any {
			timer.Reset(max(time.Until(at), 0))
		}
		var err error
		select {
		case f, open := <-frames:
			if !open {
				return
			}
			err = s.told(f)
		case <-timer.C:
			err = s.deliver(time.Now())
		case <-s.done:
			return
		}
		if err != nil {
			s.end()
			return
		}
	}
}

// told handles one frame of the bridge.
func (s *session) told(f frame) error {
	if s.f.flaw.hold != nil {
		s.f.flaw.hold(s)
	}
	s.mu.Lock()
	opaque := s.opaque
	s.mu.Unlock()
	if opaque {
		return s.toViewer(f)
	}
	if f.opcode() == opClose && !s.f.flaw.dropsAtEnd {
		if err := s.flush(); err != nil {
			return err
		}
	}
	if s.f.flaw.bridgeFrame != nil && !s.f.flaw.bridgeFrame(s, f) {
		return nil
	}
	if !f.text() {
		return s.toViewer(f)
	}
	switch typeOf(f.payload) {
	case "batch":
		return s.batch(f)
	case "snapshot":
		return s.snapshot(f)
	case "subok":
		return s.subscribed(f)
	case "welcome":
		var w welcome
		if json.Unmarshal(f.payload, &w) == nil {
			s.mu.Lock()
			s.head = w.Head
			s.mu.Unlock()
		}
	case "heartbeat":
		return s.heartbeat(f)
	case "gap":
		return s.gap(f)
	case "suberr", "unsubok":
		if err := s.flush(); err != nil {
			return err
		}
		var answer struct{ ID uint64 }
		if json.Unmarshal(f.payload, &answer) == nil {
			delete(s.streams, answer.ID)
		}
	}
	return s.toViewer(f)
}

// heartbeat tells the truth about what was passed on, so that no defect is
// betrayed by the books of the correct bridge behind it.
func (s *session) heartbeat(f frame) error {
	var all map[string]json.RawMessage
	var cursors, delivered, gaps map[string]uint64
	if json.Unmarshal(f.payload, &all) != nil || json.Unmarshal(all["cursors"], &cursors) != nil ||
		json.Unmarshal(all["delivered"], &delivered) != nil || json.Unmarshal(all["gaps"], &gaps) != nil {
		return s.toViewer(f)
	}
	for id, st := range s.streams {
		key := strconv.FormatUint(id, 10)
		if _, told := cursors[key]; told {
			cursors[key], delivered[key] = st.at, st.delivered
			gaps[key] += st.missed
		}
	}
	all["cursors"], all["delivered"], all["gaps"] = encode(cursors), encode(delivered), encode(gaps)
	return s.toViewer(textFrame(encode(all)))
}
