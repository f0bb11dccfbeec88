package harness

import (
	"fmt"
	"math"
	"os"
	"time"

	"plumbline/harness/load"
	"plumbline/harness/oracle"
	"plumbline/reports"
)

// Process is how a process of the rig fared while a bench was open.
type Process struct {
	Name   string  `json:"name"` // "harness", "generator", and further ones "generator-2" and so on
	PID    int     `json:"pid,omitempty"`
	Hiccup *Hiccup `json:"hiccup,omitempty"` // nil when it was not measured to the end
	GC     *GC     `json:"gc,omitempty"`
}

// Hiccup is what a thread saw that measures how late its own wake-ups are, one
// every millisecond.
type Hiccup struct {
	N    int64         `json:"n"`
	P50  time.Duration `json:"p50_ns"`
	P99  time.Duration `json:"p99_ns"`
	Max  time.Duration `json:"max_ns"`
	Gaps []oracle.Gap  `json:"gaps"` // those above a millisecond, at most 10,000, the longest ones
	// GapsFrom is there where there were more: Gaps holds all that are longer.
	GapsFrom time.Duration `json:"gaps_from_ns,omitempty"`
}

// GC is what Go's runtime did to a process: the collector is switched off up to a
// limit of memory.
type GC struct {
	Cycles   uint64        `json:"cycles"`
	PauseMax time.Duration `json:"pause_max_ns"`
	// Of the waits of ready goroutines for a thread.
	SchedLatencyP99 time.Duration `json:"sched_latency_p99_ns"`
	SchedLatencyMax time.Duration `json:"sched_latency_max_ns"`
}

// note keeps how a process fared. The health of the rig is that of the worst of
// its processes.
func (b *Bench) note(name string, pid int, hiccup *load.HiccupReport, gc *load.GCReport) {
	p := Process{Name: name, PID: pid}
	if hiccup != nil {
		p.Hiccup = &Hiccup{N: hiccup.N, P50: hiccup.P50, P99: hiccup.P99, Max: hiccup.Max, Gaps: []oracle.Gap{}, GapsFrom: hiccup.GapsFrom}
		for _, gap := range hiccup.Gaps {
			p.Hiccup.Gaps = append(p.Hiccup.Gaps, oracle.Gap{At: gap.At, Length: gap.Length})
		}
		one := unknownHealth()
		hiccup.Into(&one)
		b.health.HiccupP99, b.health.HiccupMax = larger(b.health.HiccupP99, one.HiccupP99), larger(b.health.HiccupMax, one.HiccupMax)
	}
	if gc != nil {
		p.GC = &GC{Cycles: gc.Cycles, PauseMax: gc.PauseMax, SchedLatencyP99: gc.SchedLatencyP99, SchedLatencyMax: gc.SchedLatencyMax}
		one := unknownHealth()
		gc.Into(&one)
		b.health.GCPauseMax = larger(b.health.GCPauseMax, one.GCPauseMax)
	}
	b.processes = append(b.processes, p)
}

// generatorName is what process i of the generator is called.
func generatorName(i int) string {
	if i == 0 {
		return "generator"
	}
	return fmt.Sprintf("generator-%d", i+1)
}

// larger returns the larger of two figures of which one may be unknown.
func larger(a, b reports.Float) reports.Float {
	if math.IsNaN(float64(a)) || b > a {
		return b
	}
	return a
}

// readInstruments ends the rig's own measurements, once.
func (b *Bench) readInstruments() {
	if b.hiccup == nil {
		return
	}
	hiccup, gc := b.hiccup.Stop(), b.gc()
	b.hiccup, b.gc = nil, nil
	b.note("harness", os.Getpid(), &hiccup, &gc)
	for i, of := range b.Generator.Reports() {
		if of.Own {
			b.note(generatorName(i), of.PID, of.Hiccup, of.GC)
		}
	}
	for _, p := range b.processes {
		if p.Hiccup != nil {
			b.gaps = append([]oracle.Gap{}, oracle.Union(b.gaps, p.Hiccup.Gaps)...) // an empty list is one, too
			b.gapsFrom = max(b.gapsFrom, p.Hiccup.GapsFrom)
		}
	}
}
