package export

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"plumbline/harness"
	"plumbline/harness/record"
)

// Record is a row of records: one observation of one message, with what the
// numbers of the recording mean. Instants are on the clock of its bench.
type Record struct {
	Run       string `parquet:"run,dict"`
	Bench     string `parquet:"bench,dict"`
	Kind      string `parquet:"kind,dict"` // sent, acked, blocked, witnessed, received, restored
	Node      string `parquet:"node,dict"`
	Role      string `parquet:"role,dict"`
	Device    string `parquet:"device,dict"` // "" when unknown
	Topic     string `parquet:"topic,dict"`
	Mode      string `parquet:"mode,dict"`
	Seq       uint64 `parquet:"seq"` // from 1; 0 when unknown
	Due       *int64 `parquet:"due_ns,optional"`
	At        int64  `parquet:"at_ns"`
	End       *int64 `parquet:"end_ns,optional"`     // of a write
	Latency   *int64 `parquet:"latency_ns,optional"` // from the intended instant of the message
	Bytes     int64  `parquet:"bytes"`
	Digest    string `parquet:"digest"` // of the payload, 16 hexadecimal digits
	Offset    uint64 `parquet:"offset"` // in the journal of the system, 0 for none
	Epoch     string `parquet:"epoch,dict"`
	Attempt   int64  `parquet:"attempt"` // of a write, from 1
	Retained  bool   `parquet:"retained"`
	Dup       bool   `parquet:"dup"`
	Foreign   bool   `parquet:"foreign"`
	Corrupt   bool   `parquet:"corrupt"`
	CatchUp   bool   `parquet:"catch_up"`
	Misrouted bool   `parquet:"misrouted"`
}

// Event is a row of events: anything that is not a message.
type Event struct {
	Run     string `parquet:"run,dict"`
	Bench   string `parquet:"bench,dict"`
	At      int64  `parquet:"at_ns"`
	Kind    string `parquet:"kind,dict"`
	Subject string `parquet:"subject,dict"`
	Detail  string `parquet:"detail"`
	Fields  string `parquet:"fields"` // a JSON object; "" for none
}

// kinds are the words for kinds of records.
var kinds = map[record.Kind]string{
	record.Sent: "sent", record.Acked: "acked", record.Blocked: "blocked",
	record.Witnessed: "witnessed", record.Received: "received", record.Restored: "restored",
}

// recordings writes the records and the events of all benches, in the order of
// their names.
func (e *exporter) recordings(dir, run string) error {
	benches, err := benchesOf(dir)
	if err != nil {
		return err
	}
	return fill(e, "records", func(records table[Record]) error {
		return fill(e, "events", func(events table[Event]) error {
			for _, bench := range benches {
				log, err := load(dir, bench)
				if err != nil {
					return err
				}
				if log.Partial {
					e.Partial = append(e.Partial, bench)
				}
				if err := errors.Join(rows(log, run, bench, records), eventRows(log, run, bench, events)); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// benchesOf names the folders below records/. A run without records has none.
func benchesOf(dir string) (names []string, err error) {
	entries, err := os.ReadDir(filepath.Join(dir, harness.RecordsFolder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, entry := range entries {
		if entry.Type()&fs.ModeSymlink != 0 {
			return nil, fmt.Errorf("export: %w", &record.CorruptError{Path: filepath.Join(dir, harness.RecordsFolder, entry.Name()), Reason: "it is a link"})
		}
		if entry.IsDir() {
			names = append(names, entry.Name())
		}
	}
	return names, nil
}

// load reads the recording of a bench; that of a killed run has no evidence of the
// bench beside it.
func load(dir, bench string) (*record.Log, error) {
	recorded, err := harness.OpenRecorded(dir, bench)
	if errors.Is(err, fs.ErrNotExist) {
		return record.Load(filepath.Join(dir, harness.RecordsFolder, bench))
	}
	if err != nil {
		return nil, err
	}
	return recorded.Log()
}

// rows lays out the records of a log.
func rows(log *record.Log, run, bench string, to table[Record]) error {
	due := intended(log)
	for i := range log.Records {
		r := &log.Records[i]
		row := Record{Run: run, Bench: bench, Kind: kinds[r.Kind], Seq: r.Seq, At: r.At, Bytes: int64(r.Bytes), Digest: fmt.Sprintf("%016x", r.Digest), Offset: r.Offset,
			Retained: r.Flags&record.FlagRetained != 0, Dup: r.Flags&record.FlagDup != 0, Foreign: r.Flags&record.FlagForeign != 0,
			Corrupt: r.Flags&record.FlagCorrupt != 0, CatchUp: r.Flags&record.FlagCatchUp != 0, Misrouted: r.Flags&record.FlagMisrouted != 0}
		if int(r.Node) < len(log.Index.Nodes) {
			row.Node, row.Role = log.Index.Nodes[r.Node].Name, log.Index.Nodes[r.Node].Role
		}
		if r.Stream != record.NoStream && int64(r.Stream) < int64(len(log.Index.Streams)) {
			s := &log.Index.Streams[r.Stream]
			row.Device, row.Topic, row.Mode = s.Device, s.Topic, s.Mode
		}
		switch r.Kind {
		case record.Sent:
			row.Attempt, row.End = int64(r.Aux), &r.End
		case record.Received, record.Restored:
			if int64(r.Aux) < int64(len(log.Index.Epochs)) {
				row.Epoch = log.Index.Epochs[r.Aux]
			}
		}
		if at, known := due[message{r.Stream, r.Seq}]; known {
			latency := r.At - at
			row.Due, row.Latency = &at, &latency
		}
		if err := to.Write(row); err != nil {
			return err
		}
	}
	return nil
}

// message is one message of one stream.
type message struct {
	stream uint32
	seq    uint64
}

// intended returns when each message of known position was due.
func intended(log *record.Log) map[message]int64 {
	due := map[message]int64{}
	for i := range log.Records {
		r := &log.Records[i]
		if (r.Kind == record.Sent || r.Kind == record.Blocked) && r.Stream != record.NoStream && r.Seq > 0 {
			due[message{r.Stream, r.Seq}] = r.Due
		}
	}
	return due
}

func eventRows(log *record.Log, run, bench string, to table[Event]) error {
	for _, ev := range log.Events {
		row := Event{Run: run, Bench: bench, At: ev.At, Kind: string(ev.Kind), Subject: ev.Subject, Detail: ev.Detail}
		if len(ev.Fields) > 0 {
			text, err := json.Marshal(ev.Fields)
			if err != nil {
				return err
			}
			row.Fields = string(text)
		}
		if err := to.Write(row); err != nil {
			return err
		}
	}
	return nil
}
