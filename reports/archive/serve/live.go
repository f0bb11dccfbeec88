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
		dir := filepath.Join(store.Root, filepath.FromSlash(open.Path))
		switch what {
		case "":
			s.show(w, r, site.FrontPage, func(w io.Writer) error { return page(w, open.Path, dir) })
			return
		case "events":
			s.stream(w, r, dir)
			return
		}
	}
	http.Error(w, "No such run goes on. When it has ended, the front page shows its report.", http.StatusNotFound)
}

// page writes the page as the run is now; it is complete without the stream.
func page(w io.Writer, name, dir string) error {
	f := &follower{path: filepath.Join(dir, events.FileName)}
	if _, err := f.read(); err != nil {
		return err
	}
	style := archive.Style()
	return liveTemplates.ExecuteTemplate(w, "live", map[string]any{
		"Name": name, "State": &f.state, "Style": template.CSS(style), "StyleHash": archive.Hash(style), //nolint:gosec // our own text
		"Script": template.JS(liveScript), "ScriptHash": archive.Hash(liveScript), //nolint:gosec // likewise
	})
}

// stream sends the state of a run whenever it changed, as server-sent events, until
// the run has ended and its report is there.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, dir string) {
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
	f := &follower{path: filepath.Join(dir, events.FileName)}
	out := sender{w: w, control: http.NewResponseController(w)}
	tick := time.NewTicker(s.opts.Poll)
	defer tick.Stop()
	var sent, ended time.Time
	for {
		changed, err := f.read()
		switch {
		case err != nil:
			s.opts.Log.Debug("a run cannot be followed any more", "dir", dir, "error", err)
			return
		case changed || sent.IsZero():
			err, sent = out.state(&f.state), time.Now()
		case time.Since(sent) >= heartbeat:
			err, sent = out.comment(), time.Now()
		}
		if err != nil {
			return // the client went away
		}
		if f.state.Verdict != nil && f.state.Run != nil {
			if _, err := os.Stat(filepath.Join(dir, render.SummaryFile)); err == nil {
				_ = out.event("end", "../../runs/"+site.Slug(f.state.Run.ID)+"/"+site.FrontPage) // the last word; a client that is gone needs none
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

func (s sender) state(state *events.State) error {
	var part bytes.Buffer
	if err := liveTemplates.ExecuteTemplate(&part, "state", state); err != nil {
		return err
	}
	return s.event("state", part.String())
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

// follower reads events.jsonl while it grows.
type follower struct {
	path   string
	offset int64
	rest   []byte // the line that is still being written
	state  events.State
}

// Bounds of what is read: a line that is longer is passed over, and of a file that
// grew by more the rest is for the next time.
const (
	maxLine  = 1 << 20
	maxChunk = 16 << 20
)

// read takes up what was written since, and reports whether that was anything. A file
// that became shorter is another one: its state begins anew.
func (f *follower) read() (changed bool, err error) {
	info, err := os.Lstat(f.path)
	if err != nil {
		return false, err
	}
	if !info.Mode().IsRegular() {
		return false, fmt.Errorf("serve: %q is no regular file: %w", f.path, fs.ErrInvalid)
	}
	if info.Size() < f.offset {
		*f = follower{path: f.path}
		changed = true
	}
	if info.Size() == f.offset {
		return changed, nil
	}
	file, err := os.Open(f.path)
	if err != nil {
		return false, err
	}
	defer file.Close() //nolint:errcheck // only read
	fresh, err := io.ReadAll(io.NewSectionReader(file, f.offset, min(info.Size()-f.offset, maxChunk)))
	if err != nil {
		return false, err
	}
	f.offset += int64(len(fresh))
	f.rest = append(f.rest, fresh...)
	for {
		line, rest, whole := bytes.Cut(f.rest, []byte("\n"))
		if !whole {
			break
		}
		f.rest = rest
		if e, err := events.Decode(line); err == nil { // what cannot be read changes nothing
			f.state.Apply(e)
			changed = true
		}
	}
	if len(f.rest) > maxLine {
		f.rest = nil
	}
	return changed, nil
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
