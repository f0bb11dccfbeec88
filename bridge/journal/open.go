package journal

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// Open opens the journal in opts.Dir, or starts one. It reads what the last
// checkpoint does not cover, cuts a record that a crash left unfinished, and
// decides whether the epoch goes on. It returns [ErrLocked] when another journal
// holds the directory.
func Open(opts Options) (*Journal, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("journal: open %q: %w", opts.Dir, err)
	}
	lock, err := os.OpenFile(filepath.Join(opts.Dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		if err = lockFile(lock); err != nil {
			_ = lock.Close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("journal: open %q: %w", opts.Dir, err)
	}
	j := &Journal{
		opts: opts, lock: lock,
		open: new(batch), pending: make(map[string]claim),
		tail: tail{limit: opts.TailBytes},
		kick: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
	}
	j.watchers.Store(&[]*func(){})
	if err := j.recover(); err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("journal: open %q: %w", opts.Dir, err)
	}
	j.wake()
	go j.keep()
	return j, nil
}

// recover brings the journal to where the last run left it and begins a segment.
func (j *Journal) recover() error {
	last, doubt := readState(j.opts.Dir)
	if doubt == "" {
		doubt = last.unproven(j.opts.boot())
	}
	saved, err := j.loadCheckpoint()
	if err != nil {
		return err
	}
	found, err := j.listSegments()
	if err != nil {
		return err
	}
	r := &recovery{j: j, state: last, saved: saved, segments: found}
	if err := r.run(); err != nil {
		return err
	}
	j.checkpoint = saved.offset
	j.values.lost = max(j.values.lost, saved.offset) // which topics were cleared before is not in it
	j.written = r.next - 1
	j.head = j.written
	j.visible.Store(j.head)
	epoch := last.Epoch
	j.epochs, j.mark = last.Epochs, last.Mark
	if len(j.epochs) == 0 && last.Epoch != "" { // of a program that did not note where it began
		j.epochs = follow(nil, last.Epoch, 0)
	}
	if doubt == "" {
		doubt = cmp.Or(r.doubt, j.opts.Renew)
	}
	if doubt != "" {
		if epoch, err = j.newEpoch(); err != nil {
			return err
		}
		j.epochs = follow(j.epochs, epoch, j.head)
		if last.Epoch != "" || len(found) > 0 {
			j.opts.Log.Warn("journal epoch renewed, viewers will not resume across it",
				"reason", doubt, "old", last.Epoch, "epoch", epoch, "head", j.head)
		}
	}
	j.epoch.Store(&epoch)
	if err := j.syncFound(); err != nil {
		return err
	}
	if err := writeState(j.opts.fs, j.opts.Dir, state{
		Epoch: epoch, Sync: j.opts.Sync, Boot: j.opts.boot(), Head: j.head, Epochs: j.epochs, Mark: j.mark,
	}); err != nil {
		return err
	}
	j.noted = j.head
	return j.begin()
}

// syncFound makes what an earlier run left as durable as this run promises: its
// state will vouch for the whole log, not only for its own part.
func (j *Journal) syncFound() error {
	if j.opts.Sync != SyncDurable {
		return nil // the keeper does it soon
	}
	for _, s := range j.segments {
		if s.synced {
			continue
		}
		if err := j.opts.fs.SyncFile(s.path); err != nil {
			return err
		}
		s.synced = true
	}
	return j.opts.fs.SyncDir(j.opts.Dir)
}

// loadCheckpoint fills the tables. A damaged checkpoint is as good as none.
func (j *Journal) loadCheckpoint() (*checkpoint, error) {
	j.values, j.producers = newTable[latest](j.opts.TableBytes), newTable[uint64](j.opts.TableBytes)
	saved, err := readCheckpoint(j.opts.Dir, j.values, j.producers)
	if errors.Is(err, errCheckpoint) {
		j.opts.Log.Warn("journal checkpoint is damaged, last values are rebuilt from the segments", "dir", j.opts.Dir)
		j.values, j.producers = newTable[latest](j.opts.TableBytes), newTable[uint64](j.opts.TableBytes)
		saved, err = nil, nil
	}
	if err != nil {
		return nil, err
	}
	if saved == nil {
		saved = &checkpoint{}
	}
	return saved, nil
}

func (j *Journal) newEpoch() (string, error) {
	var b [epochBytes / 2]byte
	if _, err := io.ReadFull(j.opts.Random, b[:]); err != nil {
		return "", fmt.Errorf("name an epoch: %w", err)
	}
	return fmt.Sprintf("%x", b[:]), nil
}

// listSegments finds the segment files by ascending offset. Leftovers of
// interrupted writes are removed; damaged files of earlier runs join retention.
func (j *Journal) listSegments() ([]*segment, error) {
	names, err := os.ReadDir(j.opts.Dir)
	if err != nil {
		return nil, err
	}
	var found []*segment
	for _, name := range names {
		path := filepath.Join(j.opts.Dir, name.Name())
		info, err := name.Info()
		if err != nil {
			return nil, err
		}
		switch base, ok := baseOf(name.Name()); {
		case ok:
			found = append(found, &segment{path: path, base: base, last: base - 1, size: info.Size()})
		case strings.HasSuffix(name.Name(), damagedSuffix):
			j.damaged = append(j.damaged, &segment{path: path, size: info.Size(), newest: info.ModTime()})
		case strings.HasSuffix(name.Name(), ".tmp"):
			_ = j.opts.fs.Remove(path)
		}
	}
	sort.Slice(found, func(a, b int) bool { return found[a].base < found[b].base })
	return found, nil
}

// recovery walks the segments of earlier runs.
type recovery struct {
	j        *Journal
	state    state
	saved    *checkpoint
	segments []*segment
	next     uint64 // the offset that follows what was found
	doubt    string // why the log is not proven to be continued without a hole
}

// run adopts the segments in order and finds where the log goes on.
func (r *recovery) run() error {
	for i, s := range r.segments {
		limit := uint64(math.MaxUint64) // a successor overrules what lies beyond its base
		if i+1 < len(r.segments) {
			limit = r.segments[i+1].base
		}
		if len(r.j.segments) > 0 && s.base != r.next {
			r.hole(fmt.Sprintf("entries from %d to %d are missing", r.next, s.base-1))
		}
		ok, err := r.adopt(s, limit)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if limit != math.MaxUint64 && s.last+1 != limit {
			r.hole(fmt.Sprintf("%q ends before its successor begins", s.path))
		}
		r.next = s.last + 1
	}
	r.next = max(r.next, 1)
	reached := r.next
	if r.state.Clean && r.next != r.state.Head+1 {
		r.suspect(fmt.Sprintf("the last run ended at entry %d, found %d", r.state.Head, r.next-1))
	}
	r.next = max(r.next, r.saved.offset+1, r.state.Head+1)
	if r.next != reached {
		r.hole(fmt.Sprintf("entries from %d to %d are missing", reached, r.next-1))
	}
	r.dropEmpty()
	return nil
}

// suspect notes why the epoch cannot go on.
func (r *recovery) suspect(doubt string) {
	if r.doubt == "" {
		r.doubt = doubt
	}
}

// hole notes that the log has one here: what was adopted so far cannot be read as
// one log with what follows, and is set aside.
func (r *recovery) hole(doubt string) {
	r.suspect(doubt)
	for _, s := range r.j.segments {
		r.setAside(s)
	}
	r.j.segments = nil
}

// setAside renames a segment so that no later run takes it for a part of the log.
func (r *recovery) setAside(s *segment) {
	to := strings.TrimSuffix(s.path, segmentSuffix) + damagedSuffix
	if err := r.j.opts.fs.Rename(s.path, to); err != nil {
		r.j.opts.Log.Warn("damaged journal segment could not be renamed", "path", s.path, "error", err)
	} else {
		s.path = to
	}
	r.j.damaged = append(r.j.damaged, s)
}

// dropEmpty forgets a last segment without records: the next one takes its name.
func (r *recovery) dropEmpty() {
	n := len(r.j.segments)
	if n == 0 {
		return
	}
	if s := r.j.segments[n-1]; s.last < s.base {
		r.j.segments = r.j.segments[:n-1]
		_ = r.j.opts.fs.Remove(s.path)
	}
}

// adopt takes one segment over: by what the checkpoint says of it when that
// agrees, else by reading it whole. It reports false when it was set aside.
func (r *recovery) adopt(s *segment, limit uint64) (bool, error) {
	fileSize := s.size
	head, err := r.readHead(s.path)
	if unreadable(err) {
		r.unreadable(s, err)
		r.setAside(s)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	parsed, err := parseHeader(head, s.base)
	if errors.Is(err, errVersion) {
		return false, fmt.Errorf("segment %q: %w", s.path, err)
	}
	if err != nil {
		if limit == math.MaxUint64 && fileSize <= segmentHead {
			return false, r.j.opts.fs.Remove(s.path) // a crash while it was begun; nothing was in it yet
		}
		r.suspect(fmt.Sprintf("segment %q: %v", s.path, err))
		r.setAside(s)
		return false, nil
	}
	parsed.path = s.path
	*s = *parsed
	known, ok := r.saved.segments[s.base]
	if ok && known.size == fileSize && known.last < limit && known.last <= r.saved.offset {
		s.last, s.size, s.newest, s.synced = known.last, known.size, known.newest, true
		r.j.segments = append(r.j.segments, s)
		return true, nil
	}
	f, err := r.j.opts.fs.Open(s.path)
	if err != nil {
		return false, err
	}
	intact, err := r.replay(s, f, fileSize, limit)
	_ = f.Close() // before it is renamed, which some systems refuse else
	if err != nil {
		return false, fmt.Errorf("segment %q: %w", s.path, err)
	}
	if !intact && s.last < s.base { // set aside, or it would be taken for an empty one and removed
		r.suspect(fmt.Sprintf("segment %q begins with no record", s.path))
		r.setAside(s)
		return false, nil
	}
	r.j.segments = append(r.j.segments, s)
	return true, nil
}

// unreadable says that the disk does not give the bytes of a segment from s.size on.
func (r *recovery) unreadable(s *segment, err error) {
	r.suspect(fmt.Sprintf("segment %q cannot be read: %v", s.path, err))
	r.j.opts.Log.Error("journal segment cannot be read, what it holds from there on is gone", "path", s.path, "first", s.last+1, "error", err)
}

// readHead reads the bytes of a segment's header, fewer when the file is shorter.
// The file is closed again, since some systems rename no open file.
func (r *recovery) readHead(path string) ([]byte, error) {
	f, err := r.j.opts.fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	head := make([]byte, segmentHead)
	n, err := readTwice(f, head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return head[:n], nil
}

// replay reads a segment record by record up to limit, and reports false when
// there are bytes in it that are no records.
func (r *recovery) replay(s *segment, f file, fileSize int64, limit uint64) (bool, error) {
	scan := newScanner(f, segmentHead, fileSize)
	end := whole
	for s.last+1 < limit {
		var e Entry
		pos := scan.pos
		size, c := scan.next(&e)
		if c != whole && unreadable(scan.err) {
			r.unreadable(s, scan.err)
			return false, nil
		}
		if c != whole && scan.err != nil {
			return false, scan.err
		}
		if c == whole && e.Offset != s.last+1 {
			c = bad
		}
		if c != whole {
			if c == bad || size > 0 {
				end = c
			}
			break
		}
		s.note(e.Offset, pos, scan.pos)
		s.last, s.size, s.newest = e.Offset, scan.pos, e.Time
		if e.Offset > r.saved.offset {
			e.Payload = append([]byte{}, e.Payload...)
			e.Meta = bytes.Clone(e.Meta)
			r.j.accept(e, math.MaxUint64)
		}
	}
	if end == whole || limit != math.MaxUint64 {
		return end == whole, nil // else the caller sees that it ends before its successor
	}
	if end == bad && !r.maybeTorn(f, s, fileSize) {
		// The bytes stay: what follows the damage may matter to someone.
		r.suspect(fmt.Sprintf("segment %q is damaged at byte %d", s.path, s.size))
		return false, nil
	}
	r.j.opts.Log.Info("journal cut an unfinished record", "path", s.path, "bytes", fileSize-s.size)
	if err := r.j.opts.fs.Truncate(s.path, s.size); err != nil {
		r.j.opts.Log.Warn("journal segment could not be cut", "path", s.path, "error", err)
	}
	return true, nil
}

// maybeTorn reports whether bytes that are no record, at the end of the log, can
// be what a crash of the machine left of a write that was never acknowledged. A
// killed process leaves a shorter file, never other bytes.
func (r *recovery) maybeTorn(f file, s *segment, fileSize int64) bool {
	boot := r.j.opts.boot()
	if r.state.Sync != SyncDurable || r.state.Clean || (boot != "" && boot == r.state.Boot) {
		return false
	}
	return !validAfter(f, s.size+1, fileSize, s.last)
}
