package scenarios

// Leaks: does what came and went leave anything behind?
//
// Requirements: RES-02, RES-03.
//
// Procedure "churn":
//  1. Start the bridge under light load; let some viewers come and go, so that
//     pools and caches are filled. Count descriptors and threads, and what the
//     metrics page says about goroutines, handles or the like.
//  2. Let many viewers connect, subscribe and leave as the protocol wants; wait
//     until the descriptors are back, and count.
//  3. Let as many connect, subscribe and vanish with RST; wait, and count.
//  4. Judge what is left.

import (
	"context"
	"errors"
	"fmt"
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
	churnWarmUp  = 20 // viewers that come and go before anything is counted
	churnAtOnce  = 8
	churnSettle  = 10 * time.Second // that what is left may take to go
	churnAgain   = 50 * time.Millisecond
	churnVisitor = "visitor-%s-%04d"
)

var _ = spec.Describe("Leaks", func(s *spec.Suite) {
	s.Scenario(spec.Scenario{
		ID: "churn", Title: "keeps nothing of viewers that have left, in good order or not",
		Requirements: []string{"RES-02", "RES-03"}, Loads: []string{"churn"},
		Drive: driveChurn, Judge: judgeChurn,
	})
})

// census is what there was at one moment.
type census struct {
	Files   int              `json:"files"` // -1 where they cannot be counted
	Threads int              `json:"threads"`
	RSS     uint64           `json:"rss_bytes"`
	Tasks   map[string]int64 `json:"tasks"` // by the name of the metric; empty without a page that tells
}

// taskMetrics are metrics that count what runs in a process, under the names that
// the Prometheus clients of several languages give them.
var taskMetrics = []string{"go_goroutines", "nodejs_active_handles_total", "nodejs_active_requests_total", "jvm_threads_current", "erlang_vm_process_count"}

// churned is one wave of viewers that came and went.
type churned struct {
	Came   int    `json:"came"`
	Failed int    `json:"failed"`
	Why    string `json:"why"` // the first of them
	Left   census `json:"left"`
}

// churnFacts is what the drive saw.
type churnFacts struct {
	Base     census  `json:"base"`
	Orderly  churned `json:"orderly"`
	Middle   census  `json:"middle"` // before the second wave
	Vanished churned `json:"vanished"`
}

func driveChurn(ctx context.Context, t *spec.Trial) {
	l := t.Load("churn")
	t.Step("start the bridge; %d devices with %.0f messages/s; %d viewers come and go", l.Devices, l.Rate, churnWarmUp)
	b := t.Open(ctx, harness.Plan{Load: l})
	var seen churnFacts
	t.Check(b.Around(ctx, "churn", 200*time.Millisecond, 0, func(ctx context.Context) error {
		for _, abruptly := range []bool{false, true} {
			if _, err := churn(ctx, b, "warm", churnWarmUp, abruptly); err != nil {
				return err
			}
		}
		var err error
		if seen.Base, err = settled(ctx, b, census{}); err != nil {
			return err
		}
		t.Step("%d viewers connect, subscribe and leave, %d at a time", l.Cycles, churnAtOnce)
		if seen.Orderly, err = churn(ctx, b, "orderly", l.Cycles, false); err != nil {
			return err
		}
		if seen.Orderly.Left, err = settled(ctx, b, seen.Base); err != nil {
			return err
		}
		seen.Middle = seen.Orderly.Left
		t.Step("%d viewers connect, subscribe and vanish with RST", l.Cycles)
		if seen.Vanished, err = churn(ctx, b, "vanished", l.Cycles, true); err != nil {
			return err
		}
		seen.Vanished.Left, err = settled(ctx, b, seen.Middle)
		return err
	}))
	t.Step("end everything and judge what was left")
	t.Keep(seen)
	t.Check(b.Finish(ctx))
}

// churn lets viewers come and go. Those that the bridge does not let in are
// counted; it fails only when ctx ends.
func churn(ctx context.Context, b *harness.Bench, name string, n int, abruptly bool) (churned, error) {
	var seen churned
	var mu sync.Mutex
	var all sync.WaitGroup
	slots := make(chan struct{}, churnAtOnce)
	for i := range n {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			err := visitAndLeave(ctx, b, fmt.Sprintf(churnVisitor, name, i+1), abruptly)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				seen.Came++
				return
			}
			if seen.Failed++; seen.Why == "" {
				seen.Why = err.Error()
			}
		})
	}
	all.Wait()
	return seen, ctx.Err()
}

// visitAndLeave opens one viewer, which is subscribed then, and ends it.
func visitAndLeave(ctx context.Context, b *harness.Bench, name string, abruptly bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cfg := harness.ViewerConfig(b, name)
	cfg.Reconnect.Off, cfg.Resume = true, false
	if abruptly {
		cfg.Dial = harness.DialAborting
	}
	v, err := viewer.Open(ctx, cfg)
	if err != nil {
		return err
	}
	if abruptly {
		v.Cut()
	}
	return v.Close()
}

// settled counts what there is when there is no more than at base, or when that
// took too long. With the zero census it waits until two counts agree.
func settled(ctx context.Context, b *harness.Bench, base census) (census, error) {
	deadline := time.Now().Add(churnSettle)
	var last census
	for {
		now, err := countOf(ctx, b)
		if err != nil {
			return now, err
		}
		over := time.Now().After(deadline)
		switch {
		case over:
			return now, nil
		case base.Threads > 0 && !now.exceeds(base):
			return now, nil
		case base.Threads == 0 && last.Threads > 0 && !now.exceeds(last) && !last.exceeds(now):
			return now, nil
		}
		last = now
		if err := harness.Wait(ctx, churnAgain); err != nil {
			return now, err
		}
	}
}

// exceeds reports whether there is more of anything than at base.
func (c census) exceeds(base census) bool {
	for name, n := range c.Tasks {
		if n > base.Tasks[name] {
			return true
		}
	}
	return c.Files > base.Files
}

// countOf counts what there is now. A metrics page that cannot be read counts
// nothing: what the system says about itself only adds to what /proc says.
func countOf(ctx context.Context, b *harness.Bench) (census, error) {
	u, err := b.SUT.Usage(ctx)
	if err != nil {
		return census{}, err
	}
	c := census{Files: u.Files, Threads: u.Threads, RSS: u.RSS, Tasks: map[string]int64{}}
	figures, err := b.SUT.Metrics(ctx)
	if err != nil {
		if errors.Is(err, sut.ErrNoControl) || errors.Is(err, sut.ErrUnavailable) {
			err = nil
		}
		return c, err
	}
	for _, name := range taskMetrics {
		if n, told := figures[name]; told && n >= 0 {
			c.Tasks[name] = int64(n)
		}
	}
	return c, nil
}

func judgeChurn(c *spec.Case) {
	seen, l := spec.Facts[churnFacts](c), c.Load("churn")
	seen.judge(c, l.Cycles, "RES-02", "RES-03")
	c.Show(spec.Figures{Devices: c.Bench().Devices})
}

// judge judges what both waves left behind.
func (f churnFacts) judge(c *spec.Case, wanted int, ids ...string) {
	for _, id := range ids {
		switch id {
		case "RES-02":
			files := left{"open descriptors", int64(f.Base.Files), int64(f.Orderly.Left.Files)}
			if files.before < 0 || files.after < 0 {
				f.Orderly.judge(c, id, wanted) // they cannot be counted here
				continue
			}
			f.Orderly.judge(c, id, wanted, files)
		case "RES-03":
			running := []left{{"threads", int64(f.Middle.Threads), int64(f.Vanished.Left.Threads)}}
			for _, name := range taskMetrics {
				if before, told := f.Middle.Tasks[name]; told {
					running = append(running, left{name, before, f.Vanished.Left.Tasks[name]})
				}
			}
			f.Vanished.judge(c, id, wanted, running...)
		}
	}
}

// left is how many of something there were before and after a wave.
type left struct {
	name          string
	before, after int64
}

// judge judges that no more is left of a wave than the limit: the largest
// growth of all that was counted.
func (w churned) judge(c *spec.Case, id string, wanted int, counted ...left) {
	limit := c.Limit(id)
	known, _ := spec.Requirement(id)
	figure := &reports.Measurement{
		Unit: known.Unit, Estimate: nan, Lower: nan, Upper: nan, Confidence: 0.99, Limit: reports.Float(limit.Count),
		N: int64(w.Came), NEff: int64(w.Came), VIF: 1, Name: "left",
	}
	for i, one := range counted {
		grown := reports.Float(max(one.after-one.before, 0))
		figure.Runs = append(figure.Runs, grown)
		text := fmt.Sprintf("%s %d → %d", one.name, one.before, one.after)
		if i == 0 {
			figure.Estimate, figure.Name = grown, fmt.Sprintf("left of %d viewers: %s", w.Came, text)
			continue
		}
		figure.Estimate, figure.Name = max(figure.Estimate, grown), figure.Name+", "+text
	}
	var gates []stats.Gate
	if w.Failed > 0 || w.Came < wanted {
		gates = append(gates, stats.Gate{
			Reason: reports.ReasonEnvironment, Cure: "a bridge that lets rightful viewers in",
			Detail: fmt.Sprintf("%d of %d viewers were not let in, the first because: %s", w.Failed, wanted, w.Why),
		})
	}
	c.Judge(oracle.JudgeDeterministic(c.Requirement(id), oracle.DeterministicInput{
		Scenario: c.Scenario.ID, Profile: c.Title(), Checks: int64(w.Came), MinN: limit.Samples, Figure: figure, Seed: c.Seed(), Gates: gates,
	}))
}
