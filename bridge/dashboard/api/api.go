// Package api answers what the dashboard asks of the bridge beside readings: who it is that is signed in, and layouts that are kept
// for them. Every answer needs a good credential, as those of history do; the OpenAPI document in this folder describes them.
package api

import (
	_ "embed" // the document
	"errors"
	"log/slog"
	"net/http"
	"time"

	"plumbline/bridge/audit"
	"plumbline/bridge/auth"
	"plumbline/bridge/dashboard/layouts"
	"plumbline/bridge/internal/problem"
	"plumbline/bridge/internal/rates"
)

//go:embed openapi.json
var document []byte

// Where everything is.
const (
	mePath       = "/api/v1/me"
	layoutsPath  = "/api/v1/layouts"
	documentPath = "/api/v1/dashboard/openapi.json"
)

// How often one account may write layouts: each time waits for the disk.
const (
	writeRate  = 2 // a second
	writeBurst = 20
)

// Options configures a Handler. Identify, Log and Now are required.
type Options struct {
	// Identify says who asks. Whom it refuses it records, sets the header fields for, and returns the status and a word for why;
	// otherwise the status is 0.
	Identify    func(w http.ResponseWriter, r *http.Request) (id auth.Identity, status int, reason string)
	Layouts     string // folder of the saved ones; "" = none are kept, and the endpoint is not there
	Node        string
	Version     string // of the program
	WebSocket   string // path
	History     bool   // there is a history API
	Commands    bool   // commands to devices are taken
	RequestRate int    // requests of one account a second, bursts of twice as many; 0 = no limit
	Log         *slog.Logger
	Now         func() time.Time
}

// Handler answers. It is safe for concurrent use.
type Handler struct {
	o             Options
	layouts       *layouts.Store // nil without
	asked, writes *rates.Rates
}

// New returns a Handler. It reads nothing yet.
func New(o Options) *Handler {
	h := &Handler{o: o, asked: rates.New(o.RequestRate, 2*o.RequestRate), writes: rates.New(writeRate, writeBurst)}
	if o.Layouts != "" {
		h.layouts = layouts.New(o.Layouts, o.Log, o.Now)
	}
	return h
}

// Route adds the endpoints by the patterns of http.ServeMux.
func (h *Handler) Route(add func(pattern string, handler http.Handler)) {
	add(mePath, h.of(map[string]serve{http.MethodGet: h.me}))
	if h.layouts == nil {
		return
	}
	add(layoutsPath, h.of(map[string]serve{http.MethodGet: h.list}))
	add(layoutsPath+"/{id}", h.of(map[string]serve{http.MethodGet: h.get, http.MethodPut: h.put, http.MethodDelete: h.remove}))
	add(documentPath, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		secure(w)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "public, max-age=300")
		_, _ = w.Write(document) // the peer is gone when this fails
	}))
}

// serve answers one method for who is known. An error is answered by the caller.
type serve func(w http.ResponseWriter, r *http.Request, id auth.Identity) error

// refusal is an error that the asker may read.
type refusal struct {
	status int
	reason string // for a program and for the record; "" = none is recorded
	detail string // what is wrong and how to mend it
}

// Error implements error.
func (r *refusal) Error() string { return r.detail }

// of serves by method, for who shows a good credential and does not ask too often.
func (h *Handler) of(by map[string]serve) http.Handler {
	allow := "GET, HEAD"
	if by[http.MethodPut] != nil {
		allow = "GET, HEAD, PUT, DELETE"
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secure(w)
		id, status, reason := h.o.Identify(w, r)
		if status != 0 {
			problem.Write(w, status, "sign in first, by POST /session, or send a token as Authorization: Bearer …; this request is refused: "+reason, map[string]any{"reason": reason})
			return
		}
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet // net/http leaves the body out
		}
		err := error(&refusal{http.StatusMethodNotAllowed, "method", "the method is not served here: allowed are " + allow})
		if serve := by[method]; serve != nil {
			err = &refusal{http.StatusTooManyRequests, "rate", "too many requests: wait a second"}
			if h.asked.Take(id.Account(), h.o.Now()) {
				err = serve(w, r, id)
			}
		} else {
			w.Header().Set("Allow", allow)
		}
		if err != nil {
			h.explain(w, r, id, err)
		}
	})
}

// explain answers with what the asker may know of an error, and records it where it is one of those that operators watch.
func (h *Handler) explain(w http.ResponseWriter, r *http.Request, id auth.Identity, err error) {
	var no *refusal
	switch {
	case errors.As(err, &no):
	case errors.Is(err, layouts.ErrNotFound):
		no = &refusal{http.StatusNotFound, "", "there is no such layout that you may see"}
	case errors.Is(err, layouts.ErrOwn):
		no = &refusal{http.StatusConflict, "limit", "you have as many layouts as one may have: delete one first"}
	case errors.Is(err, layouts.ErrFull):
		no = &refusal{http.StatusInsufficientStorage, "limit", "the bridge keeps no more layouts: its operator can remove old ones from the folder layouts in its data folder, which counts within a minute"}
	default:
		h.o.Log.Error("layouts cannot be read or written", "error", err)
		no = &refusal{http.StatusServiceUnavailable, "", "the bridge cannot read or write its layouts; its log says why"}
	}
	if no.status == http.StatusTooManyRequests || no.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	var members map[string]any
	if no.reason != "" {
		members = map[string]any{"reason": no.reason}
		audit.Refused(h.o.Log, audit.Event{Action: audit.Request(r), Reason: no.reason, Subject: id.Subject, Tenant: id.Tenant, Remote: r.RemoteAddr})
	}
	problem.Write(w, no.status, no.detail, members)
}

// secure keeps a browser from taking an answer for anything but data, and others from loading it.
func secure(w http.ResponseWriter) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}
