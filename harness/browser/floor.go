package browser

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/gorilla/websocket"

	"plumbline/harness/record"
)

// Floor is what harness and browser themselves add to a time that a page shows: from
// the instant before a local server writes a message to a WebSocket until a page that
// does nothing but show it has it (Seen), and until a frame was painted (Framed).
type Floor struct {
	N       int           `json:"n"`
	Seen50  time.Duration `json:"seen_p50_ns"`
	Seen99  time.Duration `json:"seen_p99_ns"`
	SeenMax time.Duration `json:"seen_max_ns"`
	// The frames of the same messages.
	Framed50  time.Duration `json:"framed_p50_ns"`
	Framed99  time.Duration `json:"framed_p99_ns"`
	FramedMax time.Duration `json:"framed_max_ns"`
	// Uncertainty is how far each of them may be off by the clock of the page.
	Uncertainty time.Duration `json:"uncertainty_ns"`
}

// The floor is measured with so many messages, apart by a time that is drawn, so that
// they meet frames at every phase.
const (
	floorMessages = 300
	floorLeast    = 4 * time.Millisecond
	floorMost     = 8 * time.Millisecond
	floorRun      = "f100f100" // run id of its payloads
	floorDevice   = "floor"
)

// floorPage shows what it is told.
const floorPage = `<!doctype html><html lang="en"><title>Harness floor</title><p id="p">waiting</p><script>
const p = document.getElementById('p');
const s = new WebSocket('ws://' + location.host + '/ws');
s.onmessage = (e) => { p.textContent = e.data; };
</script></html>`

// MeasureFloor measures the floor of this browser, with the very instrument that looks
// at pages. It takes some two seconds.
func (b *Browser) MeasureFloor(ctx context.Context, clock *record.Clock) (*Floor, error) {
	dir, err := os.MkdirTemp("", "plumbline-floor-")
	if err != nil {
		return nil, fmt.Errorf("browser: floor: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary folder
	f, err := serveFloor(clock)
	if err != nil {
		return nil, fmt.Errorf("browser: floor: %w", err)
	}
	p, err := b.Open(ctx, Config{
		Name: floorDevice, URL: "http://" + f.listener.Addr().String() + "/", Filters: []string{"#"}, Frames: true,
		Dir: dir, Clock: clock, Run: floorRun, Log: b.log,
	})
	if err == nil {
		err = errors.Join(f.send(ctx, p), p.Close())
	}
	if err = errors.Join(err, f.close()); err != nil {
		return nil, fmt.Errorf("browser: floor: %w", err)
	}
	floor, err := f.reckon(dir)
	if err != nil {
		return nil, fmt.Errorf("browser: floor: %w", err)
	}
	return floor, nil
}

// floorServer is the local page and what it is sent.
type floorServer struct {
	clock    *record.Clock
	listener net.Listener
	server   *http.Server
	served   chan struct{}
	came     chan *websocket.Conn
	sent     []int64 // by position, from 1: before it was written
}

func serveFloor(clock *record.Clock) (*floorServer, error) {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &floorServer{clock: clock, listener: listener, served: make(chan struct{}), came: make(chan *websocket.Conn, 1), sent: []int64{0}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cross-Origin-Opener-Policy", "same-origin")
		w.Header().Set("Cross-Origin-Embedder-Policy", "require-corp")
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(floorPage)) // a browser that has gone is told of by the page
	})
	mux.HandleFunc("GET /ws", func(w http.ResponseWriter, r *http.Request) {
		up := websocket.Upgrader{}
		conn, err := up.Upgrade(w, r, nil)
		if err != nil {
			return // answered
		}
		select {
		case f.came <- conn:
		default:
			_ = conn.Close() // one is enough
		}
	})
	f.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { defer close(f.served); _ = f.server.Serve(listener) }() // it ends with close
	return f, nil
}

func (f *floorServer) close() error {
	err := f.server.Close()
	<-f.served
	return err
}

// send sends the messages, each when it is due, and waits until the page has seen them.
func (f *floorServer) send(ctx context.Context, p *Page) error {
	var conn *websocket.Conn
	select {
	case conn = <-f.came:
	case <-ctx.Done():
		return fmt.Errorf("the page opens no WebSocket: %w", context.Cause(ctx))
	}
	defer func() { _ = conn.Close() }() // everything was said
	if err := p.mapped(ctx); err != nil {
		return err
	}
	rnd := rand.New(rand.NewPCG(1, uint64(f.clock.Now()))) //nolint:gosec // a dither is no secret
	timer := time.NewTimer(floorMost)
	defer timer.Stop()
	for seq := range uint64(floorMessages) {
		payload := record.Encode(floorRun, floorDevice, seq+1, nil)
		select {
		case <-timer.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		f.sent = append(f.sent, f.clock.Now())
		if err := conn.WriteMessage(websocket.TextMessage, payload); err != nil {
			return err
		}
		timer.Reset(floorLeast + time.Duration(rnd.Int64N(int64(floorMost-floorLeast))))
	}
	if err := p.WaitDistinct(ctx, floorMessages); err != nil {
		return err
	}
	return p.WaitIdle(ctx, 50*time.Millisecond) // its frame
}

// reckon reads what the page recorded.
func (f *floorServer) reckon(dir string) (*Floor, error) {
	log := &record.Log{}
	stream := record.Stream{Device: floorDevice, Topic: floorDevice}
	log.Index.Streams = append(log.Index.Streams, stream)
	if _, err := Load(dir, log); err != nil {
		return nil, err
	}
	floor := &Floor{}
	var seen, framed []time.Duration
	for _, r := range log.Records {
		if r.Seq == 0 || r.Seq >= uint64(len(f.sent)) {
			return nil, fmt.Errorf("the page saw message %d, and %d were sent", r.Seq, len(f.sent)-1)
		}
		took := time.Duration(r.At - f.sent[r.Seq])
		if log.Index.Nodes[r.Node].Name == floorDevice {
			seen = append(seen, took)
		} else {
			framed = append(framed, took)
		}
	}
	for _, n := range log.Index.Nodes {
		floor.Uncertainty = max(floor.Uncertainty, n.Uncertainty)
	}
	if len(seen) != floorMessages || len(framed) < floorMessages/2 {
		return nil, fmt.Errorf("of %d messages the page saw %d and painted %d", floorMessages, len(seen), len(framed))
	}
	slices.Sort(seen)
	slices.Sort(framed)
	at := func(all []time.Duration, q float64) time.Duration { return all[int(math.Ceil(q*float64(len(all))))-1] }
	floor.N = len(seen)
	floor.Seen50, floor.Seen99, floor.SeenMax = at(seen, 0.5), at(seen, 0.99), at(seen, 1)
	floor.Framed50, floor.Framed99, floor.FramedMax = at(framed, 0.5), at(framed, 0.99), at(framed, 1)
	return floor, nil
}
