package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// flushBytes is how much [SyncMemory] gathers before the appender writes it
// itself; flushDelay is how long it gathers at most.
const (
	flushBytes = 256 << 10
	flushDelay = 20 * time.Millisecond
)

// write puts whole records, which continue the log, into a segment and makes the
// policy hold for them. Called with io held. When it fails nothing of p counts
// and the journal is degraded.
func (j *Journal) write(p []byte) error {
	if j.active == nil {
		return ErrClosed
	}
	if s := j.current; s.last >= s.base && s.size+int64(len(p)) > j.opts.SegmentBytes {
		if err := j.begin(); err != nil {
			return j.fail(err)
		}
	}
	if err := writeAll(j.active, p); err != nil {
		return j.fail(err)
	}
	if j.opts.Sync == SyncDurable {
		if err := j.active.Sync(); err != nil {
			return j.fail(err)
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.opts.Sync == SyncDurable {
		j.stats.Syncs++
	}
	j.written = j.current.extend(p)
	return nil
}

// extend takes the records in p as written at the segment's end and returns the
// last offset.
func (s *segment) extend(p []byte) uint64 {
	for len(p) > 0 {
		size, offset, _ := headOf(p)
		s.note(offset, s.size, s.size+int64(size))
		s.size += int64(size)
		s.last = offset
		s.newest = time.UnixMicro(int64(binary.LittleEndian.Uint64(p[headBytes+1:]))).UTC()
		p = p[size:]
	}
	s.synced = false
	return s.last
}

// keepInMemory accepts enc, whose records from byte before on are new, as the
// records that wait to be written. Called with io held.
func (j *Journal) keepInMemory(enc []byte, before int) error {
	j.unwritten = enc
	if len(enc) >= flushBytes {
		if err := j.flush(); err != nil {
			j.unwritten = enc[:before] // acknowledged earlier: kept until writing works
			return err
		}
		return nil
	}
	if before == 0 {
		j.wake()
	}
	return nil
}

// flush writes what SyncMemory still holds. Called with io held.
func (j *Journal) flush() error {
	if len(j.unwritten) == 0 {
		return nil
	}
	if err := j.write(j.unwritten); err != nil {
		return err
	}
	if j.unwritten = j.unwritten[:0]; cap(j.unwritten) > 4*maxBatchBytes {
		j.unwritten = nil
	}
	return nil
}

// begin starts the segment that continues the log. Called with io held, or by
// Open. When it fails the present segment stays.
func (j *Journal) begin() (err error) {
	now := j.opts.Now()
	base := j.written + 1
	s := &segment{
		path: segmentPath(j.opts.Dir, base), epoch: j.Epoch(), base: base, last: base - 1,
		size: segmentHead, marked: segmentHead, made: now, newest: now,
	}
	f, err := j.opts.fs.Create(s.path)
	if err != nil {
		return err
	}
	err = writeAll(f, s.header())
	if err == nil && j.opts.Sync == SyncDurable {
		// A record is only as durable as the name of its file.
		if err = f.Sync(); err == nil {
			err = j.opts.fs.SyncDir(j.opts.Dir)
		}
	}
	if err != nil {
		_ = f.Close()
		_ = j.opts.fs.Remove(s.path)
		return err
	}
	if j.active != nil {
		_ = j.active.Close() // the keeper fsyncs it by name and hears of errors there
	}
	j.mu.Lock()
	if n := len(j.segments); n > 0 && j.segments[n-1].base == base {
		j.segments = j.segments[:n-1] // it was empty and the new one took its name
	}
	j.segments = append(j.segments, s)
	j.mu.Unlock()
	j.active, j.current = f, s
	j.wake()
	return nil
}

// fail gives up the present segment after a write or an fsync failed: what the
// file holds beyond the last success is unknown, and an fsync that fails once may
// claim success the next time although the data is gone. The segment that
// follows starts at the first unacknowledged offset and so overrules whatever
// is left there. Called with io held.
func (j *Journal) fail(cause error) error {
	_ = j.active.Truncate(j.current.size)
	_ = j.active.Close()
	j.active = nil
	err := fmt.Errorf("%w: %w", ErrDegraded, cause)
	j.mu.Lock()
	j.degraded = err
	if len(j.open.entries) > 0 {
		j.open.refused = err // or a producer's messages would go on without those refused now
	}
	j.stats.Failures++
	j.mu.Unlock()
	j.opts.Log.Error("journal cannot write, publishers are refused until it can", "dir", j.opts.Dir, "error", cause)
	j.wake()
	return err
}

// probeBytes is how much must be writable before appends are accepted again, so
// that a full disk with a few free bytes does not make the journal flap.
const probeBytes = 1 << 20

// repair tries to write again. Called with io held and the journal degraded.
func (j *Journal) repair() error {
	probe := filepath.Join(j.opts.Dir, "probe.tmp")
	f, err := j.opts.fs.Create(probe)
	if err != nil {
		return err
	}
	err = writeAll(f, make([]byte, probeBytes))
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close(), j.opts.fs.Remove(probe))
	if err == nil {
		err = j.begin()
	}
	if err == nil {
		err = j.flush()
	}
	if err != nil {
		return err
	}
	j.mu.Lock()
	j.degraded = nil
	j.mu.Unlock()
	j.opts.Log.Info("journal can write again", "dir", j.opts.Dir, "head", j.visible.Load())
	return nil
}
