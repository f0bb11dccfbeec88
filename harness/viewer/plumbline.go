package viewer

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Subprotocol is the WebSocket subprotocol of the protocol plumbline.
const Subprotocol = "plumbline.v1.json"

// plumbline speaks plumbline.v1.json and plumbline.v1.cbor. What it knows is guarded by the viewer's
// lock, under which frames are handled.
type plumbline struct {
	*Viewer
	subs       []*subscription
	epoch      string // the last epoch seen and its number in the recording
	epochNo    uint32
	epochs     map[string]uint32 // all that were seen
	refreshing bool              // a token for auth-expiring is on its way
	scratch    [3][]byte         // for topic, payload and base64
}

func newPlumbline(v *Viewer) *plumbline {
	p := &plumbline{Viewer: v, epochs: map[string]uint32{}}
	for i, filter := range v.cfg.Filters {
		p.subs = append(p.subs, &subscription{id: uint64(i + 1), filter: filter, topics: topics{}})
	}
	return p
}

func (p *plumbline) subscribed() bool {
	return !slices.ContainsFunc(p.subs, func(s *subscription) bool { return !s.confirmed })
}

func (p *plumbline) cursor(filter string) Cursor {
	i := slices.IndexFunc(p.subs, func(s *subscription) bool { return s.filter == filter })
	if i < 0 {
		return Cursor{}
	}
	return p.subs[i].at
}

func (p *plumbline) reached(offset uint64) bool {
	return !slices.ContainsFunc(p.subs, func(s *subscription) bool { return s.at.Offset < offset })
}

// plumblineSession is one connection.
type plumblineSession struct {
	*socket
	p       *plumbline
	token   string
	head    uint64 // of the journal at welcome
	retry   time.Duration
	welcome bool
	refused error             // a subscription was refused
	numbers map[uint64][]byte // names of topics that the server announced (CBOR)
}

// The messages of the client.
type (
	helloMessage struct {
		Type   string `json:"type"`
		Token  string `json:"token,omitempty"`
		Client string `json:"client,omitempty"`
	}
	subMessage struct {
		Type     string       `json:"type"`
		ID       uint64       `json:"id"`
		Filter   string       `json:"filter"`
		Mode     string       `json:"mode"`
		TickMS   int64        `json:"tick_ms,omitempty"`
		Snapshot bool         `json:"snapshot,omitempty"`
		Since    *sinceCursor `json:"since,omitempty"`
	}
	sinceCursor struct {
		Epoch  string `json:"epoch"`
		Offset uint64 `json:"offset"`
	}
	authMessage struct {
		Type  string `json:"type"`
		Token string `json:"token"`
	}
)

func (p *plumbline) dial(ctx context.Context, token string) (session, error) {
	subprotocol := Subprotocol
	if p.cfg.Encoding == EncodingCBOR {
		subprotocol = SubprotocolCBOR
	}
	socket, err := p.dialSocket(ctx, token, subprotocol)
	if err != nil {
		return nil, err
	}
	s := &plumblineSession{socket: socket, p: p}
	if p.cfg.Place.In == InFirstMessage {
		s.token = token
	}
	return s, nil
}

// enter says hello, waits for welcome and subscribes.
func (s *plumblineSession) enter() error {
	p := s.p
	p.mu.Lock()
	for _, sub := range p.subs {
		sub.begin()
	}
	p.mu.Unlock()
	if err := s.say(helloMessage{Type: "hello", Token: s.token, Client: p.cfg.Name}); err != nil {
		return err
	}
	if err := s.readUntil(func() bool { return s.welcome }); err != nil {
		return err
	}
	p.mu.Lock()
	var subs []subMessage
	for _, sub := range p.subs {
		m := subMessage{Type: "sub", ID: sub.id, Filter: sub.filter, Mode: "all", Snapshot: p.cfg.Snapshot}
		if p.cfg.Tick > 0 {
			m.Mode, m.TickMS = "latest", p.cfg.Tick.Milliseconds()
		}
		if sub.resuming {
			m.Since = &sinceCursor{Epoch: sub.at.Epoch, Offset: sub.at.Offset}
		}
		subs = append(subs, m)
	}
	p.mu.Unlock()
	for _, m := range subs {
		if err := s.say(m); err != nil {
			return err
		}
	}
	err := s.readUntil(func() bool { return s.refused != nil || p.Connected() })
	return errors.Join(err, s.refused)
}

// readUntil handles frames until enough says so.
func (s *plumblineSession) readUntil(enough func() bool) error {
	for !enough() {
		if err := s.step(); err != nil {
			return err
		}
	}
	return nil
}

// step reads one frame, stamps it and handles it.
func (s *plumblineSession) step() error {
	at, opcode, data, err := s.read()
	if err != nil {
		return err
	}
	return s.p.handle(s, at, opcode, data)
}

// ending adds the wait that a server asked for before it closed.
func (s *plumblineSession) ending(err error) ending {
	e := s.socket.ending(err)
	e.retry = max(e.retry, s.retry)
	return e
}

// reauthorise shows a new token in the live session.
func (s *plumblineSession) reauthorise(token string) error {
	return s.say(authMessage{Type: "auth", Token: token})
}
