package viewer

import (
	"bytes"
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"plumbline/harness/record"
)

// pongLimit is how long a server may take to answer the ping that follows the
// frames of hello. One that never does is taken to have read them.
const pongLimit = 2 * time.Second

// jsonDialect reads frames of JSON from a WebSocket, as a descriptor describes
// them. The server numbers nothing: what was missed shows in the recording only.
type jsonDialect struct {
	*Viewer
	finder *finder
	topics topics
	over   *takenOver
	in     bool // subscribed in the present session; guarded by the viewer's lock
}

func newJSON(v *Viewer) (*jsonDialect, error) {
	f, err := newFinder(v.cfg.Message)
	if err != nil {
		return nil, err
	}
	f.asking = v.cfg.Reply
	over, err := newTakenOver(v.cfg.Again)
	return &jsonDialect{Viewer: v, finder: f, topics: topics{}, over: over}, err
}

// opening returns what is said first: where the last session got to, when that is known.
// Of several subscriptions one place tells nothing.
func (j *jsonDialect) opening(token string) []string {
	if j.cfg.Resume && len(j.cfg.Filters) == 1 {
		if frames, known := j.over.filled(j.cfg.Filters[0], token); known {
			return frames
		}
	}
	return Hellos(j.cfg.Hello, j.cfg.Filters, token)
}

func (j *jsonDialect) subscribed() bool { return j.in }

// jsonSession is one connection.
type jsonSession struct {
	*socket
	j       *jsonDialect
	token   string
	pong    chan struct{} // closed by the reading goroutine when the ping was answered
	pending chan jsonFrame
}

// jsonFrame is what one read gave.
type jsonFrame struct {
	at   int64
	data []byte
	err  error
}

func (j *jsonDialect) dial(ctx context.Context, token string) (session, error) {
	socket, err := j.dialSocket(ctx, token, j.cfg.Subprotocol)
	if err != nil {
		return nil, err
	}
	socket.silence = j.cfg.Silence
	s := &jsonSession{socket: socket, j: j, token: token, pong: make(chan struct{})}
	answered := false
	s.conn.SetPongHandler(func(string) error {
		s.touch()
		if !answered {
			answered = true
			close(s.pong)
		}
		return nil
	})
	return s, nil
}

// enter sends the frames of hello and a ping. A server reads in order, so its
// pong says that it has read them: the protocol has no better confirmation.
func (s *jsonSession) enter() error {
	j := s.j
	for _, frame := range j.opening(s.token) {
		if err := s.send(websocket.TextMessage, []byte(frame)); err != nil {
			return err
		}
	}
	if err := s.conn.WriteControl(websocket.PingMessage, []byte("hello"), time.Now().Add(connectLimit)); err != nil {
		return err
	}
	limit := time.NewTimer(pongLimit)
	defer limit.Stop()
	for {
		s.readOne()
		select {
		case frame := <-s.pending:
			s.pending = nil
			if frame.err != nil {
				return frame.err
			}
			if err := s.handle(frame); err != nil {
				return err
			}
			continue
		case <-s.pong:
		case <-limit.C:
			j.event(record.Note, "the server did not answer a ping, which RFC 6455 section 5.5.2 demands", "limit", pongLimit.String())
		}
		s.admit()
		return nil
	}
}

// readOne begins to read one frame, which step takes up when enter did not wait
// for it. The reading ends with the connection.
func (s *jsonSession) readOne() {
	frames := make(chan jsonFrame, 1)
	s.pending = frames
	go func() {
		at, _, data, err := s.read()
		frames <- jsonFrame{at, data, err}
	}()
}

func (s *jsonSession) admit() {
	j, at := s.j, s.j.clock.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.admitLocked(s, at, "protocol", JSON, "subprotocol", s.conn.Subprotocol())
	j.in = true
	for _, filter := range j.cfg.Filters {
		j.eventAt(at, record.Subscribed, "", "filter", filter)
	}
	j.wakeLocked()
}

// step reads one frame, stamps it and handles it. Binary frames are read as
// text: many a server sends its JSON so.
func (s *jsonSession) step() error {
	var frame jsonFrame
	if s.pending != nil {
		frame, s.pending = <-s.pending, nil
	} else {
		frame.at, _, frame.data, frame.err = s.read()
	}
	if frame.err != nil {
		return frame.err
	}
	return s.handle(frame)
}

func (s *jsonSession) handle(frame jsonFrame) error {
	if err := s.heed(frame.data); err != nil {
		return err
	}
	s.j.mu.Lock()
	defer s.j.mu.Unlock()
	return s.j.tookLocked(frame.data, s.j.readLocked(s.j.finder, s.j.topics, arrival{at: frame.at, data: frame.data, kind: record.Received}))
}

// heed answers what asks whether somebody is there, and remembers how far the server has got.
func (s *jsonSession) heed(frame []byte) error {
	if len(s.j.cfg.Reply) == 0 && len(s.j.over.of) == 0 {
		return nil
	}
	for text := range s.j.finder.texts(frame) {
		if answer, asked := s.j.cfg.Reply[string(bytes.TrimSpace(text))]; asked {
			if err := s.send(websocket.TextMessage, []byte(answer)); err != nil {
				return err
			}
		} else if len(s.j.over.of) > 0 && valid(text) {
			s.j.over.took(text)
		}
	}
	return nil
}

// ending waits for a read that nobody has taken up: the connection is closed.
func (s *jsonSession) ending(err error) ending {
	if s.pending != nil {
		<-s.pending
		s.pending = nil
	}
	s.j.mu.Lock()
	s.j.in = false
	s.j.mu.Unlock()
	return s.socket.ending(err)
}

// blanks are the templates that a viewer fills in for each connection.
var blanks = regexp.MustCompile(`\{\{\s*(filter|token)\s*\}\}`)

// Hellos fills in the templates of what a viewer of JSON says first. One that
// holds {{filter}} is sent once for every filter, the others once.
func Hellos(frames, filters []string, token string) []string {
	var out []string
	for _, frame := range frames {
		seen := map[string]bool{}
		for _, filter := range filters {
			filled := blanks.ReplaceAllStringFunc(frame, func(blank string) string {
				if strings.Contains(blank, "token") {
					return quoted(token)
				}
				return quoted(filter)
			})
			if !seen[filled] {
				seen[filled] = true
				out = append(out, filled)
			}
		}
	}
	return out
}

// quoted escapes a text for the inside of a JSON string.
func quoted(text string) string {
	data, err := json.Marshal(text)
	if err != nil {
		return text
	}
	return string(data[1 : len(data)-1])
}

// readLocked records the readings of a text that are news. Those that are marked
// as old are Restored, the others are of the kind of the arrival.
func (v *Viewer) readLocked(f *finder, names topics, a arrival) error {
	var fresh, old uint64
	if a.against != nil {
		a.against.begin()
	}
	err := f.readings(a.data, func(r found) {
		topic := ""
		if f.hasTopic {
			topic = v.nameLocked(names, a.at, r.topic)
			if v.unasked(topic, r.payload) {
				return
			}
		}
		if a.against != nil && !a.against.fresh(topic, r.payload) {
			return
		}
		kind := a.kind
		if r.old {
			kind = record.Restored
			old++
		} else {
			fresh++
		}
		v.recordLocked(a.at, kind, topic, reading{payload: r.payload})
	})
	if a.against != nil {
		a.against.commit(err)
	}
	v.countLocked(a.kind, fresh)
	v.countLocked(record.Restored, old)
	return err
}

// nameLocked returns a topic as a string. One that no filter takes is noted
// when it is first seen.
func (v *Viewer) nameLocked(names topics, at int64, raw []byte) string {
	topic, fresh := v.topicLocked(names, raw)
	if fresh && !v.takes(topic) {
		v.outsideLocked(at, topic)
	}
	return topic
}

// unasked reports whether a reading is somebody else's that the viewer never
// asked for: where the system sends everything to everybody, a dashboard looks
// for its own topics. What a device of this recording published is never left
// out: then the topic is what is wrong.
func (v *Viewer) unasked(topic string, payload []byte) bool {
	if v.takes(topic) || v.asks() || v.cfg.Resolve == nil {
		return false
	}
	stream, _, flags := v.cfg.Resolve(topic, payload)
	return stream == record.NoStream && flags&record.FlagForeign != 0
}

// takes reports whether a filter takes a topic.
func (v *Viewer) takes(topic string) bool {
	return slices.ContainsFunc(v.cfg.Filters, func(filter string) bool { return matches(filter, topic) })
}

// asks reports whether the system is told what the viewer wants to see.
func (v *Viewer) asks() bool {
	return slices.ContainsFunc(append(slices.Clone(v.cfg.Hello), v.cfg.URL), func(text string) bool {
		return slices.ContainsFunc(blanks.FindAllStringSubmatch(text, -1), func(m []string) bool { return m[1] == "filter" })
	})
}
