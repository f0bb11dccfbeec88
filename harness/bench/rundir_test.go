package bench

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestMain lets the test binary stand in for another run that holds a directory.
func TestMain(m *testing.M) {
	if dir := os.Getenv("BENCH_TEST_HOLD"); dir != "" {
		_, err := HoldRun(dir)
		fmt.Println("held", err)
		interrupt := make(chan os.Signal, 1)
		signal.Notify(interrupt, os.Interrupt)
		<-interrupt // it is killed before
		return
	}
	m.Run()
}

func TestCreateRun(t *testing.T) {
	root := filepath.Join(t.TempDir(), "runs")
	at := time.Date(2026, 11, 23, 4, 5, 6, 0, time.FixedZone("east", 3600))
	first, err := CreateRun(root, "ci", "0a1b2c3d", at)
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Base(first.Path) != "20261123T030506Z_ci_0a1b2c3d" || !filepath.IsAbs(first.Path) {
		t.Fatalf("path is %s", first.Path)
	}
	second, err := CreateRun(root, "a/../b c", "ü", at)
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Dir(second.Path) != filepath.Dir(first.Path) {
		t.Fatalf("a profile name led to %s", second.Path)
	}
	target, err := filepath.EvalSymlinks(filepath.Join(root, LatestLink))
	if want, _ := filepath.EvalSymlinks(second.Path); err != nil || target != want {
		t.Fatalf("latest leads to %s, %v", target, err)
	}
	for _, r := range []*RunDir{first, second, second} {
		if err := r.Release(); err != nil {
			t.Fatal(err)
		}
		if entries, err := os.ReadDir(r.Path); err != nil || len(entries) != 0 {
			t.Fatalf("the directory holds %v, %v", entries, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(root, "*"+lockSuffix)); len(left) != 0 && runtime.GOOS != "windows" {
		t.Fatalf("locks were left behind: %v", left)
	}
}

func TestRunDirectoryBelongsToOneRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	r, err := HoldRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = HoldRun(dir)
	if !errors.Is(err, ErrHeld) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
		t.Fatalf("second hold gave %v", err)
	}
	if err := r.Release(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "summary.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := HoldRun(dir); !errors.Is(err, ErrNotEmpty) || !strings.Contains(err.Error(), "summary.json") {
		t.Fatalf("a used directory gave %v", err)
	}
	if _, err := HoldRun(filepath.Join(dir, "summary.json")); err == nil {
		t.Fatal("a file was held as a directory")
	}
}

func TestHoldEndsWithItsProcess(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "run")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), "BENCH_TEST_HOLD="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "held <nil>\n" {
		t.Fatalf("the other run said %q, %v", line, err)
	}
	if _, err := HoldRun(dir); !errors.Is(err, ErrHeld) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", cmd.Process.Pid)) {
		t.Fatalf("hold gave %v", err)
	}
	if c := locks(DoctorOptions{Runs: root}); len(c) != 1 || c[0].Name != "run under way" {
		t.Fatalf("doctor says %+v", c)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if c := locks(DoctorOptions{Runs: root}); len(c) != 1 || c[0].Name != "stale lock" || !strings.HasPrefix(c[0].Mend, "rm ") {
		t.Fatalf("doctor says %+v", c)
	}
	r, err := HoldRun(dir)
	if err != nil {
		t.Fatalf("the lock of a dead process holds: %v", err)
	}
	if err := r.Release(); err != nil {
		t.Fatal(err)
	}
}

func TestManyHoldersAtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	var holding, most, wins int
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				r, err := HoldRun(dir)
				if err != nil {
					if !errors.Is(err, ErrHeld) {
						t.Errorf("hold gave %v", err)
					}
					continue
				}
				mu.Lock()
				holding++
				wins++
				most = max(most, holding)
				mu.Unlock()
				mu.Lock()
				holding--
				mu.Unlock()
				if err := r.Release(); err != nil {
					t.Errorf("release gave %v", err)
				}
			}
		})
	}
	all.Wait()
	if most != 1 || wins == 0 {
		t.Fatalf("%d held it at once, %d times in all", most, wins)
	}
}

func TestLockThatCannotBeWrittenIsLetGo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	full := errors.New("no space left")
	if _, err := take(path, func(*os.File) error { return full }); !errors.Is(err, full) || !strings.Contains(err.Error(), path) {
		t.Fatalf("a lock file on a full disk gave %v", err)
	}
	r, err := HoldRun(path) // nothing of the failure is left: no lock, no file
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Release(); err != nil {
		t.Fatal(err)
	}
}
