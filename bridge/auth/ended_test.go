package auth

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"plumbline/bridge/internal/eventually"
)

// keeper is a list with ended tokens kept at path.
func keeper(t *testing.T, path string) *Revocations {
	t.Helper()
	r, err := NewRevocations("", "", quiet())
	if err == nil {
		err = r.KeepEnded(path)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestEndedOutlivesAFailingDisk: a token whose end could not be written, or only in part, is ended all the same, comes into the file
// as soon as it can be written, and takes no other with it.
func TestEndedOutlivesAFailingDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	path := filepath.Join(dir, "ended")
	until := time.Now().Add(time.Hour)
	id := func(key string) Identity { return Identity{Subject: "anna", Key: key, Expires: until} }
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	r := keeper(t, path)
	if err := r.End(id("first")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	for range 2 { // whoever tries again is told again
		if err := r.End(id("second")); err == nil || !r.Revoked(id("second")) {
			t.Errorf("without the folder: %v, ended %v", err, r.Revoked(id("second")))
		}
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString("second 18") // what a full disk leaves behind
	}
	if err != nil || f.Close() != nil {
		t.Fatal(err)
	}
	if err := r.End(id("third")); err != nil {
		t.Fatal(err)
	}
	again := keeper(t, path)
	for _, key := range []string{"first", "second", "third"} {
		if !again.Revoked(id(key)) {
			t.Errorf("%s counts again after a restart", key)
		}
	}
}

// TestEndedIsWrittenLater: nobody has to end another token for it.
func TestEndedIsWrittenLater(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	r := keeper(t, filepath.Join(dir, "ended"))
	id := Identity{Key: "first", Expires: time.Now().Add(time.Hour)}
	if r.End(id) == nil {
		t.Fatal("there is no folder, and no error")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	eventually.Must(t, "the token in the file", func() bool {
		raw, _ := os.ReadFile(filepath.Join(dir, "ended"))
		return strings.HasPrefix(string(raw), "first ")
	})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestAFullDiskStopsNoStart: what is ended is read, and counts, where the file cannot be written anew; that comes later.
func TestAFullDiskStopsNoStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ended")
	text := endedLine("kept", time.Now().Add(time.Hour))
	put(t, path, text+"torn 1")
	r, err := NewRevocations("", "", quiet())
	if err != nil {
		t.Fatal(err)
	}
	r.ended.replace = func(string, []byte) error { return syscall.ENOSPC }
	if err := r.KeepEnded(path); err != nil || !r.Revoked(Identity{Key: "kept"}) {
		t.Fatalf("%v, ended %v", err, r.Revoked(Identity{Key: "kept"}))
	}
	r.ended.replace = replace
	if err := r.ended.mend(); err != nil || r.ended.torn {
		t.Errorf("another try: %v", err)
	}
	if raw, err := os.ReadFile(path); err != nil || string(raw) != text {
		t.Errorf("the file is %q, %v", raw, err)
	}
	if err := r.KeepEnded(t.TempDir()); err == nil {
		t.Error("what cannot be read stops no start")
	}
}

// TestASlowDiskHoldsNobodyUp: while the file is being written, tokens are checked, ended with their sessions, and revocations are read.
func TestASlowDiskHoldsNobodyUp(t *testing.T) {
	dir := t.TempDir()
	r, err := NewRevocations(filepath.Join(dir, "revoked"), "", quiet())
	if err != nil {
		t.Fatal(err)
	}
	begun, free := make(chan struct{}), make(chan struct{})
	r.ended.replace = func(path string, content []byte) error {
		close(begun)
		<-free
		return replace(path, content)
	}
	r.ended.path, r.ended.torn = filepath.Join(dir, "ended"), true
	r.ended.until["old"] = time.Now().Add(time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	done, ended, told := make(chan error, 1), make(chan error, 1), make(chan struct{})
	go func() { done <- r.Run(ctx) }()
	within := func(what string, event <-chan struct{}) {
		t.Helper()
		select {
		case <-event:
		case <-time.After(eventually.Patience):
			t.Fatalf("waited for %s", what)
		}
	}
	within("the write", begun)
	unwatch := r.Watch(func() { close(told) })
	go func() { ended <- r.End(Identity{Key: "new", Expires: time.Now().Add(time.Hour)}) }()
	within("the sessions to be told of a logout", told)
	unwatch()
	put(t, filepath.Join(dir, "revoked"), "sub:anna\n")
	seen := make(chan struct{})
	go func() {
		for !r.Revoked(Identity{Subject: "anna"}) || !r.Revoked(Identity{Key: "new"}) {
			runtime.Gosched()
		}
		close(seen)
	}()
	within("a revocation and a logout", seen)
	close(free)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	raw, err := os.ReadFile(r.ended.path)
	if text := string(raw); err != nil || !strings.HasPrefix(text, "old ") || !strings.Contains(text, "\nnew ") {
		t.Errorf("the file is %q, %v", raw, err)
	}
}

// TestMendingIsPatient: a disk that refuses is not asked several times a second.
func TestMendingIsPatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := NewRevocations("", "", quiet())
		if err != nil {
			t.Fatal(err)
		}
		tries := 0
		r.ended.replace = func(string, []byte) error { tries++; return syscall.ENOSPC }
		r.ended.path, r.ended.torn = "/nowhere/ended", true
		r.ended.until["key"] = time.Now().Add(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute+time.Millisecond)
		defer cancel()
		if err := r.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if tries != 15 { // at 1 s, 3, 7, 15, 31, 63, then each minute, and at the end
			t.Errorf("%d tries in 10 minutes", tries)
		}
	})
}

// TestTheEndIsALastTry: what a full disk kept out of the file comes into it at the end of Run, if the disk is free by then.
func TestTheEndIsALastTry(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ended")
	synctest.Test(t, func(t *testing.T) {
		r := keeper(t, path)
		full := true
		r.ended.replace = func(path string, content []byte) error {
			if full {
				return syscall.ENOSPC
			}
			return replace(path, content)
		}
		r.ended.torn = true
		id := Identity{Key: "key", Expires: time.Now().Add(time.Hour)}
		if r.End(id) == nil {
			t.Fatal("the disk is full, and no error")
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		<-time.After(2 * time.Minute)
		synctest.Wait()
		full = false
		<-time.After(time.Second)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if !keeper(t, path).Revoked(id) {
			t.Error("the logout is forgotten at the restart")
		}
	})
}

// TestEndedIsReadWhole: no line, however long, hides those after it; what has expired is dropped.
func TestEndedIsReadWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ended")
	until := time.Now().Add(time.Hour)
	put(t, path, strings.Repeat("\x00", 100_000)+"\n"+endedLine("old", time.Now().Add(-time.Second))+endedLine("kept", until)+"torn 1")
	r := keeper(t, path)
	if !r.Revoked(Identity{Key: "kept"}) || r.Revoked(Identity{Key: "old"}) || r.Revoked(Identity{Key: "torn"}) {
		t.Errorf("kept %v, old %v, torn %v", r.Revoked(Identity{Key: "kept"}), r.Revoked(Identity{Key: "old"}), r.Revoked(Identity{Key: "torn"}))
	}
	if raw, err := os.ReadFile(path); err != nil || string(raw) != endedLine("kept", until) {
		t.Errorf("the file is %q, %v", raw, err)
	}
}

// TestEndedForgetsWhatHasExpired: the list does not grow for ever.
func TestEndedForgetsWhatHasExpired(t *testing.T) {
	r := keeper(t, "") // of which the first 1023 are in memory only
	at := time.Now()
	r.ended.now = func() time.Time { return at }
	for n := range 1023 {
		if err := r.End(Identity{Key: fmt.Sprint(n), Expires: at.Add(time.Second)}); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "ended")
	at = at.Add(time.Second + time.Minute)
	r.ended.path = path
	if err := r.End(Identity{Key: "last", Expires: at.Add(time.Hour)}); err != nil || len(r.ended.until) != 1 {
		t.Errorf("%d are kept, %v", len(r.ended.until), err)
	}
	if raw, err := os.ReadFile(path); err != nil || strings.Count(string(raw), "\n") != 1 || !strings.HasPrefix(string(raw), "last ") {
		t.Errorf("the file has %d bytes, %v", len(raw), err)
	}
}
