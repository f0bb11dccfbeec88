package agent

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"plumbline/harness/clocks"
	"plumbline/harness/load"
	"plumbline/harness/record"
)

// Files of a session in a run directory, beside those of its recording.
const (
	clockFile      = "clock.jsonl" // of exchanges
	sharedFile     = "clock.json"  // in its place where the agent kept the clock of the bench
	sharedFormat   = "plumbline.clock/v1"
	indexFile      = "index.json"
	evidenceFile   = "agent.json"
	evidenceFormat = "plumbline.agent/v1"
)

// Evidence is what a session leaves beside recording and exchanges. Instants are
// those of the agent's clock.
type Evidence struct {
	Format    string        `json:"format"`
	Address   string        `json:"address"` // as it was named
	About     About         `json:"about"`
	HiccupP99 time.Duration `json:"hiccup_p99_ns"`
	HiccupMax time.Duration `json:"hiccup_max_ns"`
	Gaps      []load.Gap    `json:"gaps"`                   // in which the agent itself did not run
	GapsFrom  time.Duration `json:"gaps_from_ns,omitempty"` // where there were too many: Gaps holds all that are longer
	Lost      string        `json:"lost,omitempty"`         // what did not arrive
}

// sharedClock says that agent and bench had one clock, with that zero.
type sharedClock struct {
	Format string        `json:"format"`
	Origin record.Origin `json:"origin"`
}

// Clock maps the clock of an agent to that of its bench.
type Clock struct{ *clocks.Map } // nil where both had one clock

// Shared reports whether both had one clock: nothing is mapped and nothing uncertain.
func (c Clock) Shared() bool { return c.Map == nil }

// Local returns an instant of the agent in the time of the bench.
func (c Clock) Local(remote int64) int64 {
	if c.Shared() {
		return remote
	}
	return c.Map.Local(remote)
}

// Uncertainty returns how far Local may be off, either way.
func (c Clock) Uncertainty(remote int64) time.Duration {
	if c.Shared() {
		return 0
	}
	return c.Map.Uncertainty(remote)
}

// maxFile bounds what is read of a file that is no recording.
const maxFile = 256 << 20

// ReadEvidence reads what a session left in its folder. While it runs there is
// none yet: the error is fs.ErrNotExist.
func ReadEvidence(dir string) (Evidence, error) {
	var e Evidence
	if err := record.ReadEvidence(filepath.Join(dir, evidenceFile), maxFile, evidenceFormat, &e); err != nil {
		return e, fmt.Errorf("agent: evidence: %w", err)
	}
	return e, nil
}

// ReadClock reads the exchanges of a session and fits the mapping of its clock,
// each time anew. Its errors are those of clocks.Fit, or of damage.
func ReadClock(dir string) (Clock, error) {
	var shared sharedClock
	err := record.ReadEvidence(filepath.Join(dir, sharedFile), maxFile, sharedFormat, &shared)
	if err == nil {
		return Clock{}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return Clock{}, fmt.Errorf("agent: clock: %w", err)
	}
	text, err := record.ReadPlain(filepath.Join(dir, clockFile), maxFile)
	if err != nil {
		return Clock{}, fmt.Errorf("agent: exchanges: %w", err)
	}
	exchanges, err := clocks.Read(bytes.NewReader(text))
	if err != nil {
		return Clock{}, err
	}
	m, err := clocks.Fit(exchanges, 0)
	return Clock{m}, err
}

// Load adds what a session recorded in its folder to the recording of its
// bench, in the time of the bench. It returns the mapping of the clock. A
// session that is still at work is read as far as it was fetched.
func Load(dir string, log *record.Log) (Clock, error) {
	part, err := record.Load(dir)
	if err != nil {
		return Clock{}, err
	}
	e, err := ReadEvidence(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		part.Partial = true
	case err != nil:
		return Clock{}, err
	case e.Lost != "":
		part.Partial = true
	}
	m, err := ReadClock(dir)
	if err != nil {
		return Clock{}, err
	}
	name := cmp.Or(e.Address, filepath.Base(dir))
	if m.Shared() {
		name = ""
	}
	return m, record.Merge(log, part, name, m)
}

// describe writes what is to be known of the agent besides its recording.
func (s *Session) describe(answer finishAnswer, lost error) error {
	e := Evidence{
		Format: evidenceFormat, Address: s.host.target.Address, About: s.host.about,
		HiccupP99: answer.HiccupP99, HiccupMax: answer.HiccupMax, Gaps: answer.Gaps, GapsFrom: answer.GapsFrom,
	}
	if lost != nil {
		e.Lost = lost.Error()
	}
	text, err := json.MarshalIndent(e, "", " ")
	if err != nil {
		return err
	}
	return replace(filepath.Join(s.cfg.Dir, evidenceFile), append(text, '\n'))
}

// replace writes a file in one step.
func replace(path string, text []byte) error {
	if err := os.WriteFile(path+".new", text, 0o644); err != nil { //nolint:gosec // G306: evidence is for others to read
		return err
	}
	return os.Rename(path+".new", path)
}
