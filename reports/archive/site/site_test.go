package site

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"plumbline/reports"
	"plumbline/reports/archive"
	"plumbline/reports/archive/archivetest"
)

// hostile is a name that every form of text would obey.
const hostile = `../../<script>alert(1)</script>"'&{{.}}` + "\x1b[31m\u202e`|javascript:x"

// full is a store of two systems, one of which became slower, a system with a hostile
// name, and something that is set aside.
func full(t *testing.T) *archivetest.Store {
	t.Helper()
	keep := archivetest.New(t)
	rng := rand.New(rand.NewPCG(1, 1))
	figures := make([]float64, 30)
	for i := range figures {
		figures[i] = 2 * math.Exp(0.03*rng.NormFloat64())
		if i >= 20 {
			figures[i] *= 2
		}
	}
	keep.Play(figures, nil)
	keep.Play(figures[:3], func(i int, r *reports.Run) {
		r.SUT.Name = "node"
		if i == 2 {
			r.Results[1].Verdict, r.Results[1].Headline = reports.Fail, "3 lost"
		}
	})
	keep.Play(figures[:2], func(i int, r *reports.Run) {
		r.SUT.Name, r.SUT.Version, r.Requirements[0].Title, r.Results[0].Headline = hostile, hostile, hostile, hostile
		if i == 1 {
			r.Partial = hostile
		}
	})
	dir := keep.Put("<b>cut", keep.Run(1, nil))
	if err := os.WriteFile(filepath.Join(dir, "summary.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	return keep
}

func build(t *testing.T, keep *archivetest.Store) *Site {
	t.Helper()
	store, err := archive.Load(keep.Root)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Build(store, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// read returns all files below a folder.
func read(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(at string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(at)
		name, _ := filepath.Rel(dir, at)
		files[filepath.ToSlash(name)] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func same(a, b map[string]string) bool {
	for name := range b {
		if a[name] != b[name] {
			return false
		}
	}
	return len(a) == len(b)
}

// TestASiteIsItsStore: the same store gives the same bytes, wherever it is written, and
// a second time over the first.
func TestASiteIsItsStore(t *testing.T) {
	keep := full(t)
	one, two := filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "deep", "two")
	for _, dir := range []string{one, two, one} {
		if err := build(t, keep).Write(dir); err != nil {
			t.Fatal(err)
		}
	}
	a, b := read(t, one), read(t, two)
	if !same(a, b) {
		t.Error("the same store gives different sites")
	}
	for _, name := range []string{"index.html", "feed.xml", "search.json", Marker, "systems/bridged.ci/index.html", "systems/bridged.ci/badge.svg",
		"systems/node.ci/index.html", "runs/run0001/index.html", "runs/run0001/badge.svg", "profiles/ci.html"} {
		if a[name] == "" {
			t.Errorf("the site lacks %s", name)
		}
	}
	for _, want := range []string{"regression", "run0021", "<svg"} {
		if !strings.Contains(a["systems/bridged.ci/index.html"], want) {
			t.Errorf("the page of the system lacks %q", want)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(one), ".plumbline-site-*")); len(left) > 0 {
		t.Errorf("left beside the site: %q", left)
	}
	for _, want := range []string{"3 lost", "FAIL", "PASS"} {
		if !strings.Contains(a["profiles/ci.html"], want) {
			t.Errorf("the matrix lacks %q", want)
		}
	}
}

// link matches what a page refers to.
var link = regexp.MustCompile(`(?:href|src)="([^"]*)"`)

// TestLinksStayInTheSite: every link of every page is relative and leads to a file or
// a place of the site.
func TestLinksStayInTheSite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "site")
	if err := build(t, full(t)).Write(dir); err != nil {
		t.Fatal(err)
	}
	files, links := read(t, dir), 0
	for name, content := range files {
		if !strings.HasSuffix(name, ".html") && !strings.HasSuffix(name, ".xml") {
			continue
		}
		for _, m := range link.FindAllStringSubmatch(content, -1) {
			if strings.HasPrefix(m[1], "data:image/svg&#43;xml;base64,") {
				continue
			}
			u, err := url.Parse(strings.ReplaceAll(m[1], "&amp;", "&"))
			if err != nil || u.IsAbs() || u.Host != "" || strings.HasPrefix(u.Path, "/") {
				t.Errorf("%s links to %q", name, m[1])
				continue
			}
			to := name
			if u.Path != "" {
				to = path.Join(path.Dir(name), u.Path)
			}
			if links++; files[to] == "" {
				t.Errorf("%s links to %q, which is not in the site", name, m[1])
			}
			if u.Fragment != "" && !strings.Contains(files[to], `id="`+u.Fragment+`"`) {
				t.Errorf("%s links to %q, and there is no such place", name, m[1])
			}
		}
	}
	if links < 100 {
		t.Errorf("only %d links were looked at", links)
	}
}

// TestHostileNamesAreText: what a system calls itself is neither markup nor a path nor
// anything that a browser obeys.
func TestHostileNamesAreText(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "site")
	if err := build(t, full(t)).Write(dir); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for name, content := range read(t, dir) {
		if strings.Trim(name, plainName+"./") != "" || strings.Contains(name, "..") {
			t.Errorf("a file is called %q", name)
		}
		for _, bad := range []string{"<script>alert", "\x1b", "\u202e", "<b>cut"} {
			if strings.Contains(content, bad) {
				t.Errorf("%s holds %q", name, bad)
			}
		}
		seen += strings.Count(content, "alert(1)")
	}
	if seen == 0 {
		t.Error("the hostile name is shown nowhere; the test looks at nothing")
	}
}

func TestFeedAndSearch(t *testing.T) {
	files := map[string]string{}
	for _, f := range build(t, full(t)).Files {
		var b bytes.Buffer
		if err := f.Write(&b); err != nil {
			t.Fatal(err)
		}
		files[f.Path] = b.String()
	}
	var f feed
	if err := xml.Unmarshal([]byte(files[FeedFile]), &f); err != nil || len(f.Entries) != 35 || f.ID == "" {
		t.Fatalf("feed: %v, %d entries", err, len(f.Entries))
	}
	ids := map[string]bool{f.ID: true}
	for _, e := range f.Entries {
		if ids[e.ID] || !strings.HasPrefix(e.ID, "urn:uuid:") || e.Updated > f.Updated || e.Title == "" {
			t.Errorf("entry %+v", e)
		}
		ids[e.ID] = true
	}
	var found []entry
	if err := json.Unmarshal([]byte(files[SearchFile]), &found); err != nil || len(found) != 3+3*2+35 {
		t.Errorf("search: %v, %d entries", err, len(found))
	}
	for _, e := range found {
		if at, _, _ := strings.Cut(e.Link, "#"); files[at] == "" {
			t.Errorf("%q leads to %q", e.Title, e.Link)
		}
	}
}

// TestWhatIsNoSiteIsLeftAlone: nothing but a site of ours is written over.
func TestWhatIsNoSiteIsLeftAlone(t *testing.T) {
	keep := full(t)
	s := build(t, keep)
	for name, prepare := range map[string]func(dir string) error{
		"other files": func(dir string) error {
			return errors.Join(os.MkdirAll(dir, 0o750), os.WriteFile(filepath.Join(dir, "thesis.tex"), []byte("x"), 0o600))
		},
		"a site with something else in it": func(dir string) error {
			return errors.Join(s.Write(dir), os.WriteFile(filepath.Join(dir, "runs", "CNAME"), []byte("x"), 0o600))
		},
		"a page that somebody changed": func(dir string) error {
			return errors.Join(s.Write(dir), os.WriteFile(filepath.Join(dir, "index.html"), []byte("our own front page"), 0o600))
		},
		"a foreign marker": func(dir string) error {
			return errors.Join(os.MkdirAll(dir, 0o750), os.WriteFile(filepath.Join(dir, Marker), []byte(`{"format": "other"}`), 0o600))
		},
		"a file": func(dir string) error { return os.WriteFile(dir, []byte("x"), 0o600) },
		"a link": func(dir string) error { return os.Symlink(keep.Root, dir) },
	} {
		dir := filepath.Join(t.TempDir(), "site")
		if err := prepare(dir); err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Write(dir); !errors.Is(err, ErrForeign) {
			t.Errorf("%s: %v", name, err)
		}
		if after, err := os.Lstat(dir); err != nil || after.Mode() != info.Mode() {
			t.Errorf("%s: changed all the same: %v", name, err)
		}
	}
	for _, dir := range []string{keep.Root, filepath.Join(keep.Root, "site"), filepath.Dir(keep.Root)} {
		if err := s.Write(dir); !errors.Is(err, ErrForeign) {
			t.Errorf("%s: %v", dir, err)
		}
	}
	empty := t.TempDir()
	if err := s.Write(empty); err != nil {
		t.Errorf("an empty folder: %v", err)
	}
}

// TestNeverHalfASite: when a page cannot be made, the old site stays whole.
func TestNeverHalfASite(t *testing.T) {
	keep := full(t)
	dir := filepath.Join(t.TempDir(), "site")
	if err := build(t, keep).Write(dir); err != nil {
		t.Fatal(err)
	}
	before := read(t, dir)
	s := build(t, keep)
	if err := os.RemoveAll(filepath.Join(keep.Root, "20260107T090000Z_ci_run0006")); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(dir); err == nil || !strings.Contains(err.Error(), "run0006") {
		t.Errorf("a run that went away: %v", err)
	}
	full := errors.New("no space")
	s = build(t, keep)
	s.Files = append(s.Files, File{Path: "zzz", Write: func(io.Writer) error { return full }})
	if err := s.Write(dir); !errors.Is(err, full) {
		t.Errorf("a page that cannot be made: %v", err)
	}
	if !same(before, read(t, dir)) {
		t.Error("the old site is not whole")
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), ".plumbline-site-*")); len(left) > 0 {
		t.Errorf("left beside the site: %q", left)
	}
}

func TestAnEmptyStoreHasASite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "site")
	if err := build(t, archivetest.New(t)).Write(dir); err != nil {
		t.Fatal(err)
	}
	if page := read(t, dir)["index.html"]; !strings.Contains(page, "no run that can be used") {
		t.Errorf("%s", page)
	}
}

func TestOldRunsHaveNoPage(t *testing.T) {
	keep := full(t)
	store, err := archive.Load(keep.Root)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Build(store, Options{Keep: 2})
	if err != nil {
		t.Fatal(err)
	}
	pages := 0
	for _, f := range s.Files {
		if strings.HasPrefix(f.Path, "runs/") && strings.HasSuffix(f.Path, ".html") {
			pages++
		}
	}
	if pages != 6 {
		t.Errorf("%d run pages, want 2 of each of 3 systems", pages)
	}
}

// TestALookalikeHasPagesOfItsOwn: a system that calls itself as the address of
// another is called takes nothing from that, nor from the site.
func TestALookalikeHasPagesOfItsOwn(t *testing.T) {
	keep := archivetest.New(t)
	odd := "Bridge of ours"
	for _, name := range []string{odd, Slug(odd)} {
		keep.Put("", keep.Run(2, func(r *reports.Run) { r.SUT.Name = name }))
	}
	dir := filepath.Join(t.TempDir(), "site")
	if err := build(t, keep).Write(dir); err != nil {
		t.Fatal(err)
	}
	pages := 0
	for name := range read(t, dir) {
		if strings.HasPrefix(name, "systems/") && strings.HasSuffix(name, ".html") {
			pages++
		}
	}
	if pages != 2 {
		t.Errorf("two systems have %d pages", pages)
	}
}

func TestSlug(t *testing.T) {
	seen := map[string]string{}
	for _, name := range []string{"bridged", "Bridged", "BRIDGED", "a b", "a-b", "a/b", "", ".", "..", "con", "-x", "ä", "\x00", strings.Repeat("a", 300), strings.Repeat("a", 301), hostile} {
		got := Slug(name)
		if got == "" || len(got) > maxSlug || strings.Trim(got, plainName) != "" || strings.HasPrefix(got, "-") || got == "con" {
			t.Errorf("slug of %q is %q", name, got)
		}
		if other, twice := seen[got]; twice {
			t.Errorf("%q and %q are both %q", name, other, got)
		}
		seen[got] = name
	}
	for slug, name := range seen {
		if slug != name && Slug(slug) == slug {
			t.Errorf("a thing that calls itself %q has the address of %q", slug, name)
		}
	}
	if Slug("bridged") != "bridged" || Slug("63d03959") != "63d03959" {
		t.Error("a plain name does not stay as it is")
	}
}
