package scenarios

// A storm of reconnections: what becomes of a crowd whose balancer restarts?
//
// Requirements: SCA-14, SCA-15, SCA-16.
//
// Procedure "reconnect-storm":
//  1. Start the cluster with a crowd of viewers that come through the balancer, in processes of
//     their own where the run has some, and a few that come to the bridges themselves.
//  2. Let them be for a window: what the system uses then stands beside what a storm costs.
//  3. Again and again restart the balancer, which cuts the whole crowd off at once, let everybody
//     come back and be for a window.
//  4. Count over all viewers what was left out, doubled, reordered or made up; how long each of the
//     crowd was shown nothing new once the balancer was there again; and how late those got their
//     messages whom the storm did not concern.

import (
	"context"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"

	"plumbline/harness"
	"plumbline/harness/fault"
	"plumbline/harness/oracle"
	"plumbline/harness/spec"
	"plumbline/harness/stats"
	"plumbline/harness/sut"
	"plumbline/reports"
)

const stormID = "reconnect-storm"

var _ = spec.Describe("A crowd behind a balancer", func(s *spec.Suite) {
	s.Scenario(spec.Scenario{
		ID: stormID, Title: "loses nothing when the balancer restarts and a crowd comes back", Needs: sut.CapBalancer,
		Requirements: []string{"SCA-14", "SCA-15", "SCA-16"}, Loads: []string{"cluster"}, Faults: 1, Timeout: 30 * time.Minute, Apart: harness.OwnProcesses,
		Drive: driveReconnectStorm, Judge: judgeReconnectStorm,
	})
})

// besideEach is how many viewers come to each bridge itself: enough for a p99 of what reaches them within a storm of some seconds.
const besideEach = 4

// crowdFacts is what no record holds of a crowd and its storms.
type crowdFacts struct {
	Beside []string         `json:"beside"` // viewers that are at the bridges themselves
	Calm   []harness.Burden `json:"calm"`   // what the parts used before the first storm
	Storms []crowdStorm     `json:"storms"`
}

// crowdStorm is one way back of the crowd, in the order of the faults on record. Instants are ns on the run clock.
type crowdStorm struct {
	Fresh   int64            `json:"fresh_ns"` // everybody had something newer than their return by then
	Burdens []harness.Burden `json:"burdens"`  // from when the balancer was there again until then
}

func driveReconnectStorm(ctx context.Context, t *spec.Trial) {
	l := t.Load("cluster")
	t.Step("start the cluster; %d viewers through its balancer, %d devices with %.1f messages/s at all bridges", l.Viewers, l.Devices, l.Rate)
	b := t.Open(ctx, harness.Plan{Load: l})
	var facts crowdFacts
	t.Check(facts.besideThem(ctx, b))
	t.Step("let them be for %s; %d times: restart the balancer and let everybody come back", l.Window, l.Cycles)
	t.Check(b.Around(ctx, stormID, time.Second, time.Second, func(ctx context.Context) error {
		until := b.Burdens(ctx)
		if err := harness.Wait(ctx, l.Window); err != nil {
			return err
		}
		facts.Calm = until(ctx)
		for range l.Cycles {
			if came, err := facts.storm(ctx, b, l.Hold, patient(t.Limit("SCA-15"), patience)); !came {
				return err
			}
			if err := harness.Wait(ctx, l.Window); err != nil {
				return err
			}
		}
		return nil
	}))
	t.Keep(facts)
	t.Step("drain, end everything and count over all viewers")
	t.Check(b.Finish(ctx))
}

// besideThem opens viewers at each bridge that says where it serves them itself.
func (f *crowdFacts) besideThem(ctx context.Context, b *harness.Bench) error {
	at, err := url.Parse(b.SUT.ViewerURL())
	if err != nil {
		return err
	}
	for _, n := range b.SUT.Cluster().Nodes {
		for i := range besideEach {
			if n.Viewers == "" {
				break
			}
			cfg := harness.ViewerConfig(b, fmt.Sprintf("beside-%s-%d", n.Process, i+1))
			at.Host = n.Viewers
			cfg.URL = at.String()
			if _, err := b.AddViewer(ctx, cfg); err != nil {
				return err
			}
			f.Beside = append(f.Beside, cfg.Name)
		}
	}
	return nil
}

// storm restarts the balancer and lets everybody come back; false without an error when somebody does not.
func (f *crowdFacts) storm(ctx context.Context, b *harness.Bench, hold, limit time.Duration) (bool, error) {
	balancer, err := b.SUT.Part(b.SUT.Cluster().Balancer)
	if err != nil {
		return false, err
	}
	if err := fault.Apply(ctx, b.Recorder, fault.Stop("restart of the balancer", balancer), hold); err != nil {
		return false, err
	}
	until := b.Burdens(ctx)
	if came, err := back(ctx, b, limit); !came {
		return false, err
	}
	if err := b.Fresh(ctx, limit); err != nil {
		return false, err
	}
	f.Storms = append(f.Storms, crowdStorm{Fresh: b.Clock.Now(), Burdens: until(ctx)})
	return true, nil
}

func judgeReconnectStorm(c *spec.Case) {
	l, j, facts := c.Load("cluster"), newJudged(c), spec.Facts[crowdFacts](c)
	all := faultsOf(j.history.Log())
	if len(facts.Storms) < l.Cycles {
		j.unmet = append(j.unmet, stats.Gate{
			Reason: reports.ReasonSamples, Cure: "viewers that come back every time",
			Detail: fmt.Sprintf("after %d storms everybody was back, %d were to be made", len(facts.Storms), l.Cycles),
		})
	}
	j.costless("SCA-14")
	j.crowdFresh("SCA-15", all, facts)
	j.besideSpared("SCA-16", all, facts)
	j.Show(spec.Figures{
		Latencies: []reports.Distribution{oracle.Distribution(fmt.Sprintf("t0i→t4, %d storms", len(all)), j.Scenario.ID, j.history.Latencies(j.options("")), j.lines())},
		Timelines: []reports.Timeline{j.history.Timeline("storms", j.Scenario.ID, slotOf(time.Duration(l.Cycles)*(l.Hold+l.Window+5*time.Second)), j.options(""))},
		Integrity: j.history.Integrity(j.Scenario.ID, j.options("")),
		Comparisons: []reports.Comparison{{
			Scenario: j.Scenario.ID, Title: "What a storm of reconnections costs", Conditions: facts.told(l.Viewers), Approaches: []reports.Approach{}, Claims: []reports.Claim{},
		}},
		Rig: &j.health, Devices: j.devices,
	})
}

// crowdFresh judges how long the slowest of the crowd was shown nothing new after each restart; beside it stands how all fared.
func (j *judged) crowdFresh(id string, all []faultWindow, facts crowdFacts) {
	arrived := j.arrivals()
	var slowest []stretch
	var ms []float64
	var found []reports.Finding
	for _, f := range all {
		var worst stretch
		for _, n := range j.history.Log().Index.Nodes {
			if n.Role != "viewer" || slices.Contains(facts.Beside, n.Name) {
				continue
			}
			dark, ended := longestDark(arrived[n.Name], f.end, f.end)
			if !ended {
				found = append(found, reports.Finding{
					Requirement: id, Kind: "never-back", Subject: n.Name, Confirmed: true, At: time.Duration(f.end),
					Detail: fmt.Sprintf("after %q the viewer was never shown anything newer than its end", f.name),
				})
				continue
			}
			ms = append(ms, dark.Took.Seconds()*1e3)
			if dark.Took > worst.Took {
				worst = dark
			}
		}
		slowest = append(slowest, worst)
	}
	slices.Sort(ms)
	name := fmt.Sprintf("the slowest of a crowd to be shown something new after each storm (p50 %.0f ms, p99 %.0f ms of %d returns)",
		stats.Quantile(ms, 0.5), stats.Quantile(ms, 0.99), len(ms))
	j.within(id, name, slowest, found, j.samples(id))
}

// besideSpared judges the p99 at those who are at the bridges themselves, from the onset of each restart until the crowd was back.
func (j *judged) besideSpared(id string, all []faultWindow, facts crowdFacts) {
	if len(facts.Beside) == 0 {
		notAsked(j.Case, id, "no bridge says where it serves viewers itself (cluster.nodes.viewers), so that there are none whom a storm does not concern")
		return
	}
	o := j.base
	o.Viewers, o.Requirement = facts.Beside, id
	for _, s := range j.history.Log().Index.Streams {
		o.Devices = append(o.Devices, s.Device)
	}
	alone := math.NaN()
	if len(all) > 0 {
		o.From, o.To = 1, all[0].onset
		alone = stats.Quantile(slices.Sorted(slices.Values(j.history.Latencies(o).Series.Value)), 0.99)
	}
	all = slices.Clone(all[:min(len(all), len(facts.Storms))])
	var storms []oracle.Options
	for i := range all {
		all[i].end = facts.Storms[i].Fresh
		o.From, o.To = all[i].onset, all[i].end
		storms = append(storms, o)
	}
	j.meanwhile(id, "p99 at viewers of the bridges themselves meanwhile", storms, alone, all)
}

// told says what the system used of the machine before the first storm and during each.
func (f crowdFacts) told(viewers int) (sentences []string) {
	say := func(when string, burdens []harness.Burden) {
		var parts []string
		for _, b := range burdens {
			name, used := b.Part, "?"
			if name == "bridge" {
				name = "the system"
			}
			if b.Over > 0 {
				used = fmt.Sprintf("%.3g cores", b.CPU.Seconds()/b.Over.Seconds())
			}
			parts = append(parts, fmt.Sprintf("%s %s and %d MiB (RSS)", name, used, b.RSS>>20))
		}
		if len(burdens) > 0 {
			sentences = append(sentences, fmt.Sprintf("%s, for %.3g s: %s.", when, burdens[0].Over.Seconds(), strings.Join(parts, "; ")))
		}
	}
	say(fmt.Sprintf("Before, with %d viewers behind the balancer", viewers), f.Calm)
	for i, s := range f.Storms {
		say(fmt.Sprintf("Storm %d, from the balancer's return until everybody had something new", i+1), s.Burdens)
	}
	return sentences
}
