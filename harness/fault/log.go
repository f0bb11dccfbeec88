package fault

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"plumbline/harness/record"
)

// LogFile is the name of the fault log in the folder of a recording, LogFormat
// what its first line calls the format.
const (
	LogFile   = "faults.jsonl"
	LogFormat = "plumbline.faults/v1"
)

// Entry is one line of a fault log after the first.
type Entry struct {
	Fault string `json:"fault"`
	Do    string `json:"do"`             // the kind of the event: fault-onset, fault-action, fault-end
	What  string `json:"what,omitempty"` // of an action
	Link  uint64 `json:"link,omitempty"` // number of the connection from 1, in order of arrival
	Way   string `json:"way,omitempty"`
	N     uint64 `json:"n,omitempty"` // of the packet, frame or byte that was hit, counted from the onset
	Fired string `json:"fired,omitempty"`
	Error string `json:"error,omitempty"`
}

// WriteLog writes the fault log of the recording in dir beside it. The log is
// made of the recording's events and of nothing else; it holds no time, so that
// the same seed and the same traffic give the same bytes.
func WriteLog(dir string) error {
	events, err := record.LoadEvents(dir)
	if err != nil {
		return fmt.Errorf("fault: log: %w", err)
	}
	text, err := Log(events)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, LogFile), text, 0o644) //nolint:gosec // G306: evidence is for others to read
}

// Log returns the fault log that events make: JSON lines, first the format, then
// every fault in the order of onset, its actions by connection, way and number,
// its end. Connections act side by side, so the order in which their actions
// were stamped means nothing and is not kept.
func Log(events []record.Event) ([]byte, error) {
	events = slices.Clone(events)
	slices.SortStableFunc(events, func(a, b record.Event) int { return cmp.Compare(a.At, b.At) })
	var groups [][]Entry
	latest := map[string]int{} // index of the group of a fault
	for _, e := range events {
		switch e.Kind {
		case record.FaultOnset, record.FaultAction, record.FaultEnd:
		default:
			continue
		}
		entry, err := entryOf(e)
		if err != nil {
			return nil, err
		}
		at, known := latest[e.Subject]
		if !known || e.Kind == record.FaultOnset {
			at = len(groups)
			latest[e.Subject] = at
			groups = append(groups, nil)
		}
		groups[at] = append(groups[at], entry)
	}
	var out bytes.Buffer
	lines := json.NewEncoder(&out)
	lines.SetEscapeHTML(false)
	if err := lines.Encode(map[string]string{"format": LogFormat}); err != nil {
		return nil, err
	}
	for _, group := range groups {
		slices.SortStableFunc(group, byPlace)
		for _, entry := range group {
			if err := lines.Encode(entry); err != nil {
				return nil, err
			}
		}
	}
	return out.Bytes(), nil
}

// byPlace puts the onset first and the end last.
func byPlace(a, b Entry) int {
	rank := map[string]int{string(record.FaultOnset): 0, string(record.FaultAction): 1, string(record.FaultEnd): 2}
	return cmp.Or(cmp.Compare(rank[a.Do], rank[b.Do]), cmp.Compare(a.Link, b.Link), cmp.Compare(a.Way, b.Way), cmp.Compare(a.N, b.N))
}

func entryOf(e record.Event) (Entry, error) {
	entry := Entry{Fault: e.Subject, Do: string(e.Kind), What: e.Detail, Way: e.Fields["way"], Fired: e.Fields["fired"], Error: e.Fields["error"]}
	for name, to := range map[string]*uint64{"link": &entry.Link, "n": &entry.N} {
		text, ok := e.Fields[name]
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return Entry{}, fmt.Errorf("fault: log: action of %q has %s %q, which is no number; the recording is damaged", e.Subject, name, text)
		}
		*to = n
	}
	return entry, nil
}
