package agent

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
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
	prober *prober
	cancel context.CancelFunc // of the keeper
	group  sync.WaitGroup

	fetching sync.Mutex // one fetches at a time

	mu      sync.Mutex
	viewers []*Viewer
	err     error // the first thing that went wrong while nobody waited

	closing sync.Once
	closed  error
}

// The times of the keeper.
const (
	keepEvery  = time.Second
	tokenEvery = 20 * time.Minute
	keepLimit  = comeBack + 5*time.Second
	// endLimit bounds how long the end of a session may take.
	endLimit = 2 * time.Minute
)

// Open begins a session and the exchanges of its clock. Errors wrap ErrLost when
// the agent is gone.
func (h *Host) Open(ctx context.Context, cfg SessionConfig) (*Session, error) {
	if err := os.Mkdir(cfg.Dir, 0o755); err != nil { //nolint:gosec // G301: evidence is for others to read
		return nil, fmt.Errorf("agent %s: folder of its recording: %w", h.target.Address, err)
	}
	s := &Session{host: h, cfg: cfg}
	var answer openAnswer
	if err := h.call(ctx, callOpen, openArgs{Run: cfg.Run, ByMeaning: cfg.ByMeaning}, &answer); err != nil {
		return nil, fmt.Errorf("agent %s: begin a session: %w", h.target.Address, err)
	}
	s.id = answer.Session
	keeping, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	s.prober = startProber(h, cfg.Clock)
	s.group.Go(func() { s.keep(keeping) })
	if err := s.prober.ready(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("agent %s: %w", h.target.Address, err), s.Close())
	}
	return s, nil
}

// Host returns the agent.
func (s *Session) Host() *Host { return s.host }

// keep asks every now and then, so that the session lives, the agent knows what
// is plausible and tokens are renewed.
func (s *Session) keep(ctx context.Context) {
	for pause(ctx, keepEvery) {
		limited, cancel := context.WithTimeout(ctx, keepLimit)
		err := s.refresh(limited)
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

// refresh learns how the viewers are.
func (s *Session) refresh(ctx context.Context) error {
	in := statusArgs{Session: s.id, Plausible: s.cfg.Plausible(), Tokens: map[string]string{}}
	s.mu.Lock()
	viewers := s.viewers
	s.mu.Unlock()
	for _, v := range viewers {
		if token, renewed := v.renewed(ctx); renewed {
			in.Tokens[v.name] = token
		}
	}
	var answer statusAnswer
	if err := s.host.call(ctx, callStatus, in, &answer); err != nil {
		return err
	}
	for _, v := range viewers {
		if state, known := answer.Viewers[v.name]; known {
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
	if err := s.host.call(ctx, callView, in, nil); err != nil {
		var told *remote.Error
		if errors.As(err, &told) && told.Code != codeSystem {
			err = fmt.Errorf("%w: %w", ErrLost, err)
		}
		return nil, fmt.Errorf("agent %s: %w", s.host.target.Address, err)
	}
	s.mu.Lock()
	s.viewers = append(s.viewers[:len(s.viewers):len(s.viewers)], v)
	s.mu.Unlock()
	return v, s.refresh(ctx)
}

// Fetch gets what was recorded so far, with the exchanges of the clock, so that
// Load can read it.
func (s *Session) Fetch(ctx context.Context) error {
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
// and keeps everything. It is idempotent and blocks for two minutes at most. An
// error wraps ErrLost when something did not arrive.
func (s *Session) Close() error {
	s.closing.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), endLimit)
		defer cancel()
		var answer finishAnswer
		err := s.host.call(ctx, callFinish, sessionArgs{Session: s.id}, &answer)
		s.cancel()
		s.group.Wait()
		_, unprobed := s.prober.stop()
		if err == nil {
			err = s.Fetch(ctx)
		} else {
			err = errors.Join(err, s.keepClock())
		}
		if err == nil && answer.Err != "" {
			err = errors.New(answer.Err)
		}
		s.mu.Lock()
		err = cmp.Or(s.err, err, unprobed)
		s.mu.Unlock()
		if err != nil && !errors.Is(err, ErrLost) {
			err = fmt.Errorf("%w: %w", ErrLost, err)
		}
		dropped := s.host.call(ctx, callDrop, sessionArgs{Session: s.id}, nil)
		if err == nil && dropped != nil {
			s.host.log.Warn("agent keeps a recording", "agent", s.host.target.Address, "error", dropped)
		}
		s.closed = errors.Join(err, s.describe(answer, err))
	})
	return s.closed
}

// describe writes what is to be known of the agent besides its recording.
func (s *Session) describe(answer finishAnswer, lost error) error {
	e := Evidence{
		Format: evidenceFormat, Address: s.host.target.Address, About: s.host.about,
		HiccupP99: answer.HiccupP99, HiccupMax: answer.HiccupMax, Gaps: answer.Gaps, GapsFrom: answer.GapsFrom,
	}
	if lost != nil {
		e.Lost = lost.Error()
	}
	text, err := json.MarshalIndent(e, "", " ")
	if err != nil {
		return err
	}
	return replace(filepath.Join(s.cfg.Dir, evidenceFile), append(text, '\n'))
}

// replace writes a file in one step.
func replace(path string, text []byte) error {
	if err := os.WriteFile(path+".new", text, 0o644); err != nil { //nolint:gosec // G306: evidence is for others to read
		return err
	}
	return os.Rename(path+".new", path)
}
