package scenarios

import (
	"fmt"
	"math"
	"slices"
	"time"

	"plumbline/harness/oracle"
	"plumbline/harness/record"
	"plumbline/harness/spec"
	"plumbline/harness/stats"
	"plumbline/reports"
)

func (d disruption) judge(c *spec.Case) {
	l, j, seen := c.Load("cluster"), newJudged(c), spec.Facts[clusterFacts](c)
	all := faultsOf(j.history.Log())
	if len(all) < seen.Made || seen.Made < l.Cycles {
		j.unmet = append(j.unmet, stats.Gate{
			Reason: reports.ReasonSamples, Cure: "viewers that come back every time",
			Detail: fmt.Sprintf("%d faults are on record of at least %d that were to be made", len(all), max(seen.Made, l.Cycles)),
		})
	}
	j.costless(d.requirement, j.renewed(all, seen.Renewals)...)
	j.freshSoon("SCA-12", all, d.node || d.spare)
	if d.node {
		j.spared("SCA-13", all, seen)
	}
	j.show(fmt.Sprintf("t0i→t4, %d faults", len(all)), slotOf(time.Duration(l.Cycles)*(l.Hold+5*time.Second)))
}

// faultWindow is one fault of a recording. Instants are ns on the run clock.
type faultWindow struct {
	name       string
	onset, end int64
}

// faultsOf returns the faults of a recording that came to an end.
func faultsOf(log *record.Log) (all []faultWindow) {
	onset := map[string]int64{}
	for _, e := range log.Events {
		switch e.Kind {
		case record.FaultOnset:
			onset[e.Subject] = e.At
		case record.FaultEnd:
			all = append(all, faultWindow{e.Subject, onset[e.Subject], e.At})
		}
	}
	return all
}

// costless judges that nothing was left out, declared or not, doubled, put out of order, damaged or made up, and that no chain of
// intervals broke, nor anything else that was found beside. Who never comes back lacks all that follows.
func (j *judged) costless(id string, beside ...reports.Finding) {
	o := j.options(id)
	d, found := j.history.Delivery(o)
	order, overtaken := j.history.Order(o)
	chain, broken := j.history.Chain(o)
	bad := ofKind(found, "lost", "duplicate", "phantom", "misrouted", "corrupt")
	bad = append(append(bad, ofKind(overtaken, "reordered", "offset-backwards")...), ofKind(broken, "chain-broken")...)
	events := d.Duplicated + d.Phantom + d.Misrouted + d.Corrupted + order.Reordered + order.Backwards + chain.Broken + d.Lost + int64(len(beside))
	for _, f := range beside {
		f.Requirement = id
		bad = append(bad, f)
	}
	doubts := d.Unconfirmed
	if o.BrokerInside {
		// What no bridge acknowledged, as when it says that it cannot, none of them owes.
		doubts, bad = 0, slices.DeleteFunc(bad, func(f reports.Finding) bool { return f.Kind == "lost" && !f.Confirmed })
	}
	unit := "deliveries of acknowledged messages"
	if d.Lost > 0 {
		unit += fmt.Sprintf(", %d lost, %d of those declared", d.Lost, chain.DeclaredLost)
	}
	j.none(id, "harm/harms", unit, d.Delivered+d.Lost, events, doubts, bad, j.samples(id))
}

// arrivals returns, by node, when a viewer first got each message and when that was intended, in the order of arrival.
func (j *judged) arrivals() map[string][]stretch {
	log := j.history.Log()
	due := map[[2]uint64]int64{}
	for _, r := range log.Records {
		if key := [2]uint64{uint64(r.Stream), r.Seq}; r.Kind == record.Sent && due[key] == 0 {
			due[key] = r.Due
		}
	}
	all := map[string][]stretch{}
	for _, r := range log.Records {
		if intended, known := due[[2]uint64{uint64(r.Stream), r.Seq}]; known && r.Kind == record.Received {
			name := log.Index.Nodes[r.Node].Name
			all[name] = append(all[name], stretch{r.At, time.Duration(r.At - intended)})
		}
	}
	for _, list := range all {
		slices.SortFunc(list, func(a, b stretch) int { return int(a.From - b.From) })
	}
	return all
}

// freshSoon judges how long viewers were shown nothing new round each fault: from its onset where something else can stand in for what it
// befell, else from its end.
func (j *judged) freshSoon(id string, all []faultWindow, standIn bool) {
	arrived := j.arrivals()
	var times []stretch
	var found []reports.Finding
	for _, n := range j.history.Log().Index.Nodes {
		if n.Role != "viewer" {
			continue
		}
		for _, f := range all {
			from := f.end
			if standIn {
				from = f.onset
			}
			longest, ended := longestDark(arrived[n.Name], from, f.end)
			if !ended {
				found = append(found, reports.Finding{
					Requirement: id, Kind: "never-back", Subject: n.Name, Confirmed: true, At: time.Duration(f.end),
					Detail: fmt.Sprintf("after %q the viewer was never shown anything newer than its end", f.name),
				})
				continue
			}
			times = append(times, longest)
		}
	}
	j.within(id, fmt.Sprintf("longest time without anything new, of %d viewers and faults", len(times)), times, found, j.samples(id))
}

// longestDark returns the longest stretch without an arrival, from an instant until something arrives that was intended after end;
// false when nothing does.
func longestDark(arrived []stretch, from, end int64) (longest stretch, ended bool) {
	at := from
	for _, a := range arrived {
		if a.From < from {
			continue
		}
		if took := time.Duration(a.From - at); took >= longest.Took {
			longest = stretch{at, took}
		}
		if at = a.From; a.From-int64(a.Took) >= end {
			return longest, true
		}
	}
	return longest, false
}

// placesAt returns who was where at an instant: the bridge of each viewer and of each device's publisher, by name.
func placesAt(log *record.Log, brokers map[string]string, at int64) map[string]string {
	places := map[string]string{}
	for _, e := range log.Events {
		if e.Kind == record.Connected && e.At <= at {
			places[e.Subject] = e.Fields["node"]
			if address := e.Fields["address"]; address != "" {
				places[e.Subject] = brokers[address]
			}
		}
	}
	return places
}

// spared judges the p99 of the latency between devices and viewers of other bridges while something befalls one, against the limit;
// beside it stands what it was before the first fault.
func (j *judged) spared(id string, all []faultWindow, seen clusterFacts) {
	var parts []oracle.Options
	for _, f := range all {
		o := j.elsewhere(f, seen)
		o.Requirement, o.From, o.To = id, f.onset, f.end
		parts = append(parts, o)
	}
	j.meanwhile(id, "p99 between other bridges meanwhile", parts, j.before(all, seen), all)
}

// meanwhile judges the p99 of the latency of all that is chosen together, part by part of them in the time of a fault; alone is what it
// was before the first, in ms. A part without viewers or devices leaves the verdict open.
func (j *judged) meanwhile(id, name string, parts []oracle.Options, alone float64, all []faultWindow) {
	limit := j.Limit(id).Time
	var during []float64
	figure := &reports.Measurement{Unit: "ms", Lower: nan, Upper: nan, Confidence: 0.99, Limit: reports.Float(limit.Seconds() * 1e3), VIF: 1}
	empty := 0
	for _, o := range parts {
		if len(o.Viewers) == 0 || len(o.Devices) == 0 {
			empty++
			continue
		}
		one := slices.Sorted(slices.Values(j.history.Latencies(o).Series.Value))
		during = append(during, one...)
		if len(one) > 0 {
			figure.Runs = append(figure.Runs, reports.Float(stats.Quantile(one, 0.99)))
		}
	}
	slices.Sort(during)
	n := int64(len(during))
	figure.N, figure.NEff, figure.Estimate = n, n, nan
	figure.Name = fmt.Sprintf("%s (%.3g ms before the first fault)", name, alone)
	gates := append(j.steadyRig(limit, alone, all), j.sound(id)...)
	if empty > 0 {
		gates = append(gates, stats.Gate{
			Reason: reports.ReasonSamples, Cure: "more viewers and devices", Detail: fmt.Sprintf("at %d of %d faults no viewer or no device was at another bridge", empty, len(all)),
		})
	}
	if n > 0 && len(gates) == 0 {
		figure.Estimate = reports.Float(stats.Quantile(during, 0.99))
	}
	j.Judge(oracle.JudgeDeterministic(j.Requirement(id), oracle.DeterministicInput{
		Scenario: j.Scenario.ID, Profile: j.Title(), Checks: n, MinN: j.samples(id), Figure: figure, Seed: j.Seed(), Gates: gates,
	}))
}

// elsewhere chooses the viewers and devices that were at other bridges than the one that a fault befell.
func (j *judged) elsewhere(f faultWindow, seen clusterFacts) oracle.Options {
	log, o := j.history.Log(), j.base
	places := placesAt(log, seen.Brokers, f.onset)
	for _, n := range log.Index.Nodes {
		if at := places[n.Name]; n.Role == "viewer" && at != "" && at != seen.Struck[f.name] {
			o.Viewers = append(o.Viewers, n.Name)
		}
	}
	for _, s := range log.Index.Streams {
		if at := places["publisher "+s.Device]; at != "" && at != seen.Struck[f.name] {
			o.Devices = append(o.Devices, s.Device)
		}
	}
	return o
}

// before returns the p99 of the latency before the first fault, in ms, between those whom that spares: what was on its way at the
// others may be lost with it.
func (j *judged) before(all []faultWindow, seen clusterFacts) float64 {
	if len(all) == 0 {
		return math.NaN()
	}
	o := j.elsewhere(all[0], seen)
	o.From, o.To = 1, all[0].onset
	return stats.Quantile(slices.Sorted(slices.Values(j.history.Latencies(o).Series.Value)), 0.99)
}

// steadyRig returns why a latency above the limit would not be the doing of a fault: the rig itself was late or did not run, or it was
// so before.
func (j *judged) steadyRig(limit time.Duration, alone float64, all []faultWindow) (open []stats.Gate) {
	ms := limit.Seconds() * 1e3
	if slip := float64(j.health.SlipP99); slip > j.Profile.Gates.Slip*ms {
		open = append(open, stats.Gate{
			Reason: reports.ReasonGenerator, Cure: "a less busy machine",
			Detail: fmt.Sprintf("the p99 of the send slip is %.3g ms, above %.3g ms", slip, j.Profile.Gates.Slip*ms),
		})
	}
	if slices.ContainsFunc(all, func(f faultWindow) bool { return j.stood.Still(limit, f.onset, f.end) }) {
		open = append(open, stats.Gate{
			Reason: reports.ReasonRig, Cure: "a quieter machine", Detail: fmt.Sprintf("the rig itself did not run for longer than %s during a fault", limit/10),
		})
	}
	if !(alone <= ms) {
		open = append(open, stats.Gate{
			Reason: reports.ReasonEnvironment, Cure: "a system that keeps the limit before anything befalls it",
			Detail: fmt.Sprintf("the p99 was %.3g ms already before the first fault", alone),
		})
	}
	return open
}
