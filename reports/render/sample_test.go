package render

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"plumbline/reports"
	"plumbline/reports/hdr"
)

// The sample runs are what the golden files are made from: sizes, figures and
// wording as a run of the ci profile produces them. sampleMixed has one of
// every verdict; sampleCertified passes and certifies.

var sampleStart = time.Date(2025, 11, 23, 9, 41, 7, 0, time.UTC)

func sampleCertified() *reports.Run {
	run := sampleBase()
	run.Certifying = true
	for _, c := range sampleCatalogue {
		run.Requirements = append(run.Requirements, c.requirement())
		if c.id == "SEC-05" {
			run.Results = append(run.Results, c.result(reports.NotApplicable))
			continue
		}
		run.Results = append(run.Results, c.result(reports.Pass))
	}
	run.Overall = run.Judge()
	return run
}

func sampleMixed() *reports.Run {
	run := sampleBase()
	run.ID = "20251123T094107Z_ci_7f3a91c2"
	run.Profile.Name = "ci"
	worse := map[string]reports.Verdict{
		"LAT-03": reports.Fail, "DEL-04": reports.Fail, "LAT-02": reports.ConditionalPass, "REC-03": reports.Inconclusive,
		"SEC-05": reports.NotApplicable, "SEC-10": reports.ConditionalFail, "ORD-02": reports.Error,
	}
	for _, c := range sampleCatalogue {
		run.Requirements = append(run.Requirements, c.requirement())
		switch verdict, listed := worse[c.id]; {
		case c.id == "REC-02": // no result: NOT RUN
		case listed:
			run.Results = append(run.Results, c.result(verdict))
		default:
			run.Results = append(run.Results, c.result(reports.Pass))
		}
	}
	for i := range run.Results {
		if r := &run.Results[i]; r.Requirement == "LAT-01" {
			voided := *r
			voided.Verdict, voided.Reason = reports.Inconclusive, reports.ReasonGenerator
			voided.Sentence = "INCONCLUSIVE(GEN): no statement about conformity; the generator wrote 98.7 % of its schedule, 99.9 % are needed."
			r.Attempt = 2
			run.Results = append(run.Results, voided)
			break
		}
	}
	run.Integrity[3].Lost, run.Integrity[3].Delivered = 2, run.Integrity[3].Delivered-2
	run.Rasters[0].Rows[3].Cells = run.Rasters[0].Rows[3].Cells[:71] + "ll" + run.Rasters[0].Rows[3].Cells[73:]
	run.Deviations = []reports.Deviation{{ID: "DEV-001", Text: "The bench is a shared virtual machine; the noise floor was taken before the run only.", Owner: "lab", Expires: "2026-03-31"}}
	run.Overall = run.Judge()
	return run
}

// sampleSelected is a run of one family, with a remark on what passed and an
// informative requirement that did not.
func sampleSelected() *reports.Run {
	run := sampleBase()
	run.ID = "20251123T094107Z_smoke_0c33d1aa"
	run.Profile.Name, run.Profile.Purpose = "smoke", "a first look"
	run.Latencies, run.Timelines, run.Hops, run.Integrity, run.Devices = nil, nil, nil, nil, run.Devices[:2]
	run.Rasters, run.Recoveries, run.Resources, run.Uncertainty, run.Gates = nil, nil, nil, nil, nil // as before there were any
	run.Deselected = &reports.Deselection{Filter: "SEC || claims"}
	for _, c := range sampleCatalogue {
		if r := c.requirement(); r.Family() != "SEC" {
			run.Deselected.Requirements = append(run.Deselected.Requirements, r)
			if !slices.Contains(run.Deselected.Scenarios, c.scenario) {
				run.Deselected.Scenarios = append(run.Deselected.Scenarios, c.scenario)
			}
			continue
		}
		run.Requirements = append(run.Requirements, c.requirement())
		verdict := reports.Pass
		if c.id == "SEC-05" {
			verdict = reports.NotApplicable
		}
		run.Results = append(run.Results, c.result(verdict))
	}
	for _, extra := range []sampleEntry{
		{"CAP-01", "Claims", "What the system can shall be claimed.", "", "claims", "deterministic", 0, 0, 0},
		{"PRO-01", "WebSocket by its standard", "The server shall keep RFC 6455.", "", "standards", "deterministic", 0, 0, 0},
	} {
		req, res := extra.requirement(), extra.result(reports.Pass)
		req.Class = reports.Optional
		if extra.id == "PRO-01" {
			res.Verdict, res.Headline, res.Sentence = reports.Fail, "2 of 98 cases failed", "PRO-01: 2 of 98 cases failed. Verdict FAIL."
		} else {
			res.Findings = []reports.Finding{{Requirement: extra.id, Kind: "undeclared", Subject: "snapshot", Confirmed: true,
				Detail: "a new viewer was shown the last value; claim it in the descriptor to have it judged"}}
		}
		run.Requirements, run.Results = append(run.Requirements, req), append(run.Results, res)
	}
	run.Overall = run.Judge()
	return run
}

func sampleBase() *reports.Run {
	run := &reports.Run{
		Schema: reports.SchemaVersion, ID: "20251123T094107Z_bench_41d0c7e9", Started: sampleStart, Finished: sampleStart.Add(163 * time.Second),
		Profile: reports.Profile{Name: "bench", Version: "1.0", Digest: digestOf(1), Purpose: "limits of a dashboard on a local network, sample counts that the decision rule needs"},
		Seed:    8276155094713, Tool: reports.Tool{Name: "plumbline", Version: "0.1.0", Commit: "4166bc8", Digest: digestOf(2)},
		SUT: reports.SUT{Name: "bridged", Version: "0.1.0", Description: "MQTT to WebSocket bridge of this repository, run as a child process",
			Artifacts:    []reports.Evidence{{Path: "bridged", SHA256: digestOf(3), Size: 14680064}, {Path: "bridge.yaml", SHA256: digestOf(4), Size: 912}},
			Capabilities: []string{"qos1", "retained", "resume", "snapshot", "origin-check", "token-expiry", "tenant-isolation"}},
		Environment: map[string]string{"os": "linux 6.18, amd64", "cpu": "2 × AMD EPYC (KVM guest)", "memory": "8 GiB", "go": "go1.26.0", "clock source": "tsc",
			"git": "clean", "open files": "20000", "load before": "0.41"},
		Rig: reports.RigHealth{SlipP50: 0.0004, SlipP99: 0.021, SlipMax: 0.74, Offered: 60000, Achieved: 60000, HiccupP99: 0.13, HiccupMax: 1.9,
			FloorP50: 0.21, FloorP99: 0.48, FloorP999: 1.7, ClockRead: 47, ClockSource: "tsc", GCPauseMax: 0.09, Uncertainty: 0.06},
	}
	for i := range 36 {
		kind := []string{"temperature", "vibration", "power", "gps", "door"}[i%5]
		id := fmt.Sprintf("%s-%03d", kind, i+1)
		run.Devices = append(run.Devices, reports.Device{ID: id, Kind: kind, Mode: reports.ModeSim, Detail: "twin, 10 Hz ±10 %"})
		run.Integrity = append(run.Integrity, sampleIntegrity(id, "steady load", reports.ModeSim, 1667, 20))
	}
	run.Devices = append(run.Devices,
		reports.Device{ID: "gnss", Kind: "nmea0183", Mode: reports.ModeReplay, Detail: "harbour.nmea at 9600 8N1 on a pty", Damaged: 3},
		reports.Device{ID: "host-cpu", Kind: "hostsensor", Mode: reports.ModeReal, Detail: "this machine"},
		reports.Device{ID: "host-temperature", Kind: "hostsensor", Mode: reports.ModeReal, Detail: "this machine"})
	run.Integrity = append(run.Integrity, sampleIntegrity("gnss", "steady load", reports.ModeReplay, 180, 20),
		sampleIntegrity("temperature-001", "bridge killed", reports.ModeSim, 5000, 2), sampleIntegrity("vibration-002", "bridge killed", reports.ModeSim, 5000, 2))
	for _, d := range sampleDistributions() {
		d.Buckets, d.Percentiles, d.Limits = slices.Clone(d.Buckets), slices.Clone(d.Percentiles), slices.Clone(d.Limits)
		run.Latencies = append(run.Latencies, d)
	}
	run.Timelines = []reports.Timeline{sampleTimeline()}
	sampleCourse(run)
	run.Hops = []reports.Hop{
		{Name: "schedule to wire", From: "t0i", To: "t0", Scenario: "steady load", N: 60000, P50: 0.02, P99: 0.31},
		{Name: "device to broker", From: "t0", To: "t1", Scenario: "steady load", N: 60000, P50: 0.34, P99: 1.9, Note: "seen by a witness subscriber, which adds one broker hop"},
		{Name: "broker to viewer", From: "t1", To: "t4", Scenario: "steady load", N: 1200000, P50: 0.71, P99: 6.8},
	}
	for i, path := range []string{"config/effective.yaml", "env.json", "records/steady-load/records.bin", "records/steady-load/events.jsonl", "records/bridge-killed/records.bin", "sut/bridged.log"} {
		run.Evidence = append(run.Evidence, reports.Evidence{Path: path, SHA256: digestOf(10 + i), Size: int64(912 * math.Pow(7, float64(i%5)))})
	}
	return run
}

func sampleIntegrity(device, scenario string, mode reports.Mode, sent, viewers int64) reports.Integrity {
	return reports.Integrity{Device: device, Scenario: scenario, Mode: mode, Sent: sent, Acked: sent, Witnessed: sent, Expected: sent * viewers, Delivered: sent * viewers}
}

func digestOf(n int) string {
	rng := rand.New(rand.NewPCG(uint64(n), 7))
	return fmt.Sprintf("%016x%016x%016x%016x", rng.Uint64(), rng.Uint64(), rng.Uint64(), rng.Uint64())
}

var sampleDistributions = sync.OnceValue(func() []reports.Distribution {
	return []reports.Distribution{sampleDistribution("t0i→t4, steady", "steady load", 1),
		sampleDistribution("t0i→t4, viewers joining", "churn", 2), sampleDistribution("t0i→t4, catch-up", "bridge killed", 3)}
})

// sampleDistribution draws latencies from a body, a second mode and a tail.
func sampleDistribution(name, scenario string, seed uint64) reports.Distribution {
	rng := rand.New(rand.NewPCG(seed, 11))
	const n = 120000
	const perDecade = 12.0
	counts := map[int]int64{}
	values := make([]float64, 0, n)
	for range n {
		v := math.Exp(rng.NormFloat64()*0.32) * 1.1 * float64(seed)
		switch u := rng.Float64(); {
		case u < 0.006:
			v = 41 * math.Exp(rng.NormFloat64()*0.05)
		case u < 0.0075:
			v = 12 * math.Exp(rng.NormFloat64()*0.9)
		}
		values = append(values, v)
		counts[int(math.Floor(math.Log10(v)*perDecade))]++
	}
	d := reports.Distribution{Name: name, Scenario: scenario, N: n, HDR: sampleHistogram(values), Limits: []reports.Limit{
		{Requirement: "LAT-01", Q: 0.5, Value: 25}, {Requirement: "LAT-02", Q: 0.99, Value: 100}, {Requirement: "LAT-03", Q: 0.999, Value: 250}}}
	low, high, sum := math.Inf(1), 0.0, 0.0
	for _, v := range values {
		low, high, sum = min(low, v), max(high, v), sum+v
	}
	d.Min, d.Max, d.Mean = round3(low), round3(high), round3(sum/n)
	sorted := sortedCopy(values)
	for _, q := range []float64{0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999} {
		d.Percentiles = append(d.Percentiles, reports.Percentile{Q: q, Value: round3(sorted[min(int(q*n), n-1)])})
	}
	for k := -20; k < 60; k++ {
		if counts[k] > 0 {
			d.Buckets = append(d.Buckets, reports.Bucket{Low: float64(round3(math.Pow(10, float64(k)/perDecade))), High: float64(round3(math.Pow(10, float64(k+1)/perDecade))), Count: counts[k]})
		}
	}
	return d
}

func sampleHistogram(values []float64) string {
	h := &hdr.Histogram{}
	for _, v := range values {
		h.Record(time.Duration(v * 1e6))
	}
	return h.Encode()
}

func sampleTimeline() reports.Timeline {
	rng := rand.New(rand.NewPCG(5, 5))
	t := reports.Timeline{Name: "bridge killed under load", Scenario: "bridge killed", Slot: 500 * time.Millisecond, Faults: []reports.FaultWindow{
		{Name: "SIGKILL bridge", Onset: 9 * time.Second, End: 10200 * time.Millisecond}, {Name: "SIGSTOP bridge 2 s", Onset: 22 * time.Second, End: 24 * time.Second},
		{Name: "TCP black hole", Onset: 33 * time.Second, End: 36 * time.Second}}}
	for i := range 90 {
		at := time.Duration(i) * t.Slot
		base := 1.1 * math.Exp(rng.NormFloat64()*0.08)
		p := reports.Point{At: at, Count: 250, P50: round3(base), P99: round3(base * (4 + 3*rng.Float64())), Max: round3(base * (8 + 30*rng.Float64()))}
		for _, w := range t.Faults {
			if at >= w.Onset-t.Slot && at < w.End {
				left := (w.End - at).Seconds() * 1000
				p.P50, p.P99, p.Max = round3(left+30), round3(left+190), round3(left+320)
			}
		}
		if i == 19 {
			p.Lost = 2
		}
		if i == 60 || i == 61 {
			p = reports.Point{At: at, P50: reports.Float(math.NaN()), P99: reports.Float(math.NaN()), Max: reports.Float(math.NaN())}
		}
		t.Points = append(t.Points, p)
	}
	return t
}

func round3(v float64) reports.Float {
	scale := math.Pow(10, 3-math.Ceil(math.Log10(math.Abs(v)+1e-12)))
	return reports.Float(math.Round(v*scale) / scale)
}
