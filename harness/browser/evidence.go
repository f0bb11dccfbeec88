package browser

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"plumbline/harness/clocks"
	"plumbline/harness/record"
)

// Files beside the recording of a page.
const (
	clockFile      = "clock.jsonl"
	evidenceFile   = EvidenceFile
	evidenceFormat = "plumbline.page/v1"
)

// clockPrefix tells the clock of a page from that of an agent (oracle.PageClock).
const clockPrefix = "page "

// EvidenceFile is what tells that a folder is that of a page.
const EvidenceFile = "page.json"

// Steps of performance.now(): a page that is isolated from other origins has finer ones.
const (
	StepIsolated = 5 * time.Microsecond
	StepShared   = 100 * time.Microsecond
)

// Evidence is what a page leaves beside recording and exchanges.
type Evidence struct {
	Format  string `json:"format"`
	Name    string `json:"name"`
	Browser string `json:"browser"`
	Address string `json:"address"` // without query and fragment
	// Isolated: crossOriginIsolated held in every document, so that Step is StepIsolated.
	Isolated    bool          `json:"cross_origin_isolated"`
	Step        time.Duration `json:"step_ns"`
	Hidden      bool          `json:"hidden"` // the tab was, after the first message
	Frames      bool          `json:"frames"` // were stamped
	Documents   int           `json:"documents"`
	Connections int64         `json:"connections"` // that it asked for
	Messages    uint64        `json:"messages"`    // that it got, with and without readings
	Readings    uint64        `json:"readings"`
	Damaged     int64         `json:"damaged"` // own payloads that were changed
	// Of the time of its main thread: what the instrument took by its own count, and
	// what everything took, scripts alone and all tasks, by the browser's.
	Instrument float64 `json:"instrument_share"`
	Scripts    float64 `json:"scripts_share"`
	Tasks      float64 `json:"tasks_share"`
	HeapBefore float64 `json:"heap_before_bytes"`
	HeapAfter  float64 `json:"heap_after_bytes"`
	Floor      *Floor  `json:"floor,omitempty"` // of the same browser, before
	Lost       string  `json:"lost,omitempty"`  // what did not arrive
}

// evidence is what is known at the end; the caller holds mu.
func (p *Page) evidence(lost error) Evidence {
	s := &p.state
	m := &s.metrics
	e := Evidence{
		Format: evidenceFormat, Name: p.cfg.Name, Browser: p.browser.Version(), Address: p.address(),
		Isolated: s.isolated, Step: StepShared, Hidden: s.hidden, Frames: p.cfg.Frames,
		Documents: len(s.documents), Connections: s.opened, Messages: s.counters.Batches, Readings: s.counters.Received, Damaged: s.damaged,
		Instrument: share(s.spent, s.spans), HeapBefore: m.heap[0], HeapAfter: m.heap[1],
		Scripts: share(m.scripts[1]-m.scripts[0], m.at[1]-m.at[0]), Tasks: share(m.tasks[1]-m.tasks[0], m.at[1]-m.at[0]),
		Floor: p.cfg.Floor,
	}
	if s.isolated {
		e.Step = StepIsolated
	}
	if lost != nil {
		e.Lost = lost.Error()
	}
	return e
}

// maxFile bounds what is read of a file that is no recording.
const maxFile = 256 << 20

// ReadEvidence reads what a page left in its folder. While it is open there is none:
// the error is fs.ErrNotExist.
func ReadEvidence(dir string) (Evidence, error) {
	var e Evidence
	path := filepath.Join(dir, evidenceFile)
	if err := record.ReadEvidence(path, maxFile, evidenceFormat, &e); err != nil {
		return e, fmt.Errorf("browser: evidence: %w", err)
	}
	if e.Step <= 0 || e.Step > time.Second {
		return e, fmt.Errorf("browser: %q is damaged: a clock with steps of %v", path, e.Step)
	}
	return e, nil
}

// ReadClock reads the exchanges of a page and fits the mapping of its clocks, each
// time anew. Its errors are those of Fit, or of damage.
func ReadClock(dir string) (*Map, error) {
	e, err := ReadEvidence(dir)
	if err != nil {
		return nil, err
	}
	text, err := record.ReadPlain(filepath.Join(dir, clockFile), maxFile)
	if err != nil {
		return nil, fmt.Errorf("browser: exchanges: %w", err)
	}
	exchanges, err := clocks.Read(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	return Fit(exchanges, e.Step)
}

// Load adds what a page recorded in its folder to the recording of its bench, in the
// time of the bench. The error wraps clocks.ErrFew when something came in a document
// that did not live long enough to know its clock.
func Load(dir string, log *record.Log) (*Map, error) {
	part, err := record.Load(dir)
	if err != nil {
		return nil, err
	}
	e, err := ReadEvidence(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("browser: the page in %q was not closed: %w", dir, err)
	case err != nil:
		return nil, err
	case e.Lost != "":
		part.Partial = true
	}
	m, err := ReadClock(dir)
	if err != nil {
		return nil, err
	}
	for _, r := range part.Records {
		if m.Missing(r.At) {
			return nil, fmt.Errorf("browser: %w with document %d of page %q, in which messages came", clocks.ErrFew, documentOf(r.At), e.Name)
		}
	}
	events := part.Events[:0]
	for _, event := range part.Events {
		if !m.Missing(event.At) { // nothing came then
			events = append(events, event)
		}
	}
	part.Events = events
	return m, record.Merge(log, part, clockPrefix+e.Name, m)
}
