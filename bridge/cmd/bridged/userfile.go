package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"plumbline/bridge/ingest"
)

// entry is one user as the file has it, unknown keys included.
type entry map[string]any

func (e entry) name() string {
	name, _ := e["name"].(string)
	return name
}

func (e entry) filters(key string) []string {
	out := []string{}
	list, _ := e[key].([]any)
	for _, one := range list {
		out = append(out, fmt.Sprint(one))
	}
	return out
}

// userText is a users file. It is changed line by line, so that comments, order and spacing stay, and what came out is read
// again and compared with what was meant, so that no form of YAML that is not understood here is harmed.
type userText struct {
	lines []string
	users []entry
}

func parseUsers(raw []byte) (*userText, error) {
	var file struct {
		Users []entry `yaml:"users"`
	}
	if err := yaml.UnmarshalWithOptions(raw, &file, yaml.Strict()); err != nil && len(bytes.TrimSpace(raw)) > 0 {
		return nil, errors.New(yaml.FormatError(err, false, false)) // without the source lines: they hold hashes
	}
	return &userText{lines: strings.SplitAfter(string(raw), "\n"), users: file.Users}, nil
}

func (t *userText) find(name string) int {
	return slices.IndexFunc(t.users, func(e entry) bool { return e.name() == name })
}

var (
	usersKey  = regexp.MustCompile(`^users:\s*(\[\s*\]\s*)?(#.*)?\r?\n?$`)
	entryLine = regexp.MustCompile(`^(\s*)-(\s|$)`)
	blankLine = regexp.MustCompile(`^\s*(#.*)?\r?\n?$`)
	hashLine  = regexp.MustCompile(`^(\s*(?:-\s+)?hash:\s*)("[^"]*"|'[^']*'|[^\s#"']+)(\s*(?:#.*)?\r?\n?)$`)
)

// errForm refuses what cannot be edited line by line.
var errForm = errors.New("it is not in the form that can be edited here (users: and below it one \"- name: NAME\" a user, each key on a line of its own): edit it by hand")

// block is where the users stand: the line of the key, and for each user its first line and the line after its last.
type block struct {
	key    int
	starts []int
	ends   []int
	indent string
}

func (t *userText) block() (block, error) {
	b := block{key: slices.IndexFunc(t.lines, usersKey.MatchString)}
	if b.key < 0 {
		return b, errForm
	}
	last := b.key + 1
	for i := b.key + 1; i < len(t.lines); i++ {
		l := t.lines[i]
		m := entryLine.FindStringSubmatch(l)
		switch {
		case blankLine.MatchString(l):
			continue
		case m != nil && (len(b.starts) == 0 || m[1] == b.indent):
			if len(b.starts) > 0 {
				b.ends = append(b.ends, last)
			}
			b.indent = m[1]
			b.starts = append(b.starts, i)
		case len(b.starts) == 0 || !strings.HasPrefix(l, b.indent+" "):
			return b, errForm
		}
		last = i + 1
	}
	if len(b.starts) > 0 {
		b.ends = append(b.ends, last)
	}
	if len(b.starts) != len(t.users) {
		return b, errForm
	}
	return b, nil
}

// add puts a user at the end.
func (t *userText) add(who newUser, hash string) ([]byte, error) {
	if len(t.users) == 0 && !slices.ContainsFunc(t.lines, usersKey.MatchString) {
		if slices.ContainsFunc(t.lines, func(l string) bool { return !blankLine.MatchString(l) }) {
			return nil, errForm
		}
		t.lines = append(t.lines, "users:\n")
	}
	b, err := t.block()
	if err != nil {
		return nil, err
	}
	at := b.key + 1
	if n := len(b.ends); n > 0 {
		at = b.ends[n-1]
	} else {
		t.lines[b.key], b.indent = "users:\n", "  "
	}
	if at > 0 && !strings.HasSuffix(t.lines[at-1], "\n") {
		t.lines[at-1] += "\n"
	}
	want := entry{"name": who.name, "hash": hash}
	text := fmt.Sprintf("%s- name: %s\n%s  hash: %s\n", b.indent, quoted(who.name), b.indent, quoted(hash))
	for _, g := range []struct {
		key     string
		filters []string
	}{{"publish", who.publish}, {"subscribe", who.subscribe}} {
		var items []string
		var values []any
		for _, f := range g.filters {
			items, values = append(items, quoted(f)), append(values, f)
		}
		if len(items) > 0 {
			text += fmt.Sprintf("%s  %s: [%s]\n", b.indent, g.key, strings.Join(items, ", "))
			want[g.key] = values
		}
	}
	t.lines = slices.Insert(t.lines, at, text)
	return t.check(append(slices.Clone(t.users), want))
}

// remove takes a user out, with the comment right above it.
func (t *userText) remove(name string) ([]byte, error) {
	b, err := t.block()
	if err != nil {
		return nil, err
	}
	i := t.find(name)
	from := b.starts[i]
	for from > b.key+1 && strings.HasPrefix(strings.TrimSpace(t.lines[from-1]), "#") {
		from--
	}
	t.lines = slices.Delete(t.lines, from, b.ends[i])
	if len(t.users) == 1 {
		t.lines[b.key] = "users: []\n"
	}
	return t.check(slices.Delete(slices.Clone(t.users), i, i+1))
}

// setHash changes one user's hash.
func (t *userText) setHash(name, hash string) ([]byte, error) {
	b, err := t.block()
	if err != nil {
		return nil, err
	}
	i := t.find(name)
	want := slices.Clone(t.users)
	want[i] = entry{}
	for k, v := range t.users[i] {
		want[i][k] = v
	}
	want[i]["hash"] = hash
	for n := b.starts[i]; n < b.ends[i]; n++ {
		if m := hashLine.FindStringSubmatch(t.lines[n]); m != nil {
			t.lines[n] = m[1] + quoted(hash) + m[3]
			return t.check(want)
		}
	}
	return nil, errForm
}

// check returns the text when it says exactly what was meant.
func (t *userText) check(want []entry) ([]byte, error) {
	out := []byte(strings.Join(t.lines, ""))
	got, err := parseUsers(out)
	if err != nil || len(got.users) != len(want) {
		return nil, errForm
	}
	for i := range want {
		if !reflect.DeepEqual(got.users[i], want[i]) {
			return nil, errForm
		}
	}
	return out, nil
}

// quoted writes s as a double-quoted scalar, whose escapes YAML shares with JSON.
func quoted(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always encodes
	return strings.TrimSuffix(b.String(), "\n")
}

// replaceFile changes a users file in one step: what change returns stands in path, whole and as the bridge reads it, or path is
// as it was. The file being written is beside it and shuts out a second edit. Mode and links are kept.
func replaceFile(path string, create bool, change func([]byte) ([]byte, error)) (err error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	next := path + ".new"
	f, err := os.OpenFile(next, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("another edit of %q is under way; if none is, remove %q", path, next)
	}
	if err != nil {
		return err
	}
	done := false
	defer func() {
		if !done {
			err = errors.Join(err, f.Close(), os.Remove(next))
		}
	}()
	raw, err := os.ReadFile(path)
	mode := os.FileMode(0o600)
	if info, serr := os.Stat(path); serr == nil {
		mode = info.Mode().Perm()
	}
	if err != nil && (!create || !errors.Is(err, os.ErrNotExist)) {
		return err
	}
	out, err := change(raw)
	if err != nil {
		return err
	}
	if _, err := f.Write(out); err != nil {
		return err
	}
	if err := errors.Join(f.Chmod(mode), f.Sync()); err != nil {
		return err
	}
	if _, err := ingest.LoadUsers(next); err != nil { // filters and hashes too: what is installed is good
		return fmt.Errorf("nothing was changed, the bridge would refuse the outcome: %w", err)
	}
	if err := keepOwner(f, path); err != nil {
		return err
	}
	done = true
	if err := f.Close(); err != nil {
		return errors.Join(err, os.Remove(next))
	}
	if err := os.Rename(next, path); err != nil {
		return errors.Join(err, os.Remove(next))
	}
	return nil
}
