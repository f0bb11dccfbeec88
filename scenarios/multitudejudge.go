package scenarios

import (
	"fmt"
	"math"

	"plumbline/harness/oracle"
	"plumbline/harness/spec"
	"plumbline/reports"
)

func judgeMultitude(c *spec.Case) {
	facts := spec.Facts[multitudeFacts](c)
	if absent(c, facts.Absent) {
		return
	}
	j := newJudged(c)
	j.allServed("APP-02", facts)
	o := j.options("")
	o.Window = multitudeAlone
	alone := j.history.Latencies(o)
	o.Window = multitudeBeside
	beside := j.history.Latencies(o)
	sent, _ := j.history.Delivery(o)
	j.Show(spec.Figures{
		Rig: &j.health, Devices: j.devices,
		Latencies: []reports.Distribution{oracle.Distribution("t0i→t4 beside the crowd", j.Scenario.ID, beside, nil)},
		Comparisons: []reports.Comparison{{
			Scenario: j.Scenario.ID, Title: "How many one bridge serves", Conditions: multitudeConditions(facts), Approaches: []reports.Approach{},
			Claims: multitudeClaims(facts, sent, quantile(alone.Series.Value, 0.99), quantile(beside.Series.Value, 0.99)),
		}},
	})
}

// allServed judges that every session of the crowd lived and was shown something while it was held.
func (j *judged) allServed(id string, facts multitudeFacts) {
	var found []reports.Finding
	still := j.stood.Still(facts.Held, facts.From, facts.From+int64(facts.Held))
	say := func(n int, kind, detail string) {
		if n > 0 {
			found = append(found, reports.Finding{
				Requirement: id, Kind: kind, Subject: "crowd", Confirmed: !still, Detail: fmt.Sprintf("%d sessions %s", n, detail), Evidence: "facts/" + j.Scenario.ID + ".json",
			})
		}
	}
	say(facts.Dropped, "ended", "ended while they were held; the first: "+facts.Why)
	say(facts.Unshown, "unshown", "were shown nothing while they were held")
	events, doubts := int64(facts.Dropped+facts.Unshown), int64(0)
	if still {
		events, doubts = 0, events
		j.unmet = append(j.unmet, rigStill(doubts, "sessions were not served", j.stood.Untold(facts.Held))...)
	}
	j.none(id, "session not served/sessions not served", "sessions held at a time", int64(facts.Reached), events, doubts, found, j.samples(id))
}

func multitudeConditions(f multitudeFacts) []string {
	return []string{fmt.Sprintf("One bridge on %d cores, which its viewers and devices share; %d devices with an MQTT connection each and %.0f messages a second in all; every viewer has a TLS connection and a session of its own and watches one device.",
		f.Cores, f.Load.Devices, f.Load.Rate)}
}

// What the claims speak of.
const (
	thousands     = 2_000
	tensThousands = 20_000
	tenThousand   = 10_000
	realTime      = 400 // ms within which a person does not wait (Doherty threshold), as LAT-05 has it in ci
)

// multitudeClaims holds what is said of scale against what was reached.
func multitudeClaims(f multitudeFacts, sent oracle.Delivery, alone, beside reports.Float) []reports.Claim {
	devices := reports.Claim{ID: "devices", Text: "thousands of devices are shown in real time", Standing: reports.HoldsNot}
	devices.Figure = fmt.Sprintf("%d devices connected, %d readings due at recorded viewers beside %d sessions, %d lost, p99 %s ms; real time is taken for %d ms", f.Load.Devices, sent.Owed, f.Reached, sent.Lost, plainly(float64(beside)), realTime)
	switch {
	case sent.Owed == 0 || sent.Lost > 0 || f.Load.Devices < thousands:
	case beside <= realTime:
		devices.Standing = reports.Holds
	default:
		devices.Standing = reports.HoldsPartly
	}
	return []reports.Claim{devices, connections(f, alone, beside)}
}

// connections: one server holds tens of thousands of connections.
func connections(f multitudeFacts, alone, beside reports.Float) reports.Claim {
	c := reports.Claim{ID: "connections", Text: "one server holds tens of thousands of connections", Standing: reports.HoldsNot}
	served := f.Reached - f.Dropped - f.Unshown
	c.Figure = fmt.Sprintf("%d sessions and %d devices at a time on one process, %d of the sessions shown readings and none ended in %.3g s", f.Reached, f.Load.Devices, served, f.Held.Seconds())
	if f.Dropped > 0 {
		c.Figure = fmt.Sprintf("%d sessions and %d devices at a time on one process, %d sessions ended within %.3g s", f.Reached, f.Load.Devices, f.Dropped, f.Held.Seconds())
	}
	if f.Reached > 0 && f.With.RSS > f.Before.RSS {
		c.Figure += fmt.Sprintf("; %.3g KiB of memory (RSS) a session", float64(f.With.RSS-f.Before.RSS)/1024/float64(f.Reached))
	}
	if f.Over > 0 {
		c.Figure += fmt.Sprintf("; bridge %.3g %% of a core", 100*f.Busy.Seconds()/f.Over.Seconds())
	}
	if !math.IsNaN(float64(alone)) && !math.IsNaN(float64(beside)) {
		c.Figure += fmt.Sprintf("; p99 latency at others %s ms before, %s ms with them", plainly(float64(alone)), plainly(float64(beside)))
	}
	c.Figure += fmt.Sprintf("; connected in %.3g s", f.Took.Seconds())
	switch {
	case served >= tensThousands:
		c.Standing = reports.Holds
	case served >= tenThousand && served == f.Reached:
		c.Standing = reports.HoldsPartly
	}
	if f.Ended != "" {
		c.Figure += "; then: " + f.Ended
	} else if served < tensThousands {
		c.Figure += fmt.Sprintf("; no more were asked for: with the devices the bridge has %d files open", f.With.Files)
		if f.Files > 0 {
			c.Figure += fmt.Sprintf(", and may have %d at most here", f.Files)
		}
	}
	return c
}
