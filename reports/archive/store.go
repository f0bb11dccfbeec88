package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"plumbline/reports"
	"plumbline/reports/render"
)

// ErrNoStore says that a path is no folder that can be read.
var ErrNoStore = errors.New("no store of runs")

// Store is what a folder holds.
type Store struct {
	Root  string   // as it was given
	Runs  []Record // in the order in which they were started, equal ones by id
	Aside []Aside  // what was found and is not used, by path
	Open  []Open   // runs without a summary, by path
	Notes []string // what makes figures of these runs worth less

	print string
}

// Fingerprint changes when anything in the store did that Load looks at: which runs
// there are, and the sizes and times of their summaries.
func (s *Store) Fingerprint() string { return s.print }

// Aside is a run directory that is not used, and why.
type Aside struct {
	Path string `json:"path"` // relative to the store, with slashes
	Why  string `json:"why"`
}

// Open is a run directory whose run goes on, or was cut off before its summary.
type Open struct {
	Path    string    `json:"path"`
	Changed time.Time `json:"changed"` // when its events.jsonl last grew
}

// Names of files by which a run directory is known.
const (
	eventsFile   = "events.jsonl"
	manifestFile = "manifest.json"
)

// Bounds of what is read; a folder beyond them is no store.
const (
	maxDepth   = 3
	maxFolders = 100_000
)

// clockSlack is by how much the wall clock may be corrected within a run.
const clockSlack = time.Second

// Load reads the store at root. An error that wraps ErrNoStore says that there is
// none; whatever is wrong with a single run is said in Aside.
func Load(root string) (*Store, error) { return NewLoader(root).Load() }

// Loader reads a store again and again, each run once only. Its zero value is not
// usable; it is not for use by several goroutines at once.
type Loader struct {
	root string
	seen map[string]parsed // by path
}

// parsed is a summary as it was read when the file had this size and time.
type parsed struct {
	size   int64
	change time.Time
	record *Record
	why    string // it is set aside
	digest [sha256.Size]byte
}

// NewLoader returns a loader of the store at root. It reads nothing yet.
func NewLoader(root string) *Loader { return &Loader{root: root, seen: map[string]parsed{}} }

// Load reads what is new in the store.
func (l *Loader) Load() (*Store, error) {
	s := &Store{Root: l.root}
	found := map[string]parsed{}
	folders := 0
	var walk func(dir string, depth int) error
	walk = func(dir string, depth int) error {
		if folders++; folders > maxFolders {
			return fmt.Errorf("archive: %w: %q holds more than %d folders", ErrNoStore, l.root, maxFolders)
		}
		known, err := l.look(s, found, dir)
		if known || err != nil || depth >= maxDepth {
			return err
		}
		entries, err := os.ReadDir(filepath.Join(l.root, filepath.FromSlash(dir)))
		if err != nil {
			if dir == "." {
				return fmt.Errorf("archive: %w: %w", ErrNoStore, err)
			}
			s.Aside = append(s.Aside, Aside{Path: dir, Why: "cannot be read: " + plain(err)})
			return nil
		}
		for _, e := range entries {
			if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
				if err := walk(path.Join(dir, e.Name()), depth+1); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := walk(".", 0); err != nil {
		return nil, err
	}
	l.seen = found
	s.gather(found)
	s.print = fingerprint(found, s)
	return s, nil
}

// fingerprint is a digest of what was found where.
func fingerprint(found map[string]parsed, s *Store) string {
	sum := sha256.New()
	for _, dir := range slices.Sorted(maps.Keys(found)) {
		fmt.Fprintf(sum, "%q %d %d\n", dir, found[dir].size, found[dir].change.UnixNano())
	}
	for _, a := range s.Aside {
		fmt.Fprintf(sum, "%q %q\n", a.Path, a.Why)
	}
	for _, o := range s.Open {
		fmt.Fprintf(sum, "%q\n", o.Path)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// look reports whether dir is a run directory, and takes it up.
func (l *Loader) look(s *Store, found map[string]parsed, dir string) (bool, error) {
	at := func(name string) (fs.FileInfo, error) {
		return os.Lstat(filepath.Join(l.root, filepath.FromSlash(dir), name))
	}
	info, err := at(render.SummaryFile)
	if err == nil {
		p, known := l.seen[dir]
		if !known || p.size != info.Size() || !p.change.Equal(info.ModTime()) {
			p = l.parse(dir, info)
		}
		found[dir] = p
		return true, nil
	}
	if events, err := at(eventsFile); err == nil && events.Mode().IsRegular() {
		s.Open = append(s.Open, Open{Path: dir, Changed: events.ModTime().UTC()})
		return true, nil
	}
	if _, err := at(manifestFile); err == nil {
		s.Aside = append(s.Aside, Aside{Path: dir, Why: "truncated: it has " + manifestFile + " and no " + render.SummaryFile})
		return true, nil
	}
	return false, nil
}

// parse reads one summary.
func (l *Loader) parse(dir string, info fs.FileInfo) parsed {
	p := parsed{size: info.Size(), change: info.ModTime()}
	switch {
	case !info.Mode().IsRegular():
		p.why = render.SummaryFile + " is no regular file"
		return p
	case info.Size() > render.MaxSummary:
		p.why = fmt.Sprintf("%s has %d bytes; no summary is larger than %d", render.SummaryFile, info.Size(), render.MaxSummary)
		return p
	}
	f, err := os.Open(filepath.Join(l.root, filepath.FromSlash(dir), render.SummaryFile))
	if err != nil {
		p.why = "cannot be read: " + plain(err)
		return p
	}
	defer f.Close() //nolint:errcheck // only read
	sum := sha256.New()
	run, err := render.Read(io.TeeReader(f, sum))
	if err != nil {
		p.why = misread(f, err)
		return p
	}
	sum.Sum(p.digest[:0])
	if p.why = contradiction(run); p.why == "" {
		p.record = newRecord(dir, run)
	}
	return p
}

// misread says what is wrong with a summary that could not be read: one of another
// schema is told apart from one that is damaged.
func misread(f *os.File, err error) string {
	var head struct {
		Schema *string `json:"schema"`
	}
	if _, seek := f.Seek(0, io.SeekStart); seek == nil && json.NewDecoder(io.LimitReader(f, render.MaxSummary)).Decode(&head) == nil {
		switch {
		case head.Schema == nil:
			return "foreign: " + render.SummaryFile + " names no schema"
		case *head.Schema != reports.SchemaVersion:
			return fmt.Sprintf("another schema: %q, this program reads %q", *head.Schema, reports.SchemaVersion)
		}
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return "truncated: " + render.SummaryFile + " ends within"
	}
	return "damaged: " + plain(err)
}

// contradiction says why a run that can be read is not to be used.
func contradiction(run *reports.Run) string {
	if run.Finished.Before(run.Started) {
		return fmt.Sprintf("its clock went backwards: started %s, finished %s", render.Date(run.Started), render.Date(run.Finished))
	}
	if err := run.Validate(); err != nil {
		return "contradicts itself: " + plain(err)
	}
	for i := range run.Results {
		r := &run.Results[i]
		if at := r.Started; !at.IsZero() && (at.Before(run.Started.Add(-clockSlack)) || at.After(run.Finished.Add(clockSlack))) {
			return fmt.Sprintf("its clock went backwards or was set: %s was judged at %s, the run went from %s to %s",
				r.Requirement, render.Date(at), render.Date(run.Started), render.Date(run.Finished))
		}
	}
	return ""
}

// gather puts the runs in order and sets aside those whose id is not their own.
func (s *Store) gather(found map[string]parsed) {
	holders := map[string][]string{} // id → paths
	for dir, p := range found {
		if p.record == nil {
			s.Aside = append(s.Aside, Aside{Path: dir, Why: p.why})
			continue
		}
		holders[p.record.ID] = append(holders[p.record.ID], dir)
	}
	for id, dirs := range holders {
		slices.Sort(dirs)
		first := found[dirs[0]]
		equal := !slices.ContainsFunc(dirs, func(dir string) bool { return found[dir].digest != first.digest })
		for i, dir := range dirs {
			switch {
			case len(dirs) == 1, equal && i == 0:
				s.Runs = append(s.Runs, *found[dir].record)
			case equal:
				s.Aside = append(s.Aside, Aside{Path: dir, Why: "a copy of " + dirs[0]})
			default:
				other := dirs[(i+1)%len(dirs)]
				s.Aside = append(s.Aside, Aside{Path: dir, Why: fmt.Sprintf("has the id %q of %s too, which is another run: it cannot be told which is right", id, other)})
			}
		}
	}
	slices.SortFunc(s.Runs, inOrder)
	slices.SortFunc(s.Aside, func(a, b Aside) int { return strings.Compare(a.Path, b.Path) })
	slices.SortFunc(s.Open, func(a, b Open) int { return strings.Compare(a.Path, b.Path) })
	s.overlaps()
}

// overlaps notes runs that were made at once, or seem so because a clock was set.
func (s *Store) overlaps() {
	for i := 1; i < len(s.Runs); i++ {
		a, b := &s.Runs[i-1], &s.Runs[i]
		if b.Started.Before(a.Finished) && sameMachine(a, b) {
			s.Notes = append(s.Notes, fmt.Sprintf("runs %s and %s overlap: they disturbed each other, or the clock went backwards between them", a.ID, b.ID))
		}
	}
}

// plain is an error without the line ends of joined ones, not too long.
func plain(err error) string {
	const most = 300
	text := []rune(render.Clean(err.Error()))
	if len(text) > most {
		return string(text[:most]) + "…"
	}
	return string(text)
}
