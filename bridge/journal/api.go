package journal

import (
	"errors"
	"fmt"
	"time"
)

// SyncPolicy says what holds before a message is acknowledged and becomes
// visible. The zero value is [SyncOS].
type SyncPolicy string

// The policies, from the fastest to the safest.
const (
	// SyncMemory: the message is in this process's memory; it is written soon
	// after. A crash of the process may lose what was acknowledged, so an unclean
	// stop always renews the epoch.
	SyncMemory SyncPolicy = "memory"
	// SyncOS: write(2) has returned. A killed process loses nothing; a crash of
	// the machine may, and then the epoch is renewed.
	SyncOS SyncPolicy = "os"
	// SyncDurable: fsync(2) has returned, one for all who wait at that moment. A
	// crash of the machine loses nothing.
	SyncDurable SyncPolicy = "durable"
)

// Message is what a publisher handed over.
type Message struct {
	Topic       string    // a valid topic name
	Payload     []byte    // any bytes; Append copies them, readers must not change them
	QoS         byte      // 0, 1 or 2
	Retain      bool      // the MQTT retain flag
	Producer    string    // who counts ProducerSeq; "" for none
	ProducerSeq uint64    // counted by the producer from 1; 0 for none
	Meta        []byte    // what goes with the message and the journal does not read; at most MaxMeta bytes
	Time        time.Time // ingest time, which RetainAge counts; the zero value means now. Kept in microseconds, UTC
}

// Entry is a message with its place in the log. Its bytes are shared by all
// readers and must not be changed.
type Entry struct {
	Offset uint64
	Message
}

// Cursor is a place in the log: everything up to and including Offset was seen.
type Cursor struct {
	Epoch  string
	Offset uint64
}

// The errors that callers branch on.
var (
	// ErrClosed: the journal was closed.
	ErrClosed = errors.New("journal: closed")
	// ErrDegraded: writing failed and has not worked again yet. Nothing is
	// accepted; the journal tries by itself until it can.
	ErrDegraded = errors.New("journal: not writable at the moment")
	// ErrInDoubt: whether the message is stored is not known yet, and it may still be. Only a log that
	// other processes keep has it, see package relay; Append of this package knows.
	ErrInDoubt = errors.New("journal: not known whether it is stored")
	// ErrTooLarge: the message does not fit into a record.
	ErrTooLarge = errors.New("journal: message too large")
	// ErrLocked: another journal holds the directory.
	ErrLocked = errors.New("another running bridge holds this journal; stop it or choose another data directory")
)

// ErrEvicted says that entries after the asked cursor are gone, by retention or
// because they were found damaged. First is the oldest offset that is still
// readable; it may be one more than the head when nothing is.
type ErrEvicted struct{ First uint64 }

// Error implements error.
func (e ErrEvicted) Error() string {
	return fmt.Sprintf("journal: entries before offset %d are gone", e.First)
}
