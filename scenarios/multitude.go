package scenarios

// Multitude: how many devices and viewers does one bridge serve on this machine?
//
// Requirements: APP-02.
//
// Procedure "multitude":
//  1. Start the bridge, so many devices with a connection each, and two viewers whose
//     latency is recorded; measure for a while.
//  2. Connect viewers, a TLS connection and a session each, every one of them watching one
//     device, until there are as many as were asked for or the bridge takes no more.
//  3. Hold them all and measure, at least for as long as it takes that every device has
//     spoken twice.
//  4. Judge that every session lived and was shown something while it was held. What ended the growth, what a
//     session costs and what it does to the latency of others stand in the report.

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"plumbline/harness"
	"plumbline/harness/profile"
	"plumbline/harness/spec"
	"plumbline/harness/viewer"
)

var _ = spec.Describe("Multitude", func(s *spec.Suite) {
	s.Scenario(spec.Scenario{
		ID: "multitude", Title: "serves as many devices and viewers as the descriptors of a process allow",
		Requirements: []string{"APP-02"}, Loads: []string{"multitude"}, Timeout: 20 * time.Minute,
		Drive: driveMultitude, Judge: judgeMultitude,
	})
})

// Windows of the recorded viewers.
const (
	multitudeAlone  = "alone"
	multitudeBeside = "beside"
)

// multitudeAtOnce is how many connect at a time: the cores of the machine make the handshakes.
const multitudeAtOnce = 16

// multitudeFacts is what the drive counted.
type multitudeFacts struct {
	Cores    int           `json:"cores"`
	Load     profile.Load  `json:"load"`
	Reached  int           `json:"reached"`         // sessions
	Ended    string        `json:"ended,omitempty"` // why there are no more, "" when all that were asked for came
	Took     time.Duration `json:"took_ns"`         // to connect them
	Dropped  int           `json:"dropped"`         // sessions that ended while they were held
	Why      string        `json:"why,omitempty"`   // the first of them
	Unshown  int           `json:"unshown"`         // sessions that lived and were shown nothing meanwhile
	Readings int64         `json:"readings"`        // shown to all of them meanwhile
	From     int64         `json:"from_ns"`         // when all were there, on the run clock
	Held     time.Duration `json:"held_ns"`
	Before   harness.Usage `json:"before"` // of the bridge: without the crowd
	With     harness.Usage `json:"with"`   // with it
	Busy     time.Duration `json:"busy_ns"`
	Over     time.Duration `json:"over_ns"` // CPU of the bridge while all were held
	Files    int64         `json:"files"`   // that a process may open here; 0 when that is not known
	Absent   string        `json:"absent,omitempty"`
}

// multitude is the scenario at work.
type multitude struct {
	*harness.Bench
	load  profile.Load
	facts multitudeFacts
	crowd []*viewer.Watcher
}

// hold is how long the crowd is held: what the load asks for, and no less than every device takes to speak twice.
func (x *multitude) hold() time.Duration {
	turn := time.Duration(float64(x.load.Devices) / float64(x.load.Rate) * float64(time.Second))
	return max(x.load.Hold, 2*turn)
}

func driveMultitude(ctx context.Context, t *spec.Trial) {
	if t.Rig.ViewerProtocol() != viewer.Plumbline {
		t.Step("do nothing: the crowd speaks the protocol of bridged only")
		t.Keep(multitudeFacts{Absent: "the crowd speaks the protocol of bridged only, and the viewers of this system speak " + t.Rig.ViewerProtocol()})
		return
	}
	l := t.Load("multitude")
	recorded := l
	recorded.Viewers = 2
	t.Step("start the bridge, %d devices with %.0f messages/s, and %d viewers whose latency is recorded", l.Devices, l.Rate, recorded.Viewers)
	b := t.Open(ctx, harness.Plan{Load: recorded, Floor: true, Config: map[string]any{
		"viewers.maxConnections": l.Viewers + recorded.Viewers, "viewers.maxStreams": 16, "mqtt.maxClients": l.Devices + 16,
	}})
	x := &multitude{Bench: b, load: l, facts: multitudeFacts{Cores: runtime.NumCPU(), Load: l}}
	t.Step("measure for %s; connect %d viewers; hold them for %s", l.Window, l.Viewers, x.hold())
	err := b.Drive(ctx, 0, x.act)
	x.disperse()
	t.Check(err)
	t.Step("let all viewers go, drain and judge")
	t.Keep(x.facts)
	t.Check(b.Finish(ctx))
}

// act is done while the devices publish.
func (x *multitude) act(ctx context.Context) error {
	if err := harness.Wait(ctx, x.load.WarmUp); err != nil {
		return err
	}
	if err := x.measured(ctx, multitudeAlone, x.load.Window); err != nil {
		return err
	}
	x.facts.Before = x.use(ctx)
	began := x.Clock.Now()
	if err := x.gather(ctx); err != nil {
		return err
	}
	x.facts.Took = time.Duration(x.Clock.Now() - began)
	x.facts.From = x.Clock.Now()
	until, shown := x.Burdens(ctx), shownTo(x.crowd)
	if err := x.measured(ctx, multitudeBeside, x.hold()); err != nil {
		return err
	}
	for _, burden := range until(ctx) {
		if burden.Part == "bridge" {
			x.facts.Busy, x.facts.Over = burden.CPU, burden.Over
		}
	}
	x.facts.With, x.facts.Held = x.use(ctx), x.hold()
	if told, err := x.SUT.Metrics(ctx); err == nil {
		x.facts.Files = int64(told["process_max_fds"]) // 0 where the page does not tell
	}
	for i, n := range shownTo(x.crowd) {
		x.facts.count(n-shown[i], x.crowd[i].Err())
	}
	return nil
}

// measured waits and declares that a judged window.
func (x *multitude) measured(ctx context.Context, name string, length time.Duration) error {
	from := x.Clock.Now()
	err := harness.Wait(ctx, length)
	x.Mark(name, from, x.Clock.Now())
	return err
}

// use is what the bridge uses now; nothing where that cannot be seen.
func (x *multitude) use(ctx context.Context) harness.Usage {
	u, err := x.SUT.Usage(ctx)
	if err != nil {
		return harness.Usage{}
	}
	return harness.Usage{At: x.Clock.Now(), CPU: u.CPU, RSS: u.RSS, Files: u.Files, Threads: u.Threads}
}

// gather connects viewers until there are as many as were asked for, or three in a row
// are not let in. One that was refused between others that came is tried again.
func (x *multitude) gather(ctx context.Context) error {
	var next atomic.Int64
	var all gathering
	var group sync.WaitGroup
	for range multitudeAtOnce {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < x.load.Viewers; i = int(next.Add(1)) - 1 {
				for {
					w, err := x.join(ctx, i)
					if all.take(w, err) || ctx.Err() != nil {
						return
					}
					if err == nil {
						break
					}
				}
			}
		})
	}
	group.Wait()
	x.crowd, x.facts.Reached, x.facts.Ended = all.crowd, len(all.crowd), all.ended()
	return ctx.Err()
}

// join connects one viewer of the crowd.
func (x *multitude) join(ctx context.Context, i int) (*viewer.Watcher, error) {
	devices := x.Devices()
	cfg := harness.ViewerConfig(x.Bench, fmt.Sprintf("crowd-%05d", i+1))
	cfg.Filters = []string{harness.Topic(devices[i%len(devices)].ID)}
	cfg.Token = harness.Credential(x.Bench, cfg.Name, cfg.Filters)
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return viewer.Watch(limited, cfg)
}

// gathering is what becomes of those who try to join a crowd.
type gathering struct {
	mu      sync.Mutex
	crowd   []*viewer.Watcher
	refused []error // since the last one that was let in
}

// take counts one that was let in, or why it was not; true when it is time to give up.
func (g *gathering) take(w *viewer.Watcher, err error) (over bool) {
	const most = 3 // in a row
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		g.refused = append(g.refused, err)
		return len(g.refused) >= most
	}
	g.crowd = append(g.crowd, w)
	if len(g.refused) < most { // else the others are giving up already
		g.refused = nil
	}
	return len(g.refused) >= most
}

// ended says why it grows no more, "" when all came.
func (g *gathering) ended() string {
	if len(g.refused) == 0 {
		return ""
	}
	return g.refused[0].Error()
}

// shownTo is how many readings each session was shown so far.
func shownTo(crowd []*viewer.Watcher) []int64 {
	all := make([]int64, len(crowd))
	for i, w := range crowd {
		all[i] = w.Readings()
	}
	return all
}

// count takes a session over that was shown so many readings while it was held; ended is why it lives no more.
func (f *multitudeFacts) count(shown int64, ended error) {
	f.Readings += shown
	switch {
	case ended != nil:
		if f.Dropped++; f.Why == "" {
			f.Why = ended.Error()
		}
	case shown == 0:
		f.Unshown++
	}
}

// disperse closes the crowd.
func (x *multitude) disperse() {
	var group sync.WaitGroup
	slots := make(chan struct{}, multitudeAtOnce)
	for _, w := range x.crowd {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			_ = w.Close() // its session is over in any case
		})
	}
	group.Wait()
}
