//go:build unix

package lock_test

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"plumbline/devices/devicetest"
	"plumbline/devices/lock"
)

var tries = flag.Int("lock.tries", 800, "tries of all processes together in TestNoTwoAreGranted; 10000 is the full form")

// Environment of a copy of the test binary that plays another program.
const (
	roleVar = "PLUMBLINE_TEST_LOCK_ROLE"
	dirVar  = "PLUMBLINE_TEST_LOCK_DIR"
)

const processes = 8

// witness is memory that all processes share: it sees a double grant whatever
// the locks say.
type witness struct {
	inside, double, granted *atomic.Int32
}

func openWitness(path string) (witness, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return witness{}, err
	}
	defer file.Close()
	if err := file.Truncate(4096); err != nil {
		return witness{}, err
	}
	page, err := unix.Mmap(int(file.Fd()), 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return witness{}, err
	}
	at := func(i int) *atomic.Int32 { return (*atomic.Int32)(unsafe.Pointer(&page[64*i])) }
	return witness{at(0), at(1), at(2)}, nil
}

// TestMain turns a copy of the binary into the program that a test asked for.
func TestMain(m *testing.M) {
	flag.Parse()
	var err error
	switch os.Getenv(roleVar) {
	case "contend":
		err = contend(os.Getenv(dirVar), *tries/processes)
	case "hold":
		err = hold(os.Getenv(dirVar))
	default:
		m.Run()
	}
	if err != nil {
		panic(err) // the copy's way to fail
	}
}

// claims are names of which any two have one in common: whoever has one is alone.
var claims = [][]string{{"place 1", "serial A"}, {"serial A", "place 2"}, {"place 2", "place 1"}}

// contend tries n times to get one of the claims and looks whether it is alone.
func contend(dir string, n int) error {
	w, err := openWitness(filepath.Join(dir, "witness"))
	if err != nil {
		return err
	}
	d := lock.Dir{Path: filepath.Join(dir, "locks")}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for i := range n {
		l, err := d.AcquireAll(ctx, claims[(i+os.Getpid())%len(claims)], "worker", "contention")
		if errors.Is(err, lock.ErrHeld) {
			continue
		}
		if err != nil {
			return err
		}
		if w.inside.Add(1) != 1 {
			w.double.Add(1)
		}
		w.granted.Add(1)
		if _, err := os.ReadDir(d.Path); err != nil { // stay inside for a moment
			return err
		}
		w.inside.Add(-1)
		if err := l.Release(); err != nil {
			return err
		}
	}
	return nil
}

// hold takes the lock, says so and keeps it until it is killed.
func hold(dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := (lock.Dir{Path: dir}).Acquire(ctx, "gps", "holder", "to be killed"); err != nil {
		return err
	}
	fmt.Println("held")
	_, err := io.Copy(io.Discard, os.Stdin) // until the test ends
	return err
}

func start(t *testing.T, role, dir string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-lock.tries="+strconv.Itoa(*tries))
	cmd.Env = append(os.Environ(), roleVar+"="+role, dirVar+"="+dir)
	return cmd
}

func TestNoTwoAreGranted(t *testing.T) {
	dir := t.TempDir()
	w, err := openWitness(filepath.Join(dir, "witness"))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, processes)
	for range processes {
		cmd := start(t, "contend", dir)
		go func() {
			out, err := cmd.CombinedOutput()
			if err != nil {
				err = fmt.Errorf("%w: %s", err, out)
			}
			ended <- err
		}()
	}
	for range processes {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d processes, %d tries, %d granted, %d double grants", processes, *tries, w.granted.Load(), w.double.Load())
	if w.double.Load() != 0 || w.granted.Load() < processes {
		t.Errorf("%d double grants, %d granted", w.double.Load(), w.granted.Load())
	}
}

func TestAKilledHolderFreesItsLock(t *testing.T) {
	dir := t.TempDir()
	cmd := start(t, "hold", dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		t.Fatalf("the holder says %q, %v", line, err)
	}
	d := lock.Dir{Path: dir}
	if _, err := d.Acquire(t.Context(), "gps", "tester", ""); !errors.Is(err, lock.ErrHeld) || !strings.Contains(err.Error(), fmt.Sprintf("kill %d", cmd.Process.Pid)) {
		t.Fatalf("while it lives: %v", err)
	}
	killed := time.Now()
	if err := cmd.Process.Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	devicetest.Eventually(t, "the lock to be stale", func() bool { s := list(t, d); return len(s) == 1 && s[0].Status == lock.Stale })
	acquire(t, d, "gps")
	t.Logf("free %v after SIGKILL", time.Since(killed))
	_ = cmd.Wait() // it was killed
}
