package sut

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// DefaultLogLimit bounds each log on the disk, in bytes: some hours of a system that
// says a line for every message.
const DefaultLogLimit = 64 << 20

const (
	logTick     = 250 * time.Millisecond // between two looks at the sizes
	logSuffix   = ".log"
	beginSuffix = ".begin.log"
	beginShare  = 8 // of the limit: what is kept of the beginning, in a file of its own
)

// Omission says how much of a log was left out because it grew beyond its limit.
type Omission struct {
	File  string `json:"file"`  // of the log, in the folder of logs
	Bytes int64  `json:"bytes"` // left out; what was written in the moment of doing so is not in it
}

// logKeeper keeps the logs in a folder below a limit. Processes write them by
// themselves, to files and not to us, so that neither can hold up the other; that is
// why they are looked at now and then, and grow beyond the limit by what a process
// writes in between.
type logKeeper struct {
	*ticking
	dir   string
	limit int64
	log   *slog.Logger

	mu   sync.Mutex
	left map[string]int64 // bytes by file
}

func keepLogs(dir string, limit int64, log *slog.Logger) *logKeeper {
	k := &logKeeper{dir: dir, limit: limit, log: log, left: map[string]int64{}}
	k.ticking = startTicking(logTick, func(context.Context) { k.look() })
	return k
}

// close looks once more, when nothing is written any longer. It may be called again.
func (k *logKeeper) close() {
	k.ticking.close()
	k.look()
}

// look shortens every log that is too long. One that cannot be shortened grows on, and
// the reason is logged; the run is not worth less for it.
func (k *logKeeper) look() {
	entries, err := os.ReadDir(k.dir)
	if err != nil {
		return // it is gone, and its logs are
	}
	for _, e := range entries {
		if name := e.Name(); !e.Type().IsRegular() || !strings.HasSuffix(name, logSuffix) || strings.HasSuffix(name, beginSuffix) {
			continue
		}
		if info, err := e.Info(); err == nil && info.Size() > k.limit {
			if err := k.shorten(e.Name()); err != nil {
				k.log.Warn("a log could not be shortened", "file", e.Name(), "error", err)
			}
		}
	}
}

// shorten keeps the beginning of a log in a file beside it, the first time, and lets
// the log begin anew. Whoever writes it appends, and so goes on behind our line.
func (k *logKeeper) shorten(name string) error {
	f, err := os.OpenFile(filepath.Join(k.dir, name), os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // what was written is checked below
	begin := strings.TrimSuffix(name, logSuffix) + beginSuffix
	kept, err := k.keepBeginning(f, begin)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		err = f.Truncate(0)
	}
	if err != nil {
		return err
	}
	omitted := info.Size() - kept
	k.mu.Lock()
	k.left[name] += omitted
	k.mu.Unlock()
	k.log.Warn("a log of the system under test was shortened", "file", name, "bytes", omitted, "limit", k.limit)
	_, err = fmt.Fprintf(f, "plumbline: %d bytes before this line were left out: a log is kept up to %d bytes, and its beginning is in %s\n", omitted, k.limit, begin)
	return err
}

// keepBeginning copies the beginning of a log unless that was done, and returns how
// many bytes it copied.
func (k *logKeeper) keepBeginning(log io.ReaderAt, name string) (int64, error) {
	out, err := os.OpenFile(filepath.Join(k.dir, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644) //nolint:gosec // artifacts are there to be read by others
	if errors.Is(err, fs.ErrExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(out, io.NewSectionReader(log, 0, k.limit/beginShare))
	return n, errors.Join(err, out.Close())
}

// omitted lists what was left out, by file.
func (k *logKeeper) omitted() (all []Omission) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(k.left)) {
		all = append(all, Omission{File: name, Bytes: k.left[name]})
	}
	return all
}

// Omitted returns what was left out of the logs so far, because they grew beyond
// Options.LogLimit; all of it after Close.
func (s *SUT) Omitted() []Omission { return s.logs.omitted() }
