package scenarios

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"plumbline/harness"
	"plumbline/harness/oracle"
	"plumbline/harness/spec"
	"plumbline/harness/stats"
	"plumbline/harness/sut"
	"plumbline/harness/viewer"
	"plumbline/reports"
)

const (
	siegeEach   = 60                     // connections of each kind that only stand there
	siegeStand  = 500 * time.Millisecond // until all of them do
	siegeMargin = 5 * time.Second        // that connections are watched for beyond the limit
	siegeMemory = 64                     // MiB that all of them together may cost: a quarter of one for each of the 242
	siegeBytes  = 40                     // of a slow handshake while it is watched: far fewer than one has
)

// siegeKind is one kind of connection that gets nowhere.
type siegeKind struct {
	Name    string        `json:"name"`
	Made    int           `json:"made"`
	Open    int           `json:"open"`       // of those: still open when the harness gave up
	Slowest time.Duration `json:"slowest_ns"` // of those that were closed
}

// siegeFacts is what came of a siege.
type siegeFacts struct {
	Kinds      []siegeKind `json:"kinds"`
	From       int64       `json:"from_ns"` // on the run clock
	To         int64       `json:"to_ns"`
	Control    string      `json:"control,omitempty"` // why that proves nothing: how a rightful viewer fared before
	CrowdedOut string      `json:"crowded_out"`       // how a rightful viewer fared meanwhile, "" when it was served
	Came       stretch     `json:"came"`              // that one's try
}

// comes is how long a rightful viewer is waited for at least: the Wait of a probe
// where nothing else is said.
const comes = 5 * time.Second

// siegeKinds are the ways in of connections that get nowhere, and how many of each.
func siegeKinds(b *harness.Bench, watch time.Duration) map[string]func() (viewer.ProbeSpec, int) {
	base := viewer.ProbeSpec{URL: webSocketOf(b.SUT.ViewerURL()), TLS: b.SUT.TLS(), Origins: []string{b.SUT.Origin()}, Wait: watch}
	if protocol := b.SUT.Viewer().Subprotocol; foreign(b) {
		base.Subprotocols = strings.Fields(protocol)
	}
	of := func(n int, change func(*viewer.ProbeSpec)) func() (viewer.ProbeSpec, int) {
		return func() (viewer.ProbeSpec, int) {
			way := base
			change(&way)
			return way, n
		}
	}
	kinds := map[string]func() (viewer.ProbeSpec, int){
		"connections that say nothing": of(siegeEach, func(way *viewer.ProbeSpec) {
			way.URL, way.TLS, way.Raw = strings.Replace(way.URL, "wss://", "ws://", 1), nil, []byte{}
		}),
		"half a request":           of(siegeEach, func(way *viewer.ProbeSpec) { way.Raw = []byte("GET / HTTP/1.1\r\nHost: ") }),
		"a handshake byte by byte": of(1, func(way *viewer.ProbeSpec) { way.Dial = dribble(dribblePause(watch)) }),
	}
	if b.SUT.TLS() != nil {
		kinds["TLS and then nothing"] = of(siegeEach, func(way *viewer.ProbeSpec) { way.Raw = []byte{} })
	}
	if u := b.SUT.ViewerURL(); strings.HasPrefix(u, "ws") && b.SUT.Has(sut.CapAuth) {
		kinds["WebSockets without a token"] = of(siegeEach, func(*viewer.ProbeSpec) {})
		kinds["a frame of a tebibyte"] = of(1, func(way *viewer.ProbeSpec) { way.Steps = []viewer.Step{{Frame: hugeFrame()}} })
	}
	return kinds
}

// webSocketOf turns an address of HTTP into one that a probe takes.
func webSocketOf(address string) string {
	return strings.NewReplacer("https://", "wss://", "http://", "ws://").Replace(address)
}

// hugeFrame announces 2^40 bytes (RFC 6455 section 5.2) and brings some of them.
func hugeFrame() []byte {
	out := binary.BigEndian.AppendUint64([]byte{0x82, 0xFF}, 1<<40)
	return append(out, make([]byte, 256<<10)...)
}

// dribblePause is how long a slow handshake waits between two bytes.
func dribblePause(watch time.Duration) time.Duration { return watch / siegeBytes }

// dribble makes connections that send one byte at a time, with a wait between
// them. It is so long that no handshake comes to its end while it is watched: who
// lets one in that does has served a viewer.
func dribble(wait time.Duration) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &dribbling{Conn: conn, wait: wait}, nil
	}
}

// dribbling is a connection that takes its time. Between two bytes it reads, so
// that it notices at once when the peer ends it: a write would not before the
// second one after that. Its Write and its Read are not for two goroutines at a time.
type dribbling struct {
	net.Conn
	wait     time.Duration
	early    []byte    // what came between the bytes and was not read yet
	deadline time.Time // for reading; zero is none
}

// Write implements net.Conn.
func (d *dribbling) Write(p []byte) (int, error) {
	for i := range p {
		if i > 0 {
			if err := d.listen(time.Now().Add(d.wait)); err != nil {
				return i, err
			}
		}
		if _, err := d.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

// listen keeps what comes until a moment. Its error is that the connection ended,
// or that the caller's time did.
func (d *dribbling) listen(until time.Time) error {
	ours := d.deadline.IsZero() || until.Before(d.deadline)
	if !ours {
		until = d.deadline
	}
	_ = d.Conn.SetReadDeadline(until) // the read tells
	defer func() { _ = d.Conn.SetReadDeadline(d.deadline) }()
	var more [512]byte
	for {
		n, err := d.Conn.Read(more[:])
		if len(d.early) < dribbleKeeps {
			d.early = append(d.early, more[:n]...)
		}
		switch {
		case err == nil:
		case ours && errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		default:
			return err
		}
	}
}

// dribbleKeeps bounds what is kept of a peer that talks on meanwhile.
const dribbleKeeps = 64 << 10

// Read implements net.Conn.
func (d *dribbling) Read(p []byte) (int, error) {
	if len(d.early) == 0 {
		return d.Conn.Read(p)
	}
	n := copy(p, d.early)
	d.early = d.early[n:]
	return n, nil
}

// SetDeadline implements net.Conn.
func (d *dribbling) SetDeadline(t time.Time) error {
	d.deadline = t
	return d.Conn.SetDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (d *dribbling) SetReadDeadline(t time.Time) error {
	d.deadline = t
	return d.Conn.SetReadDeadline(t)
}

// lay lays siege to the system: it makes all connections at once, looks after a
// while whether a rightful viewer is still served, and waits until all are closed,
// or longer than limit.
func lay(ctx context.Context, b *harness.Bench, limit time.Duration) (seen siegeFacts, err error) {
	if seen.Control, err = rightful(ctx, b); err != nil {
		return seen, err
	}
	seen.From = b.Clock.Now()
	var mu sync.Mutex
	var all sync.WaitGroup
	for name, kind := range siegeKinds(b, limit+siegeMargin) {
		way, n := kind()
		mu.Lock()
		at := len(seen.Kinds)
		seen.Kinds = append(seen.Kinds, siegeKind{Name: name, Made: n})
		mu.Unlock()
		for range n {
			all.Go(func() {
				r := viewer.Probe(ctx, way)
				mu.Lock()
				defer mu.Unlock()
				if k := &seen.Kinds[at]; ended(r) && !outlasted(r) {
					k.Slowest = max(k.Slowest, r.Elapsed)
				} else {
					k.Open++
				}
			})
		}
	}
	if err = harness.Wait(ctx, siegeStand); err == nil {
		seen.Came.From = b.Clock.Now()
		seen.CrowdedOut, err = rightful(ctx, b)
		seen.Came.Took = time.Duration(b.Clock.Now() - seen.Came.From)
	}
	all.Wait()
	seen.To = b.Clock.Now()
	return seen, err
}

// outlasted reports whether it was the probe that lost patience in the handshake of
// TLS: nobody ended that connection.
func outlasted(r viewer.ProbeResult) bool {
	var dialling *net.OpError
	connected := !errors.As(r.Err, &dialling) || dialling.Op != "dial"
	return connected && errors.Is(r.Err, context.DeadlineExceeded)
}

// held are the gates of what the rig itself may have brought about: connections
// that it was late to see closed, and a rightful viewer that it could not let in.
func (f siegeFacts) held(stood oracle.Standstills, limit time.Duration) []stats.Gate {
	open := int64(0)
	for _, k := range f.Kinds {
		open += int64(k.Open)
	}
	if open > 0 && !stood.Excused(limit, limit+siegeMargin, f.From, f.To) {
		open = 0
	}
	if f.CrowdedOut != "" && f.Came.still(stood) {
		open++
	}
	return rigAway(open, stood.Untold(min(limit, comes)))
}

// still reports whether the rig itself stood still while a viewer was waited for.
func (s stretch) still(stood oracle.Standstills) bool {
	return stood.Still(comes, s.From, s.From+int64(s.Took))
}

// judge judges how a siege ended; stood is when the rig itself did not run.
func (f siegeFacts) judge(c *spec.Case, id string, usage []harness.Usage, stood oracle.Standstills) {
	if !c.Applies(id) {
		return
	}
	limit := c.Limit(id)
	figure := &reports.Measurement{
		Name: "slowest end of a connection that got nowhere", Unit: "ms", Limit: reports.Float(limit.Time.Seconds() * 1e3),
		Lower: nan, Upper: nan, Confidence: 0.99, VIF: 1,
	}
	y, slowest, watched := &tally{}, time.Duration(0), limit.Time+siegeMargin
	gates := f.held(stood, limit.Time)
	for _, k := range f.Kinds {
		y.Checks += int64(k.Made)
		slowest = max(slowest, k.Slowest)
		if k.Open > 0 {
			held := stood.Excused(limit.Time, watched, f.From, f.To)
			y.found(id, "held-open", k.Name, fmt.Sprintf("%d of %d were still open %s after they began", k.Open, k.Made, watched), !held)
		}
	}
	figure.N, figure.NEff, figure.Estimate = y.Checks, y.Checks, reports.Float(slowest.Seconds()*1e3)
	switch {
	case f.Control != "":
		gates = append(gates, stats.Gate{Reason: reports.ReasonEnvironment, Detail: f.Control, Cure: "a bridge that serves rightful viewers"})
	case f.CrowdedOut != "":
		y.found(id, "crowded-out", "rightful viewer", f.CrowdedOut, !f.Came.still(stood))
	}
	before, _ := memory(usage, 0, f.From)
	most, samples := memory(usage, f.From, f.To)
	if grown := (int64(most) - int64(before)) >> 20; before > 0 && samples > 0 && grown > siegeMemory {
		y.violation(id, "memory", "all processes", fmt.Sprintf("%d connections that got nowhere cost %d MiB, %d are allowed", y.Checks, grown, siegeMemory))
	}
	if stood.Excused(limit.Time, slowest, f.From, f.To) {
		figure.Estimate, gates = nan, append(gates, rigAway(1, stood.Untold(limit.Time))...)
	}
	if f.To == 0 {
		gates = append(gates, stats.Gate{Reason: reports.ReasonSamples, Cure: "a run to its end", Detail: "no siege was laid"})
	}
	c.Judge(oracle.JudgeDeterministic(c.Requirement(id), oracle.DeterministicInput{
		Scenario: c.Scenario.ID, Profile: c.Title(), Checks: y.Checks, MinN: limit.Samples, Findings: y.Found, Figure: figure, Seed: c.Seed(), Gates: gates,
	}))
}
