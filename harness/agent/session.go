package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
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
	run       string
	recorder  *record.Recorder
	plausible atomic.Uint64
	asked     atomic.Int64   // agent's clock, when somebody last asked for something
	tasks     sync.WaitGroup // what was started in between calls

	names sync.RWMutex // guards streams
	ids   map[source]uint32

	mu       sync.Mutex // guards what follows
	viewers  map[string]*watching
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
	dir, err := os.MkdirTemp(a.cfg.Dir, "plumbline-agent-")
	if err != nil {
		return nil, fmt.Errorf("agent: folder of a recording: %w", err)
	}
	recorder, err := record.NewRecorder(dir, a.clock)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if in.ByMeaning {
		recorder.CompareByMeaning()
	}
	s := &session{agent: a, dir: dir, run: in.Run, recorder: recorder, ids: map[source]uint32{}, viewers: map[string]*watching{}}
	s.hiccup = load.StartHiccup(a.clock, threshold)
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

// view opens a viewer; asked again for one of that name it waits for the first,
// since the answer may have been lost.
func (s *session) view(ctx context.Context, in viewArgs) error {
	s.mu.Lock()
	w := s.viewers[in.View.Name]
	switch {
	case w != nil:
	case s.closed:
		s.mu.Unlock()
		return errors.New("agent: the session is over")
	default:
		w = &watching{opened: make(chan struct{})}
		w.token.Store(&in.Token)
		s.viewers[in.View.Name] = w
		s.tasks.Go(func() { s.open(w, in.View) })
	}
	s.mu.Unlock()
	select {
	case <-w.opened:
		return w.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// openLimit bounds how long a system that is ready may keep a viewer waiting.
const openLimit = 30 * time.Second

func (s *session) open(w *watching, v view) {
	defer close(w.opened)
	cfg, err := v.config()
	if err != nil {
		w.err = err
		return
	}
	if v.Mints {
		cfg.Token = func(context.Context) (string, error) { return *w.token.Load(), nil }
	}
	cfg.Recorder, cfg.Resolve, cfg.Plausible, cfg.Log = s.recorder, s.resolve, s.plausible.Load, s.agent.log
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
	for name, w := range s.viewers {
		if token, renewed := in.Tokens[name]; renewed {
			w.token.Store(&token)
		}
		if w.viewer == nil {
			continue
		}
		state := viewerStatus{Counters: w.viewer.Counters(), Connected: w.viewer.Connected()}
		if err := w.viewer.Err(); err != nil {
			state.Err = err.Error()
		}
		answer.Viewers[name] = state
	}
	if err := errors.Join(s.recorder.Err(), s.overflow); err != nil {
		answer.Err = err.Error()
	}
	return answer
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
	return os.RemoveAll(s.dir)
}
