package ingest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"

	"plumbline/bridge/audit"
)

var _ listeners.Listener = (*door)(nil)

// door is one listener in place of the library's own, which have no deadline before CONNECT, no limit per address, do not wait
// for their goroutines (M9, D18), and over WebSocket take any origin, any subprotocol and any size (M22, D16).
type door struct {
	b    *Broker
	opts Listener
	http *http.Server // nil without WebSocket

	mu       sync.Mutex
	closed   bool
	serveEnd chan struct{} // closed when Serve returned; nil before Serve
	wg       sync.WaitGroup
}

func newDoor(b *Broker, l Listener) *door {
	d := &door{b: b, opts: l}
	if l.TLS != nil {
		d.opts.TLS = b.opts.Certificates.ask(l.TLS)
	}
	return d
}

// Init implements listeners.Listener.
func (d *door) Init(*slog.Logger) error { return nil }

// ID implements listeners.Listener.
func (d *door) ID() string { return d.opts.Name }

// Address implements listeners.Listener.
func (d *door) Address() string { return d.opts.Socket.Addr().String() }

// Protocol implements listeners.Listener.
func (d *door) Protocol() string { return "tcp" }

// Serve implements listeners.Listener. It returns when the listener is closed.
func (d *door) Serve(establish listeners.EstablishFn) {
	d.mu.Lock()
	end := make(chan struct{})
	d.serveEnd = end
	if d.opts.WebSocket != nil && !d.closed {
		d.http = d.server(establish)
	}
	server := d.http
	d.mu.Unlock()
	defer close(end)
	if d.opts.WebSocket != nil {
		if server != nil {
			_ = server.Serve(&entrance{d}) // returns when closed
		}
		return
	}
	for {
		c, err := d.accept()
		if err != nil {
			return
		}
		if d.opts.TLS != nil {
			c.Conn = tls.Server(c.raw, d.opts.TLS)
		}
		go d.run(c, establish)
	}
}

// accept returns the next connection that the gate admits; its run, or release, calls wg.Done. The error is for good.
func (d *door) accept() (*conn, error) {
	for {
		raw, err := d.opts.Socket.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil, err
		}
		if err != nil { // out of file descriptors, most likely: the bridge stays up and recovers
			d.b.log.Error("mqtt accept failed", "listener", d.ID(), "error", err)
			d.b.m.MQTTRejected.WithLabelValues("accept").Inc()
			select {
			case <-time.After(50 * time.Millisecond):
			case <-d.b.ctx.Done():
			}
			continue
		}
		c, reason := d.b.gate.admit(raw)
		if reason != "" {
			d.b.m.MQTTRejected.WithLabelValues(reason).Inc()
			audit.Refused(d.b.log, audit.Event{Action: "mqtt connection", Reason: reason, Remote: raw.RemoteAddr().String(), Detail: d.ID()})
			_ = raw.Close()
			continue
		}
		d.wg.Add(1)
		return c, nil
	}
}

// run serves one connection to its end.
func (d *door) run(c *conn, establish listeners.EstablishFn) {
	defer d.wg.Done()
	err := safely(establish, d.ID(), c)
	d.b.sessions.detach(c) // before the socket is read out: a client may be back already
	if c.client != nil {
		d.forget(c.client)
	}
	close(c.gone)
	c.finish()
	d.b.gate.release(c)
	if err != nil && c.keepalive.Load() == waitingForConnect {
		d.b.m.MQTTRejected.WithLabelValues("connect").Inc()
		if !c.recorded {
			audit.Refused(d.b.log, audit.Event{Action: "mqtt connection", Reason: "connect", Remote: c.addr, Detail: d.ID() + ": " + err.Error()})
		}
	} else {
		d.b.log.Debug("mqtt connection ended", "listener", d.ID(), "remote", c.addr, "error", err)
	}
}

// safely keeps a packet that the library's parser does not expect from ending the process.
func safely(establish listeners.EstablishFn, id string, c *conn) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("ingest: malformed packet: %v", p)
			if c.client != nil {
				c.gate.b.wills.died(c.client)
				c.gate.b.wills.disconnected(c.client)
				c.client.Stop(err)
			}
		}
	}()
	return establish(id, c)
}

// forget takes a client out of the library's list, which would keep it as a session.
func (d *door) forget(cl *mqtt.Client) {
	if now, ok := d.b.server.Clients.Get(cl.ID); ok && now == cl {
		d.b.server.Clients.Delete(cl.ID)
	}
}

// stopAccepting closes the listening socket; connections go on.
func (d *door) stopAccepting() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	_ = d.opts.Socket.Close()
}

// Close implements listeners.Listener: clients are cut, whom Broker.Close has told. It returns when the goroutines of all
// connections have ended; the library's own wait group may not be waited for while connections still enter it. Its function that
// tells clients is not called: it locks the library's client list twice over (GetByListener, then Len) and never returns when a
// client leaves between.
func (d *door) Close(listeners.CloseFn) {
	d.stopAccepting()
	d.mu.Lock()
	end, server := d.serveEnd, d.http
	d.mu.Unlock()
	d.b.gate.cut()
	if server != nil {
		_ = server.Close()
	}
	if end != nil {
		<-end
	}
	d.wg.Wait()
}
