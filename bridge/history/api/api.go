// Package api answers questions about history by HTTP: a read-only API over any history.Store, described by the OpenAPI document
// in this folder, which it serves as well.
//
// Everything but that document needs an identity, whose grants for the action history must contain the asked filter; what a store
// gives is checked against them once more. Every answer says up to which journal cursor it holds everything, so that a page that
// loads a day and then subscribes from there has neither hole nor duplicate.
package api

import (
	"cmp"
	"context"
	"crypto/rand"
	_ "embed" // the document
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"plumbline/bridge/audit"
	"plumbline/bridge/auth"
	"plumbline/bridge/history"
	"plumbline/bridge/metrics"
)

//go:embed openapi.json
var document []byte

// Root is the path below which everything is.
const Root = "/api/v1/"

// The defaults of Options.
const (
	DefaultMaxPoints     = 10_000
	DefaultMaxConcurrent = 4
	DefaultTimeout       = 5 * time.Second
)

// Options configures a Handler. Store and Identify are required.
type Options struct {
	Store func() history.Store // nil while there is none: 503
	// Identify says who asks. Whom it refuses it records, sets the header fields for, and returns the status and a word for why;
	// otherwise the status is 0.
	Identify func(w http.ResponseWriter, r *http.Request) (id auth.Identity, status int, reason string)
	PageKey  []byte // signs page tokens; nil = a random one, and tokens end with the process
	// MaxPoints bounds the points, buckets, events or series of one answer; 0 = DefaultMaxPoints.
	MaxPoints int
	// MaxConcurrent bounds the requests that use the store at a time, and half of it, rounded up, those of one subject; 0 =
	// DefaultMaxConcurrent.
	MaxConcurrent int
	Timeout       time.Duration    // of one request's use of the store; 0 = DefaultTimeout
	Metrics       *metrics.Set     // nil = none
	Log           *slog.Logger     // nil = none
	Now           func() time.Time // nil = time.Now
}

// Handler serves the API. It is safe for concurrent use.
type Handler struct {
	o     Options
	mux   *http.ServeMux
	slots *slots
}

// New makes the handler. It panics when there is no randomness for a page key, as crypto/rand does.
func New(o Options) *Handler {
	if len(o.PageKey) == 0 {
		o.PageKey = make([]byte, 32)
		_, _ = rand.Read(o.PageKey) // it never fails
	}
	o.MaxPoints = cmp.Or(o.MaxPoints, DefaultMaxPoints)
	o.MaxConcurrent = cmp.Or(o.MaxConcurrent, DefaultMaxConcurrent)
	o.Timeout = cmp.Or(o.Timeout, DefaultTimeout)
	if o.Metrics == nil {
		o.Metrics = metrics.New()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	h := &Handler{o: o, mux: http.NewServeMux(), slots: newSlots(o.MaxConcurrent)}
	h.mux.HandleFunc("GET "+Root+"openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		secure(w)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "public, max-age=300")
		_, _ = w.Write(document) // the peer is gone when this fails
	})
	for i := range routes {
		h.mux.Handle(Root+"history/"+routes[i].name, h.serve(&routes[i]))
	}
	h.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		known := ""
		for _, r := range routes {
			known += " " + Root + "history/" + r.name
		}
		answerProblem(w, &problem{status: http.StatusNotFound, detail: "there is nothing here: known are" + known + " and " + Root + "openapi.json"})
	})
	return h
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// secure keeps a browser from taking an answer for anything but data.
func secure(w http.ResponseWriter) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	w.Header().Set("Referrer-Policy", "no-referrer")
}

// request is one request on its way.
type request struct {
	*http.Request
	h     *Handler
	id    auth.Identity
	store history.Store
	p     params
	page  *page // where a listing goes on; nil for its beginning
	seen  map[string]bool
}

// serve answers one route: who asks, what, may it, is there room; then the store, then the answer.
func (h *Handler) serve(rt *route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		status := h.answer(w, r, rt)
		h.o.Metrics.HistoryAsked.WithLabelValues(rt.name, strconv.Itoa(status)).Inc()
		h.o.Metrics.HistoryTime.WithLabelValues(rt.name).Observe(time.Since(began).Seconds())
	})
}

func (h *Handler) answer(w http.ResponseWriter, r *http.Request, rt *route) (status int) {
	secure(w)
	id, refused, reason := h.o.Identify(w, r)
	if refused != 0 {
		return answerProblem(w, &problem{status: refused, detail: "a token is needed, as Authorization: Bearer …; this request is refused: " + reason})
	}
	q := &request{Request: r, h: h, id: id, seen: map[string]bool{}}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.record(q, "method")
		w.Header().Set("Allow", "GET, HEAD")
		return answerProblem(w, &problem{status: http.StatusMethodNotAllowed, detail: "history can only be read: use GET"})
	}
	out, err := h.ask(q, rt)
	if err == nil {
		return q.write(w, out)
	}
	p := h.explain(q, rt, err)
	switch p.status {
	case http.StatusForbidden:
		h.record(q, "forbidden")
	case http.StatusTooManyRequests:
		h.record(q, "limit")
	}
	if p.status == http.StatusServiceUnavailable || p.status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	return answerProblem(w, p)
}

// record writes the audit event of a refusal that is the API's own.
func (h *Handler) record(q *request, reason string) {
	audit.Refused(h.o.Log, audit.Event{Action: audit.Request(q.Request), Reason: reason, Subject: q.id.Subject, Tenant: q.id.Tenant, Remote: q.RemoteAddr})
}

// ask checks the request and puts it to the store.
func (h *Handler) ask(q *request, rt *route) (*answer, error) {
	if err := q.parse(rt); err != nil {
		return nil, err
	}
	filter := q.p.text["topic"] // a topic is a filter that matches itself alone
	if filter == "" {
		filter = q.p.text["filter"]
	}
	if err := q.id.May(auth.History, filter); err != nil {
		h.o.Metrics.Denied.WithLabelValues(auth.History.String()).Inc()
		return nil, &problem{status: http.StatusForbidden, detail: "the token's grants for history do not cover this filter"}
	}
	if q.store = h.o.Store(); q.store == nil {
		return nil, &problem{status: http.StatusServiceUnavailable, detail: "the history store is not open yet; the bridge keeps trying"}
	}
	leave, ok := h.slots.enter(q.id.Account())
	if !ok {
		return nil, &problem{status: http.StatusTooManyRequests, detail: "too many requests to history at this moment"}
	}
	defer leave()
	ctx, cancel := context.WithTimeout(q.Context(), h.o.Timeout)
	defer cancel()
	return rt.ask(ctx, q)
}

// explain makes an error of a store or of a request what the asker may know.
func (h *Handler) explain(q *request, rt *route, err error) *problem {
	var p *problem
	switch {
	case errors.As(err, &p):
		return p
	case q.Context().Err() != nil: // the asker left
		return &problem{status: 499, detail: "the request was cancelled"}
	case errors.Is(err, context.DeadlineExceeded):
		return &problem{status: http.StatusServiceUnavailable, detail: fmt.Sprintf("it took longer than %s: ask for a shorter time or a coarser step", h.o.Timeout)}
	case errors.Is(err, history.ErrCursor):
		return &problem{status: http.StatusBadRequest, parameter: "page", detail: "the page is of a history that is not here any more: begin again without it"}
	}
	h.o.Log.Error("history request failed", "route", rt.name, "error", err)
	return &problem{status: http.StatusServiceUnavailable, detail: "the history store does not answer; the bridge's log says why"}
}

// visible reports whether the asker may see a topic. Stores ask it, and what they gave is asked again.
func (q *request) visible(topic string) bool {
	ok, known := q.seen[topic]
	if !known {
		ok = q.id.May(auth.History, topic) == nil
		q.seen[topic] = ok
	}
	return ok
}
