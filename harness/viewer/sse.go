package viewer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"

	"plumbline/harness/record"
)

// sseSource reads an event stream (HTML standard, section 9.2) as EventSource
// does: it comes back with the id of the last event and after the time that the
// server asked for.
type sseSource struct {
	d        *webDialect
	address  string
	lastID   string
	waits    time.Duration
	response *http.Response
}

func newSSE(v *Viewer) (*webDialect, error) {
	return newWeb(v, func(d *webDialect, address string) (source, error) { return &sseSource{d: d, address: address}, nil })
}

func (s *sseSource) retry() time.Duration { return s.waits }

func (s *sseSource) open(ctx context.Context, token string) error {
	header := http.Header{"Accept": {"text/event-stream"}, "Cache-Control": {"no-store"}}
	if s.lastID != "" && httpguts.ValidHeaderFieldValue(s.lastID) {
		header["Last-Event-Id"] = []string{s.lastID}
	}
	response, err := s.d.get(ctx, s.address, token, header)
	if err != nil {
		return err
	}
	if media := mediaType(response); response.StatusCode != http.StatusOK || media != "text/event-stream" {
		_ = response.Body.Close()
		return &unusable{fmt.Sprintf("server answered with status %d and the type %.100q, not with text/event-stream", response.StatusCode, media)}
	}
	s.response = response
	return nil
}

// read hands over the data of each event. What was not handed over was not
// received: the id that goes back is that of the last event that was.
func (s *sseSource) read(ctx context.Context, hand func(arrival) error) error {
	defer func() { _ = s.response.Body.Close() }()
	in := &watched{in: s.response.Body, limit: s.d.cfg.Silence, late: func() { _ = s.response.Body.Close() }}
	defer in.stop()
	events := newEventStream(in, s.lastID)
	events.retry = s.waits // holds for the source, not for one connection
	for {
		e, err := events.next()
		at := s.d.clock.Now()
		s.waits = events.retry
		if err != nil {
			s.lastID = events.lastID
			return s.why(err, in)
		}
		if err := hand(arrival{at: at, data: append([]byte(nil), e.data...), kind: record.Received}); err != nil {
			return err
		}
		s.lastID = events.lastID
	}
}

// why says what the end of a stream means.
func (s *sseSource) why(err error, in *watched) error {
	switch {
	case in.overdue():
		return os.ErrDeadlineExceeded
	case errors.Is(err, io.EOF):
		return errors.New("the server ended the event stream")
	}
	return err
}

// watched is a body that must say something now and then.
type watched struct {
	in    io.Reader
	limit time.Duration // 0 waits for ever
	late  func()        // ends a Read that takes longer
	timer *time.Timer
	over  atomic.Bool
}

func (w *watched) Read(p []byte) (int, error) {
	if w.limit > 0 {
		if w.timer == nil {
			w.timer = time.AfterFunc(w.limit, func() { w.over.Store(true); w.late() })
		}
		w.timer.Reset(w.limit)
	}
	return w.in.Read(p)
}

func (w *watched) overdue() bool { return w.over.Load() }

func (w *watched) stop() {
	if w.timer != nil {
		w.timer.Stop()
	}
}
