package ingest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"plumbline/bridge/journal"
)

// store keeps each session that outlives its connection in a file of its own. A save appends the whole state as a line that
// begins with its CRC-32; the last good line counts, so a kill at any time leaves the state before or after. A file that has
// grown is begun anew beside the old one; a file replaced by renaming at each save would cost milliseconds on some systems.
type store struct {
	dir  string
	sync bool // fsync, for the policy durable
}

const (
	sessionSuffix   = ".session"
	freshSuffix     = ".new"
	maxSessionBytes = 16 << 20  // of one state
	growBytes       = 256 << 10 // up to which another is added
)

// kept is a session on disk.
type kept struct {
	ID      string       `json:"id"`
	User    string       `json:"user,omitempty"`
	Expiry  uint32       `json:"expiry"`
	Epoch   string       `json:"epoch"` // of the journal that the offsets count in
	Cursor  uint64       `json:"cursor"`
	LastID  uint16       `json:"lastID,omitempty"`
	Subs    []keptSub    `json:"subscriptions,omitempty"`
	Flights []keptFlight `json:"flights,omitempty"`
	Taken   []uint16     `json:"taken,omitempty"`
	Will    *keptWill    `json:"will,omitempty"`
	Number  uint64       `json:"number,omitempty"` // see session.claimed
}

// keptWill is a will whose client is gone.
type keptWill struct {
	Topic   string `json:"topic"`
	Payload []byte `json:"payload,omitempty"`
	QoS     byte   `json:"qos,omitempty"`
	Retain  bool   `json:"retain,omitempty"`
	Meta    []byte `json:"meta,omitempty"`   // see appendMeta
	Delay   uint32 `json:"delay"`            // seconds
	Number  uint64 `json:"number,omitempty"` // of the connection, see conn
}

type keptSub struct {
	Filter string `json:"filter"`
	subOptions
	Since        uint64 `json:"since"`
	RetainedFrom uint64 `json:"retainedFrom,omitempty"`
	RetainedTo   uint64 `json:"retainedTo,omitempty"`
}

type keptFlight struct {
	ID       uint16 `json:"id"`
	Offset   uint64 `json:"offset"`
	QoS      byte   `json:"qos"`
	Retain   bool   `json:"retain,omitempty"`
	Retained string `json:"retained,omitempty"` // topic of a retained message, which may be older than the journal's entries
	IDs      []int  `json:"ids,omitempty"`
	Released bool   `json:"released,omitempty"`
}

// openStore makes the folder.
func openStore(dir string, sync bool) (*store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("ingest: sessions: %w", err)
	}
	return &store{dir: dir, sync: sync}, nil
}

func (st *store) path(id string) string {
	sum := sha256.Sum256([]byte(id))
	return filepath.Join(st.dir, hex.EncodeToString(sum[:16])+sessionSuffix)
}

// save adds the session's state to its file, or begins the file anew. It returns when a kill of the process, or with the policy
// durable a crash of the machine, cannot undo it.
func (st *store) save(k *kept, anew bool) error {
	body, err := json.Marshal(k)
	if err != nil {
		return fmt.Errorf("ingest: session: %w", err)
	}
	line := fmt.Appendf(nil, "%08x %s\n", crc32.ChecksumIEEE(body), body)
	if len(line) > maxSessionBytes {
		return fmt.Errorf("ingest: session: %d bytes, at most %d can be kept", len(line), maxSessionBytes)
	}
	path := st.path(k.ID)
	if info, err := os.Stat(path); !anew && err == nil && info.Size() < growBytes { //nolint:gosec // the name is a digest in our own folder
		return st.write(path, os.O_APPEND, line)
	}
	if err := st.write(path+freshSuffix, os.O_CREATE|os.O_TRUNC, line); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) { //nolint:gosec // as above
		return fmt.Errorf("ingest: session: %w", err)
	}
	if err := os.Rename(path+freshSuffix, path); err != nil { //nolint:gosec // as above
		return fmt.Errorf("ingest: session: %w", err)
	}
	if st.sync {
		return syncDir(st.dir)
	}
	return nil
}

func (st *store) write(path string, flags int, line []byte) error {
	f, err := os.OpenFile(path, flags|os.O_WRONLY, 0o600) //nolint:gosec // the name is a digest in our own folder
	if err != nil {
		return fmt.Errorf("ingest: session: %w", err)
	}
	_, err = f.Write(line)
	if err == nil && st.sync {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("ingest: session: %w", err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // our own folder
	if err != nil {
		return fmt.Errorf("ingest: sessions: %w", err)
	}
	err = d.Sync()
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission) { // a folder cannot be synced on some systems
		err = nil
	}
	return errors.Join(err, d.Close())
}

// remove forgets a session. One that cannot be removed comes back after a restart, and expires again.
func (st *store) remove(id string) {
	_ = os.Remove(st.path(id)) //nolint:gosec // the name is a digest in our own folder
}

// load reads all sessions. A damaged file is set aside and said; the others count.
func (st *store) load(log *slog.Logger) ([]kept, error) {
	files, err := os.ReadDir(st.dir)
	if err != nil {
		return nil, fmt.Errorf("ingest: sessions: %w", err)
	}
	var out []kept
	for _, f := range files {
		path := filepath.Join(st.dir, f.Name())
		if strings.HasSuffix(f.Name(), sessionSuffix+freshSuffix) {
			if path = st.settle(path); path == "" {
				continue
			}
		} else if !strings.HasSuffix(f.Name(), sessionSuffix) {
			continue
		}
		k, err := st.read(path)
		if err != nil {
			log.Error("mqtt session file is damaged and set aside: its client begins anew", "path", path, "error", err)
			if err := os.Rename(path, path+".damaged"); err != nil {
				return nil, fmt.Errorf("ingest: sessions: %w", err)
			}
			continue
		}
		out = append(out, *k)
	}
	return out, nil
}

func (st *store) read(path string) (*kept, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > growBytes+maxSessionBytes {
		return nil, fmt.Errorf("%d bytes", info.Size())
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	k, err := parseKept(raw)
	if err != nil {
		return nil, err
	}
	if st.path(k.ID) != path {
		return nil, errors.New("the name does not belong to the client")
	}
	return k, nil
}

// settle ends the beginning of a new file that a kill cut short. It returns the new file's name when it is the only one.
func (st *store) settle(fresh string) string {
	path := strings.TrimSuffix(fresh, freshSuffix)
	if _, err := os.Stat(path); err == nil { // not removed yet, so it holds the same or the state before
		_ = os.Remove(fresh)
		return ""
	}
	if err := os.Rename(fresh, path); err != nil {
		return ""
	}
	return path
}

// parseKept returns the last good state of a file.
func parseKept(raw []byte) (*kept, error) {
	var last *kept
	for line := range bytes.Lines(raw) {
		sum, body, ok := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
		if !ok || string(sum) != fmt.Sprintf("%08x", crc32.ChecksumIEEE(body)) {
			continue // a save that a kill or a full disk cut short
		}
		var k kept
		if err := json.Unmarshal(body, &k); err != nil {
			return nil, err
		}
		last = &k
	}
	if last == nil {
		return nil, errors.New("no good state in it")
	}
	return last, nil
}

// save writes the session's state down, when it outlives its connection. One save at a time, each with the newest state.
func (s *session) save() error {
	if s.ss.store == nil {
		return nil
	}
	s.saving.Lock()
	defer s.saving.Unlock()
	s.mu.Lock()
	if s.ended || !s.keep {
		s.mu.Unlock()
		return nil
	}
	k := s.state()
	s.dirty = false
	s.mu.Unlock()
	err := s.ss.store.save(&k, !s.appendable)
	if s.appendable = err == nil; err != nil { // the file may end within a line
		s.mu.Lock()
		s.dirty = true // upkeep tries again
		s.mu.Unlock()
	}
	return err
}

// saveOr saves where a failure need not stop anything: at worst something is sent again after a crash.
func (s *session) saveOr(what string) {
	if err := s.save(); err != nil {
		s.ss.b.log.Error("mqtt session not saved", "at", what, "client", s.id, "error", err)
	}
}

// state is what is kept. Called with mu held.
func (s *session) state() kept {
	k := kept{ID: s.id, User: s.user, Expiry: s.expiry, Epoch: s.ss.log.Head().Epoch, Cursor: s.cursor(), LastID: s.lastID, Will: s.will, Number: s.claimed}
	for _, sub := range s.subs {
		from := sub.retainedFrom
		if sub == s.loading && len(s.retained) > 0 {
			from = s.retained[0].Offset - 1
		}
		k.Subs = append(k.Subs, keptSub{sub.filter, sub.subOptions, sub.since, from, sub.retainedTo})
	}
	for _, f := range s.flights {
		one := keptFlight{ID: f.id, Offset: f.Offset, QoS: f.qos, Retain: f.retain, IDs: f.ids, Released: f.released}
		if f.stored {
			one.Retained = f.Topic
		}
		k.Flights = append(k.Flights, one)
	}
	for id := range s.taken {
		k.Taken = append(k.Taken, id)
	}
	return k
}

// restore makes the session that was kept. When the journal is another since, what waited is gone and what was subscribed stays.
func restore(ss *sessions, k *kept, head journal.Cursor) *session {
	s := newSession(ss, k.ID, k.User)
	s.expiry, s.keep, s.left, s.lastID = min(k.Expiry, uint32(ss.b.opts.SessionExpiry/time.Second)), true, time.Now(), k.LastID
	s.will, s.claimed = k.Will, k.Number
	same := k.Epoch == head.Epoch && k.Cursor <= head.Offset
	if same {
		s.seen = k.Cursor
	} else {
		ss.b.m.MQTTLost.WithLabelValues("epoch").Inc()
		ss.b.log.Warn("mqtt session: the journal is another since, what waited is gone", "client", k.ID)
	}
	for _, sub := range k.Subs {
		one := &subscription{s: s, filter: sub.Filter, subOptions: sub.subOptions, since: sub.Since, retainedFrom: sub.RetainedFrom, retainedTo: sub.RetainedTo}
		if !same {
			one.since = min(one.since, head.Offset)
			if one.retainedFrom < one.retainedTo { // was still being brought
				one.retainedFrom, one.retainedTo = 0, head.Offset
			}
		}
		s.subs[sub.Filter] = one
		s.filters += len(sub.Filter)
	}
	for _, f := range k.Flights {
		if same || f.Released {
			one := &flight{item: item{qos: f.QoS, retain: f.Retain, stored: f.Retained != "", ids: f.IDs}, id: f.ID, released: f.Released, dup: true}
			one.Offset, one.wanted = f.Offset, f.Retained
			s.flights = append(s.flights, one)
		}
	}
	for _, id := range k.Taken {
		s.taken[id] = struct{}{}
	}
	return s
}
