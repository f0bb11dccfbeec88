package reports

import "time"

// SideBySideFormat names the form of a SideBySide in a file.
const SideBySideFormat = "plumbline.peers/v1"

// SideBySide is what several systems did under one load on one machine, in rounds
// that took each of them once. It decides no verdict.
type SideBySide struct {
	Format      string            `json:"format"`
	Tool        Tool              `json:"tool"`
	Started     time.Time         `json:"started"`
	Seed        uint64            `json:"seed"` // of the order within rounds, of twins and of when a system was killed
	Environment map[string]string `json:"environment"`
	Load        BesideLoad        `json:"load"`
	Systems     []Beside          `json:"systems"` // the first is the one that the others are held against
	Parts       []BesidePart      `json:"parts"`   // in the order in which they were measured
}

// BesideLoad is what each system was asked to do.
type BesideLoad struct {
	Rounds  int           `json:"rounds"`
	Devices int           `json:"devices"`
	Rate    float64       `json:"rate_per_s"` // over all devices
	Viewers int           `json:"viewers"`    // each of them watches all devices
	WarmUp  time.Duration `json:"warm_up_ns"`
	Window  time.Duration `json:"window_ns"`
	Crowd   int           `json:"crowd"`             // viewers whose memory is counted and who reconnect all at once
	Settle  time.Duration `json:"settle_ns"`         // before memory is looked at
	Calm    float64       `json:"calm_rate_per_s"`   // over all devices meanwhile
	Few     int           `json:"few"`               // viewers while the system is killed
	Dead    time.Duration `json:"dead_ns"`           // between SIGKILL and the new start
	Process bool          `json:"process,omitempty"` // the load came from a process of its own
}

// BesidePart is one system in one round. NaN is what was not established, +Inf what
// never came about.
type BesidePart struct {
	Round      int    `json:"round"`
	System     int    `json:"system"` // index into Systems
	Deliveries int64  `json:"deliveries"`
	LatencyP50 Float  `json:"latency_p50_ms"` // from the intended instant to the arrival at a viewer
	LatencyP99 Float  `json:"latency_p99_ms"`
	CPU        Float  `json:"cpu_us"`        // of all processes of the system, for each delivery
	Memory     Float  `json:"memory_kib"`    // RSS of all its processes, for each viewer of the crowd
	Storm      Float  `json:"storm_ms"`      // from the cut to fresh data at the last of the crowd
	Back       Float  `json:"back_ms"`       // from SIGKILL to fresh data at the last viewer
	Owed       int64  `json:"owed"`          // deliveries around the kill
	Lost       int64  `json:"lost"`          // of those: the broker had it, the viewer never did
	Doubtful   int64  `json:"doubtful"`      // of those: missing, and perhaps not the system's loss
	Doubled    int64  `json:"doubled"`       // deliveries beyond the first
	Hiccup     Float  `json:"hiccup_max_ms"` // the longest in which the rig itself did not run
	Failed     string `json:"failed,omitempty"`
}

// Beside is one of the systems, over all rounds.
type Beside struct {
	Name        string         `json:"name"`
	Version     string         `json:"version,omitempty"`
	Description string         `json:"description,omitempty"`
	Rounds      int            `json:"rounds"` // in which nothing failed
	Failed      string         `json:"failed,omitempty"`
	Deliveries  int64          `json:"deliveries"`
	Figures     []BesideFigure `json:"figures"` // one for each of BesideMeasures, in that order
	Kills       int            `json:"kills"`
	Owed        int64          `json:"owed"`
	Lost        int64          `json:"lost"`
	Doubtful    int64          `json:"doubtful"`
	Doubled     int64          `json:"doubled"`
}

// BesideFigure is a figure of a system over all rounds, of which less is better, and
// held against that of the first system. The round is the unit.
type BesideFigure struct {
	Rounds   int     `json:"rounds"` // that have it
	Median   Float   `json:"median"`
	Low      Float   `json:"low"` // 95 % interval of the median, by order statistics
	High     Float   `json:"high"`
	Ratio    Float   `json:"ratio"` // to the first system: median of all pairs of rounds; NaN for itself
	RatioLow Float   `json:"ratio_low"`
	RatioHi  Float   `json:"ratio_high"` // 95 % bootstrap interval
	P        Float   `json:"p"`          // two-sided Mann-Whitney
	Standing Abreast `json:"standing"`
}

// Abreast is how a figure stands beside that of the first system.
type Abreast string

// How a figure can stand.
const (
	AbreastItself Abreast = ""          // it is the first system's
	AbreastLess   Abreast = "less"      // shown to be less, so better
	AbreastMore   Abreast = "more"      // shown to be more
	AbreastAlike  Abreast = "alike"     // no difference shown, and a large one excluded
	AbreastOpen   Abreast = "undecided" // too few rounds, or they differ too much among themselves
)

// Measure is something that is measured of each system.
type Measure struct {
	ID   string
	Name string
	Unit string
	In   func(BesidePart) Float
}

// BesideMeasures are the figures of a SideBySide, of all of which less is better.
func BesideMeasures() []Measure {
	return []Measure{
		{"latency-p50", "latency p50", "ms", func(p BesidePart) Float { return p.LatencyP50 }},
		{"latency-p99", "latency p99", "ms", func(p BesidePart) Float { return p.LatencyP99 }},
		{"cpu", "CPU a delivery", "µs", func(p BesidePart) Float { return p.CPU }},
		{"memory", "memory a viewer", "KiB", func(p BesidePart) Float { return p.Memory }},
		{"storm", "reconnect storm", "ms", func(p BesidePart) Float { return p.Storm }},
		{"back", "back after SIGKILL", "ms", func(p BesidePart) Float { return p.Back }},
	}
}
