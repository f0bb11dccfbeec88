package ingest

import (
	"context"
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"plumbline/bridge/audit"
	"plumbline/bridge/internal/presence"
)

// wills sends the wills instead of the library, which loses their properties (D9), turns the delay into an expiry (D10), asks
// no access list (M11) and sends all of them when it is closed (M25). A will goes the way of a publish: access check, journal,
// subscribers.
type wills struct {
	b *Broker

	mu      sync.Mutex
	stopped bool
	alive   map[*mqtt.Client]packets.ConnectParams // wills of connected clients
	delayed map[string]*delayedWill                // by client id
	wg      sync.WaitGroup                         // timers that fired
}

type delayedWill struct {
	timer *time.Timer
	will  *keptWill
	user  string
	sent  func()
}

func newWills(b *Broker) *wills {
	return &wills{b: b, alive: map[*mqtt.Client]packets.ConnectParams{}, delayed: map[string]*delayedWill{}}
}

// connected notes the will of a client whose session is up, and settles one that waits from its last connection: a new
// connection to the session cancels it [MQTT-3.1.3-9], a clean start ends that session and so sends it. It returns the one that
// was cancelled, for the session to drop; one that is on its way is dropped by its sender.
func (w *wills) connected(cl *mqtt.Client, pk packets.Packet) (cancelled *keptWill) {
	w.mu.Lock()
	if pk.Connect.WillFlag {
		w.alive[cl] = pk.Connect
	}
	old := w.delayed[cl.ID]
	delete(w.delayed, cl.ID)
	w.mu.Unlock()
	if old == nil {
		return nil
	}
	old.timer.Stop()                             // if it has fired just now, it finds nothing to send: the list decides
	if pk.Connect.Clean || old.will.Delay == 0 { // one without delay has waited for Redis only
		if !w.publish(w.b.contextOf(cl), cl.ID, old.user, old.will.Number, old.will) { // now, before what the client says, or never
			w.lost()
		}
		old.sent()
		return nil
	}
	w.count("cancelled")
	return old.will
}

// lost says that a will is not sent because its client is back before it could be.
func (w *wills) lost() {
	w.count("failed")
	w.b.log.Warn("will not sent", "reason", "the client is back, and the log cannot be written")
}

func (w *wills) disconnected(cl *mqtt.Client) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.alive, cl)
}

// died sends the client's will, at once or after its delay. Later calls for the same client do nothing.
func (w *wills) died(cl *mqtt.Client) {
	w.mu.Lock()
	params, ok := w.alive[cl]
	delete(w.alive, cl)
	stopped := w.stopped
	w.mu.Unlock()
	switch {
	case !ok:
		return
	case stopped:
		w.count("draining")
		return
	}
	will := willOf(cl, params)
	if c := connOf(cl); c != nil {
		will.Number = c.number
	}
	if will.Delay == 0 {
		w.sendOr(w.b.contextOf(cl), cl.ID, string(cl.Properties.Username), will)
		return
	}
	s := connOf(cl).session
	s.setWill(will) // saved when the session is detached
	w.later(s, will)
}

// willOf is the will of a client that connects, or has been connected.
func willOf(cl *mqtt.Client, params packets.ConnectParams) *keptWill {
	will := &keptWill{
		Topic: params.WillTopic, Payload: params.WillPayload, QoS: params.WillQos, Retain: params.WillRetain, Meta: appendMeta("", params.WillProperties), // D9, D10
	}
	if c := connOf(cl); c != nil && c.emptyWill {
		will.Payload = nil
	}
	if cl.Properties.ProtocolVersion == 5 { // the delay ends with the session at the latest (MQTT 5 section 3.1.3.2.2)
		will.Delay = min(params.WillProperties.WillDelayInterval, cl.Properties.Props.SessionExpiryInterval)
	}
	return will
}

// resume has the wills of sessions that were kept over a restart sent. Their delays begin anew, for nobody could come back
// meanwhile.
func (w *wills) resume(ss *sessions) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for _, s := range ss.byID {
		if s.will != nil { // nobody is connected yet
			w.later(s, s.will)
		}
	}
}

// later sends a session's will after its delay. The session's next connection, which waits for the end of this one, settles it in
// connected.
func (w *wills) later(s *session, will *keptWill) {
	w.wait(s.id, s.user, time.Duration(will.Delay)*time.Second, will, func() {
		s.dropWill(will) // afterwards: sent twice after a crash rather than never
		s.saveOr("will")
	})
	w.count("delayed")
}

// sendOr sends a will at once, or as soon as the journal, or Redis, takes it.
func (w *wills) sendOr(ctx context.Context, id, user string, will *keptWill) {
	if !w.send(ctx, id, user, will) {
		w.wait(id, user, againAfter, will, func() {})
	}
}

// againAfter is when a will that could not be sent in the cluster is sent again.
const againAfter = time.Second

// wait sends a will after a while, and calls sent then.
func (w *wills) wait(id, user string, after time.Duration, will *keptWill, sent func()) {
	send := func() {
		if !w.send(w.b.ctx, id, user, will) {
			w.wait(id, user, againAfter, will, sent)
			return
		}
		sent()
		if will.Number > 0 {
			w.b.sessions.settle(id, will.Number)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		w.count("draining")
		return
	}
	d := &delayedWill{will: will, user: user, sent: sent}
	d.timer = time.AfterFunc(after, func() {
		w.mu.Lock()
		due := w.delayed[id] == d && !w.stopped
		if due {
			delete(w.delayed, id)
			w.wg.Add(1)
		}
		w.mu.Unlock()
		if due {
			defer w.wg.Done()
			send()
		}
	})
	w.delayed[id] = d
}

// send publishes a will as its client would have, unless the client has a newer connection by now. It reports false
// where that has to be tried again.
func (w *wills) send(ctx context.Context, id, user string, will *keptWill) (done bool) {
	if c := w.b.opts.Cluster; c != nil && will.Number > 0 {
		due, err := c.Due(ctx, id, will.Number)
		if err != nil {
			return false
		}
		if !due {
			w.count("elsewhere")
			return true
		}
	}
	return w.publish(ctx, id, user, will.Number, will)
}

// publish is send without a question.
func (w *wills) publish(ctx context.Context, id, user string, number uint64, will *keptWill) (done bool) {
	if u := w.b.opts.Users; u != nil && !u.may(user, id, will.Topic, true) { // M11: the list of now, not that of CONNECT
		w.count("denied")
		w.b.m.Denied.WithLabelValues("will").Inc()
		audit.Refused(w.b.log, audit.Event{Action: "mqtt will", Reason: "not on the list", Subject: user})
		return true
	}
	cl := &mqtt.Client{ID: id}
	cl.Properties.Username = []byte(user)
	_, props, err := parseMeta(will.Meta)
	if err != nil {
		w.count("failed")
		w.b.log.Error("will not sent", "client", id, "error", err)
		return true
	}
	pk := packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: will.QoS, Retain: will.Retain},
		TopicName:   will.Topic, Payload: will.Payload, Properties: props,
	}
	if _, refusal, reason := w.b.store(ctx, cl, &pk, false, number); refusal != nil {
		if w.b.opts.Cluster != nil && (reason == "degraded" || reason == "journal") {
			return false
		}
		w.count("failed")
		w.b.log.Warn("will not sent", "reason", reason, "error", refusal.Reason)
		return true
	}
	w.count("sent")
	return true
}

// former sends the will of the connection that a client had at another bridge, if it is due by that the client is here.
func (w *wills) former(ctx context.Context, d presence.Device, clean bool) {
	switch {
	case len(d.Will) == 0 || d.State != presence.Here && d.State != presence.Due:
		return
	case d.State == presence.Here && d.Delay > 0 && !clean: // [MQTT-3.1.3-9]
		w.count("cancelled")
		return
	}
	if w.b.orphan(ctx, d) != nil {
		w.lost()
	}
}

// waiting returns the devices whose wills wait.
func (w *wills) waiting() (all []presence.Device) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, d := range w.delayed {
		if d.will.Number > 0 {
			all = append(all, presence.Device{ID: id, User: d.user, Number: d.will.Number, Will: encodeWill(d.will), Delay: d.will.Delay, State: presence.Here})
		}
	}
	return all
}

// waits reports whether a will of that connection waits.
func (w *wills) waits(id string, number uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.delayed[id]
	return d != nil && d.will.Number == number
}

// cancel forgets a will that waits, of a connection before that of this number.
func (w *wills) cancel(id string, number uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if d := w.delayed[id]; d != nil && d.will.Number < number {
		d.timer.Stop()
		delete(w.delayed, id)
		w.count("elsewhere")
	}
}

// stop suppresses every will from now on, but for those on their way, which wg waits for. What waits for its delay stays with its
// session, where that is kept.
func (w *wills) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	for id, d := range w.delayed {
		d.timer.Stop()
		delete(w.delayed, id)
		w.count("draining")
	}
}

func (w *wills) count(result string) { w.b.m.Wills.WithLabelValues(result).Inc() }
