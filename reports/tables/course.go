package tables

import "plumbline/reports"

// Cell is a row of rasters: what became at worst of the messages of one device
// that were due in one slot.
type Cell struct {
	Run      string `parquet:"run"`
	Scenario string `parquet:"scenario"`
	Device   string `parquet:"device"`
	At       int64  `parquet:"at_ns"`
	Slot     int64  `parquet:"slot_ns"`
	Fate     string `parquet:"fate"` // whole, blocked, duplicated, reordered, unconfirmed, corrupted, phantom, lost
}

// Return is a row of returns: one way back of one viewer. What did not happen is
// NaN.
type Return struct {
	Run        string  `parquet:"run"`
	Scenario   string  `parquet:"scenario"`
	Viewer     string  `parquet:"viewer"`
	Fault      string  `parquet:"fault"`
	Lost       int64   `parquet:"lost_ns"`
	Back       float64 `parquet:"back_ms"`
	Subscribed float64 `parquet:"subscribed_ms"`
	Fresh      float64 `parquet:"fresh_ms"`
	Recovered  bool    `parquet:"recovered"`
	Reason     string  `parquet:"reason"`
}

// Usage is a row of resources: what the processes of the system used at one
// instant.
type Usage struct {
	Run      string `parquet:"run"`
	Bench    string `parquet:"bench"`
	Scenario string `parquet:"scenario"`
	At       int64  `parquet:"at_ns"`
	CPU      int64  `parquet:"cpu_ns"`
	RSS      int64  `parquet:"rss_bytes"`
	Files    int64  `parquet:"files"` // -1 where they cannot be counted
	Threads  int64  `parquet:"threads"`
}

// UsageFault is a row of resource_faults: when a fault was there, on the clock of
// the bench whose resources were looked at.
type UsageFault struct {
	Run      string `parquet:"run"`
	Bench    string `parquet:"bench"`
	Scenario string `parquet:"scenario"`
	Name     string `parquet:"fault"`
	Onset    int64  `parquet:"onset_ns"`
	End      int64  `parquet:"end_ns"`
}

// fates are the words for the letters of reports.Fates, as integrity has them.
var fates = map[byte]string{
	'o': "whole", 'b': "blocked", 'd': "duplicated", 'r': "reordered", 'u': "unconfirmed", 'c': "corrupted", 'p': "phantom", 'l': "lost",
}

// Cells lays out the rasters: a row for each slot in which something of a device
// was due.
func Cells(run *reports.Run) (rows []Cell) {
	for _, r := range run.Rasters {
		for _, row := range r.Rows {
			for i := range len(row.Cells) {
				if fate, due := fates[row.Cells[i]]; due {
					rows = append(rows, Cell{Run: run.ID, Scenario: r.Scenario, Device: row.Device, At: int64(i) * int64(r.Slot), Slot: int64(r.Slot), Fate: fate})
				}
			}
		}
	}
	return rows
}

// Returns lays out the ways back of viewers. Those that the summary omits are in
// the records only.
func Returns(run *reports.Run) (rows []Return) {
	for _, c := range run.Recoveries {
		for _, r := range c.Returns {
			rows = append(rows, Return{Run: run.ID, Scenario: c.Scenario, Viewer: r.Viewer, Fault: r.Fault, Lost: int64(r.Lost), Back: float64(r.Back),
				Subscribed: float64(r.Subscribed), Fresh: float64(r.Fresh), Recovered: r.Recovered, Reason: r.Reason})
		}
	}
	return rows
}

// Usages lays out the resources of the system under test.
func Usages(run *reports.Run) (rows []Usage) {
	for _, r := range run.Resources {
		for _, s := range r.Samples {
			rows = append(rows, Usage{Run: run.ID, Bench: r.Name, Scenario: r.Scenario, At: int64(s.At), CPU: int64(s.CPU), RSS: s.RSS,
				Files: int64(s.Files), Threads: int64(s.Threads)})
		}
	}
	return rows
}

// UsageFaults lays out the fault windows of the resources.
func UsageFaults(run *reports.Run) (rows []UsageFault) {
	for _, r := range run.Resources {
		for _, f := range r.Faults {
			rows = append(rows, UsageFault{Run: run.ID, Bench: r.Name, Scenario: r.Scenario, Name: f.Name, Onset: int64(f.Onset), End: int64(f.End)})
		}
	}
	return rows
}
