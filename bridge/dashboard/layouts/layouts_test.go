package layouts

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var (
	anna = Account{Tenant: "a", Subject: "anna"}
	ben  = Account{Tenant: "a", Subject: "ben"}
	carl = Account{Tenant: "b", Subject: "anna"} // of another tenant, with anna's name
)

// shelf is a store in a folder, and what it logged.
type shelf struct {
	*Store
	t   *testing.T
	log *bytes.Buffer
	now time.Time
}

func newShelf(t *testing.T, dir string) *shelf {
	t.Helper()
	s := &shelf{t: t, log: &bytes.Buffer{}, now: time.Unix(1_800_000_000, 0)}
	s.Store = New(dir, slog.New(slog.NewTextHandler(s.log, nil)), func() time.Time { return s.now })
	return s
}

func anything(*Entry) error { return nil }

// put saves a layout, which must succeed.
func (s *shelf) put(who Account, id string, shared bool, text string) Entry {
	s.t.Helper()
	e, _, err := s.Put(who, id, "title of "+id, shared, []byte(text), anything)
	if err != nil {
		s.t.Fatal(err)
	}
	return e
}

// ids lists what an account sees, others' with their owner.
func (s *shelf) ids(who Account) string {
	s.t.Helper()
	all, err := s.List(who)
	if err != nil {
		s.t.Fatal(err)
	}
	var out []string
	for _, e := range all {
		if e.Owner == who {
			out = append(out, e.ID)
		} else {
			out = append(out, e.Owner.Subject+":"+e.ID)
		}
	}
	return strings.Join(out, " ")
}

// TestLayoutsOutliveTheProcess: what was put is there for the next store, to the byte, and what was taken away is not.
func TestLayoutsOutliveTheProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layouts")
	s := newShelf(t, dir)
	if got := s.ids(anna); got != "" {
		t.Errorf("at first: %q", got)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder was made though nothing is kept: %v", err)
	}
	first := s.put(anna, "hall", false, "{\n one\n}")
	s.now = s.now.Add(time.Hour)
	second := s.put(anna, "hall", false, "{two}\n")
	if first.Tag == second.Tag || !second.Modified.After(first.Modified) {
		t.Errorf("two versions are alike: %+v %+v", first, second)
	}
	s.put(anna, "yard", true, "{yard}")
	s.put(anna, "gone", false, "{gone}")
	if err := s.Delete(anna, "gone", anything); err != nil {
		t.Fatal(err)
	}
	next := newShelf(t, dir)
	if got := next.ids(anna); got != "hall yard" {
		t.Errorf("after a restart: %q", got)
	}
	text, e, err := next.Get(anna, anna, "hall")
	if err != nil || string(text) != "{two}\n" || e != second {
		t.Errorf("%q %+v %v, want %+v", text, e, err, second)
	}
	if next.count != 2 || next.bytes != int64(len("{two}\n{yard}")) {
		t.Errorf("it counts %d layouts of %d bytes", next.count, next.bytes)
	}
}

// TestN108OthersLayouts: another's layout is seen when it is shared, in the same tenant only, and never changed; what is there and may not
// be seen is told from what is not there by nothing.
func TestN108OthersLayouts(t *testing.T) {
	s := newShelf(t, t.TempDir())
	s.put(anna, "mine", false, "{mine}")
	s.put(anna, "ours", true, "{ours}")
	s.put(ben, "ours", true, "{of ben}")
	for who, want := range map[Account]string{anna: "mine ours ben:ours", ben: "ours anna:ours", carl: ""} {
		if got := s.ids(who); got != want {
			t.Errorf("%v sees %q, want %q", who, got, want)
		}
	}
	if text, _, err := s.Get(ben, anna, "ours"); err != nil || string(text) != "{ours}" {
		t.Errorf("shared: %q %v", text, err)
	}
	_, _, hidden := s.Get(ben, anna, "mine")
	_, _, absent := s.Get(ben, anna, "nothing")
	_, _, other := s.Get(carl, anna, "ours")
	for what, err := range map[string]error{"hidden": hidden, "absent": absent, "another tenant's": other} {
		if !errors.Is(err, ErrNotFound) || err.Error() != absent.Error() {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := s.Delete(ben, "mine", anything); !errors.Is(err, ErrNotFound) {
		t.Errorf("ben takes anna's away: %v", err)
	}
	s.put(anna, "ours", false, "{ours}")
	if _, _, err := s.Get(ben, anna, "ours"); !errors.Is(err, ErrNotFound) {
		t.Errorf("shared no more: %v", err)
	}
}

// TestN109LayoutsAreBounded: for one account and for all; what is there can still be changed.
func TestN109LayoutsAreBounded(t *testing.T) {
	s := newShelf(t, t.TempDir())
	for i := range MaxOwn {
		s.put(anna, fmt.Sprint("n", i), false, "{}")
	}
	if _, _, err := s.Put(anna, "more", "t", false, []byte("{}"), anything); !errors.Is(err, ErrOwn) {
		t.Errorf("one more: %v", err)
	}
	s.put(anna, "n1", false, "{changed}")
	s.put(ben, "n1", false, "{}")
	s.count = MaxAll
	if _, _, err := s.Put(ben, "more", "t", false, []byte("{}"), anything); !errors.Is(err, ErrFull) {
		t.Errorf("more than the bridge keeps: %v", err)
	}
	s.count, s.bytes = 1, MaxAllSize-3
	if _, _, err := s.Put(ben, "n1", "t", false, []byte("{123456}"), anything); !errors.Is(err, ErrFull) {
		t.Errorf("larger than the bridge keeps: %v", err)
	}
	if text, _, err := s.Get(ben, ben, "n1"); err != nil || string(text) != "{}" {
		t.Errorf("what was refused changed it to %q (%v)", text, err)
	}
	s.put(ben, "n1", false, "{12}")
}

// TestFilesRemovedByHand: what an operator has removed while the bridge runs is gone for who asks for it, can be saved again, and makes room.
func TestFilesRemovedByHand(t *testing.T) {
	s := newShelf(t, t.TempDir())
	remove := func(ids ...string) {
		t.Helper()
		for _, id := range ids {
			if err := os.Remove(s.path(anna.key(), id)); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.put(anna, "a", false, "{}")
	s.put(anna, "b", false, "{}")
	s.put(anna, "c", false, "{}")
	remove("a", "b", "c")
	if _, _, err := s.Get(anna, anna, "a"); !errors.Is(err, ErrNotFound) || s.ids(anna) != "b c" {
		t.Errorf("asked for: %v, then %q", err, s.ids(anna))
	}
	if err := s.Delete(anna, "b", anything); !errors.Is(err, ErrNotFound) {
		t.Errorf("taken away: %v", err)
	}
	if _, created, err := s.Put(anna, "c", "t", false, []byte("{}"), anything); err != nil || !created {
		t.Errorf("saved again: created %v, %v", created, err)
	}
	if text, _, err := s.Get(anna, anna, "c"); err != nil || string(text) != "{}" {
		t.Errorf("saved again, it is %q, %v", text, err)
	}
	for i := range MaxOwn - 1 {
		s.put(anna, fmt.Sprint("n", i), false, "{}")
	}
	more := func() error { _, _, err := s.Put(anna, "more", "t", false, []byte("{}"), anything); return err }
	if err := more(); !errors.Is(err, ErrOwn) {
		t.Fatalf("one more: %v", err)
	}
	remove("n1", "n2")
	if err := more(); !errors.Is(err, ErrOwn) {
		t.Errorf("the files are looked for within the minute: %v", err)
	}
	s.now = s.now.Add(lookEvery)
	if err := more(); err != nil || s.count != MaxOwn-1 || s.bytes != 2*(MaxOwn-1) {
		t.Errorf("with room: %v, and it counts %d layouts of %d bytes", err, s.count, s.bytes)
	}
}

// TestConditionIsAsked: it sees what is there, and an error of it changes nothing.
func TestConditionIsAsked(t *testing.T) {
	s := newShelf(t, t.TempDir())
	no := errors.New("no")
	refuse := func(want string) func(*Entry) error {
		return func(now *Entry) error {
			got := ""
			if now != nil {
				got = now.Tag
			}
			if got != want {
				t.Errorf("it sees %q, want %q", got, want)
			}
			return no
		}
	}
	if _, _, err := s.Put(anna, "a", "t", false, []byte("{}"), refuse("")); !errors.Is(err, no) || s.ids(anna) != "" {
		t.Errorf("%v, then %q", err, s.ids(anna))
	}
	e := s.put(anna, "a", false, "{}")
	if _, _, err := s.Put(anna, "a", "t", false, []byte("{x}"), refuse(e.Tag)); !errors.Is(err, no) {
		t.Error(err)
	}
	if err := s.Delete(anna, "a", refuse(e.Tag)); !errors.Is(err, no) || s.ids(anna) != "a" {
		t.Errorf("%v, then %q", err, s.ids(anna))
	}
}

// TestKilledWhileWriting: what a kill left half written is taken away, and the version before is there whole.
func TestKilledWhileWriting(t *testing.T) {
	dir := t.TempDir()
	s := newShelf(t, dir)
	s.put(anna, "hall", false, "{before}")
	half := s.path(anna.key(), "hall") + fresh
	if err := os.WriteFile(half, []byte(`{"tenant":`), 0o600); err != nil {
		t.Fatal(err)
	}
	next := newShelf(t, dir)
	if text, _, err := next.Get(anna, anna, "hall"); err != nil || string(text) != "{before}" {
		t.Errorf("%q %v", text, err)
	}
	if _, err := os.Stat(half); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the half is there still: %v", err)
	}
}

// TestFilesThatAreNoLayouts: a file that is damaged, or was put in another's folder, is left out and logged, and the others are there.
func TestFilesThatAreNoLayouts(t *testing.T) {
	dir := t.TempDir()
	s := newShelf(t, dir)
	s.put(anna, "good", false, "{}")
	s.put(ben, "stolen", false, "{}")
	raw, err := os.ReadFile(s.path(ben.key(), "stolen"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"torn.json": `{"tenant"`, "empty.json": "", "stolen.json": string(raw), "Readme.txt": "x", "-odd.json": "x"} {
		if err := os.WriteFile(filepath.Join(dir, anna.key(), name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	next := newShelf(t, dir)
	if got := next.ids(anna); got != "good" {
		t.Errorf("anna sees %q", got)
	}
	for _, name := range []string{"torn.json", "empty.json", "stolen.json"} {
		if !strings.Contains(next.log.String(), name) {
			t.Errorf("nothing is said of %s: %s", name, next.log)
		}
	}
}

// TestDiskThatFails: the error is told, what was there stays, and the store goes on when the disk does.
func TestDiskThatFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layouts")
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // a file where the folder belongs
		t.Fatal(err)
	}
	s := newShelf(t, dir)
	if _, err := s.List(anna); err == nil {
		t.Error("a folder that cannot be read is no error")
	}
	if _, _, err := s.Put(anna, "a", "t", false, []byte("{}"), anything); err == nil {
		t.Error("nor is one that cannot be written")
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	s.put(anna, "a", false, "{}")
	if got := s.ids(anna); got != "a" {
		t.Errorf("later: %q", got)
	}
}

func TestValidID(t *testing.T) {
	for _, good := range []string{"a", "0", "wall-1", strings.Repeat("x", 64)} {
		if !ValidID(good) {
			t.Errorf("%q is refused", good)
		}
	}
	for _, bad := range []string{"", "-a", "a-", "A", "ä", "a b", "a.b", "..", "a/b", `a\b`, "a\x00", "a\n", strings.Repeat("x", 65)} {
		if ValidID(bad) {
			t.Errorf("%q is taken", bad)
		}
	}
}
