// Package ingest is the MQTT side: an embedded MQTT broker behind hardened listeners. Every publish that is allowed goes
// into the journal before it is acknowledged; what the journal refuses is refused to the publisher. The package must not know
// viewers.
//
// The mochi library reads and writes packets and does the CONNECT; sessions, subscriptions and messages are ours, as readers of
// the journal. bridge/README.md lists the broker's defects, how each is cured here and what remains.
package ingest

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"plumbline/bridge/audit"
	"plumbline/bridge/internal/presence"
	"plumbline/bridge/journal"
	"plumbline/bridge/metrics"
)

// Defaults for Options.
const (
	DefaultMaxPacketBytes = 256 << 10
	DefaultMaxClients     = 10_000
	DefaultConnectTimeout = 5 * time.Second
	DefaultWriteTimeout   = 10 * time.Second
	DefaultMaxSessions    = 10_000
	DefaultSessionExpiry  = 24 * time.Hour
)

// Journal is the journal as seen from here; see package journal for what its methods promise.
type Journal interface {
	Append(ctx context.Context, m journal.Message) (offset uint64, duplicate bool, err error)
	ReadInto(dst []journal.Entry, after uint64, maxEntries, maxBytes int) ([]journal.Entry, error)
	Head() journal.Cursor
	RetainedMatching(match func(topic string) bool) (journal.Cursor, []journal.Entry)
	RetainedOf(topic string) (journal.Cursor, *journal.Entry)
	Watch(f func()) (cancel func())
}

// Options configures a Broker. Journal, Listeners, Metrics and Log are required.
type Options struct {
	Journal        Journal
	Listeners      []Listener
	Users          *Users           // nil = anonymous: every client may publish and subscribe
	Certificates   *Certificates    // what is asked of clients on TLS listeners; nil = nothing
	MaxPacketBytes int64            // 0 = DefaultMaxPacketBytes
	MaxClients     int              // 0 = DefaultMaxClients
	MaxPerAddress  int              // 0 = no limit
	LoginFailures  int              // a minute, of an address and at an account, eight times as many of an IPv6 /64; 0 = no limit
	ConnectTimeout time.Duration    // 0 = DefaultConnectTimeout
	WriteTimeout   time.Duration    // 0 = DefaultWriteTimeout
	SessionDir     string           // where sessions are kept over a restart; "" = nowhere
	SessionSync    bool             // make sessions safe against a crash of the machine, not only of the process
	MaxSessions    int              // that outlive their connection; 0 = DefaultMaxSessions
	SessionExpiry  time.Duration    // the longest that one does; 0 = DefaultSessionExpiry
	Now            func() time.Time // the wall clock of messages; nil = time.Now
	Cluster        presence.Cluster // the other bridges; nil = there are none
	Metrics        *metrics.Set
	Log            *slog.Logger
}

// Listener is one way in.
type Listener struct {
	Name      string       // in logs, "mqtt", "mqtts", "ws" or "wss"; no two may have the same
	Socket    net.Listener // bound; the Broker closes it
	TLS       *tls.Config  // nil = plain
	WebSocket *WebSocket   // nil = MQTT directly over TCP or TLS
}

// Broker is the running MQTT side. Start it once; Close ends it.
type Broker struct {
	opts     Options
	log      *slog.Logger
	m        *metrics.Set
	server   *mqtt.Server
	doors    []*door
	gate     *gate
	sessions *sessions
	logins   *throttle
	wills    *wills
	ctx      context.Context // ends with Close, so that no append outlives the broker
	cancel   context.CancelFunc
	runs     sync.WaitGroup
	tasks    tasks
	stop     context.CancelFunc // of the goroutines in runs

	draining  atomic.Bool
	closeOnce sync.Once
	closeErr  error
}

// New prepares a Broker on the given listeners, with the sessions that are kept. Nothing is accepted before Start.
func New(o Options) (*Broker, error) {
	defaults(&o)
	b := &Broker{opts: o, log: o.Log, m: o.Metrics, logins: newThrottle(o.LoginFailures, time.Now)}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.gate = newGate(b)
	b.wills = newWills(b)
	if err := b.build(); err != nil {
		b.cancel()
		return nil, err
	}
	return b, nil
}

func (b *Broker) build() error {
	var st *store
	var err error
	if b.opts.SessionDir != "" {
		if st, err = openStore(b.opts.SessionDir, b.opts.SessionSync); err != nil {
			return err
		}
	}
	if b.sessions, err = newSessions(b, b.opts.Journal, st); err != nil {
		return err
	}
	b.server = mqtt.New(&mqtt.Options{
		Capabilities:           capabilities(b.opts),
		Logger:                 slog.New(discreet{b.log.Handler()}),
		SysTopicResendInterval: 1 << 32, // seconds, so never (M20): each tick stops the world for runtime.ReadMemStats
	})
	if err := b.server.AddHook(&hook{b: b}, nil); err != nil {
		return fmt.Errorf("ingest: add hook: %w", err)
	}
	for _, l := range b.opts.Listeners {
		d := newDoor(b, l)
		if err := b.server.AddListener(d); err != nil {
			return fmt.Errorf("ingest: add listener %s: %w", l.Name, err)
		}
		b.doors = append(b.doors, d)
	}
	return nil
}

func defaults(o *Options) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxPacketBytes <= 0 {
		o.MaxPacketBytes = DefaultMaxPacketBytes
	}
	if o.MaxClients <= 0 {
		o.MaxClients = DefaultMaxClients
	}
	if o.ConnectTimeout <= 0 {
		o.ConnectTimeout = DefaultConnectTimeout
	}
	if o.WriteTimeout <= 0 {
		o.WriteTimeout = DefaultWriteTimeout
	}
	if o.MaxSessions <= 0 {
		o.MaxSessions = DefaultMaxSessions
	}
	if o.SessionExpiry <= 0 {
		o.SessionExpiry = DefaultSessionExpiry
	}
}

// capabilities returns the library's limits with the cures of M8, M10, M12, M18, D2, D6, D17.
func capabilities(o Options) *mqtt.Capabilities {
	c := mqtt.NewDefaultServerCapabilities()
	c.MaximumClients = int64(o.MaxClients)
	c.MaximumPacketSize = uint32(o.MaxPacketBytes) // M10, D17: bounds what is reserved before authentication
	c.MaximumClientWritesPending = 1               // M8: its queue is not used
	c.MaximumMessageExpiryInterval = 0             // M18, D2: no expiry of our own making
	c.MaximumSessionExpiryInterval = uint32(o.SessionExpiry / time.Second)
	c.TopicAliasMaximum = 0 // M12, D6: an alias hides the topic from the access check
	c.SharedSubAvailable = 0
	return c
}

// Start begins to accept connections. It returns at once.
func (b *Broker) Start() error {
	ctx, stop := context.WithCancel(context.Background())
	b.stop = stop
	b.runs.Go(func() { b.sessions.run(ctx) })
	b.runs.Go(func() { b.sessions.keep(ctx) })
	b.runs.Go(func() { b.follow(ctx) })
	b.wills.resume(b.sessions)
	if err := b.server.Serve(); err != nil {
		return fmt.Errorf("ingest: serve: %w", err)
	}
	return nil
}

// Addr returns the bound address of the listener of that name, nil when there is none.
func (b *Broker) Addr(name string) net.Addr {
	for _, l := range b.opts.Listeners {
		if l.Name == name {
			return l.Socket.Addr()
		}
	}
	return nil
}

// Drain stops accepting and suppresses all wills from now on (M25: a restart of the bridge is not the death of its devices).
// Connected clients go on. It returns at once, with other bridges when they are told; Close follows.
func (b *Broker) Drain() {
	b.draining.Store(true)
	b.wills.stop()
	b.gate.shut()
	for _, d := range b.doors {
		d.stopAccepting()
	}
	b.leave()
}

// Close drains, tells MQTT 5 clients that the server shuts down (0x8B), cuts all connections, waits for their goroutines and
// saves their sessions. It is idempotent.
func (b *Broker) Close() error {
	b.closeOnce.Do(func() {
		b.Drain()
		b.gate.hurry.Store(true)
		giveUp := time.AfterFunc(time.Second, func() { // neither a disk that hangs nor clients that do not read may hold up the end
			b.cancel()
			b.gate.cut()
		})
		defer giveUp.Stop()
		endAll(b.sessions.connected(), packets.ErrServerShuttingDown)
		if err := b.server.Close(); err != nil {
			b.closeErr = fmt.Errorf("ingest: close: %w", err)
		}
		b.cancel()
		if b.stop != nil {
			b.stop()
		}
		b.runs.Wait()
		b.tasks.close()
		b.wills.wg.Wait()
		b.sessions.pumps.Wait()
	})
	return b.closeErr
}

// follow looks at the files that say who may connect, and cuts who may not any more.
func (b *Broker) follow(ctx context.Context) {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		b.Reload()
	}
}

// Reload looks at the users file and the list of revoked certificates now, as happens several times a second anyway. A change that no
// look has seen before is not yet in force when it returns, but at one of the next looks. A file that cannot be read or is wrong
// leaves the last good one in force and is said in the log.
func (b *Broker) Reload() {
	users, certs := b.opts.Users.reload(b.log), b.opts.Certificates.reload(b.log)
	b.alarm()
	if !users && !certs {
		return
	}
	var revoked []*conn
	for _, c := range b.sessions.connected() {
		if !b.stillMay(c) {
			b.m.MQTTRejected.WithLabelValues("revoked").Inc()
			audit.Refused(b.log, audit.Event{Action: "mqtt session", Reason: "revoked", Subject: string(c.client.Properties.Username), Remote: c.addr})
			revoked = append(revoked, c)
		}
	}
	endAll(revoked, packets.ErrNotAuthorized)
}

// alarm shows in the metrics that a file is not what is in force.
func (b *Broker) alarm() {
	b.m.StaleFiles.WithLabelValues("mqtt.usersFile").Set(b.opts.Users.stale())
	b.m.StaleFiles.WithLabelValues("mqtt.tls.revokedFile").Set(b.opts.Certificates.stale())
}

// stillMay reports whether a connected client would be let in now. Its password is not at hand, but a change of its hash counts
// as one of the password.
func (b *Broker) stillMay(c *conn) bool {
	if b.opts.Users != nil && b.opts.Users.mark(string(c.client.Properties.Username)) != c.userMark {
		return false
	}
	return b.opts.Certificates.check(c.peer()) == nil
}

// discreet passes the broker library's log on without what it must not hold: the library logs whole packets, with payloads,
// user names and passwords.
type discreet struct{ next slog.Handler }

// Enabled implements slog.Handler: the library's information is not ours.
func (d discreet) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && d.next.Enabled(ctx, l)
}

// Handle implements slog.Handler.
func (d discreet) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == mqtt.ErrMinimumKeepalive.Error() { // at each CONNECT, before it is looked at
		return nil
	}
	out := slog.NewRecord(r.Time, r.Level, "mqtt: "+r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		if safeAttr(a) {
			out.AddAttrs(a)
		}
		return true
	})
	return d.next.Handle(ctx, out)
}

// WithAttrs implements slog.Handler.
func (d discreet) WithAttrs(attrs []slog.Attr) slog.Handler {
	var keep []slog.Attr
	for _, a := range attrs {
		if safeAttr(a) {
			keep = append(keep, a)
		}
	}
	return discreet{d.next.WithAttrs(keep)}
}

// WithGroup implements slog.Handler.
func (d discreet) WithGroup(name string) slog.Handler { return discreet{d.next.WithGroup(name)} }

func safeAttr(a slog.Attr) bool {
	switch a.Key {
	case "error", "client", "listener", "keepalive", "hook":
		return true
	}
	return false
}
