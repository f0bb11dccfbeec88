package lock_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"plumbline/devices/devicetest"
	"plumbline/devices/lock"
)

// acquire takes a lock that the test releases.
func acquire(t *testing.T, d lock.Dir, name string) *lock.Lock {
	t.Helper()
	l, err := d.Acquire(t.Context(), name, "tester", "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Release() })
	return l
}

func list(t *testing.T, d lock.Dir) []lock.State {
	t.Helper()
	states, err := d.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return states
}

// ends is the command that ends what this process holds. Where no kernel lists it by
// what stat(2) says of the file, it is one that finds the process: elsewhere than on
// Linux, in some sandboxes, and on some file systems (btrfs, overlayfs).
func ends(t *testing.T, s lock.State) string {
	t.Helper()
	switch s.Holder {
	case os.Getpid():
		return fmt.Sprintf("kill %d", os.Getpid())
	case 0:
		return "fuser " + s.Path
	}
	t.Errorf("%d is said to hold what process %d holds", s.Holder, os.Getpid())
	return ""
}

func TestALockSaysWhoHasItAndWhatFor(t *testing.T) {
	d := lock.Dir{Path: filepath.Join(t.TempDir(), "locks")}
	if states := list(t, d); len(states) != 0 {
		t.Errorf("no folder holds %+v", states)
	}
	const name = "usb:0403:6001:SN/A ü"
	l, err := d.Acquire(t.Context(), name, "plumbline run", "device gps of rig bench 3")
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Acquire(t.Context(), name, "another", "another purpose")
	if !errors.Is(err, lock.ErrHeld) {
		t.Fatalf("second: %v, want ErrHeld", err)
	}
	for _, want := range []string{name, "plumbline run", "device gps of rig bench 3", "end it: " + ends(t, list(t, d)[0])} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	acquire(t, d, "another device")
	states := list(t, d)
	if len(states) != 2 || states[1].Status != lock.Held || states[1].Claim.Name != name || states[1].Claim.PID != os.Getpid() || time.Until(states[1].Claim.Expires) > lock.DefaultTTL {
		t.Errorf("locks are %+v", states)
	}
	if err := errors.Join(l.Release(), l.Release()); err != nil {
		t.Errorf("release: %v", err)
	}
	again := acquire(t, d, name)
	if err := again.Release(); err != nil {
		t.Error(err)
	}
}

// clock is moved by hand.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(1_700_000_000, c.at.Load()) }
func (c *clock) advance(d time.Duration) { c.at.Add(int64(d)) }

func TestAHungHolderLosesItsLockAndIsTold(t *testing.T) {
	var c clock
	path := t.TempDir()
	hung := acquire(t, lock.Dir{Path: path, Now: c.now, TTL: time.Hour}, "gps") // it renews in 20 minutes
	d := lock.Dir{Path: path, Now: c.now, TTL: time.Millisecond}
	c.advance(59 * time.Minute)
	if _, err := d.Acquire(t.Context(), "gps", "second", ""); !errors.Is(err, lock.ErrHeld) {
		t.Fatalf("before the expiry: %v", err)
	}
	c.advance(2 * time.Minute)
	if states := list(t, d); len(states) != 1 || states[0].Status != lock.Expired {
		t.Errorf("after the expiry: %+v", states)
	}
	second := acquire(t, lock.Dir{Path: path, Now: c.now, TTL: time.Hour}, "gps")
	if err := hung.Release(); err != nil { // must not take the second's away
		t.Error(err)
	}
	if _, err := d.Acquire(t.Context(), "gps", "third", ""); !errors.Is(err, lock.ErrHeld) {
		t.Errorf("third: %v, want ErrHeld", err)
	}
	if err := second.Release(); err != nil {
		t.Error(err)
	}
	// One that wakes up learns it at its next renewal.
	waking := acquire(t, lock.Dir{Path: path, Now: c.now, TTL: 30 * time.Millisecond}, "imu")
	var stop atomic.Bool
	devicetest.Eventually(t, "the lock to be taken over and its holder told", func() bool {
		c.advance(time.Hour)
		if !stop.Load() {
			if l, err := (lock.Dir{Path: path, Now: c.now, TTL: time.Hour}).Acquire(t.Context(), "imu", "second", ""); err == nil {
				stop.Store(true)
				t.Cleanup(func() { _ = l.Release() })
			}
		}
		select {
		case <-waking.Lost():
			return true
		default:
			return false
		}
	})
}

func TestALockIsRenewed(t *testing.T) {
	d := lock.Dir{Path: t.TempDir(), TTL: 60 * time.Millisecond}
	l := acquire(t, d, "gps")
	first := list(t, d)[0].Claim.Expires
	devicetest.Eventually(t, "the expiry to move on", func() bool { return list(t, d)[0].Claim.Expires.After(first.Add(60 * time.Millisecond)) })
	select {
	case <-l.Lost():
		t.Error("lost")
	default:
	}
}

func TestAStaleLockHindersNobody(t *testing.T) {
	d := lock.Dir{Path: t.TempDir()}
	path := filepath.Join(d.Path, "gps.lock")
	for _, text := range []string{`{"name":"gps","owner":"dead","pid":1,"expires":"2999-01-01T00:00:00Z"}`, "", "{broken", strings.Repeat("x", 10_000)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		states := list(t, d)
		if strings.HasPrefix(text, `{"`) && (len(states) != 1 || states[0].Status != lock.Stale || states[0].Claim.Owner != "dead") {
			t.Errorf("stale lock is %+v", states)
		}
		if err := acquire(t, d, "gps").Release(); err != nil {
			t.Error(err)
		}
	}
}

// Every user may write what a lock says: it must neither reach a terminal as it is
// nor get a process killed that has nothing to do with it.
func TestAClaimIsNotBelieved(t *testing.T) {
	d := lock.Dir{Path: t.TempDir()}
	file, err := os.Create(filepath.Join(d.Path, "gps.lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if _, err := file.WriteString("{\"name\":\"imu\",\"owner\":\"x\\u001b[2J\\n\\u202e" + strings.Repeat("y", 1000) + "\",\"host\":\"h\\r\",\"purpose\":\"\\u0007\",\"pid\":1,\"expires\":\"2999-01-01T00:00:00Z\"}"); err != nil {
		t.Fatal(err)
	}
	if held, err := lock.TryFile(file); err != nil || held {
		t.Fatalf("held %v, %v", held, err)
	}
	_, err = d.Acquire(t.Context(), "gps", "another", "")
	if !errors.Is(err, lock.ErrHeld) {
		t.Fatal(err)
	}
	states := list(t, d)
	if len(states) != 1 || states[0].Claim.Name != "gps" {
		t.Fatalf("locks are %+v", states)
	}
	for _, text := range []string{err.Error(), states[0].Claim.String()} {
		if strings.ContainsAny(text, "\x1b\n\r\a\u202e") || len(text) > 1024 || !strings.Contains(text, `x\x1b[2J\n\u202e`) {
			t.Errorf("it says %q", text)
		}
	}
	end := ends(t, states[0])
	if !strings.HasSuffix(err.Error(), "end it: "+end) || states[0].End() != end {
		t.Errorf("%v, and %q; want %q", err, states[0].End(), end)
	}
}

// A file that is held is held, whether its claim can be read or not: on a full
// disk it may be empty.
func TestALockOfAnUnreadableClaimIsHeld(t *testing.T) {
	d := lock.Dir{Path: t.TempDir()}
	path := filepath.Join(d.Path, "gps.lock")
	for _, text := range []string{"", "{broken"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if held, err := lock.TryFile(file); held || err != nil {
			t.Fatal(held, err)
		}
		if _, err := d.Acquire(t.Context(), "gps", "", ""); !errors.Is(err, lock.ErrHeld) || !strings.Contains(err.Error(), "by an unknown process") || !strings.Contains(err.Error(), "end it: ") {
			t.Errorf("claim %q: %v, want ErrHeld", text, err)
		}
		if states := list(t, d); len(states) != 1 || states[0].Status != lock.Held {
			t.Errorf("claim %q: %+v", text, states)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func names(states []lock.State) string {
	var out []string
	for _, s := range states {
		out = append(out, s.Claim.Name+" "+string(s.Status))
	}
	return strings.Join(out, ", ")
}

func TestALockOfSeveralNamesIsTakenWholeOrNotAtAll(t *testing.T) {
	d := lock.Dir{Path: t.TempDir()}
	one, err := d.AcquireAll(t.Context(), []string{"b", "a", "b"}, "one", "both")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = one.Release() }()
	for _, want := range [][]string{{"a"}, {"b"}, {"0", "b", "c"}, {"c", "a"}} {
		if _, err := d.AcquireAll(t.Context(), want, "two", ""); !errors.Is(err, lock.ErrHeld) || !strings.Contains(err.Error(), "by one ") {
			t.Errorf("%q: %v, want ErrHeld by one", want, err)
		}
	}
	if got := names(list(t, d)); got != "a held, b held" {
		t.Errorf("after refusals: %s", got)
	}
	other := acquire(t, d, "c")
	if err := one.Rename(t.Context(), []string{"b", "c"}); !errors.Is(err, lock.ErrHeld) {
		t.Errorf("rename to what another has: %v", err)
	}
	if got := names(list(t, d)); got != "a held, b held, c held" {
		t.Errorf("after a refused rename: %s", got)
	}
	if err := errors.Join(other.Release(), one.Rename(t.Context(), []string{"c", "b"})); err != nil {
		t.Fatal(err)
	}
	if got := names(list(t, d)); got != "b held, c held" {
		t.Errorf("after a rename: %s", got)
	}
	acquire(t, d, "a")
	if err := one.Release(); err != nil {
		t.Fatal(err)
	}
	if got := names(list(t, d)); got != "a held" {
		t.Errorf("after the release: %s", got)
	}
	if err := one.Rename(t.Context(), []string{"b"}); err == nil {
		t.Error("a released lock got a name")
	}
	if _, err := d.AcquireAll(t.Context(), nil, "", ""); err == nil {
		t.Error("no name was locked")
	}
}

func TestALockThatWasTakenOverGetsNoOtherNames(t *testing.T) {
	var c clock
	d := lock.Dir{Path: t.TempDir(), Now: c.now, TTL: time.Hour}
	hung, err := d.AcquireAll(t.Context(), []string{"a", "b"}, "one", "")
	if err != nil {
		t.Fatal(err)
	}
	c.advance(2 * time.Hour)
	acquire(t, d, "b")
	if err := hung.Rename(t.Context(), []string{"b", "c"}); err == nil || errors.Is(err, lock.ErrHeld) {
		t.Errorf("rename: %v, want that it was taken over", err)
	}
	if err := hung.Release(); err != nil {
		t.Error(err)
	}
	if got := names(list(t, d)); got != "b held" {
		t.Errorf("locks are %s", got)
	}
}

func TestLongNamesAreToldApart(t *testing.T) {
	d := lock.Dir{Path: t.TempDir()}
	long := strings.Repeat("%", lock.MaxName-1)
	acquire(t, d, long+"a")
	acquire(t, d, long+"b")
	if _, err := d.Acquire(t.Context(), long+"a", "", ""); !errors.Is(err, lock.ErrHeld) {
		t.Errorf("error %v, want ErrHeld", err)
	}
	if states := list(t, d); len(states) != 2 || states[0].Claim.Name != long+"a" {
		t.Errorf("locks are %.300v", states)
	}
}

// A long text for people must not make the claim unreadable.
func TestLongTextsAreCutOff(t *testing.T) {
	d := lock.Dir{Path: t.TempDir()}
	long := strings.Repeat("<", 255) + strings.Repeat("ü", 5000)
	l, err := d.Acquire(t.Context(), "gps", long, long)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Release() }()
	if states := list(t, d); len(states) != 1 || states[0].Claim.PID != os.Getpid() || states[0].Claim.Purpose != strings.Repeat("<", 255)+"…" {
		t.Errorf("locks are %.300v", states)
	}
}

func TestFoldersThatCannotHoldLocks(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Join(dir, "a", "b")} {
		if _, err := (lock.Dir{Path: path}).Acquire(t.Context(), "gps", "", ""); err == nil || !strings.Contains(err.Error(), "folder of locks") {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, name := range []string{"", strings.Repeat("x", lock.MaxName+1)} {
		if _, err := (lock.Dir{Path: dir}).Acquire(t.Context(), name, "", ""); err == nil {
			t.Errorf("name of %d bytes was taken", len(name))
		}
	}
}

// TestAForeignFileHidesNoLocks: every user of the machine may put one there.
func TestAForeignFileHidesNoLocks(t *testing.T) {
	d := lock.Dir{Path: t.TempDir()}
	acquire(t, d, "gps")
	for _, name := range []string{"a%2Fb", "$(id)", "c d", "e%2ff", ""} { // but for the first no lock has such a file
		if err := os.Mkdir(filepath.Join(d.Path, name+".lock"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	want := []lock.Status{lock.Foreign, lock.Held}
	if runtime.GOOS != "windows" { // where links need a privilege
		if err := os.Symlink("/etc/hostname", filepath.Join(d.Path, "z.lock")); err != nil {
			t.Fatal(err)
		}
		want = append(want, lock.Foreign)
	}
	states := list(t, d)
	var got []lock.Status
	for _, s := range states {
		got = append(got, s.Status)
	}
	if !slices.Equal(got, want) || states[0].Claim.Name != "a/b" || states[1].Claim.Name != "gps" {
		t.Errorf("%+v", states)
	}
}

func TestAStoppedGuardEndsWithTheContext(t *testing.T) {
	d := lock.Dir{Path: t.TempDir()}
	guard, err := os.Create(filepath.Join(d.Path, "guard"))
	if err != nil {
		t.Fatal(err)
	}
	defer guard.Close()
	if held, err := lock.TryFile(guard); held || err != nil {
		t.Fatal(held, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := d.Acquire(ctx, "gps", "", ""); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "fuser ") {
		t.Errorf("error is %v", err)
	}
}
