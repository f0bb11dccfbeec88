package httpwire

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"plumbline/bridge/audit"
	"plumbline/bridge/auth"
	"plumbline/bridge/hub"
)

// client is one request that was admitted.
type client struct {
	srv *Server
	w   http.ResponseWriter
	r   *http.Request
	rc  *http.ResponseController
	id  auth.Identity
	ctx context.Context // ends with the connection, the token or the server; its cause says why
	end context.CancelCauseFunc

	mu     sync.Mutex
	ending bool // the write deadline is not set anew
}

// lastWrite is what a stream that has to end may take for its last words, if the viewer reads at all.
const lastWrite = 200 * time.Millisecond

// client registers a request; nil when the server has closed. done must be called when its handler returns.
func (s *Server) client(w http.ResponseWriter, r *http.Request, id auth.Identity) (c *client, done func()) {
	c = &client{srv: s, w: w, r: r, rc: http.NewResponseController(w), id: id}
	bound, unbind := s.opts.Door.Bind(r.Context(), id)
	c.ctx, c.end = context.WithCancelCause(bound)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		unbind()
		return nil, nil
	}
	s.clients[c] = struct{}{}
	late := context.AfterFunc(c.ctx, func() { c.cut(nil) })
	return c, func() {
		late()
		unbind()
		c.end(nil)
		c.mu.Lock()
		c.ending = true // nobody touches the connection any more: it may serve another request
		c.mu.Unlock()
		s.mu.Lock()
		delete(s.clients, c)
		s.mu.Unlock()
	}
}

// cut ends the request: a write that waits for its viewer ends soon too. A cause of nil leaves the one that is known.
func (c *client) cut(cause error) {
	if cause != nil {
		c.end(cause)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ending {
		c.ending = true
		_ = c.rc.SetWriteDeadline(time.Now().Add(lastWrite))
	}
}

// arm gives the next write its time.
func (c *client) arm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ending {
		_ = c.rc.SetWriteDeadline(time.Now().Add(c.srv.opts.WriteTimeout))
	}
}

// lift takes the time away from a request that has nothing to write for now. Over HTTP/2 it would end the request all the same,
// while over HTTP/1.1 only a write that takes longer ends.
func (c *client) lift() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ending && c.r.ProtoMajor > 1 {
		_ = c.rc.SetWriteDeadline(time.Time{})
	}
}

// reasonGone: the client has left.
const reasonGone = "gone"

// reason is the word for why the request has to end.
func (c *client) reason() string {
	cause := context.Cause(c.ctx)
	var no *auth.Refusal
	switch {
	case errors.As(cause, &no):
		return no.Reason
	case errors.Is(cause, errClosing):
		return errClosing.Error()
	}
	return reasonGone
}

// subscribe opens the stream that a query asks for. wake has room for one and gets one when Pull may give something.
func (c *client) subscribe(q *query) (stream *hub.Subscription, got hub.Subscribed, wake chan struct{}, err error) {
	wake = make(chan struct{}, 1)
	stream, got, err = c.srv.opts.Hub.Subscribe(hub.SubscribeOptions{
		Filter: q.filter, Since: q.since, Snapshot: q.snapshot,
		Access: hub.Access{Key: c.id.AccessKey(auth.Live), Allow: c.id.Allow(auth.Live)},
		Notify: func() {
			select {
			case wake <- struct{}{}:
			default:
			}
		},
	})
	if q.resumes && err == nil {
		verdict := got.Reason
		if got.Recovered {
			verdict = "recovered"
		}
		c.srv.m.Resumes.WithLabelValues(verdict).Inc()
	}
	return stream, got, wake, err
}

// place waits for the right to make a snapshot, where the query wants one, which release gives back; false when the request ended
// meanwhile.
func (c *client) place(q *query) (release func(), ok bool) {
	if !q.snapshot {
		return func() {}, true
	}
	select {
	case c.srv.snapshots <- struct{}{}:
		return sync.OnceFunc(func() { <-c.srv.snapshots }), true
	case <-c.ctx.Done():
		return nil, false
	}
}

// problem is a request that is refused.
type problem struct {
	status int
	reason string // a short stable word
	detail string // what, where, and how to mend it
}

// refuse answers with a problem and records it. The URL's query is never logged.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, id auth.Identity, no problem) {
	audit.Refused(s.log, audit.Event{Action: audit.Request(r), Reason: no.reason, Subject: id.Subject, Tenant: id.Tenant, Remote: r.RemoteAddr})
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(no.status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": no.reason, "detail": no.detail}) // the peer is gone when this fails
}
