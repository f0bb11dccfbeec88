package agent

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"plumbline/harness/load"
	"plumbline/harness/record"
	"plumbline/harness/remote"
	"plumbline/harness/viewer"
)

// session is what an agent does for one bench: viewers and their recording.
type session struct {
	agent     *server
	dir       string
	clock     *record.Clock
	run       string
	recorder  *record.Recorder
	plausible atomic.Uint64
	asked     atomic.Int64   // agent's clock, when somebody last asked for something
	tasks     sync.WaitGroup // what was started in between calls

	names sync.RWMutex // guards streams
	ids   map[source]uint32

	mu       sync.Mutex // guards what follows
	viewers  map[string]*watching
	trusted  map[string]*x509.CertPool // by their PEM: one for all viewers of a system
	hiccup   *load.Hiccup
	closed   bool          // no more viewers
	over     *finishAnswer // of finish
	overflow error         // the recording has outgrown its bound
}

// source is where a reading says that it comes from. The harness, which knows
// the devices, tells later what is right about it.
type source struct{ device, topic string }

// watching is one viewer at work.
type watching struct {
	viewer *viewer.Viewer // nil until it is open
	opened chan struct{}  // closed when it is open or err is set
	err    error
	token  atomic.Pointer[string]
}

const (
	// maxSources bounds what a system under test can make an agent remember.
	maxSources = 100_000
	// atFirst is how many readings may come before the harness has said anything.
	atFirst = 1_000_000
	// chunk is the most that one call reads.
	chunk = 1 << 20
	// threshold is the lateness from which a wake-up is logged as a gap, as for the harness itself.
	threshold = time.Millisecond
)

// The files of a recording, in the order in which they are fetched: the index is
// written before what it explains, so it is fetched last.
var recordingFiles = []string{"records.bin", "events.jsonl", "index.json"}

func newSession(a *server, in openArgs) (*session, error) {
	s := &session{agent: a, dir: in.Dir, clock: a.clock, run: in.Run, ids: map[source]uint32{}, viewers: map[string]*watching{}, trusted: map[string]*x509.CertPool{}}
	var err error
	switch {
	case a.here != (in.Dir != "" && in.Origin != nil):
		return nil, errors.New("agent: only one on this host is told where it records and by which clock")
	case a.here:
		s.clock, err = record.ClockAt(*in.Origin)
	default:
		s.dir, err = os.MkdirTemp(a.cfg.Dir, "plumbline-agent-")
	}
	if err != nil {
		return nil, fmt.Errorf("agent: folder of a recording, or its clock: %w", err)
	}
	recorder, err := record.NewRecorder(s.dir, s.clock)
	if err != nil {
		return nil, errors.Join(err, s.remove())
	}
	if in.ByMeaning {
		recorder.CompareByMeaning()
	}
	s.recorder, s.hiccup = recorder, load.StartHiccup(s.clock, threshold)
	s.plausible.Store(atFirst)
	s.touch()
	return s, nil
}

func (s *session) touch() { s.asked.Store(s.agent.clock.Now()) }

func (s *session) idle() time.Duration { return time.Duration(s.agent.clock.Now() - s.asked.Load()) }

// resolve names where a reading says that it comes from.
func (s *session) resolve(topic string, payload []byte) (stream uint32, seq uint64, flags uint8) {
	p, err := record.Parse(payload)
	switch {
	case err != nil:
		return s.stream(source{topic: topic}), 0, record.FlagForeign
	case p.Run != s.run:
		return record.NoStream, p.Seq, 0
	default:
		return s.stream(source{p.Dev, topic}), p.Seq, 0
	}
}

func (s *session) stream(from source) uint32 {
	s.names.RLock()
	id, known := s.ids[from]
	s.names.RUnlock()
	if known {
		return id
	}
	s.names.Lock()
	defer s.names.Unlock()
	if id, known = s.ids[from]; known {
		return id
	}
	if len(s.ids) >= maxSources {
		return record.NoStream
	}
	id = s.recorder.Stream(record.Stream{Device: from.device, Topic: from.topic, Foreign: from.device == ""})
	s.ids[from] = id
	return id
}

// remove takes away what the harness has fetched; where both are on one host it has the
// recording itself.
func (s *session) remove() error {
	if s.agent.here {
		return nil
	}
	return os.RemoveAll(s.dir)
}

// view opens a viewer; asked again for one of that name it waits for the first,
// since the answer may have been lost.
func (s *session) view(ctx context.Context, in viewArgs) (viewerStatus, error) {
	s.mu.Lock()
	w := s.viewers[in.View.Name]
	switch {
	case w != nil:
	case s.closed:
		s.mu.Unlock()
		return viewerStatus{}, errors.New("agent: the session is over")
	default:
		w = &watching{opened: make(chan struct{})}
		w.token.Store(&in.Token)
		s.viewers[in.View.Name] = w
		makeRoom(int(s.agent.viewed.Add(1)))
		s.tasks.Go(func() { s.open(w, in.View) })
	}
	s.mu.Unlock()
	select {
	case <-w.opened:
		if w.err != nil {
			return viewerStatus{}, w.err
		}
		return statusOf(w.viewer), nil
	case <-ctx.Done():
		return viewerStatus{}, ctx.Err()
	}
}

// perViewer is more than a viewer keeps in memory, some 60 KiB, and what it leaves lying.
const (
	perViewer = 128 << 10
	roomStep  = 256 // viewers for which room is made at a time
)

// makeRoom lets the memory grow with the viewers up to which the collector stays out of the
// way: at its limit it would do nothing but collect what it may not free.
func makeRoom(viewers int) {
	limit := gcLimit + int64(viewers/roomStep+1)*roomStep*perViewer
	if viewers%roomStep <= 1 && limit > debug.SetMemoryLimit(-1) {
		debug.SetMemoryLimit(limit) // rest puts it back
	}
}

// config makes the settings of a viewer. All viewers of a system have the same
// authorities in memory.
func (s *session) config(v view) (viewer.Config, error) {
	return v.config(func(pem []byte) (*x509.CertPool, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		pool := s.trusted[string(pem)]
		if pool == nil {
			pool = x509.NewCertPool()
			if !pool.AppendCertsFromPEM(pem) {
				return nil, errors.New("agent: the authority of the system under test is no PEM certificate")
			}
			s.trusted[string(pem)] = pool
		}
		return pool, nil
	})
}

// openLimit bounds how long a system that is ready may keep a viewer waiting: less than the
// harness waits for the answer, so that it says why.
const openLimit = 27 * time.Second

func (s *session) open(w *watching, v view) {
	defer close(w.opened)
	cfg, err := s.config(v)
	if err != nil {
		w.err = err
		return
	}
	if v.Mints {
		cfg.Token = func(context.Context) (string, error) { return *w.token.Load(), nil }
	}
	cfg.Recorder, cfg.Resolve, cfg.Plausible, cfg.Log, cfg.Turn = s.recorder, s.resolve, s.plausible.Load, s.agent.log, s.agent.turn
	limited, cancel := context.WithTimeoutCause(s.agent.ctx, openLimit, fmt.Errorf("no viewer got in within %v", openLimit))
	defer cancel()
	opened, err := viewer.Open(limited, cfg)
	if err != nil {
		w.err = &remote.Error{Code: codeSystem, Text: err.Error()}
		return
	}
	s.mu.Lock()
	w.viewer = opened
	s.mu.Unlock()
}

// status tells how the viewers are and takes what they are to know.
func (s *session) status(in statusArgs) statusAnswer {
	s.plausible.Store(max(in.Plausible, s.plausible.Load()))
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := statusAnswer{Viewers: map[string]viewerStatus{}}
	for name, token := range in.Tokens {
		if w := s.viewers[name]; w != nil {
			w.token.Store(&token)
		}
	}
	for _, name := range in.Viewers {
		if w := s.viewers[name]; w != nil && w.viewer != nil {
			answer.Viewers[name] = statusOf(w.viewer)
		}
	}
	if err := errors.Join(s.recorder.Err(), s.overflow); err != nil {
		answer.Err = err.Error()
	}
	return answer
}

func statusOf(v *viewer.Viewer) viewerStatus {
	state := viewerStatus{Counters: v.Counters(), Connected: v.Connected()}
	if err := v.Err(); err != nil {
		state.Err = err.Error()
	}
	return state
}

// wait waits until each viewer has what it is to have, and then, where it is asked to, until
// nothing comes any more. It fails only when ctx ends: a viewer that has ended gets nothing more.
func (s *session) wait(ctx context.Context, in waitArgs) error {
	s.mu.Lock()
	waiting := make(map[*viewer.Viewer]uint64, len(in.Distinct))
	for name, n := range in.Distinct {
		if w := s.viewers[name]; w != nil && w.viewer != nil {
			waiting[w.viewer] = n
		}
	}
	s.mu.Unlock()
	for v, n := range waiting {
		if v.WaitDistinct(ctx, n) != nil && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	for in.Quiet > 0 {
		had := received(waiting)
		if !pause(ctx, in.Quiet) {
			return ctx.Err()
		}
		if received(waiting) == had {
			return nil
		}
	}
	return nil
}

func received(viewers map[*viewer.Viewer]uint64) (n uint64) {
	for v := range viewers {
		n += v.Counters().Received
	}
	return n
}

// bound ends the viewers of a recording that has outgrown its bound.
func (s *session) bound(most int64) {
	info, err := os.Stat(filepath.Join(s.dir, recordingFiles[0]))
	if err != nil || info.Size() <= most {
		return
	}
	s.mu.Lock()
	first := s.overflow == nil
	if first {
		s.overflow = fmt.Errorf("agent: the recording has more than %d bytes; what came later is not in it. Fewer viewers, a shorter run, or another --max-bytes", most)
	}
	s.mu.Unlock()
	if first {
		s.tasks.Go(func() { s.finish() }) // closing viewers takes a second
	}
}

// read returns a part of a file of the recording.
func (s *session) read(in readArgs) (any, error) {
	known := false
	for _, name := range recordingFiles {
		known = known || name == in.File
	}
	if !known || in.Offset < 0 {
		return nil, fmt.Errorf("agent: a recording has no %q from offset %d", in.File, in.Offset)
	}
	f, err := os.Open(filepath.Join(s.dir, in.File))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	data := make([]byte, min(max(info.Size()-in.Offset, 0), chunk))
	n, err := f.ReadAt(data, in.Offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return readAnswer{Data: data[:n], Size: info.Size()}, nil
}

// finish ends the viewers and closes the recording, so that it can be fetched
// whole. Called again it returns the same.
func (s *session) finish() finishAnswer {
	s.mu.Lock()
	s.closed = true
	waiting := make([]*watching, 0, len(s.viewers))
	for _, w := range s.viewers {
		waiting = append(waiting, w)
	}
	s.mu.Unlock()
	var group sync.WaitGroup
	for _, w := range waiting {
		group.Go(func() {
			<-w.opened
			if w.viewer != nil {
				_ = w.viewer.Close() // always nil
			}
		})
	}
	group.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over != nil {
		return *s.over
	}
	report := s.hiccup.Stop()
	s.over = &finishAnswer{HiccupP99: report.P99, HiccupMax: report.Max, Gaps: report.Gaps, GapsFrom: report.GapsFrom}
	if err := errors.Join(s.recorder.Close(), s.overflow); err != nil {
		s.over.Err = err.Error()
	}
	return *s.over
}

// end finishes and removes what is left.
func (s *session) end() error {
	s.finish()
	s.tasks.Wait()
	return s.remove()
}
