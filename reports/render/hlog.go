package render

import (
	"bytes"
	"fmt"
	"path"
	"strings"
	"time"

	"plumbline/reports"
	"plumbline/reports/hdr"
)

// LatencyFolder holds an HdrHistogram log of each distribution of the run.
const LatencyFolder = "latency"

// file is one file of a run directory. Its name uses slashes.
type file struct {
	name    string
	content []byte
}

// logs returns an HdrHistogram log for each distribution that kept its
// histogram, named after the scenario; a second one of a scenario ends in -2.
func logs(run *reports.Run) ([]file, error) {
	raw := run.Latencies // what is encoded is checked where it is written, and must not be cut
	run = sanitize(run)
	var all []file
	names := uniqueNames{used: map[string]bool{}, next: map[string]int{}}
	for i, d := range run.Latencies {
		if d.HDR == "" {
			continue
		}
		name := names.take(fileName(d.Scenario))
		start, length := interval(run, d.Scenario)
		log := hdr.Log{Start: start, Length: length, Encoded: raw[i].HDR, Comments: []string{
			fmt.Sprintf("plumbline run %s, scenario %s: %s", run.ID, d.Scenario, d.Name),
			fmt.Sprintf("%d latencies in nanoseconds from the intended instant; the %d that never came count as %s", d.N, d.Lost, hdr.Highest),
		}}
		var buf bytes.Buffer
		if err := log.Write(&buf); err != nil {
			return nil, fmt.Errorf("render: latencies %q of scenario %q: %w", d.Name, d.Scenario, err)
		}
		all = append(all, file{name: path.Join(LatencyFolder, name+".hlog"), content: buf.Bytes()})
	}
	return all, nil
}

// uniqueNames gives out names of files, none twice; not every file system tells a
// from A.
type uniqueNames struct {
	used map[string]bool
	next map[string]int // for a name that was asked for again: the number that was not tried yet
}

// take returns base, or base with the first number behind it that is free.
func (u uniqueNames) take(base string) string {
	name, key := base, strings.ToLower(base)
	for n := max(u.next[key], 2); u.used[strings.ToLower(name)]; n++ {
		name = fmt.Sprintf("%s-%d", base, n)
		u.next[key] = n + 1
	}
	u.used[strings.ToLower(name)] = true
	return name
}

// interval is when a scenario ran last: of attempts that were repeated the last
// is the one whose figures are shown. Of a scenario without results it is the
// whole run.
func interval(run *reports.Run, scenario string) (time.Time, time.Duration) {
	start, length := run.Started, run.Finished.Sub(run.Started)
	for found, i := false, 0; i < len(run.Results); i++ {
		if r := &run.Results[i]; r.Scenario == scenario && (!found || r.Started.After(start)) {
			start, length, found = r.Started, r.Duration, true
		}
	}
	return start, length
}

// longestName leaves room for "-2.hlog" in the 255 bytes of a file name.
const longestName = 100

// fileName makes a name that is the same on every system out of foreign text.
func fileName(text string) string {
	name := strings.Map(func(r rune) rune {
		if r < 0x80 && strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", r) {
			return r
		}
		return '_'
	}, text)
	if name == "" {
		return "unnamed"
	}
	return name[:min(len(name), longestName)]
}
