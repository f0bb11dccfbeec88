// Package site builds a static site from a store of runs: the newest verdict and
// badge of each system and profile, trends with their change-points, a page for each
// run, systems side by side, a search and a feed.
//
// The site is a pure function of the store: the same runs give the same bytes. All
// links are relative, so that it works from a folder, a file share and any web
// server, below any path. Its pages are complete without scripts and load nothing
// from elsewhere; what a system, a run or a device calls itself is text in them.
package site

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"plumbline/reports"
	"plumbline/reports/archive"
	"plumbline/reports/render"
)

// Options say what a site shows. The zero value is useful.
type Options struct {
	Title string // of the front page; "" means "Test reports"
	Keep  int    // run pages of each system and profile, the newest; 0 means DefaultKeep. Older runs stay in the trends
	Live  bool   // the front page leads to runs that go on, below LiveFolder; a static site has no such pages
}

// LiveFolder is where a server shows runs that go on, each by the Slug of its path.
const LiveFolder = "live/"

// DefaultKeep is how many run pages a site has of each system and profile.
const DefaultKeep = 100

// Names of the files that others look for.
const (
	FrontPage  = "index.html"
	FeedFile   = "feed.xml"
	SearchFile = "search.json"
	BadgeFile  = "badge.svg"
)

// File is one file of a site.
type File struct {
	Path  string // relative, with slashes
	Write func(io.Writer) error
}

// Site is the files of a site, by path.
type Site struct {
	Files []File
	store *archive.Store
	opts  Options
	page  *template.Template
	lines []line
}

// line is a system under a profile with the addresses of its pages.
type line struct {
	archive.Line
	Slug string
	Best archive.Record // the newest whole run, or the newest of all
	Kept []kept         // newest first
}

// kept is a run that has a page.
type kept struct {
	archive.Summary
	Slug string
}

// Build plans the site of a store. It reads no run yet: the Write of a run page
// does, and fails when the run is gone by then. A store without runs gives a site
// that says so.
func Build(store *archive.Store, opts Options) (*Site, error) {
	if opts.Title == "" {
		opts.Title = "Test reports"
	}
	if opts.Keep <= 0 {
		opts.Keep = DefaultKeep
	}
	page, err := templates()
	if err != nil {
		return nil, err
	}
	s := &Site{store: store, opts: opts, page: page}
	history, err := store.History(archive.Choice{})
	if err != nil && !errors.Is(err, archive.ErrNothing) {
		return nil, err
	}
	if history != nil {
		for _, l := range history.Lines {
			s.lines = append(s.lines, s.newLine(l))
		}
	} else {
		history = &archive.History{Aside: store.Aside, Notes: store.Notes}
	}
	s.addPages(history)
	slices.SortFunc(s.Files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return s, nil
}

func (s *Site) newLine(l archive.Line) line {
	out := line{Line: l, Slug: Slug(l.System) + "." + Slug(l.Profile)}
	records := map[string]archive.Record{}
	for _, r := range s.store.Runs {
		records[r.ID] = r
	}
	out.Best = records[l.Runs[len(l.Runs)-1].ID]
	for _, r := range l.Runs {
		if record := records[r.ID]; record.Whole() {
			out.Best = record
		}
	}
	for i := len(l.Runs) - 1; i >= 0 && len(out.Kept) < s.opts.Keep; i-- {
		out.Kept = append(out.Kept, kept{Summary: l.Runs[i], Slug: Slug(l.Runs[i].ID)})
	}
	if !slices.ContainsFunc(out.Kept, func(k kept) bool { return k.ID == out.Best.ID }) {
		i := slices.IndexFunc(l.Runs, func(r archive.Summary) bool { return r.ID == out.Best.ID })
		out.Kept = append(out.Kept, kept{Summary: l.Runs[i], Slug: Slug(out.Best.ID)})
	}
	return out
}

// addPages lists the files.
func (s *Site) addPages(history *archive.History) {
	s.add(FrontPage, func(w io.Writer) error { return s.front(w, history) })
	s.add(SearchFile, s.search)
	s.add(FeedFile, s.feed)
	s.add(".nojekyll", func(io.Writer) error { return nil }) // GitHub Pages: as it is, nothing is generated
	for i := range s.lines {
		l := &s.lines[i]
		s.add("systems/"+l.Slug+"/"+FrontPage, func(w io.Writer) error { return s.system(w, l) })
		s.add("systems/"+l.Slug+"/"+BadgeFile, func(w io.Writer) error { return s.show(w, l.Best.Path, l.Best.ID, render.Badge) })
		for _, k := range l.Kept {
			s.add("runs/"+k.Slug+"/"+FrontPage, func(w io.Writer) error { return s.show(w, k.Path, k.ID, render.HTML) })
			s.add("runs/"+k.Slug+"/"+BadgeFile, func(w io.Writer) error { return s.show(w, k.Path, k.ID, render.Badge) })
		}
	}
	for _, profile := range s.profiles() {
		s.add("profiles/"+Slug(profile)+".html", func(w io.Writer) error { return s.matrix(w, profile) })
	}
}

func (s *Site) add(path string, write func(io.Writer) error) {
	s.Files = append(s.Files, File{Path: path, Write: write})
}

// show renders one run again, from its summary.
func (s *Site) show(w io.Writer, path, id string, form render.Renderer) error {
	run, err := render.Load(filepath.Join(s.store.Root, filepath.FromSlash(path)))
	if err != nil {
		return fmt.Errorf("site: run %q: %w", id, err)
	}
	if run.ID != id {
		return fmt.Errorf("site: run %q: %q holds run %q by now; the store changed while it was read", id, path, run.ID)
	}
	return form(w, run)
}

// execute writes a page at once, so that an error leaves no half of it.
func (s *Site) execute(w io.Writer, name string, data map[string]any) error {
	style := archive.Style()
	data["Style"], data["StyleHash"] = template.CSS(style), archive.Hash(style) //nolint:gosec // our own text
	data["Title"] = s.opts.Title
	if data["Up"] == nil {
		data["Up"] = ""
	}
	var buf bytes.Buffer
	if err := s.page.ExecuteTemplate(&buf, name, data); err != nil {
		return fmt.Errorf("site: page %s: %w", name, err)
	}
	_, err := w.Write(buf.Bytes())
	return err
}

// front is the page that shows all systems.
func (s *Site) front(w io.Writer, history *archive.History) error {
	found, err := s.entries()
	if err != nil {
		return err
	}
	type row struct {
		*line
		Badge template.URL // within the page: a page in a folder has no 'self' to load it from
		Spark template.HTML
		Of    string
	}
	var rows []row
	for i := range s.lines {
		r := row{line: &s.lines[i]}
		var badge bytes.Buffer
		if err := s.show(&badge, r.Best.Path, r.Best.ID, render.Badge); err != nil {
			return err
		}
		r.Badge = template.URL("data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString(badge.Bytes())) //nolint:gosec // a drawing of ours, shown as an image
		if series := leading(&s.lines[i].Line); series != nil {
			r.Spark, r.Of = archive.Spark(fmt.Sprint(i), series), series.Label()
		}
		rows = append(rows, r)
	}
	var open []archive.Open
	if s.opts.Live {
		open = s.store.Open
	}
	return s.execute(w, "front", map[string]any{"Open": open,
		"History": history, "Rows": rows, "Profiles": s.profiles(), "Newest": s.newest(20), "Worst": s.worst(),
		"Index": found, "Script": template.JS(searchScript), "ScriptHash": archive.Hash(searchScript), //nolint:gosec // our own text
	})
}

// leading is the series that a system is known by: p99 of a latency, if it has one.
func leading(l *archive.Line) *archive.Series {
	var best *archive.Series
	for i := range l.Series {
		s := &l.Series[i]
		switch {
		case s.Quantile == 0 || len(s.Points) == 0:
		case best == nil, s.Quantile == 0.99 && best.Quantile != 0.99:
			best = s
		}
	}
	return best
}

// worst is the worst verdict that any system has now.
func (s *Site) worst() reports.Verdict {
	var all []reports.Verdict
	for i := range s.lines {
		all = append(all, s.lines[i].Best.Overall)
	}
	return reports.Worst(all...)
}

// newest returns the newest runs that have a page.
func (s *Site) newest(most int) []named {
	var all []named
	for i := range s.lines {
		for _, k := range s.lines[i].Kept {
			all = append(all, named{kept: k, Line: &s.lines[i]})
		}
	}
	slices.SortStableFunc(all, func(a, b named) int {
		if c := b.Started.Compare(a.Started); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return all[:min(len(all), most)]
}

// named is a run with the system that it belongs to.
type named struct {
	kept
	Line *line
}

// system is the page of a system under a profile.
func (s *Site) system(w io.Writer, l *line) error {
	return s.execute(w, "system", map[string]any{"Up": "../../", "Line": l, "View": archive.NewView("s", &l.Line), "Matrix": slices.Contains(s.profiles(), l.Profile)})
}

// profiles are those by which more than one system was tested.
func (s *Site) profiles() (names []string) {
	n := map[string]int{}
	for i := range s.lines {
		if n[s.lines[i].Profile]++; n[s.lines[i].Profile] == 2 {
			names = append(names, s.lines[i].Profile)
		}
	}
	slices.Sort(names)
	return names
}

// matrix is the page that shows the systems of a profile side by side.
func (s *Site) matrix(w io.Writer, profile string) error {
	type cell struct {
		archive.Judged
		Tried bool
	}
	type row struct {
		ID, Title string
		Cells     []cell
	}
	var columns []*line
	for i := range s.lines {
		if s.lines[i].Profile == profile {
			columns = append(columns, &s.lines[i])
		}
	}
	newest := columns[0].Best
	for _, c := range columns {
		if c.Best.Started.After(newest.Started) {
			newest = c.Best
		}
	}
	var rows []*row
	index := map[string]*row{}
	for i, c := range columns {
		for _, j := range c.Best.Judged {
			r := index[j.ID]
			if r == nil {
				r = &row{ID: j.ID, Title: j.Title, Cells: make([]cell, len(columns))}
				index[j.ID] = r
				rows = append(rows, r)
			}
			r.Cells[i] = cell{Judged: j, Tried: true}
		}
	}
	slices.SortStableFunc(rows, func(a, b *row) int { return strings.Compare(a.ID, b.ID) })
	return s.execute(w, "matrix", map[string]any{"Up": "../", "Profile": profile, "Columns": columns, "Rows": rows, "Digest": newest.Profile.Digest})
}
