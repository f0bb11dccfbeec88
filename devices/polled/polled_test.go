package polled_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"plumbline/devices"
	"plumbline/devices/polled"
)

// echo is a device that answers each byte of a request with itself, "b" with
// "busy" as long as it is, and says nothing to "s".
type echo struct {
	busy  int
	asked []string
	at    []time.Time
	came  chan []byte
	gone  chan struct{}
}

func newEcho(busy int) *echo {
	return &echo{busy: busy, came: make(chan []byte, 16), gone: make(chan struct{})}
}

func (*echo) Info() devices.Info { return devices.Info{ID: "e", Kind: "line", Mode: devices.Sim} }

func (e *echo) Read(ctx context.Context) (devices.Sample, error) {
	select {
	case <-ctx.Done():
		return devices.Sample{}, ctx.Err()
	case p := <-e.came:
		return devices.Sample{Raw: p}, nil
	}
}

func (e *echo) Write(p []byte) (int, error) {
	e.asked, e.at = append(e.asked, string(p)), append(e.at, time.Now())
	switch {
	case string(p) == "s":
	case string(p) == "b" && e.busy > 0:
		e.busy--
		e.came <- []byte("busy")
	default:
		e.came <- append([]byte(nil), p...)
	}
	return len(p), nil
}

func (e *echo) Close() error {
	close(e.gone)
	return nil
}

// protocol asks what it holds.
type protocol struct{ start, round []polled.Request }

func (protocol) Name() string              { return "echo" }
func (p protocol) Start() []polled.Request { return p.start }
func (p protocol) Round() []polled.Request { return p.round }
func (protocol) Answer(_ polled.Request, p []byte, _ bool) polled.Answer {
	if string(p) == "busy" {
		return polled.Answer{Verdict: polled.Refused, Reason: "busy", Again: true}
	}
	return polled.Answer{Verdict: polled.Good, Values: []devices.Value{{Name: "said", Text: string(p), IsText: true}}}
}

func ask(what string) polled.Request { return polled.Request{Name: what, Bytes: []byte(what)} }

// TestRoundsGapsAndRetries holds the order and the times of what is asked.
func TestRoundsGapsAndRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		link := newEcho(1)
		p := protocol{start: []polled.Request{{Name: "s", Bytes: []byte("s"), Silent: true}}, round: []polled.Request{ask("a"), ask("b")}}
		d, err := polled.New(link, p, polled.Options{Period: time.Second, Retries: 2, Gap: 5 * time.Millisecond, Turnaround: 100 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		var said []string
		for range 4 {
			s, err := d.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			said = append(said, s.Values[0].Text)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if got := strings.Join(link.asked, "") + " " + strings.Join(said, ""); got != "sabbab abab" {
			t.Errorf("asked and said %q", got)
		}
		for i, least := range []time.Duration{0, 100 * time.Millisecond, 5 * time.Millisecond, 5 * time.Millisecond} {
			if i > 0 && link.at[i].Sub(link.at[i-1]) < least {
				t.Errorf("request %d came %v after the one before, want %v", i+1, link.at[i].Sub(link.at[i-1]), least)
			}
		}
		if n, s := d.Counters(), d.Stats(); n.Good != 4 || n.Missing != 1 || s.Asked != 6 || s.Refused != 1 || d.Info().Kind != "echo" {
			t.Errorf("%+v %+v", n, s)
		}
	})
}

func TestNothingToAsk(t *testing.T) {
	link := newEcho(0)
	if _, err := polled.New(link, protocol{}, polled.Options{}); err == nil || !strings.Contains(err.Error(), "asks for nothing") {
		t.Errorf("%v", err)
	}
	select {
	case <-link.gone:
	default:
		t.Error("the link was left open")
	}
}
