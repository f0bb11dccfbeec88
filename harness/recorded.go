package harness

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"plumbline/harness/oracle"
	"plumbline/harness/profile"
	"plumbline/harness/record"
	"plumbline/harness/sut"
	"plumbline/reports"
)

// Folders of a run directory.
const (
	RecordsFolder = "records" // of benches, one folder each
	LogsFolder    = "sut"     // of systems under test
)

// evidenceFile is what a bench leaves beside its recording.
const (
	evidenceFile   = "bench.json"
	evidenceFormat = "plumbline.bench/v1"
)

// Evidence is what only the live bench knew and a judgement needs. Together
// with the recording it is all that is kept of a bench. Figures that the
// records tell are not in Rig: they are not established there.
type Evidence struct {
	Format       string            `json:"format"`
	Name         string            `json:"name"`          // of the plan
	BrokerInside bool              `json:"broker_inside"` // the broker is part of the system under test
	SUT          reports.SUT       `json:"sut"`
	Devices      []reports.Device  `json:"devices"`
	Rig          reports.RigHealth `json:"rig"`
	Generator    string            `json:"generator,omitempty"`    // where the load came from: OwnProcess or WithinHarness
	Processes    []Process         `json:"processes,omitempty"`    // of the rig
	Gaps         []oracle.Gap      `json:"gaps"`                   // in which one of those did not run
	GapsFrom     time.Duration     `json:"gaps_from_ns,omitempty"` // where there were too many: Gaps holds all that are longer
	Usage        []Usage           `json:"usage"`
	Agents       []string          `json:"agents,omitempty"`  // folders below that of the bench, one for each agent that had viewers
	Pages        []string          `json:"pages,omitempty"`   // likewise, one for each page that a browser had open
	Lapses       []sut.Lapse       `json:"lapses,omitempty"`  // what its processes did wrong when they were told to end
	Omitted      []sut.Omission    `json:"omitted,omitempty"` // of its logs, which grew too long
}

// Usage is what the processes of the system under test used at one moment.
type Usage struct {
	At      int64         `json:"at_ns"`  // on the run clock
	CPU     time.Duration `json:"cpu_ns"` // user and system time of the present processes since their start
	RSS     uint64        `json:"rss_bytes"`
	Files   int           `json:"files"` // open descriptors, -1 where they cannot be counted
	Threads int           `json:"threads"`
}

// keepEvidence writes what the bench knows into its folder. It is called once,
// when everything has ended.
func (b *Bench) keepEvidence() error {
	rig := b.health
	rig.ClockSource = record.ClockSource()
	rig.ClockRead = reports.Float(clockCost(b.Clock).Nanoseconds())
	e := Evidence{
		Format: evidenceFormat, Name: b.plan.Name, BrokerInside: b.rig.brokerInside(), SUT: b.info,
		Devices: b.Devices(), Rig: rig, Generator: b.rig.Generator(), Processes: b.processes, Gaps: b.gaps, Usage: b.Usages(), Agents: b.agents, Pages: b.pages, Lapses: b.SUT.Lapses(), Omitted: b.SUT.Omitted(),
	}
	e.GapsFrom = b.gapsFrom
	text, err := json.MarshalIndent(e, "", " ")
	if err != nil {
		return fmt.Errorf("harness: evidence of bench %q: %w", b.Folder(), err)
	}
	return os.WriteFile(filepath.Join(b.dir, evidenceFile), append(text, '\n'), 0o644) //nolint:gosec // G306: evidence is for others to read
}

// Usages returns what the processes of the system used so far, one sample after the
// other; none where they are not of this machine.
func (b *Bench) Usages() []Usage {
	all := []Usage{}
	for _, u := range b.SUT.Usages() {
		all = append(all, Usage{At: int64(u.At.Sub(b.Clock.Epoch())), CPU: u.CPU, RSS: u.RSS, Files: u.Files, Threads: u.Threads})
	}
	return all
}

// Recorded is a bench as its files hold it. It is all that a judgement may see
// of a bench, and it touches no live part.
type Recorded struct {
	Evidence
	dir     string
	logs    string
	folder  string
	history *oracle.History // read at the first call of History
}

var folderName = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)

// OpenRecorded reads what a bench left in the folder of that name below the
// records of a run directory. The recording itself is read by History.
func OpenRecorded(runDir, folder string) (*Recorded, error) {
	if !folderName.MatchString(folder) {
		return nil, fmt.Errorf("harness: %q is no name of a bench's folder", folder)
	}
	r := &Recorded{dir: filepath.Join(runDir, RecordsFolder, folder), logs: filepath.Join(runDir, LogsFolder, folder), folder: folder}
	file := filepath.Join(r.dir, evidenceFile)
	err := record.ReadEvidence(file, maxEvidence, evidenceFormat, &r.Evidence)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("harness: bench %q left no evidence: %w", folder, err)
	}
	if err != nil {
		return nil, fmt.Errorf("harness: evidence of bench %q: %w", folder, err)
	}
	for _, name := range slices.Concat(r.Agents, r.Pages) {
		if !folderName.MatchString(name) {
			return nil, fmt.Errorf("harness: %q is damaged: %q is no folder of an agent or a page", file, name)
		}
	}
	return r, nil
}

// maxEvidence bounds what is read of one file of evidence: gaps and samples are
// bounded where they are taken.
const maxEvidence = 64 << 20

// Standstills returns when the rig itself did not run on this bench.
func (r *Recorded) Standstills() oracle.Standstills {
	return oracle.Standstills{Gaps: r.Gaps, From: r.GapsFrom}
}

// Folder returns the name of the bench's folder.
func (r *Recorded) Folder() string { return r.folder }

// Logs returns what the system under test has logged on this bench, with the
// copies of its configuration.
func (r *Recorded) Logs() fs.FS { return os.DirFS(r.logs) }

// Log reads the recording with what agents and pages recorded, for whoever passes it on; a
// judgement takes History. Damage is a *record.CorruptError.
func (r *Recorded) Log() (*record.Log, error) { return loadAll(r.dir, r.Agents, r.Pages) }

// History reads and indexes the recording, with what agents and pages recorded; it may be
// called again. When agents themselves did not run is in Gaps from then on. Damage
// is a *record.CorruptError, a clock that cannot be mapped is ErrClock.
func (r *Recorded) History() (*oracle.History, error) {
	if r.history != nil {
		return r.history, nil
	}
	log, err := loadAll(r.dir, r.Agents, r.Pages)
	if err != nil {
		return nil, fmt.Errorf("harness: bench %q: %w", r.folder, err)
	}
	gaps, err := r.agentGaps()
	if err != nil {
		return nil, fmt.Errorf("harness: bench %q: %w", r.folder, err)
	}
	if len(gaps) > 0 {
		r.Gaps = oracle.Union(r.Gaps, gaps)
	}
	r.history, err = oracle.Index(log)
	return r.history, err
}

// Options returns what an oracle needs to know about this bench.
func (r *Recorded) Options(requirement string) oracle.Options {
	return optionsOf(r.folder, r.BrokerInside, requirement)
}

// Options returns what an oracle needs to know about this bench, for a look at
// it while it runs.
func (b *Bench) Options(requirement string) oracle.Options {
	return optionsOf(b.Folder(), b.rig.brokerInside(), requirement)
}

func optionsOf(folder string, brokerInside bool, requirement string) oracle.Options {
	return oracle.Options{
		BrokerInside: brokerInside, Requirement: requirement,
		Evidence: path.Join(RecordsFolder, folder, "records.bin"),
	}
}

// Health returns how good the rig itself was: what the records tell, what its
// own instruments told, and the uncertainty that the profile states.
func (r *Recorded) Health(h *oracle.History, p *profile.Profile) reports.RigHealth {
	health := h.RigHealth(r.Options(""))
	own := r.Rig
	health.HiccupP99, health.HiccupMax = own.HiccupP99, own.HiccupMax
	health.FloorP50, health.FloorP99, health.FloorP999 = own.FloorP50, own.FloorP99, own.FloorP999
	health.GCPauseMax, health.ClockSource, health.ClockRead = own.GCPauseMax, own.ClockSource, own.ClockRead
	r.worsened(&health)
	health.Uncertainty = reports.Float(p.Gates.Guard.Seconds() * 1e3)
	return health
}
