package viewer

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"plumbline/harness/record"
)

// headLimit bounds the header of an answer.
const headLimit = 64 << 10

// webDialect speaks the protocols that need no WebSocket: one source for each
// address that the filters make. It follows no redirect, asks for no compression
// and takes none.
type webDialect struct {
	*Viewer
	client  *http.Client
	trade   *http.Transport
	finder  *finder
	topics  topics
	sources []source
	turns   turns // of the requests of all sources that ask again and again
	in      bool  // subscribed in the present session; guarded by the viewer's lock
}

// source is one address that readings come from. It keeps what outlives a
// connection. Its methods are called one after the other.
type source interface {
	// open makes the first request. ctx ends with the connection.
	open(ctx context.Context, token string) error
	// read hands over what comes until the connection ends, and says why it did.
	read(ctx context.Context, hand func(arrival) error) error
	// retry is how long the server asked to wait before the next connection.
	retry() time.Duration
}

// arrival is one text that may hold readings.
type arrival struct {
	at      int64 // when its last byte had been read (t4)
	data    []byte
	kind    record.Kind
	against *pollSource // knows which readings are news; nil means all are
}

// newWeb makes the sources of the filters by the given function.
func newWeb(v *Viewer, make func(d *webDialect, address string) (source, error)) (*webDialect, error) {
	f, err := newFinder(v.cfg.Message)
	if err != nil {
		return nil, err
	}
	d := &webDialect{Viewer: v, finder: f, topics: topics{}}
	d.trade = &http.Transport{
		DialContext: v.dialTCP, TLSClientConfig: v.cfg.TLS.Clone(), TLSHandshakeTimeout: connectLimit,
		DisableCompression: true, MaxResponseHeaderBytes: headLimit, Protocols: &http.Protocols{},
	}
	d.trade.Protocols.SetHTTP1(!v.cfg.HTTP2)
	d.trade.Protocols.SetHTTP2(v.cfg.HTTP2)
	d.client = &http.Client{Transport: d.trade, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	var addresses []string
	for _, filter := range v.cfg.Filters {
		address := blanks.ReplaceAllLiteralString(v.cfg.URL, url.QueryEscape(filter))
		if slices.Contains(addresses, address) {
			continue
		}
		addresses = append(addresses, address)
		s, err := make(d, address)
		if err != nil {
			return nil, err
		}
		d.sources = append(d.sources, s)
	}
	return d, nil
}

func (d *webDialect) subscribed() bool { return d.in }

// webSession is one connection for every source.
type webSession struct {
	d      *webDialect
	ctx    context.Context
	cancel context.CancelCauseFunc
	news   chan arrival
	ended  chan error

	mu      sync.Mutex // orders the start of the readers before the wait for them
	closed  bool
	readers sync.WaitGroup
}

func (d *webDialect) dial(ctx context.Context, token string) (session, error) {
	d.turns.anew() // the last session has ended, and whoever waited in it
	s := &webSession{d: d, news: make(chan arrival), ended: make(chan error, len(d.sources))}
	// The connection outlives ctx, which bounds its making only.
	s.ctx, s.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	unwatch := context.AfterFunc(ctx, func() { s.cancel(context.Cause(ctx)) })
	var err error
	for i, source := range d.sources {
		if err = source.open(s.ctx, token); i > 0 {
			err = s.openLater(ctx, source, token, err)
		}
		if err != nil {
			break
		}
	}
	if !unwatch() {
		err = context.Cause(ctx)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// openLater opens a source that was put off when others were open already: they
// need not be opened again for it. It gives up where ctx would end first.
func (s *webSession) openLater(ctx context.Context, source source, token string, err error) error {
	for wait := putOff(err); wait > 0; wait = putOff(err) {
		if end, ok := ctx.Deadline(); (ok && time.Until(end) <= wait) || !pause(s.ctx, wait) {
			return err
		}
		err = source.open(s.ctx, token)
	}
	return err
}

// enter begins to read. An answer with status 200 is the server's word that the
// viewer is let in and sees what its address asks for.
func (s *webSession) enter() error {
	d, at := s.d, s.d.clock.Now()
	d.mu.Lock()
	d.admitLocked(s, at, "protocol", d.cfg.Protocol)
	d.in = true
	for _, filter := range d.cfg.Filters {
		d.eventAt(at, record.Subscribed, "", "filter", filter)
	}
	d.wakeLocked()
	d.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	for _, source := range d.sources {
		s.readers.Go(func() { s.ended <- source.read(s.ctx, s.hand) })
	}
	return nil
}

// hand gives one text to step.
func (s *webSession) hand(a arrival) error {
	select {
	case s.news <- a:
		return nil
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
}

// step handles one text. The end of any source ends the session.
func (s *webSession) step() error {
	select {
	case a := <-s.news:
		s.d.mu.Lock()
		defer s.d.mu.Unlock()
		return s.d.tookLocked(a.data, s.d.readLocked(s.d.finder, s.d.topics, a))
	case err := <-s.ended:
		if cause := context.Cause(s.ctx); cause != nil && !errors.Is(cause, context.Canceled) {
			return cause // what made the reading fail
		}
		return err
	}
}

func (s *webSession) ending(error) (e ending) {
	s.d.mu.Lock()
	s.d.in = false
	s.d.mu.Unlock()
	for _, source := range s.d.sources {
		e.retry = max(e.retry, source.retry())
	}
	return e
}

// errNoGoodbye says that a protocol has no way to take leave.
var errNoGoodbye = errors.New("viewer: the protocol knows no goodbye")

func (s *webSession) goodbye() error { return errNoGoodbye }

// close ends all requests and waits for the readers.
func (s *webSession) close() {
	s.cancel(nil)
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.readers.Wait()
	s.d.trade.CloseIdleConnections()
}

// get asks for address with the token in its place and the given header beside
// what belongs there. It returns an answer with status 200 or 304; a *RefusedError for
// others. The caller closes the body.
func (d *webDialect) get(ctx context.Context, address, token string, header http.Header) (*http.Response, error) {
	o, err := d.openingOf(address, token, "")
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, o.url.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header = o.header
	for name, values := range header {
		request.Header[name] = values
	}
	d.said.requests.Add(1)
	response, err := d.client.Do(request)
	if err != nil {
		return nil, err
	}
	switch encoding := response.Header.Get("Content-Encoding"); {
	case response.StatusCode != http.StatusOK && response.StatusCode != http.StatusNotModified:
		err = d.refusedBy(response)
	case encoding != "" && !strings.EqualFold(encoding, "identity"):
		err = &unusable{fmt.Sprintf("server sent Content-Encoding %.100q, and none was asked for", encoding)}
	default:
		return response, nil
	}
	_ = response.Body.Close()
	return nil, err
}

// mediaType returns the type of an answer without its parameters.
func mediaType(response *http.Response) string {
	media, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return media
}
