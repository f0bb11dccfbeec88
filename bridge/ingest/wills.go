package ingest

import (
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"plumbline/bridge/audit"
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
	send  func()
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
	old.timer.Stop() // if it has fired just now, it finds nothing to send: the list decides
	if pk.Connect.Clean {
		old.send()
		return nil
	}
	w.count("cancelled")
	return old.will
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
	will := &keptWill{
		Topic: params.WillTopic, Payload: params.WillPayload, QoS: params.WillQos, Retain: params.WillRetain, Meta: appendMeta("", params.WillProperties), // D9, D10
		// The delay ends with the session at the latest (MQTT 5 section 3.1.3.2.2).
		Delay: min(params.WillProperties.WillDelayInterval, cl.Properties.Props.SessionExpiryInterval),
	}
	if will.Delay == 0 || cl.Properties.ProtocolVersion < 5 {
		w.send(cl.ID, string(cl.Properties.Username), will)
		return
	}
	s := connOf(cl).session
	s.setWill(will) // saved when the session is detached
	w.later(s, will)
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
	id, user := s.id, s.user
	send := func() {
		w.send(id, user, will)
		s.dropWill(will) // afterwards: sent twice after a crash rather than never
		s.saveOr("will")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		w.count("draining")
		return
	}
	d := &delayedWill{will: will, send: send}
	d.timer = time.AfterFunc(time.Duration(will.Delay)*time.Second, func() {
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
	w.count("delayed")
}

// send publishes a will as its client would have.
func (w *wills) send(id, user string, will *keptWill) {
	if u := w.b.opts.Users; u != nil && !u.may(user, id, will.Topic, true) { // M11: the list of now, not that of CONNECT
		w.count("denied")
		w.b.m.Denied.WithLabelValues("will").Inc()
		audit.Refused(w.b.log, audit.Event{Action: "mqtt will", Reason: "not on the list", Subject: user})
		return
	}
	cl := &mqtt.Client{ID: id}
	cl.Properties.Username = []byte(user)
	_, props, err := parseMeta(will.Meta)
	if err != nil {
		w.count("failed")
		w.b.log.Error("will not sent", "client", id, "error", err)
		return
	}
	pk := packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: will.QoS, Retain: will.Retain},
		TopicName:   will.Topic, Payload: will.Payload, Properties: props,
	}
	if _, refusal, reason := w.b.store(cl, &pk, false); refusal != nil {
		w.count("failed")
		w.b.log.Warn("will not sent", "reason", reason, "error", refusal.Reason)
		return
	}
	w.count("sent")
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
