package survey

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"plumbline/harness/viewer"
)

// Viewers is what was found out about where dashboards connect.
type Viewers struct {
	Reached     bool
	Status      int    // HTTP status of an answer that was no yes
	CloseCode   int    // with which it ended the connection, 0 when it did not
	Protocol    string // the guess, "" when there is none
	Why         string // it is a guess because of this
	Subprotocol string
	Shape       Shape
	Seen        bool // the message that was published came back, and Shape is from it
	Named       bool // another message came, and Shape is guessed by the names in it
	TLS         TLS
	Foreign     bool // an origin that the operator cannot know was let in
	Err         error
}

// needsToken reports whether the answer was one for want of a token.
func (v Viewers) needsToken() bool {
	return v.Status == http.StatusUnauthorized || v.Status == http.StatusForbidden || v.CloseCode == 1008 || v.CloseCode/100 == 40 || v.CloseCode/100 == 44
}

// foreignOrigin is an origin that no operator can have allowed by name.
const foreignOrigin = "https://plumbline-init.invalid"

// surveyViewers finds out how viewers get in. publish has a message sent through
// the broker; nil when there is none.
func surveyViewers(ctx context.Context, o Options, m marker, publish func() error) (found Viewers) {
	address, err := url.Parse(o.Viewer)
	if err != nil {
		found.Err = err
		return found
	}
	if address.Scheme == "http" || address.Scheme == "https" {
		surveyHTTP(ctx, o, address, m, publish, &found)
	} else {
		surveySocket(ctx, o, address, m, publish, &found)
	}
	return found
}

// offers are what is asked for, one handshake each: a server that does not know
// a subprotocol may refuse the handshake or go on without. One that agrees to the
// first, which nobody speaks, agrees to anything, as many a library does.
var offers = []struct{ subprotocol, protocol string }{
	{"plumbline-init.invalid", ""}, {viewer.Subprotocol, viewer.Plumbline}, {"mqtt", viewer.MQTT},
}

func surveySocket(ctx context.Context, o Options, address *url.URL, m marker, publish func() error, found *Viewers) {
	way := viewer.ProbeSpec{URL: o.Viewer, TLS: o.look(address.Hostname(), &found.TLS), Subprotocols: []string{}, Wait: time.Second}
	if o.Origin != "" {
		way.Origins = []string{o.Origin}
	}
	for _, offer := range offers {
		way.Subprotocols = []string{offer.subprotocol}
		r := viewer.Probe(ctx, way)
		found.take(r)
		if r.HTTPStatus == http.StatusSwitchingProtocols && r.Subprotocol == offer.subprotocol {
			if offer.protocol != "" {
				found.Protocol, found.Subprotocol = offer.protocol, offer.subprotocol
				found.Why = fmt.Sprintf("the server chose the WebSocket subprotocol %q", offer.subprotocol)
			}
			break
		}
	}
	if found.Protocol == "" && found.Err == nil {
		way.Subprotocols = []string{}
		watch(ctx, o, way, m, publish, found)
	}
	if found.Status == 0 && found.Err == nil {
		way.Origins = []string{foreignOrigin}
		way.Until = func([]byte) bool { return true }
		r := viewer.Probe(ctx, way)
		found.Foreign = r.HTTPStatus == http.StatusSwitchingProtocols && r.CloseCode == 0
	}
}

// take enters what one attempt says.
func (v *Viewers) take(r viewer.ProbeResult) {
	v.Reached = v.Reached || r.HTTPStatus != 0
	v.Status, v.CloseCode, v.Err = 0, 0, nil
	switch {
	case r.HTTPStatus == http.StatusSwitchingProtocols:
		v.CloseCode = r.CloseCode
	case r.HTTPStatus != 0:
		v.Status = r.HTTPStatus
	case r.Err != nil:
		v.Err = r.Err
	case r.EOF:
		v.Err = errors.New("the server closed the connection without an answer of HTTP")
	default:
		v.Err = errors.New("the server did not answer in time")
	}
}

// watch connects without a subprotocol, says the hellos and looks for the
// message that publish sends.
func watch(ctx context.Context, o Options, way viewer.ProbeSpec, m marker, publish func() error, found *Viewers) {
	way.Wait = o.Wait
	for _, hello := range o.Hello {
		way.Steps = append(way.Steps, viewer.Step{Text: []byte(hello)})
	}
	stop := again(ctx, publish)
	way.Until = func(frame []byte) bool { return found.look(frame, m) }
	r := viewer.Probe(ctx, way)
	found.take(r)
	switch {
	case found.Seen:
		found.Protocol, found.Why = viewer.JSON, "the message that init published came in a frame"
	case found.Named:
		found.Protocol, found.Why = viewer.JSON, "a frame came that holds a message, by the names in it; the message that init published did not come"
	case r.HTTPStatus == http.StatusSwitchingProtocols && r.CloseCode == 0:
		found.Protocol, found.Why = viewer.JSON, "the server speaks WebSocket without a subprotocol; no frame with the message that init published came, so the pointers are examples"
	}
	if err := stop(); err != nil && found.Err == nil && !found.Seen {
		found.Why += fmt.Sprintf(" (publishing failed: %s)", printable(err.Error()))
	}
}

// look takes a frame for what it shows and reports whether it was the message
// that was published.
func (v *Viewers) look(frame []byte, m marker) bool {
	if s, ok := guess(frame, m); ok {
		v.Shape, v.Seen, v.Named = s, true, false
		return true
	}
	if s, ok := guessByName(frame); ok && !v.Named {
		v.Shape, v.Named = s, true
	}
	return false
}

// again publishes now and then until stop is called, which returns how the last
// attempt went.
func again(ctx context.Context, publish func() error) (stop func() error) {
	if publish == nil {
		return func() error { return nil }
	}
	ctx, cancel := context.WithCancel(ctx)
	last := make(chan error, 1)
	go func() {
		var err error
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				last <- err
				return
			case <-tick.C:
				err = publish()
			}
		}
	}()
	return func() error { cancel(); return <-last }
}

// surveyHTTP looks at an address that is no WebSocket.
func surveyHTTP(ctx context.Context, o Options, address *url.URL, m marker, publish func() error, found *Viewers) {
	ctx, cancel := context.WithTimeout(ctx, o.Wait+viewerLimit)
	defer cancel()
	transport := &http.Transport{
		TLSClientConfig: o.look(address.Hostname(), &found.TLS), DisableCompression: true, MaxResponseHeaderBytes: 64 << 10,
		DialContext: (&net.Dialer{Timeout: viewerLimit}).DialContext, DisableKeepAlives: true,
	}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ask := func() (*http.Response, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.ReplaceAll(o.Viewer, "{{filter}}", url.QueryEscape(m.topic)), nil)
		if err != nil {
			return nil, err
		}
		request.Header.Set("Accept", "text/event-stream, application/json;q=0.9")
		return client.Do(request)
	}
	response, err := ask()
	if err != nil {
		found.Err = err
		return
	}
	defer func() { _ = response.Body.Close() }()
	found.Reached = true
	if response.StatusCode != http.StatusOK {
		found.Status = response.StatusCode
		return
	}
	media, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if media == "text/event-stream" {
		found.Protocol, found.Why = viewer.SSE, "the server answers with text/event-stream"
		stream(ctx, o, response.Body, m, publish, found)
		return
	}
	found.Protocol, found.Why = viewer.Poll, fmt.Sprintf("the server answers a GET with %q", printable(media))
	stop := again(ctx, publish)
	defer func() { _ = stop() }()
	for until := time.Now().Add(o.Wait); !found.Seen && (publish != nil || !found.Named) && time.Now().Before(until); {
		next, err := ask()
		if err != nil {
			return
		}
		body, err := io.ReadAll(io.LimitReader(next.Body, byteLimit))
		_ = next.Body.Close()
		if err != nil {
			return
		}
		if !found.look(body, m) && !pause(ctx, 100*time.Millisecond) {
			return
		}
	}
}

// pause waits and reports whether the wait was not cut short.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// viewerLimit bounds a connection to where dashboards connect.
const viewerLimit = 5 * time.Second

// stream reads events until the message that publish sends is among them.
func stream(ctx context.Context, o Options, body io.ReadCloser, m marker, publish func() error, found *Viewers) {
	stop := again(ctx, publish)
	defer func() { _ = stop() }()
	limit := time.AfterFunc(o.Wait, func() { _ = body.Close() })
	defer limit.Stop()
	events := viewer.NewEvents(io.LimitReader(body, byteLimit))
	for {
		data, err := events.Next()
		if err != nil {
			return
		}
		if found.look(data, m) {
			return
		}
	}
}
