package serialline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"plumbline/devices/codec"
	"plumbline/devices/inventory"
)

// Listening says how Listen listens; the zero value is useful.
type Listening struct {
	Speeds  []int         // tried in this order; nil = the usual ones, the most usual first
	Codecs  []codec.Codec // the stricter first; nil = all that read a line without being asked
	Silence time.Duration // how long the first byte is waited for at each speed; 0 = 2.5 s
	Dwell   time.Duration // how long is listened from the first byte on; 0 = 1.5 s
}

// usualSpeeds are those of sensors in the field, the most usual first.
var usualSpeeds = []int{9600, 115200, 4800, 38400, 57600, 19200, 230400, 460800, 921600, 2400}

// unchecked are the codecs whose frames carry no check: they come last, because
// they may understand what is meant for another.
var unchecked = []string{"linejson", "senml+json", "candump", "keyvalue", "csv", "tsv"}

// streamed returns the codecs that are held against what is heard: all that cut
// a stream by themselves, the checked ones first.
func streamed() []codec.Codec {
	all := slices.DeleteFunc(codec.All(), codec.Whole)
	slices.SortStableFunc(all, func(a, b codec.Codec) int {
		return slices.Index(unchecked, a.Name()) - slices.Index(unchecked, b.Name())
	})
	return all
}

func (o Listening) withDefaults() Listening {
	if o.Silence <= 0 {
		o.Silence = 2500 * time.Millisecond
	}
	if o.Dwell <= 0 {
		o.Dwell = 1500 * time.Millisecond
	}
	if len(o.Speeds) == 0 {
		o.Speeds = usualSpeeds
	}
	if len(o.Codecs) == 0 {
		o.Codecs = streamed()
	}
	return o
}

// Listen opens a port, sends nothing, listens at each speed and returns what a
// codec understood: the first speed at which most of what came was good frames.
// A port that says nothing at the first speed is not listened to at others: at
// a wrong speed something would come, too. It takes up to 2.5 s for a silent
// port, half a minute for one that nobody understands; ctx ends it earlier with
// what was heard. Opening may reset a board. Errors are those of Open.
func Listen(ctx context.Context, path string, o Listening) (inventory.Guess, error) {
	o = o.withDefaults()
	var heard inventory.Guess
	var best inventory.Guess
	for _, baud := range o.Speeds {
		g, err := o.at(ctx, path, baud)
		heard.Bytes += g.Bytes
		if err != nil {
			return heard, err
		}
		if g.Good > best.Good {
			best = g
		}
		if sure(g) || heard.Bytes == 0 || ctx.Err() != nil {
			break
		}
	}
	best.Bytes = heard.Bytes
	if best.Codec == "" {
		return heard, nil
	}
	return best, nil
}

// sure reports whether no other speed needs to be tried: two good frames, one
// where each carries a check, and most of what came.
func sure(g inventory.Guess) bool {
	least := uint64(2)
	if g.Codec != "" && !slices.Contains(unchecked, g.Codec) {
		least = 1
	}
	return g.Good >= least && g.Good > g.Rejected
}

// ear holds one codec against what is heard.
type ear struct {
	codec    codec.Codec
	framer   codec.Framer
	decoder  codec.Decoder
	tuned    bool // the first frame, which the opening may have cut, is over
	good     uint64
	rejected uint64
}

func (e *ear) hear(f codec.Frame) {
	first := !e.tuned
	e.tuned = true
	if f.Fault == "" {
		_, err := e.decoder.Decode(f.Raw)
		var r *codec.Reject
		switch {
		case err == nil:
			e.good++
			return
		case errors.As(err, &r) && r.Class == codec.Control:
			return // whole, and without a reading
		}
	}
	if !first {
		e.rejected++
	}
}

// at listens at one speed.
func (o Listening) at(ctx context.Context, path string, baud int) (inventory.Guess, error) {
	cfg := Config{Port: path, Baud: baud, DataBits: 8, StopBits: 1}
	var stats Stats
	port, err := openPort(ctx, cfg, inventory.Port{Path: path}, &stats)
	if err != nil {
		return inventory.Guess{}, err
	}
	defer func() { _ = port.Close() }() // nothing was written
	if err := port.SetReadTimeout(readSlice); err != nil {
		return inventory.Guess{}, fmt.Errorf("serialline: listen to %q: %w", path, err)
	}
	ears := make([]ear, len(o.Codecs))
	for i, c := range o.Codecs {
		ears[i] = ear{codec: c, framer: c.NewFramer(), decoder: codec.NewDecoder(c)}
	}
	var g inventory.Guess
	buf := make([]byte, 4096)
	start := time.Now()
	for end := start.Add(o.Silence); time.Now().Before(end) && ctx.Err() == nil; {
		n, err := safeRead(port, buf)
		if err != nil {
			return g, fmt.Errorf("serialline: listen to %q: %w", path, err)
		}
		if n > 0 && g.Bytes == 0 {
			end = time.Now().Add(o.Dwell)
		}
		g.Bytes += uint64(n)
		for i := range ears {
			ears[i].framer.Push(time.Since(start), buf[:n], ears[i].hear)
		}
		done := judge(ears)
		if sure(done) && done.Good >= enough || done.Good == 0 && g.Bytes >= hopeless {
			break
		}
	}
	result := judge(ears)
	result.Bytes = g.Bytes
	if result.Codec != "" {
		result.Baud = baud
	}
	return result, nil
}

// What ends the listening at a speed early: so many good frames, or so many
// bytes without one.
const (
	enough   = 5
	hopeless = codec.DefaultMaxLine
)

// judge returns the codec that understands most of what came: the first that is
// sure, as the strict come first, else the one with most good frames. It names
// a second one that understands as much and is no lax form of the first.
func judge(ears []ear) inventory.Guess {
	var g inventory.Guess
	for _, e := range ears {
		if e.good <= g.Good || e.good <= e.rejected {
			continue
		}
		g = inventory.Guess{Codec: e.codec.Name(), Good: e.good, Rejected: e.rejected}
		if sure(g) {
			break
		}
	}
	for _, e := range ears {
		name := e.codec.Name()
		if e.good == g.Good && e.good > 0 && name != g.Codec && !strings.HasPrefix(g.Codec, name+"+") {
			g.Ambiguous = name
			break
		}
	}
	return g
}

// ListenAll listens to ports at the same time and fills in their Guess: those
// that can be opened and that want is true for. A port that cannot be opened
// after all gets the Problem. It takes as long as the slowest.
func ListenAll(ctx context.Context, ports []inventory.Port, want func(inventory.Port) bool, o Listening) {
	done := make(chan struct{})
	started := 0
	for i := range ports {
		p := &ports[i]
		if p.Problem != "" || !want(*p) {
			continue
		}
		started++
		go func() {
			defer func() { done <- struct{}{} }()
			g, err := Listen(ctx, p.Path, o)
			if err != nil {
				p.Problem, p.Mend = err.Error(), "plumbline doctor looks further"
				return
			}
			p.Guess = &g
		}()
	}
	for range started {
		<-done
	}
}
