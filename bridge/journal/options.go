package journal

import (
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// The defaults of [Options].
const (
	DefaultSegmentBytes = 64 << 20
	DefaultRetainBytes  = 1 << 30
	DefaultRetainAge    = 24 * time.Hour
	DefaultTailBytes    = 64 << 20
	DefaultTableBytes   = 64 << 20
)

// Options configures a journal. Only Dir is required.
type Options struct {
	// Dir holds the journal. It is made when missing, readable by its owner only,
	// and held by one journal at a time.
	Dir string
	// Sync is what an acknowledgement means; default [SyncOS].
	Sync SyncPolicy
	// SegmentBytes closes a segment at about this size. At least 4 KiB.
	SegmentBytes int64
	// RetainBytes drops the oldest segments when all together are larger. The
	// newest always stays.
	RetainBytes int64
	// RetainAge drops segments whose youngest entry is older. Negative: no limit.
	RetainAge time.Duration
	// TailBytes bounds the memory for the youngest entries, those that readers who
	// keep up read.
	TailBytes int64
	// TableBytes bounds the memory for last values, and once more that for
	// producers. Beyond it the longest untouched topic or producer is forgotten.
	TableBytes int64
	// Now gives ingest times and the present for RetainAge; default [time.Now].
	Now func() time.Time
	// Random names epochs; default [rand.Reader].
	Random io.Reader
	// Renew, when not empty, says why the epoch cannot go on although the files prove that it could.
	Renew string
	// Log receives what an operator should know; default none.
	Log *slog.Logger

	fs   files         // the disk; tests make it fail
	boot func() string // names the machine's boot
	mend time.Duration // first pause between two attempts to write again
}

// withDefaults fills what was left out and refuses what cannot be.
func (o Options) withDefaults() (Options, error) {
	if o.Dir == "" {
		return o, fmt.Errorf("journal: open: no directory given; set Options.Dir")
	}
	switch o.Sync {
	case "":
		o.Sync = SyncOS
	case SyncMemory, SyncOS, SyncDurable:
	default:
		return o, fmt.Errorf("journal: open: sync policy %q is not one of %q, %q, %q", o.Sync, SyncMemory, SyncOS, SyncDurable)
	}
	for _, size := range []struct {
		name    string
		value   *int64
		def, at int64
	}{
		{"SegmentBytes", &o.SegmentBytes, DefaultSegmentBytes, 4 << 10},
		{"RetainBytes", &o.RetainBytes, DefaultRetainBytes, 1},
		{"TailBytes", &o.TailBytes, DefaultTailBytes, 1},
		{"TableBytes", &o.TableBytes, DefaultTableBytes, 1},
	} {
		if *size.value == 0 {
			*size.value = size.def
		}
		if *size.value < size.at {
			return o, fmt.Errorf("journal: open: %s is %d, must be at least %d", size.name, *size.value, size.at)
		}
	}
	if o.RetainAge == 0 {
		o.RetainAge = DefaultRetainAge
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.fs == nil {
		o.fs = disk{}
	}
	if o.boot == nil {
		o.boot = bootID
	}
	if o.mend == 0 {
		o.mend = 100 * time.Millisecond
	}
	return o, nil
}
