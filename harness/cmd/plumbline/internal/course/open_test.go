//go:build unix

package course

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "events.jsonl")
	if err := os.WriteFile(path, []byte("old\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("new\n"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if text, _ := os.ReadFile(path); string(text) != "new\n" {
		t.Errorf("the file holds %q", text)
	}
	for where, want := range map[string]string{dir: "directory", filepath.Join(dir, "no", "such"): "no such", "987654": "write ./987654"} {
		if f, err := Open(where); err == nil {
			f.Close()
			t.Errorf("opened %s", where)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", where, err, want)
		}
	}
}

func TestOpenADescriptorAndAPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	fd, err := syscall.Dup(int(w.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	f, err := Open(strconv.Itoa(fd))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("here"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	got := make([]byte, 5)
	if n, err := r.Read(got); err != nil || string(got[:n]) != "here" {
		t.Errorf("read %q, %v", got[:n], err)
	}

	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if f, err := Open(fifo); err == nil {
		f.Close()
		t.Error("opened a pipe that nobody reads")
	} else if !strings.Contains(err.Error(), "start its reader first") {
		t.Error(err)
	}
	reader, err := os.OpenFile(fifo, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if f, err = Open(fifo); err != nil {
		t.Fatal(err)
	}
	f.Close()
}
