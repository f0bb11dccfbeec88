// Package otlp sends the figures of a run to a collector of OpenTelemetry while it
// goes on, as metrics over OTLP/HTTP in its JSON form. It is written by hand from
// the published names of fields: a few gauges and counts do not pay for an SDK, its
// gRPC and its goroutines.
//
// A collector never holds up a run and never fails it: figures that it does not
// take are replaced by the next, and that it is not there is one warning.
package otlp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"plumbline/reports/events"
)

// Options say where to send to. Endpoint is required.
type Options struct {
	Endpoint *Endpoint
	Version  string            // of this program
	Every    time.Duration     // 0 means five seconds
	Timeout  time.Duration     // of one request, and half of what Close may take; 0 means five seconds
	Warn     func(text string) // told once, when the collector does not take what is sent
}

// Exporter follows a run and sends how it stands. Apply fits course.Listener.
type Exporter struct {
	opts   Options
	client *http.Client

	mu    sync.Mutex
	state events.State

	warned     bool // belongs to the goroutine
	ctx        context.Context
	cancel     context.CancelFunc
	quit, done chan struct{}
	once       sync.Once
}

// Start sends from now on; the caller must Close it.
func Start(opts Options) *Exporter {
	if opts.Every == 0 {
		opts.Every = 5 * time.Second
	}
	if opts.Timeout == 0 {
		opts.Timeout = 5 * time.Second
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConns: 1, DisableCompression: true}
	x := &Exporter{
		opts: opts, quit: make(chan struct{}), done: make(chan struct{}),
		client: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	x.ctx, x.cancel = context.WithCancel(context.Background())
	go x.run()
	return x
}

// Apply takes an event. It never waits for the collector.
func (x *Exporter) Apply(e events.Event) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.state.Apply(e)
}

func (x *Exporter) run() {
	defer close(x.done)
	tick := time.NewTicker(x.opts.Every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			x.send()
		case <-x.quit:
			x.send()
			return
		}
	}
}

// send sends how the run stands.
func (x *Exporter) send() {
	x.mu.Lock()
	known := !x.state.Began.IsZero()
	body, err := encode(&x.state, x.opts.Version)
	x.mu.Unlock()
	if !known {
		return
	}
	if err == nil {
		err = x.post(body)
	}
	if err != nil && !x.warned {
		x.warned = true
		x.opts.Warn(fmt.Sprintf("figures do not reach the collector of metrics: %v; the run goes on without", err))
	}
}

// post sends one request. That the collector rejected a part is an error, too.
func (x *Exporter) post(body []byte) error {
	ctx, cancel := context.WithTimeout(x.ctx, x.opts.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, x.opts.Endpoint.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header = x.opts.Endpoint.Header.Clone()
	if req.Header == nil {
		req.Header = http.Header{}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "plumbline/"+x.opts.Version)
	resp, err := x.client.Do(req)
	if err != nil {
		return bare(err)
	}
	defer func() { _ = resp.Body.Close() }() // only read from
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return bare(err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	return rejected(answer)
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 10

// bare leaves the address out of an error: whoever reads it knows where the figures
// go to.
func bare(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("it does not answer in time")
	}
	if at, ok := errors.AsType[*url.Error](err); ok {
		return at.Err
	}
	return err
}

// rejected reads an ExportMetricsServiceResponse.
func rejected(answer []byte) error {
	var got struct {
		Partial struct {
			Rejected json.Number `json:"rejectedDataPoints"` // of a 64-bit integer: a string or a number
			Message  string      `json:"errorMessage"`
		} `json:"partialSuccess"`
	}
	err := json.Unmarshal(answer, &got)
	if n := got.Partial.Rejected; err == nil && n != "" && n != "0" {
		return fmt.Errorf("it rejects %s figures: %s", n, events.Cut(got.Partial.Message))
	}
	return nil // it took the request; what else it says is its affair
}

// Close sends how the run stands a last time and ends the sending. It waits no
// longer than twice Options.Timeout and may be called again.
func (x *Exporter) Close() {
	x.once.Do(func() {
		limit := time.AfterFunc(2*x.opts.Timeout, x.cancel)
		defer limit.Stop()
		close(x.quit)
		<-x.done
		x.cancel()
		x.client.CloseIdleConnections()
	})
}
