package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"plumbline/devices"
	"plumbline/harness/record"
)

// ramp is a twin whose value is its position.
type ramp struct {
	id     string
	period time.Duration
}

func (d ramp) Info() devices.Info {
	return devices.Info{ID: d.id, Kind: "ramp", Mode: devices.Sim}
}

func (d ramp) Schedule() devices.Schedule {
	return devices.Schedule{Period: d.period, Dither: d.period / 10}
}

func (d ramp) Sample(seq uint64, due time.Duration) devices.Sample {
	return devices.Sample{Seq: seq, First: due, Last: due, Values: []devices.Value{{Name: "x", Number: float64(seq)}}}
}

var _ devices.Scheduled = ramp{}

func rampSources(n int, period time.Duration, qos byte) (list []Source) {
	for i := range n {
		id := fmt.Sprintf("ramp-%03d", i)
		list = append(list, Source{Device: ramp{id, period}, Topic: "plant/" + id, QoS: qos})
	}
	return list
}

const testRun = "0a1b2c3d"

func TestGeneratorDrivesAHundredDevices(t *testing.T) {
	rec := newRecorder(t)
	broker, tap := startBroker(t, nil, "")
	resolver := record.NewResolver(testRun)
	g, err := NewGenerator(Config{
		Recorder: rec, Resolver: resolver, Broker: broker, Run: testRun, Sequence: true,
		Sources: rampSources(100, time.Second, 1), Rate: 500, Seed: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	ctx := testContext(t)
	if err := g.Connect(ctx); err != nil {
		t.Fatal(err)
	}
	for range 2 { // positions go on from run to run
		if err := g.Run(ctx, time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.WaitAcked(ctx); err != nil {
		t.Fatal(err)
	}
	health := g.Health()
	if health.Offered < 900 || health.Offered > 1100 || health.Sent != health.Offered || health.Acked != health.Sent || health.Blocked != 0 {
		t.Errorf("two seconds of 500 messages/s: %+v", health)
	}
	next := map[uint32]uint64{}
	got := tap.all()
	for _, p := range got {
		stream, seq, flags := resolver.Resolve(p.topic, []byte(p.payload))
		next[stream]++
		if flags != 0 || seq != next[stream] || p.seq != seq {
			t.Fatalf("at the broker: stream %d, position %d (plumbline-seq %d), flags %b; want position %d", stream, seq, p.seq, flags, next[stream])
		}
	}
	if int64(len(got)) != health.Sent || len(next) != 100 {
		t.Errorf("%d messages of %d streams at the broker, want %d of 100", len(got), len(next), health.Sent)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	checkSchedule(t, logOf(t, rec), health.Sent)
}

// checkSchedule checks that what was recorded is what was planned.
func checkSchedule(t *testing.T, log *record.Log, sent int64) {
	t.Helper()
	last := map[uint32]int64{}
	records := kinds(log, record.Sent)
	if int64(len(records)) != sent {
		t.Errorf("%d sent records, want %d", len(records), sent)
	}
	for _, r := range records {
		if r.At < r.Due || r.Due <= last[r.Stream] {
			t.Fatalf("stream %d: intended %d (before it %d), written %d", r.Stream, r.Due, last[r.Stream], r.At)
		}
		last[r.Stream] = r.Due
	}
	if got := log.Index.Streams[0]; got.Device != "ramp-000" || got.Mode != "sim" || got.Period != 200*time.Millisecond {
		t.Errorf("stream 0 is %+v, want ramp-000 with a period of 200 ms", got)
	}
}

func TestGeneratorBursts(t *testing.T) {
	rec := newRecorder(t)
	broker, _ := startBroker(t, nil, "")
	sources := rampSources(1, time.Second, 0)
	sources[0].Burst, sources[0].Spacing = 10, 100*time.Microsecond
	g, err := NewGenerator(Config{Recorder: rec, Broker: broker, Run: testRun, Sources: sources, Rate: 50})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	ctx := testContext(t)
	if err := g.Connect(ctx); err != nil {
		t.Fatal(err)
	}
	if err := g.Run(ctx, 400*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	sent := kinds(logOf(t, rec), record.Sent)
	if len(sent) < 10 || len(sent)%10 != 0 {
		t.Fatalf("%d messages, want whole bursts of ten", len(sent))
	}
	for i, r := range sent {
		if i%10 > 0 && r.Due-sent[i-1].Due != int64(100*time.Microsecond) {
			t.Errorf("message %d is intended %v after its neighbour, want 100 µs", i, time.Duration(r.Due-sent[i-1].Due))
		}
	}
}

func TestGeneratorStops(t *testing.T) {
	rec := newRecorder(t)
	broker, _ := startBroker(t, nil, "")
	g, err := NewGenerator(Config{Recorder: rec, Broker: broker, Run: testRun, Sources: rampSources(3, 10*time.Millisecond, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if err := g.Connect(testContext(t)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx, time.Hour) }()
	until(t, "the first messages", func() bool { return g.Health().Sent > 10 })
	if err := g.Run(t.Context(), time.Second); !errors.Is(err, ErrRunning) {
		t.Errorf("a second run at the same time: %v, want ErrRunning", err)
	}
	cancel()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled run: %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the run did not end within a minute of its context")
	}
}

func TestGeneratorErrors(t *testing.T) {
	rec := newRecorder(t)
	broker, _ := startBroker(t, nil, "")
	for name, cfg := range map[string]Config{
		"nothing":       {},
		"short run id":  {Recorder: rec, Broker: broker, Run: "1"},
		"zero period":   {Recorder: rec, Broker: broker, Run: testRun, Sources: rampSources(1, 0, 0)},
		"spacing":       {Recorder: rec, Broker: broker, Run: testRun, Sources: []Source{{Device: ramp{"a", time.Second}, Burst: 2, Spacing: time.Second}}},
		"rate too high": {Recorder: rec, Broker: broker, Run: testRun, Rate: 1e12, Sources: rampSources(1, time.Second, 0)},
	} {
		if _, err := NewGenerator(cfg); err == nil {
			t.Errorf("%s: a generator was made", name)
		}
	}
	empty, err := NewGenerator(Config{Recorder: rec, Broker: broker, Run: testRun})
	if err != nil {
		t.Fatal(err)
	}
	defer empty.Close()
	if err := empty.Run(t.Context(), time.Second); err == nil {
		t.Error("a generator without sources ran")
	}
}

// lines is a streaming device with three samples.
type lines struct {
	clock *record.Clock
	next  int
}

func (d *lines) Info() devices.Info {
	return devices.Info{ID: "gps-1", Kind: "lines", Mode: devices.Replay}
}
func (d *lines) Counters() devices.Counters { return devices.Counters{Good: uint64(d.next)} }
func (d *lines) Damages() []devices.Damage  { return nil }
func (d *lines) Close() error               { return nil }

func (d *lines) Read(context.Context) (devices.Sample, error) {
	if d.next == 3 {
		return devices.Sample{}, io.EOF
	}
	d.next++
	now := d.clock.Since()
	return devices.Sample{
		Seq: uint64(d.next), First: now, Last: now, Raw: fmt.Appendf(nil, "$LINE,%d", d.next),
		Values: []devices.Value{{Name: "n", Number: float64(d.next)}},
	}, nil
}

var _ devices.Device = (*lines)(nil)

func TestForward(t *testing.T) {
	for _, raw := range []bool{false, true} {
		t.Run(fmt.Sprintf("raw=%v", raw), func(t *testing.T) {
			rec := newRecorder(t)
			broker, tap := startBroker(t, nil, "")
			resolver := record.NewResolver(testRun)
			g, err := NewGenerator(Config{Recorder: rec, Resolver: resolver, Broker: broker, Run: testRun})
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			ctx := testContext(t)
			if err := g.ForwardWith(ctx, &lines{clock: rec.Clock()}, "gps/1", ForwardOptions{QoS: 1, Raw: raw}); err != nil {
				t.Fatal(err)
			}
			if err := g.WaitAcked(ctx); err != nil {
				t.Fatal(err)
			}
			for i, p := range tap.all() {
				_, seq, flags := resolver.Resolve(p.topic, []byte(p.payload))
				switch {
				case raw && (p.payload != fmt.Sprintf("$LINE,%d", i+1) || flags != record.FlagForeign):
					t.Errorf("raw: %q, flags %b", p.payload, flags)
				case !raw && (seq != uint64(i+1) || flags != 0 || !strings.Contains(p.payload, fmt.Sprintf(`"n":%d`, i+1))):
					t.Errorf("own payload: %q, position %d, flags %b", p.payload, seq, flags)
				}
			}
			if err := g.Close(); err != nil {
				t.Fatal(err)
			}
			log := logOf(t, rec)
			sent := kinds(log, record.Sent)
			if len(sent) != 3 || len(kinds(log, record.Acked)) != 3 {
				t.Fatalf("%d sent, %d acknowledged, want 3 each", len(sent), len(kinds(log, record.Acked)))
			}
			for i, r := range sent {
				if r.Seq != uint64(i+1) || r.Due == 0 || r.At < r.Due || (r.Flags&record.FlagForeign != 0) != raw {
					t.Errorf("record %d: %+v", i, r)
				}
			}
		})
	}
}

// Forwarding that goes on does so over one connection: a second one of the same
// name would throw out the first, which would come back, for ever.
func TestForwardGoesOn(t *testing.T) {
	rec := newRecorder(t)
	broker, _ := startBroker(t, nil, "")
	g, err := NewGenerator(Config{Recorder: rec, Broker: broker, Run: testRun})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	ctx := testContext(t)
	for range 3 {
		if err := g.Forward(ctx, &lines{clock: rec.Clock()}, "gps/1"); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(g.WaitAcked(ctx), g.Close()); err != nil {
		t.Fatal(err)
	}
	log := logOf(t, rec)
	connected := 0
	for _, e := range log.Events {
		if e.Kind == record.Connected {
			connected++
		}
	}
	sent := kinds(log, record.Sent)
	if connected != 1 || len(log.Index.Streams) != 1 || len(sent) != 9 || sent[8].Seq != 9 {
		t.Errorf("%d connections, %d streams, %d messages", connected, len(log.Index.Streams), len(sent))
	}
}

func TestForwardAfterClose(t *testing.T) {
	rec := newRecorder(t)
	broker, _ := startBroker(t, nil, "")
	g, err := NewGenerator(Config{Recorder: rec, Broker: broker, Run: testRun})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if err := g.Forward(testContext(t), &lines{clock: rec.Clock()}, "gps/1"); err == nil {
		t.Error("a closed generator forwarded")
	}
}
