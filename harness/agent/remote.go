package agent

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"plumbline/harness/clocks"
	"plumbline/harness/record"
	"plumbline/harness/remote"
	"plumbline/harness/viewer"
)

// SessionConfig says what a session is for. Everything is required.
type SessionConfig struct {
	Run       string        // run id of the payloads that are ours
	ByMeaning bool          // as Recorder.CompareByMeaning
	Dir       string        // where recording and exchanges go; made, must not exist
	Clock     *record.Clock // of the bench
	Plausible func() uint64 // the most readings that one viewer can have got by now; must not block
}

// Session is what an agent does for one bench. Its methods may be called from
// any goroutine.
type Session struct {
	host   *Host
	cfg    SessionConfig
	id     string
	prober *prober            // nil where the agent keeps the clock of the bench
	cancel context.CancelFunc // of the keeper
	group  sync.WaitGroup

	run   context.Context // its end hastens Close
	grace time.Duration   // that Close has then

	fetching sync.Mutex    // one fetches at a time
	asking   chan struct{} // full while one asks how the viewers are

	mu       sync.Mutex
	viewers  []*Viewer
	names    map[string]*Viewer
	wanted   map[string]bool // viewers that somebody waits to hear of
	asked    uint64          // how often somebody has asked
	answered uint64          // the last of those that was answered
	away     bool            // and whether the last one found nobody
	err      error           // the first thing that went wrong while nobody waited

	closing sync.Once
	closed  error
}

// The times of the keeper.
const (
	keepEvery  = time.Second
	tokenEvery = 20 * time.Minute
	keepLimit  = comeBack + 5*time.Second
	// endLimit bounds how long the end of a session may take while the run goes on, and
	// endGrace from the end of the run on.
	endLimit = 2 * time.Minute
	endGrace = 10 * time.Second
	// lastTry is how long an agent that was not there is looked for once more.
	lastTry = 2 * time.Second
)

// Open begins a session and the exchanges of its clock. When ctx ends, which is that of
// the run, the session is to be closed soon: see Close. Errors wrap ErrLost when
// the agent is gone.
func (h *Host) Open(ctx context.Context, cfg SessionConfig) (*Session, error) {
	if err := os.Mkdir(cfg.Dir, 0o755); err != nil { //nolint:gosec // G301: evidence is for others to read
		return nil, fmt.Errorf("agent %s: folder of its recording: %w", h.target.Address, err)
	}
	s := &Session{host: h, cfg: cfg, run: ctx, grace: endGrace, asking: make(chan struct{}, 1), names: map[string]*Viewer{}, wanted: map[string]bool{}}
	var answer openAnswer
	in := openArgs{Run: cfg.Run, ByMeaning: cfg.ByMeaning}
	if h.own != nil {
		if err := in.share(cfg); err != nil {
			return nil, fmt.Errorf("agent %s: %w", h.target.Address, err)
		}
	}
	if err := h.call(ctx, callOpen, in, &answer); err != nil {
		return nil, fmt.Errorf("agent %s: begin a session: %w", h.target.Address, err)
	}
	s.id = answer.Session
	keeping, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	s.group.Go(func() { s.keep(keeping) })
	if h.own != nil {
		return s, nil
	}
	s.prober = startProber(h, cfg.Clock)
	if err := s.prober.ready(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("agent %s: %w", h.target.Address, err), s.Close())
	}
	return s, nil
}

// share tells an agent on this host where it records and by which clock, and leaves in
// the recording that both have one.
func (in *openArgs) share(cfg SessionConfig) error {
	origin, err := cfg.Clock.Origin()
	if err != nil {
		return err
	}
	if in.Dir, err = filepath.Abs(cfg.Dir); err != nil {
		return err
	}
	in.Origin = &origin
	text, err := json.Marshal(sharedClock{Format: sharedFormat, Origin: origin})
	if err != nil {
		return err
	}
	return replace(filepath.Join(cfg.Dir, sharedFile), append(text, '\n'))
}

// Host returns the agent.
func (s *Session) Host() *Host { return s.host }

// keep asks every now and then, so that the session lives, the agent knows what
// is plausible and tokens are renewed.
func (s *Session) keep(ctx context.Context) {
	for pause(ctx, keepEvery) {
		limited, cancel := context.WithTimeout(ctx, keepLimit)
		err := s.refresh(limited, "")
		cancel()
		if err != nil && ctx.Err() == nil {
			s.note(err)
		}
	}
}

// note keeps the first thing that went wrong.
func (s *Session) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
		s.host.log.Error("agent failed", "agent", s.host.target.Address, "error", err)
	}
}

// refresh learns how a viewer is, "" for none, at a moment after it was called. Of all who
// wait for viewers one asks at a time, and for all of them: an agent serves so many calls
// at once and no more. Nobody asks for viewers that nobody waits for, so that a crowd of
// them costs nothing.
func (s *Session) refresh(ctx context.Context, name string) error {
	s.mu.Lock()
	came := s.asked
	s.want(name)
	s.mu.Unlock()
	select {
	case s.asking <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.asking }()
	s.mu.Lock()
	if s.answered > came { // what somebody asked meanwhile
		s.mu.Unlock()
		return nil
	}
	s.asked++
	now := s.asked
	s.want(name) // again: whoever asked for it may have failed
	names := slices.Collect(maps.Keys(s.wanted))
	clear(s.wanted)
	s.mu.Unlock()
	err := s.ask(ctx, names)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.answered = now
		return nil
	}
	for _, name := range names { // whoever waits for them takes the next answer
		s.want(name)
	}
	return err
}

// want notes that somebody waits to hear of a viewer; the caller holds mu.
func (s *Session) want(name string) {
	if name != "" {
		s.wanted[name] = true
	}
}

// ask asks how viewers are, tells what all are to know and keeps the answer.
func (s *Session) ask(ctx context.Context, names []string) error {
	in := statusArgs{Session: s.id, Plausible: s.cfg.Plausible(), Tokens: map[string]string{}, Viewers: names}
	s.mu.Lock()
	viewers := s.viewers[:len(s.viewers):len(s.viewers)] // nobody changes what is there
	s.mu.Unlock()
	for _, v := range viewers {
		if token, renewed := v.renewed(ctx); renewed {
			in.Tokens[v.name] = token
		}
	}
	var answer statusAnswer
	err := s.host.call(ctx, callStatus, in, &answer)
	s.mu.Lock()
	s.away = errors.Is(err, ErrLost)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	for name, state := range answer.Viewers {
		if v := s.byName(name); v != nil {
			v.set(state)
		}
	}
	if answer.Err != "" {
		return fmt.Errorf("%w: agent %s: %s", ErrLost, s.host.target.Address, answer.Err)
	}
	return nil
}

// View opens a viewer at the agent, within 30 s. Of cfg count the fields that
// say what a viewer does; recorder, clock and the functions are the agent's, but
// for Token, which is asked here. ca is the authority of the system under test,
// PEM, nil for those of the agent's host. ErrLost tells of the agent; any other
// error that does not come from ctx is the system's that lets nobody in.
func (s *Session) View(ctx context.Context, cfg viewer.Config, ca []byte) (*Viewer, error) {
	v := &Viewer{session: s, name: cfg.Name, token: cfg.Token}
	in := viewArgs{Session: s.id, View: viewOf(cfg, ca)}
	if cfg.Token != nil {
		var err error
		if in.Token, err = cfg.Token(ctx); err != nil {
			return nil, err
		}
		v.minted = time.Now()
	}
	if err := s.host.call(ctx, callView, in, &v.state); err != nil {
		var told *remote.Error
		if errors.As(err, &told) && told.Code != codeSystem {
			err = fmt.Errorf("%w: %w", ErrLost, err)
		}
		return nil, fmt.Errorf("agent %s: %w", s.host.target.Address, err)
	}
	s.mu.Lock()
	s.viewers = append(s.viewers, v)
	s.names[v.name] = v
	s.mu.Unlock()
	return v, nil
}

func (s *Session) byName(name string) *Viewer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.names[name]
}

// Fetch gets what was recorded so far, with the exchanges of the clock, so that
// Load can read it.
func (s *Session) Fetch(ctx context.Context) error {
	if s.host.own != nil {
		return nil // it is here already
	}
	s.fetching.Lock()
	defer s.fetching.Unlock()
	for _, name := range recordingFiles {
		if err := s.fetch(ctx, name); err != nil {
			return fmt.Errorf("agent %s: fetch %s: %w", s.host.target.Address, name, err)
		}
	}
	return s.keepClock()
}

// fetch gets what a file has more than is here. The index is small and always
// written anew.
func (s *Session) fetch(ctx context.Context, name string) error {
	path := filepath.Join(s.cfg.Dir, name)
	grows := name != indexFile
	out, err := os.OpenFile(path+part(grows), os.O_WRONLY|os.O_CREATE|flags(grows), 0o644) //nolint:gosec // G302: evidence is for others to read
	if err != nil {
		return err
	}
	offset := int64(0)
	if grows {
		if offset, err = out.Seek(0, io.SeekEnd); err != nil {
			return errors.Join(err, out.Close())
		}
	}
	for {
		var answer readAnswer
		if err := s.host.call(ctx, callRead, readArgs{Session: s.id, File: name, Offset: offset}, &answer); err != nil {
			return errors.Join(err, out.Close())
		}
		if len(answer.Data) == 0 {
			break
		}
		if _, err := out.Write(answer.Data); err != nil {
			return errors.Join(err, out.Close())
		}
		offset += int64(len(answer.Data))
	}
	if err := out.Close(); err != nil || grows {
		return err
	}
	return os.Rename(path+part(grows), path)
}

func part(grows bool) string {
	if grows {
		return ""
	}
	return ".new"
}

func flags(grows bool) int {
	if grows {
		return os.O_APPEND
	}
	return os.O_TRUNC
}

// keepClock writes the exchanges so far.
func (s *Session) keepClock() error {
	var text bytes.Buffer
	if err := clocks.Write(&text, s.prober.taken()); err != nil {
		return err
	}
	return replace(filepath.Join(s.cfg.Dir, clockFile), text.Bytes())
}

// Close ends the viewers, fetches what they recorded, makes the last exchanges
// and keeps everything. It is idempotent and blocks for two minutes at most, or for
// ten seconds from the end of the run on; of an agent that was not there when it was
// last asked it expects nothing. An error wraps ErrLost when something did not arrive,
// and says what was waited for.
func (s *Session) Close() error {
	s.closing.Do(func() {
		ctx, cancel := s.ending()
		defer cancel()
		var answer finishAnswer
		err := s.step(ctx, "its viewers to end", func(ctx context.Context) error {
			return s.host.call(ctx, callFinish, sessionArgs{Session: s.id}, &answer)
		})
		s.cancel()
		s.group.Wait()
		var unprobed error
		if s.prober != nil {
			_, unprobed = s.prober.stop()
		}
		switch {
		case err == nil:
			err = s.step(ctx, "its recording", s.Fetch)
		case s.prober != nil:
			err = errors.Join(err, s.keepClock())
		}
		if err == nil && answer.Err != "" {
			err = errors.New(answer.Err)
		}
		lost := errors.Is(err, ErrLost)
		s.mu.Lock()
		err = cmp.Or(s.err, err, unprobed)
		s.mu.Unlock()
		if err != nil && !errors.Is(err, ErrLost) {
			err = fmt.Errorf("%w: %w", ErrLost, err)
		}
		if !lost { // else it ends the session by itself
			dropped := s.host.call(ctx, callDrop, sessionArgs{Session: s.id}, nil)
			if err == nil && dropped != nil {
				s.host.log.Warn("agent keeps a recording", "agent", s.host.target.Address, "error", dropped)
			}
		}
		s.closed = errors.Join(err, s.describe(answer, err))
	})
	return s.closed
}

// ending bounds the end of the session.
func (s *Session) ending() (context.Context, context.CancelFunc) {
	s.mu.Lock()
	most := endLimit
	if s.away {
		most = lastTry
	}
	s.mu.Unlock()
	limited, cancel := context.WithTimeoutCause(context.WithoutCancel(s.run), most, fmt.Errorf("it has %v for all of its end", most))
	ctx, hasten := context.WithCancelCause(limited)
	unwatch := context.AfterFunc(s.run, func() {
		pause(ctx, s.grace)
		hasten(fmt.Errorf("the run ended %v ago", s.grace))
	})
	return ctx, func() { unwatch(); hasten(nil); cancel() }
}

// step does a part of the end. An error says for what it waited when its time is over.
func (s *Session) step(ctx context.Context, what string, do func(context.Context) error) error {
	began := time.Now()
	err := do(ctx)
	if err == nil || ctx.Err() == nil {
		return err
	}
	return fmt.Errorf("%w: agent %s: waited %v for %s: %w", ErrLost, s.host.target.Address, time.Since(began).Round(time.Millisecond), what, context.Cause(ctx))
}
