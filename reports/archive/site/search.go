package site

import (
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"time"

	"plumbline/reports/render"
)

//go:embed page/search.js
var searchScript string

// entry is one thing that the search finds.
type entry struct {
	Title string `json:"t"`
	Words string `json:"k"` // what else it is found by, shown behind the title
	Link  string `json:"u"` // relative to the front page
}

// entries lists systems, figures and runs.
func (s *Site) entries() ([]entry, error) {
	all := []entry{}
	for i := range s.lines {
		l := &s.lines[i]
		system := "systems/" + l.Slug + "/"
		name := render.Clean(l.System) + ", profile " + render.Clean(l.Profile)
		all = append(all, entry{name, fmt.Sprintf("%s, history: %s", l.Best.Overall, l.Outcome), system + FrontPage})
		for _, strip := range l.Strips {
			all = append(all, entry{render.Clean(strip.Requirement + " " + strip.Title), name + ", " + string(strip.Outcome), system + FrontPage + "#verdicts-s"})
		}
		for _, k := range l.Kept {
			all = append(all, entry{"run " + render.Clean(k.ID), fmt.Sprintf("%s, %s, %s, %s", name, render.Clean(k.Version), k.Verdict, k.Started.Format(time.DateOnly)), "runs/" + k.Slug + "/" + FrontPage})
		}
	}
	return all, nil
}

func (s *Site) search(w io.Writer) error {
	all, err := s.entries()
	if err != nil {
		return err
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", " ")
	return enc.Encode(all)
}

// The feed, after RFC 4287.
type (
	feed struct {
		XMLName xml.Name    `xml:"http://www.w3.org/2005/Atom feed"`
		ID      string      `xml:"id"`
		Title   string      `xml:"title"`
		Updated string      `xml:"updated"`
		Author  feedAuthor  `xml:"author"`
		Links   []feedLink  `xml:"link"`
		Entries []feedEntry `xml:"entry"`
	}
	feedAuthor struct {
		Name string `xml:"name"`
	}
	feedLink struct {
		Rel  string `xml:"rel,attr"`
		Href string `xml:"href,attr"` // relative: to be resolved against the feed's own address
		Type string `xml:"type,attr,omitempty"`
	}
	feedEntry struct {
		ID      string   `xml:"id"`
		Title   string   `xml:"title"`
		Updated string   `xml:"updated"`
		Link    feedLink `xml:"link"`
		Summary string   `xml:"summary"`
	}
)

// feedLength is how many of the newest runs the feed tells of.
const feedLength = 50

// feed writes the newest runs for a feed reader. Nothing in it depends on when the
// site was built.
func (s *Site) feed(w io.Writer) error {
	out := feed{ID: urn("feed", s.opts.Title), Title: render.Clean(s.opts.Title), Author: feedAuthor{"plumbline"},
		Links: []feedLink{{"alternate", FrontPage, "text/html"}, {"self", FeedFile, "application/atom+xml"}}, Updated: time.Unix(0, 0).UTC().Format(time.RFC3339)}
	for i, n := range s.newest(feedLength) {
		finished := s.finished(n.ID).Format(time.RFC3339)
		if i == 0 || finished > out.Updated {
			out.Updated = finished
		}
		out.Entries = append(out.Entries, feedEntry{
			ID: urn("run", n.ID+n.Started.Format(time.RFC3339Nano)), Updated: finished,
			Title:   fmt.Sprintf("%s: %s %s, profile %s", n.Verdict, render.Clean(n.Line.System), render.Clean(n.Version), render.Clean(n.Line.Profile)),
			Link:    feedLink{"alternate", "runs/" + n.Slug + "/" + FrontPage, "text/html"},
			Summary: fmt.Sprintf("Run %s of %s. History of the system: %s: %s.", render.Clean(n.ID), render.Date(n.Started), n.Line.Outcome, render.Clean(n.Line.Why)),
		})
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", " ")
	if err := enc.Encode(out); err != nil {
		return fmt.Errorf("site: feed: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (s *Site) finished(id string) time.Time {
	for i := range s.store.Runs {
		if s.store.Runs[i].ID == id {
			return s.store.Runs[i].Finished
		}
	}
	return time.Time{}
}

// urn is a name of a thing that stays the same: a UUID of version 8 (RFC 9562
// section 5.8) made of a digest.
func urn(kind, what string) string {
	u := sha256.Sum256([]byte("plumbline " + kind + "\x00" + what))
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}
