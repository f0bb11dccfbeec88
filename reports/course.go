package reports

import "time"

// Resources is what the processes of the system under test used of the machine
// while one bench was open. Instants are on the run clock of that bench.
type Resources struct {
	Name     string        `json:"name"` // of the bench, unique in its run
	Scenario string        `json:"scenario"`
	Samples  []Usage       `json:"samples"` // in the order of time
	Faults   []FaultWindow `json:"faults,omitempty"`
}

// Usage is one sample of Resources, or the worst of several that lay close
// together.
type Usage struct {
	At      time.Duration `json:"at_ns"`
	CPU     time.Duration `json:"cpu_ns"` // user and system time of the present processes since their start
	RSS     int64         `json:"rss_bytes"`
	Files   int           `json:"files"` // open descriptors, -1 where they cannot be counted
	Threads int           `json:"threads"`
}

// Recovery is how the viewers of a scenario came back after they had lost their
// connection.
type Recovery struct {
	Scenario string   `json:"scenario"`
	Returns  []Return `json:"returns"`           // in the order of the losses
	Omitted  int      `json:"omitted,omitempty"` // further ones, which only the records hold
}

// Return is one way back of one viewer. Steps are milliseconds after Lost, NaN
// when there was none.
type Return struct {
	Viewer     string        `json:"viewer"`
	Fault      string        `json:"fault,omitempty"` // that made it; "" when none was injected
	Lost       time.Duration `json:"lost_ns"`         // the viewer noticed, on the run clock
	Back       Float         `json:"back_ms"`         // connected again
	Subscribed Float         `json:"subscribed_ms"`   // all that it watches is live again from here
	Fresh      Float         `json:"fresh_ms"`        // the first message came that was due after Subscribed
	Recovered  bool          `json:"recovered"`       // the system said that nothing was lost
	Reason     string        `json:"reason,omitempty"`
}

// Raster tells for every device of a scenario what became of its messages, slot
// by slot of the time at which they were due.
type Raster struct {
	Scenario string        `json:"scenario"`
	Slot     time.Duration `json:"slot_ns"`
	Rows     []RasterRow   `json:"rows"`
}

// RasterRow is one device of a Raster: a letter per slot, that of the gravest
// fate of any message in it.
type RasterRow struct {
	Device string `json:"device"`
	Cells  string `json:"cells"` // of Fates
}

// Fates are the letters of a RasterRow, the harmless first: nothing was due, all
// came once and in order, could not be sent, came twice, out of order, did not come
// and perhaps not by fault of the system, damaged, of nobody, lost.
const Fates = ".obdrucpl"

// Uncertainty is the budget of the systematic uncertainty of a latency
// (GUM type, k = 2). Statistical spread is no part of it: the decision rule
// carries that.
type Uncertainty struct {
	Components []Component `json:"components"`
	Combined   Float       `json:"combined_ms"` // root of the sum of squares
	Expanded   Float       `json:"expanded_ms"` // 2 × Combined
	Applied    Float       `json:"applied_ms"`  // by which limits were guarded: at least Expanded
	Source     string      `json:"source"`      // why Applied is what it is
}

// Component is one line of an uncertainty budget.
type Component struct {
	Name         string `json:"name"`
	Distribution string `json:"distribution"` // "rectangular ±40 µs", "normal", "type A"
	Standard     Float  `json:"standard_ms"`  // standard uncertainty u
}

// Gate is a validity gate: what must hold for figures to count.
type Gate struct {
	Code Reason `json:"code"`
	Text string `json:"text"` // what must hold, with the thresholds of the profile
}
