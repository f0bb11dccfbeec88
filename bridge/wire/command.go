package wire

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"plumbline/bridge/audit"
	"plumbline/bridge/auth"
	"plumbline/bridge/gate"
	"plumbline/bridge/hub"
	"plumbline/bridge/journal"
	"plumbline/bridge/strictjson"
)

// command is any message from a viewer. Fields that a type does not have are ignored.
type command struct {
	kind, token, client, filter, mode string
	id, since, tick, every            raw
	snapshot, compact                 bool
}

func (c *command) members() map[string]any {
	return map[string]any{
		"type": &c.kind, "token": &c.token, "client": &c.client, "id": &c.id, "filter": &c.filter, "mode": &c.mode,
		"snapshot": &c.snapshot, "since": &c.since, "tick_ms": &c.tick, "every_ms": &c.every, "compact": &c.compact,
	}
}

// handle executes one message of the viewer, while the reader waits.
func (s *session) handle(text []byte) {
	s.nc.held.Add(1)
	defer func() {
		s.nc.alive() // nothing was read meanwhile, which was not the viewer's fault
		s.nc.held.Add(-1)
	}()
	var c command
	switch err := s.dialect.decode(text, c.members()); {
	case errors.Is(err, strictjson.ErrType):
		s.misuse("a field has the wrong type")
		return
	case err != nil && s.dialect.binary:
		s.misuse("malformed CBOR")
		return
	case err != nil:
		s.misuse("malformed JSON")
		return
	}
	if _, live := s.identity(); !live && c.kind != "hello" {
		s.shut(CloseNoAuth, "hello first", 0)
		return
	}
	switch c.kind {
	case "hello":
		s.hello(&c)
	case "sub":
		s.subscribe(&c)
	case "unsub":
		s.unsubscribe(&c)
	case "pub":
		s.publish(text)
	case "auth":
		s.refresh(&c)
	case "ping":
		var id string
		if c.id.read(&id) != nil || len(id) > 128 {
			s.misuse("ping: id must be a string of at most 128 bytes")
			return
		}
		s.pushMessage(pongMsg{"pong", id, s.srv.opts.Now().UnixMicro()})
	default:
		s.misuse("unknown type")
	}
}

func (s *session) misuse(reason string) { s.shut(CloseMisuse, reason, 0) }

// hello opens the session.
func (s *session) hello(c *command) {
	if _, live := s.identity(); live {
		s.misuse("hello twice")
		return
	}
	s.mu.Lock()
	s.times.auth = 0 // it came in time, however long its check takes
	s.mu.Unlock()
	credential := s.shown
	if c.token != "" {
		credential = gate.Token(c.token)
	}
	s.shown = gate.Credential{}
	o := s.srv.opts
	id, err := o.Gate.Open(credential, s.remote)
	if err != nil {
		s.refuseToken(id, err)
		return
	}
	s.name(id)
	if !s.admitted(id.Account()) {
		return
	}
	if c.compact && !s.dialect.binary {
		s.dialect.format = hub.Compact
	}
	head := o.Journal.Head()
	welcome := s.frame(welcomeMsg{
		Type: "welcome", Session: s.id, Protocol: 1, Node: o.Node, Epoch: head.Epoch, Head: head.Offset,
		HeartbeatMS: o.Heartbeat.Milliseconds(),
		Limits:      limitsMsg{o.MaxFrameBytes, o.MaxSubscriptions},
		Time:        time.Now().UTC().Format(time.RFC3339Nano), Expires: stamp(id.Expires),
		Compact: s.dialect.format == hub.Compact,
	})
	s.limit = o.MaxFrameBytes
	s.ws.SetReadLimit(s.limit)
	s.mu.Lock()
	s.ident, s.live, s.counted = id, true, true
	s.control = append(s.control, welcome...) // in one step: no heartbeat comes before it
	s.tellDrain()
	s.mu.Unlock()
	s.srv.m.Connections.WithLabelValues("handshake").Dec()
	s.srv.m.Connections.WithLabelValues("live").Inc()
	if o.Revocations.Revoked(id) { // again: a revocation after live was set finds the session, one before it is found here
		s.shut(CloseRevoked, "revoked", 0)
		return
	}
	s.wake()
	s.watchExpiry(id)
	s.srv.log.Debug("session open", "session", s.id, "remote", s.remote, "client", cutText(c.client, 128))
}

// admitted takes a place for a session of the subject, or closes this one.
func (s *session) admitted(subject string) bool {
	if wait := s.srv.faults.wait(subject, time.Now()); wait > 0 {
		s.shut(CloseAdmission, "closed for its own fault too often", wait.Milliseconds()+randomUpTo(wait).Milliseconds())
		return false
	}
	if !s.srv.admitSubject(subject) {
		s.shut(CloseOverload, "too many sessions of this subject", (time.Second + randomUpTo(4*time.Second)).Milliseconds())
		return false
	}
	return true
}

// name keeps who a session's token names, for the record, and reports whether the session is open already, when it keeps nothing.
// It opens nothing by itself.
func (s *session) name(id auth.Identity) (live bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.live {
		s.ident = id
	}
	return s.live
}

// refuseToken closes the session for a credential that was refused; id is who it named, if it held as such.
func (s *session) refuseToken(id auth.Identity, err error) {
	reason := gate.Reason(err)
	live := s.name(id)
	switch {
	case reason == gate.ReasonRevoked:
		s.shut(CloseRevoked, reason, 0)
	case reason == gate.ReasonThrottled:
		s.shut(CloseRate, "too many bad tokens", s.srv.opts.Gate.Wait(s.remote).Milliseconds()+1)
	case reason == auth.ReasonKeys:
		s.shut(CloseOverload, "token: "+reason, keysRetryMS+randomUpTo(time.Second).Milliseconds())
	case reason == "expired" && live:
		s.shut(CloseTokenExpired, "token: "+reason, 0)
	default:
		s.shut(CloseBadToken, "token: "+reason, 0)
	}
}

// keysRetryMS is when a viewer may try again after the keys were not there.
const keysRetryMS = 5000

// refresh takes a new token for the same subject. Subscriptions that it does not cover end; the others see by its denies.
func (s *session) refresh(c *command) {
	id, err := s.srv.opts.Gate.Check(gate.Token(c.token), s.remote)
	if err != nil {
		s.refuseToken(id, err)
		return
	}
	old, _ := s.identity()
	if id.Subject != old.Subject || id.Tenant != old.Tenant {
		s.shut(CloseForbidden, "another subject", 0)
		return
	}
	s.mu.Lock()
	s.ident, s.times.notice, s.times.cut = id, 0, 0 // those of the old token
	s.mu.Unlock()
	if s.srv.opts.Revocations.Revoked(id) { // again, as in hello
		s.shut(CloseRevoked, "revoked", 0)
		return
	}
	s.watchExpiry(id)
	dropped, full := s.regrant(id, id.AccessKey(auth.Live) != old.AccessKey(auth.Live) || id.AccessKey(auth.Snapshot) != old.AccessKey(auth.Snapshot))
	s.answered(full)
	for _, b := range dropped {
		s.end(b)
		s.srv.m.Denied.WithLabelValues("live").Inc()
		s.record(id, "refresh", "subscription not covered any more")
	}
}

// regrant removes the subscriptions that id does not cover and returns them; the others are marked for their new access list. In the same
// step it queues the answers, or reports that they have no room: no heartbeat leaves a subscription out before its end was told. Who has
// nothing unread gets them all, an answer for each subscription there was: they may be more than maxControl.
func (s *session) regrant(id auth.Identity, changed bool) (dropped []*sub, full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keep []*sub
	answers := s.frame(expiresMsg{"authok", stamp(id.Expires)})
	for _, b := range s.subs {
		if id.May(auth.Live, b.filter) != nil {
			dropped = append(dropped, b)
			answers = append(answers, s.frame(suberrMsg{"suberr", b.id, "forbidden", "the new token does not cover it: the subscription has ended"})...)
			continue
		}
		if changed || id.May(auth.Snapshot, b.filter) != nil {
			b.reauth = accessOf(id, b.filter)
		}
		keep = append(keep, b)
	}
	s.subs = keep
	if len(s.control) == 0 {
		s.control = answers
		return dropped, false
	}
	return dropped, !s.queue(answers)
}

// access is what an identity may see of one subscription.
type access struct {
	live     hub.Access
	snapshot func(topic string) bool // nil allows all that live does
}

func accessOf(id auth.Identity, filter string) *access {
	a := &access{live: hub.Access{Key: id.AccessKey(auth.Live), Allow: id.Allow(auth.Live)}, snapshot: id.Allow(auth.Snapshot)}
	if id.May(auth.Snapshot, filter) != nil {
		a.snapshot = func(string) bool { return false }
	}
	return a
}

// subscribe opens a stream.
func (s *session) subscribe(c *command) {
	id, ok := c.id.whole()
	if !ok {
		s.misuse("sub: id must be a whole number")
		return
	}
	if s.find(id) != nil {
		s.misuse("sub: the id is in use")
		return
	}
	every, says, reason, detail := c.pace()
	if reason == "" {
		reason, detail = s.mayOpen(c)
	}
	if reason != "" {
		s.pushMessage(suberrMsg{"suberr", id, reason, detail})
		return
	}
	b := &sub{id: id, filter: c.filter, every: every, prefix: s.dialect.batchPrefix(id), release: func() {}}
	if c.snapshot {
		if b.release, ok = s.place(); !ok {
			return
		}
	}
	since, broken := c.cursor()
	ident, _ := s.identity()
	may := accessOf(ident, c.filter)
	stream, got, err := s.srv.opts.Hub.Subscribe(hub.SubscribeOptions{
		Filter: c.filter, Since: since, Snapshot: c.snapshot, Every: every, Format: s.dialect.format, Access: may.live, Notify: s.notify(b),
	})
	if err != nil {
		b.release()
		s.srv.log.Error("subscribe failed", "session", s.id, "error", err)
		s.shut(CloseInternal, "hub", 1000)
		return
	}
	if broken {
		got.Recovered, got.Reason = false, "no-cursor"
	}
	if c.resumes() {
		s.srv.m.Resumes.WithLabelValues(verdict(got)).Inc()
	}
	b.stream, b.cursor = stream, got.Cursor.Offset
	if c.snapshot && !got.Recovered {
		b.snapshot = newSnapshot(id, s.dialect, s.srv.opts.Hub.Printer(s.dialect.format), got.Snapshot, may.snapshot)
	} else {
		b.release()
	}
	b.ready.Store(true)
	s.open(b, subokMsg{"subok", id, c.filter, got.Cursor.Epoch, got.Cursor.Offset, got.Recovered, got.Reason, says})
}

// record writes the audit event of a refusal that the session survives.
func (s *session) record(id auth.Identity, action, reason string) {
	audit.Refused(s.srv.log, audit.Event{Action: action, Reason: reason, Subject: id.Subject, Tenant: id.Tenant, Session: s.id, Remote: s.remote})
}

// maxLevels bounds the levels of a viewer's filter: each costs a node of the hub's trie, and 65,535 slashes would be 20 MB.
const maxLevels = 128

// mayOpen says why a subscription is refused; reason is "" when it is not.
func (s *session) mayOpen(c *command) (reason, detail string) {
	actions := []auth.Action{auth.Live}
	if c.snapshot {
		actions = append(actions, auth.Snapshot)
	}
	ident, _ := s.identity()
	for _, action := range actions {
		if err := ident.May(action, c.filter); errors.Is(err, auth.ErrForbidden) {
			s.srv.m.Denied.WithLabelValues(action.String()).Inc()
			s.record(ident, "sub", action.String()+" not granted")
			return "forbidden", "the token does not cover this filter (" + action.String() + ")"
		} else if err != nil {
			return "filter", cutText(err.Error(), 200)
		}
	}
	if levels := 1 + strings.Count(c.filter, "/"); levels > maxLevels {
		return "limit", fmt.Sprintf("the filter has %d levels, at most %d are taken", levels, maxLevels)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.subs) >= s.srv.opts.MaxSubscriptions {
		return "limit", "no more subscriptions in this session"
	}
	return "", ""
}

// cursor returns where to resume. A cursor without epoch or offset is broken: the answer is not recovered, never a guess.
func (c *command) cursor() (since *journal.Cursor, broken bool) {
	if !c.resumes() {
		return nil, false
	}
	at, offset := journal.Cursor{}, raw{}
	err := c.since.object(map[string]any{"epoch": &at.Epoch, "offset": &offset})
	if err != nil || at.Epoch == "" || offset.read(&at.Offset) != nil {
		return nil, true
	}
	return &at, false
}

// resumes reports whether a cursor was given, good or not.
func (c *command) resumes() bool { return c.since.there() }

func verdict(got hub.Subscribed) string {
	if got.Recovered {
		return "recovered"
	}
	return got.Reason
}

// open adds b, its answer first.
func (s *session) open(b *sub, ok subokMsg) {
	frame := s.frame(ok)
	s.mu.Lock()
	s.subs = append(s.subs, b)
	full := !s.queue(frame) // in one step: no batch comes before it
	s.mu.Unlock()
	s.srv.m.Subscriptions.Inc()
	s.answered(full)
}

func (s *session) find(id int64) *sub {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.subs {
		if b.id == id {
			return b
		}
	}
	return nil
}

// unsubscribe ends a stream. Ending one that is not there is no error: the answer says that it is gone.
func (s *session) unsubscribe(c *command) {
	id, ok := c.id.whole()
	if !ok {
		s.misuse("unsub: id must be a whole number")
		return
	}
	answer := s.frame(idMsg{"unsubok", id})
	var gone *sub
	s.mu.Lock()
	for i, b := range s.subs {
		if b.id == id {
			gone, s.subs = b, append(s.subs[:i:i], s.subs[i+1:]...)
			break
		}
	}
	full := !s.queue(answer) // in one step: no heartbeat leaves it out before
	s.mu.Unlock()
	if gone != nil {
		s.end(gone)
	}
	s.answered(full)
}

// end closes the stream of a subscription that is no longer in subs.
func (s *session) end(b *sub) {
	s.mu.Lock()
	b.gone = true
	stream := b.stream
	s.mu.Unlock()
	stream.Close()
	b.release()
	s.srv.m.Subscriptions.Dec()
}
