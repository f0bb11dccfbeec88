package serve

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"plumbline/reports"
	"plumbline/reports/archive"
	"plumbline/reports/archive/site"
	"plumbline/reports/events"
	"plumbline/reports/render"
)

//go:embed page/live.html.tmpl
var livePage string

//go:embed page/live.js
var liveScript string

// liveTemplates are the page "live" of a run that goes on and the part "state" of it
// that is sent again whenever something happens.
var liveTemplates = template.Must(template.New("live").Funcs(template.FuncMap{
	"clean": render.Clean, "verdict": render.VerdictClass, "number": func(v any) string { return render.Number(toFloat(v)) },
	"span": func(seconds float64) string {
		return (time.Duration(seconds) * time.Second).String()
	},
	"percent": func(done, total int) int { return 100 * done / max(total, 1) },
}).Parse(livePage))

// heartbeat is how long a stream may be silent, so that both ends know of each other.
const heartbeat = 15 * time.Second

// reportWait is how long the reports of a run that ended are waited for.
const reportWait = 2 * time.Minute

// live shows a run that goes on: its page, or the stream of what happens.
func (s *Server) live(w http.ResponseWriter, r *http.Request, store *archive.Store, at string) {
	name, what, below := strings.Cut(at, "/")
	for _, open := range store.Open {
		if site.Slug(open.Path) != name {
			continue
		}
		if !below {
			http.Redirect(w, r, site.Slug(open.Path)+"/", http.StatusFound) // the links of the page are relative to it
			return
		}
		dir := runDir(store, open)
		switch what {
		case "":
			s.show(w, r, site.FrontPage, func(w io.Writer) error { return page(w, open.Path, s.follower(dir)) })
			return
		case "events":
			s.stream(w, r, dir, s.follower(dir))
			return
		}
	}
	http.Error(w, "No such run goes on. When it has ended, the front page shows its report.", http.StatusNotFound)
}

func runDir(store *archive.Store, open archive.Open) string {
	return filepath.Join(store.Root, filepath.FromSlash(open.Path))
}

// follower returns the one that follows the run in dir, which all who look on share.
func (s *Server) follower(dir string) *follower {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.runs[dir]
	if f == nil {
		f = &follower{path: filepath.Join(dir, events.FileName)}
		s.runs[dir] = f
	}
	return f
}

// page writes the page as the run is now; it is complete without the stream.
func page(w io.Writer, name string, f *follower) error {
	style := archive.Style()
	_, err := f.look(-1, func(state *events.State) error {
		return liveTemplates.ExecuteTemplate(w, "live", map[string]any{
			"Name": name, "State": state, "Style": template.CSS(style), "StyleHash": archive.Hash(style), //nolint:gosec // our own text
			"Script": template.JS(liveScript), "ScriptHash": archive.Hash(liveScript), //nolint:gosec // likewise
		})
	})
	return err
}

// stream sends the state of a run whenever it changed, as server-sent events, until
// the run has ended and its report is there.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, dir string, f *follower) {
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		http.Error(w, "Too many follow runs here already.", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	if r.Method == http.MethodHead {
		return
	}
	out := sender{w: w, control: http.NewResponseController(w)}
	tick := time.NewTicker(s.opts.Poll)
	defer tick.Stop()
	seen := -1
	var id string // of a run that has ended
	var sent, ended time.Time
	for {
		var part bytes.Buffer // sent when the follower is free again: a client may be slow
		now, err := f.look(seen, func(state *events.State) error {
			if id = ""; state.Verdict != nil && state.Run != nil {
				id = state.Run.ID
			}
			return liveTemplates.ExecuteTemplate(&part, "state", state)
		})
		if err != nil {
			s.opts.Log.Debug("a run cannot be followed any more", "dir", dir, "error", err)
			return
		}
		switch {
		case now != seen:
			err, seen, sent = out.event("state", part.String()), now, time.Now()
		case time.Since(sent) >= heartbeat:
			err, sent = out.comment(), time.Now()
		}
		if err != nil {
			return // the client went away
		}
		if id != "" {
			if _, err := os.Stat(filepath.Join(dir, render.SummaryFile)); err == nil {
				_ = out.event("end", "../../runs/"+site.Slug(id)+"/"+site.FrontPage) // the last word; a client that is gone needs none
				return
			}
			if ended.IsZero() {
				ended = time.Now()
			} else if time.Since(ended) > reportWait {
				return
			}
		}
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}

// sender writes server-sent events.
type sender struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

// event sends text as a JSON string, which has no line ends.
func (s sender) event(name, text string) error {
	data, err := json.Marshal(text)
	if err != nil {
		return err
	}
	return s.send(fmt.Sprintf("event: %s\ndata: %s\n\n", name, data))
}

func (s sender) comment() error { return s.send(": still here\n\n") }

func (s sender) send(text string) error {
	if err := s.control.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := io.WriteString(s.w, text); err != nil {
		return err
	}
	return s.control.Flush()
}

// follower reads events.jsonl while it grows, for all who look on.
type follower struct {
	path string

	mu      sync.Mutex
	offset  int64
	rest    []byte // the line that is still being written
	state   events.State
	version int // grows whenever the state changes
}

// Bounds of what is held: a line that is longer is passed over, and a file is taken
// up in pieces.
const (
	maxLine  = 1 << 20
	maxPiece = 1 << 20
)

// look takes up all that was written since somebody looked, and calls show with the
// state unless that is still the version seen. It returns the version that is now.
// show must not wait: others wait for it.
func (f *follower) look(seen int, show func(*events.State) error) (version int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.read(); err != nil {
		return seen, err
	}
	if f.version == seen {
		return seen, nil
	}
	return f.version, show(&f.state)
}

// read takes up what was written since. A file that became shorter is another one:
// its state begins anew.
func (f *follower) read() error {
	info, err := os.Lstat(f.path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("serve: %q is no regular file: %w", f.path, fs.ErrInvalid)
	}
	if info.Size() < f.offset {
		f.offset, f.rest, f.state = 0, nil, events.State{}
		f.version++
	}
	if info.Size() == f.offset {
		return nil
	}
	file, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // only read
	for piece := make([]byte, maxPiece); f.offset < info.Size(); {
		n, err := file.ReadAt(piece[:min(info.Size()-f.offset, maxPiece)], f.offset)
		f.offset += int64(n)
		f.take(piece[:n])
		if errors.Is(err, io.EOF) {
			return nil // it became shorter just now
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// take applies the whole lines of what follows what was read, and keeps the rest.
func (f *follower) take(piece []byte) {
	f.rest = append(f.rest, piece...)
	text := f.rest
	for {
		line, rest, whole := bytes.Cut(text, []byte("\n"))
		if !whole {
			break
		}
		text = rest
		if e, err := events.Decode(line); err == nil { // what cannot be read changes nothing
			f.state.Apply(e)
			f.version++
		}
	}
	f.rest = nil
	if len(text) <= maxLine {
		f.rest = bytes.Clone(text)
	}
}

// toFloat takes the number types that a State holds.
func toFloat(v any) float64 {
	switch v := v.(type) {
	case float64:
		return v
	case reports.Float:
		return float64(v)
	}
	return math.NaN()
}
