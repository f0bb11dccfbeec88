package scenarios

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"plumbline/harness"
	"plumbline/harness/oracle"
	"plumbline/harness/profile"
	"plumbline/harness/record"
	"plumbline/harness/spec"
	"plumbline/harness/stats"
	"plumbline/reports"
)

// judged is a bench as its files hold it, with what every judgement of it
// needs.
type judged struct {
	*spec.Case
	history *oracle.History
	base    oracle.Options // without a requirement
	health  reports.RigHealth
	devices []reports.Device
	stood   oracle.Standstills // of the rig itself
	usage   []harness.Usage
	unmet   []stats.Gate // why counts and times say less than they seem to
}

// newJudged reads what the first bench of the scenario left.
func newJudged(c *spec.Case) *judged { return judgedAt(c, c.Bench()) }

// judgedAt reads what a bench of the scenario left.
func judgedAt(c *spec.Case, r *harness.Recorded) *judged {
	h, err := r.History()
	c.Check(err)
	return &judged{Case: c, history: h, base: r.Options(""), health: r.Health(h, c.Profile), devices: r.Devices, stood: r.Standstills(), usage: r.Usage}
}

// options are what oracles look at, with the requirement that findings name.
func (j *judged) options(id string) oracle.Options {
	o := j.base
	o.Requirement = id
	return o
}

// gates are those of the profile where it asks for more than the rule, whose
// own gates the oracle applies.
func (j *judged) gates(limit time.Duration) []stats.Gate {
	g := j.Profile.Gates
	var open []stats.Gate
	if share := float64(j.health.Achieved) / float64(max(j.health.Offered, 1)); share < g.Offered {
		open = append(open, stats.Gate{
			Reason: reports.ReasonGenerator,
			Detail: fmt.Sprintf("%.2f %% of the schedule was sent, the profile asks for %.2f %%", 100*share, 100*g.Offered),
			Cure:   "a less busy machine or a lower rate",
		})
	}
	if slip, most := float64(j.health.SlipP99), g.Slip*limit.Seconds()*1e3; slip > most {
		open = append(open, stats.Gate{
			Reason: reports.ReasonGenerator,
			Detail: fmt.Sprintf("the p99 of the send slip is %.3g ms, above %.3g ms (%.0f %% of the limit)", slip, most, 100*g.Slip),
			Cure:   "a less busy machine",
		})
	}
	return open
}

// rule is DR-2 with the block lengths of the profile.
func (j *judged) rule(samples int64) stats.Rule {
	return ruleOf(j.Profile, samples)
}

func ruleOf(p *profile.Profile, samples int64) stats.Rule {
	g := p.Gates
	return stats.Rule{MinBlock: g.MinBlock, MaxBlock: g.MaxBlock, MinBlocks: g.Blocks, MinSamples: samples}
}

// latency judges a quantile of latency over all runs together; windows name the
// runs, none of which may fail on its own.
func (j *judged) latency(id string, l oracle.Latencies, rule stats.Rule, windows ...string) {
	limit, p, in := j.Limit(id), j.Profile, j.latencyInput(id, l, rule)
	for _, window := range windows {
		o := j.options(id)
		o.Window = window
		d := stats.DecideDR2(stats.Input{
			Series: j.history.Latencies(o).Series, Limit: limit.Time.Seconds() * 1e3, Quantile: j.Requirement(id).Quantile,
			Guard: (p.Gates.Guard + l.Clocks.Uncertainty).Seconds() * 1e3, Rule: stats.Rule{MinBlock: p.Gates.MinBlock, MaxBlock: p.Gates.MaxBlock, MinBlocks: 2},
		})
		in.Runs = append(in.Runs, d.Estimate)
		in.RunFails = in.RunFails || d.Verdict == reports.Fail
	}
	j.Judge(oracle.JudgeLatency(j.Requirement(id), in))
}

// latencyInput is what every judgement of a latency takes.
func (j *judged) latencyInput(id string, l oracle.Latencies, rule stats.Rule) oracle.LatencyInput {
	limit, p := j.Limit(id), j.Profile
	return oracle.LatencyInput{
		Scenario: j.Scenario.ID, Profile: j.Title(), Section: "5", Latency: l,
		Limit: limit.Time, Guard: p.Gates.Guard, Rule: rule, Steady: p.Gates.Steady,
		Rig: j.health, Stood: j.stood, Gates: append(j.gates(limit.Time), j.unmet...),
	}
}

// none judges that something never happened. least is how many it takes; a
// scenario that only confirms what another one carries asks for 1.
func (j *judged) none(id, noun, unit string, n, events, suspicions int64, found []reports.Finding, least int64) {
	j.Judge(oracle.JudgeZero(j.Requirement(id), oracle.ZeroInput{
		Scenario: j.Scenario.ID, Profile: j.Title(), Noun: noun, Unit: unit, N: n,
		Findings: found, Events: events, Suspicions: suspicions, MinN: least, Seed: j.Seed(),
		Gates: j.sound(id),
	}))
}

// sound returns the gates of the recording and of what was done to the bridge
// that do not hold.
func (j *judged) sound(id string) []stats.Gate {
	return append(j.history.Gates(j.options(id)), j.unmet...)
}

// exercised demands that so many connections of viewers were lost and came
// back: without that, nothing that is judged about recovery was put to the test.
func (j *judged) exercised(cuts int) {
	if n := len(j.history.Resumptions(j.options(""))); n < cuts {
		j.unmet = append(j.unmet, stats.Gate{
			Reason: reports.ReasonSamples, Cure: "faults that reach every viewer",
			Detail: fmt.Sprintf("%d losses of a connection are on record, %d were to be made", n, cuts),
		})
	}
}

// interrupted demands that every fault of the recording stopped the data for
// at least half of its time: else it was no outage that one could come back from.
func (j *judged) interrupted() {
	shares := lulls(j.history.Log())
	for _, name := range slices.Sorted(maps.Keys(shares)) {
		if share := shares[name]; share < 0.5 {
			j.unmet = append(j.unmet, stats.Gate{
				Reason: reports.ReasonRig, Cure: "a fault that stops the data",
				Detail: fmt.Sprintf("during the outage %q data stopped for %.0f %% of the time only", name, 100*share),
			})
		}
	}
}

// lost judges that every acknowledged message reached every viewer.
func (j *judged) lost(id string, least int64) {
	d, found := j.history.Delivery(j.options(id))
	j.none(id, "loss/losses", "deliveries of acknowledged messages", d.Owed, d.Lost, d.Unconfirmed, ofKind(found, "lost"), least)
}

// duplicated judges that nothing came twice.
func (j *judged) duplicated(id string, least int64) {
	d, found := j.history.Delivery(j.options(id))
	j.none(id, "duplicate/duplicates", "deliveries", d.Delivered, d.Duplicated, 0, ofKind(found, "duplicate"), least)
}

// genuine judges that nothing was made up, mixed up or damaged.
func (j *judged) genuine(id string, least int64) {
	d, found := j.history.Delivery(j.options(id))
	j.none(id, "false delivery/false deliveries", "deliveries", d.Delivered, d.Phantom+d.Misrouted+d.Corrupted, 0,
		ofKind(found, "phantom", "misrouted", "corrupt"), least)
}

// honest judges that everything left out was declared.
func (j *judged) honest(id string, least int64) {
	d, _ := j.history.Delivery(j.options(id))
	c, found := j.history.Chain(j.options(id))
	j.none(id, "silent omission/silent omissions", "deliveries of acknowledged messages", d.Owed, c.Broken+c.SilentLost, 0,
		ofKind(found, "chain-broken", "lost"), least)
}

// ordered judges that nothing overtook.
func (j *judged) ordered(id string, least int64) {
	o, found := j.history.Order(j.options(id))
	j.none(id, "delivery out of order/deliveries out of order", "deliveries", o.Deliveries, o.Reordered+o.Backwards, o.Excused,
		ofKind(found, "reordered", "offset-backwards"), least)
}

// samples is the least number of a requirement in this profile.
func (j *judged) samples(id string) int64 { return j.Limit(id).Samples }

func ofKind(found []reports.Finding, kinds ...string) []reports.Finding {
	var out []reports.Finding
	for _, f := range found {
		for _, kind := range kinds {
			if f.Kind == kind {
				out = append(out, f)
			}
		}
	}
	return out
}

// stretch is how long something took, from an instant of the run clock on.
type stretch struct {
	From int64         `json:"from_ns"`
	Took time.Duration `json:"took_ns"`
}

// within judges stretches of time that must each stay below a limit. One that
// never ended is a finding of the caller's; one that the rig itself may have held
// up, whether it ended or not, decides nothing. least is how many it takes.
func (j *judged) within(id, name string, times []stretch, found []reports.Finding, least int64) {
	limit, excused := j.Limit(id), int64(0)
	figure := &reports.Measurement{
		Name: name, Unit: "ms", Limit: reports.Float(limit.Time.Seconds() * 1e3), N: int64(len(times)), NEff: int64(len(times)), VIF: 1,
		Confidence: 0.99, Lower: nan, Upper: nan,
	}
	for _, s := range times {
		ms := reports.Float(s.Took.Seconds() * 1e3)
		figure.Runs = append(figure.Runs, ms)
		if j.stood.Excused(limit.Time, s.Took, s.From, s.From+int64(s.Took)) {
			excused++
			continue
		}
		figure.Estimate = max(figure.Estimate, ms)
	}
	found, never := doubted(found, j.stood, limit.Time, j.watchedTo())
	excused += never
	if len(times) == 0 {
		figure.Estimate = nan // what never came to an end took no time of which one could tell
	}
	j.Judge(oracle.JudgeDeterministic(j.Requirement(id), oracle.DeterministicInput{
		Scenario: j.Scenario.ID, Profile: j.Title(), Checks: int64(len(times) + len(found)), MinN: least, Findings: found, Figure: figure, Seed: j.Seed(),
		Gates: append(j.sound(id), rigAway(excused, j.stood.Untold(limit.Time))...),
	}))
}

// watchedTo returns until when the viewers of the recording were watched: the end of
// its drain, or its last event.
func (j *judged) watchedTo() (to int64) {
	for _, e := range j.history.Log().Events {
		if e.Kind == record.DrainEnd {
			return e.At
		}
		to = max(to, e.At)
	}
	return to
}

// doubted returns findings of what never came, from when each says on until it was
// watched no more, without the confirmation of those that the rig itself may have
// brought about, and how many those are.
func doubted(found []reports.Finding, stood oracle.Standstills, limit time.Duration, to int64) (list []reports.Finding, doubts int64) {
	list = slices.Clone(found)
	for i, f := range list {
		from := int64(f.At)
		if f.Confirmed && stood.Excused(limit, time.Duration(to-from), from, to) {
			list[i].Confirmed = false
			doubts++
		}
	}
	return list, doubts
}

// watchedFor returns findings of what never came, each of which was watched for so long
// only, without the confirmation of those that the rig itself may have brought about.
func (j *judged) watchedFor(id string, found []reports.Finding, watch time.Duration) (list []reports.Finding) {
	doubts, limit := int64(0), j.Limit(id).Time
	for _, f := range found {
		one, n := doubted([]reports.Finding{f}, j.stood, limit, int64(f.At)+int64(watch))
		list, doubts = append(list, one...), doubts+n
	}
	j.unmet = append(j.unmet, rigAway(doubts, j.stood.Untold(limit))...)
	return list
}

// rigAway is the gate of times above a limit that the rig itself may have held
// up; none when there are none of them. untold is why that is not known better, as
// oracle.Standstills.Untold puts it.
func rigAway(n int64, untold string) []stats.Gate { return rigStill(n, "above the limit", untold) }

// rigStill is rigAway for anything else that is held against a system.
func rigStill(n int64, what, untold string) []stats.Gate {
	if n == 0 {
		return nil
	}
	detail := fmt.Sprintf("%d %s while the rig itself did not run", n, what)
	if untold != "" {
		detail = fmt.Sprintf("%d %s, and %s", n, what, untold)
	}
	return []stats.Gate{{Reason: reports.ReasonRig, Cure: "a quieter machine", Detail: detail}}
}

// show puts the figures of the recording into the report.
func (j *judged) show(name string, slot time.Duration) {
	scenario := j.Scenario.ID
	o := j.options("")
	j.Show(spec.Figures{
		Latencies: []reports.Distribution{oracle.Distribution(name, scenario, j.history.Latencies(o), j.lines())},
		Timelines: []reports.Timeline{j.history.Timeline(name, scenario, slot, o)},
		Hops:      j.history.Hops(scenario, o),
		Integrity: j.history.Integrity(scenario, o),
		Rasters:   []reports.Raster{j.history.Raster(scenario, 0, o)},
		Rig:       &j.health,
		Devices:   j.devices,
	})
	j.showReturns()
}

// showReturns puts into the report how viewers came back, if any had to.
func (j *judged) showReturns() {
	if back := j.history.Recovery(j.Scenario.ID, j.options("")); len(back.Returns) > 0 {
		j.Show(spec.Figures{Recoveries: []reports.Recovery{back}})
	}
}

// showOnly puts one distribution into the report, and what the rig was.
func (j *judged) showOnly(name string, l oracle.Latencies) {
	j.Show(spec.Figures{
		Latencies: []reports.Distribution{oracle.Distribution(name, j.Scenario.ID, l, j.lines())},
		Rig:       &j.health, Devices: j.devices,
	})
	j.showReturns()
}

// lines are the limits to draw into a distribution of this scenario: those that
// the profile has.
func (j *judged) lines() []reports.Limit {
	var lines []reports.Limit
	for _, id := range j.Scenario.Requirements {
		r := j.Requirement(id)
		known, _ := spec.Requirement(id)
		if r.Quantile > 0 && known.Unit == profile.UnitTime && j.Applies(id) {
			lines = append(lines, reports.Limit{Requirement: id, Q: r.Quantile, Value: j.Limit(id).Time.Seconds() * 1e3})
		}
	}
	return lines
}

// absent reports whether there is a reason why nothing of the scenario could be put
// to this system on this machine, and tells it for each of its requirements.
func absent(c *spec.Case, why string) bool {
	if why == "" {
		return false
	}
	for _, id := range c.Scenario.Requirements {
		notAsked(c, id, why)
	}
	return true
}

// notAsked tells why a requirement could not be put to this system on this machine.
func notAsked(c *spec.Case, id, why string) {
	c.Judge(reports.Result{
		Requirement: id, Scenario: c.Scenario.ID, Verdict: reports.NotApplicable, Headline: why,
		Sentence: fmt.Sprintf("%s: %s. Verdict N/A.", id, why),
	})
}
