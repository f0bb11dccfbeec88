package reports

import "time"

// CapacityFormat names the form of a Capacity in a file.
const CapacityFormat = "plumbline.capacity/v1"

// Capacity is how much of something one system carried on one machine, with what gave
// way and where the cost leads. It decides no verdict.
type Capacity struct {
	Format      string            `json:"format"`
	Tool        Tool              `json:"tool"`
	Started     time.Time         `json:"started"`
	Seed        uint64            `json:"seed"`
	Environment map[string]string `json:"environment"`
	SUT         SUT               `json:"sut"`
	Axis        string            `json:"axis"`       // rate, viewers, idle, payload or devices
	Processes   int               `json:"processes"`  // that held the viewers; 0 is that of the harness
	Generators  int               `json:"generators"` // processes that published, where it was said how many; else 0
	Cores       int               `json:"cores"`
	LatencyMost Float             `json:"latency_p99_most_ms"` // a step with more does not hold
	Steps       []CapacityStep    `json:"steps"`               // in ascending order of their loads
	Each        []UnitCost        `json:"each"`
	Growth      []Growth          `json:"growth"`
	Projections []Projection      `json:"projections"`
}

// CapacityStep is one load and what became of it.
type CapacityStep struct {
	Value      float64       `json:"value"` // on the axis
	Devices    int           `json:"devices"`
	Rate       float64       `json:"rate_per_s"`
	Viewers    int           `json:"viewers"`
	Idle       int           `json:"idle"` // viewers beside them that watch what is never published
	Payload    int           `json:"payload_more_bytes"`
	Window     time.Duration `json:"window_ns"`
	Offered    int64         `json:"offered"`
	Achieved   int64         `json:"achieved"`
	Deliveries int64         `json:"deliveries"`
	Lost       int64         `json:"lost"`
	LatencyP50 Float         `json:"latency_p50_ms"`
	LatencyP99 Float         `json:"latency_p99_ms"`
	CPU        Float         `json:"cpu_us"`      // of the system, for each delivery
	Cores      Float         `json:"cores"`       // that the system used
	BenchCores Float         `json:"bench_cores"` // that viewers and load used
	OtherCores Float         `json:"other_cores"` // that all else on the machine used, the kernel's own work among it
	RSS        Float         `json:"rss_mib"`     // of the system
	BenchRSS   Float         `json:"bench_rss_mib"`
	Limit      string        `json:"limit"` // what gave way; "" when the step held
}

// Held reports whether the system carried the step.
func (s CapacityStep) Held() bool { return s.Limit == "" }

// Knee returns the largest load that was carried and the smallest that was not, with
// what gave way; false for what there is none of.
func (c *Capacity) Knee() (last, first CapacityStep, held, gave bool) {
	for _, s := range c.Steps {
		if s.Held() && !gave {
			last, held = s, true
		} else if !s.Held() && !gave {
			first, gave = s, true
		}
	}
	return last, first, held, gave
}

// UnitCost is what one more on the axis costs, by a line through two of the steps that held
// as those of a Projection: the median over all such pairs, and the least and the most.
type UnitCost struct {
	Of    string `json:"of"`
	Unit  string `json:"unit"`
	Value Float  `json:"value"`
	Least Float  `json:"least"`
	Most  Float  `json:"most"`
}

// Growth is how what a cost is above that of no load grew along the axis: with the load to
// the power Exponent, by a curve a + b·x^Exponent through three steps that held, each of which
// is twice the one before at least, the last half of the largest at least: the median over all
// such threes, and the least and the most.
type Growth struct {
	Of       string `json:"of"`
	Exponent Float  `json:"exponent"`
	Least    Float  `json:"least"`
	Most     Float  `json:"most"`
	Steps    int    `json:"steps"` // that held
}

// Projection is where a cost leads by a line through two of the steps that held, of which
// one is twice the other at least and half of the largest at least: the median over all
// such pairs, and the least and the most that any of them gives.
type Projection struct {
	Of    string  `json:"of"`
	Unit  string  `json:"unit"`
	At    float64 `json:"at"`
	Value Float   `json:"value"`
	Least Float   `json:"least"`
	Most  Float   `json:"most"`
	Ratio Float   `json:"ratio"` // of At to the largest load that was carried
}
