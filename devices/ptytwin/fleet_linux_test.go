package ptytwin_test

import (
	"bufio"
	"os"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"plumbline/devices/internal/exact"
	"plumbline/devices/ptytwin"
)

// BenchmarkFleet lets 256 twins speak at 115 200 baud, each a line of 110 bytes every
// 50 ms, and tells how late the lines are at their readers against an ideal UART,
// what of a processor it takes, readers included, and how many threads there were.
// An operation is a line of each.
func BenchmarkFleet(b *testing.B) {
	const twins, baud, size, every = 256, 115_200, 110, 50 * time.Millisecond
	const ideal = size * 10 * time.Second / baud
	line := []byte(strings.Repeat("x", size-1) + "\n")
	var readers, writers sync.WaitGroup
	late := make([][]time.Duration, twins)
	start := time.Now().Add(time.Second)
	due := func(twin, n int) time.Time {
		return start.Add(time.Duration(n)*every + time.Duration(twin)*every/twins)
	}
	offset := exact.Now() - time.Now().UnixNano()
	var all []*ptytwin.Twin
	for i := range twins {
		twin, err := ptytwin.NewPair(b.Context(), ptytwin.Options{})
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = twin.Close() }()
		all = append(all, twin)
		port := openRaw(b, twin.Path(), baud)
		defer func() { _ = port.Close() }()
		readers.Go(func() {
			in := bufio.NewReader(port)
			for n := range b.N {
				if _, err := in.ReadString('\n'); err != nil {
					b.Error(err)
					return
				}
				late[i] = append(late[i], time.Since(due(i, n))-ideal)
			}
		})
	}
	before := spent(b)
	b.ResetTimer()
	for i, twin := range all {
		writers.Go(func() {
			alarm := exact.NewAlarm()
			defer alarm.Stop()
			for n := range b.N {
				_ = alarm.Wait(b.Context(), due(i, n).UnixNano()+offset)
				_, _ = twin.Write(line)
			}
		})
	}
	writers.Wait()
	readers.Wait()
	b.StopTimer()
	lates := slices.Concat(late...)
	slices.Sort(lates)
	b.ReportMetric(float64(lates[len(lates)/2].Microseconds()), "late-p50-µs")
	b.ReportMetric(float64(lates[len(lates)*99/100].Microseconds()), "late-p99-µs")
	b.ReportMetric(100*float64(spent(b)-before)/float64(time.Since(start)), "CPU-%")
	b.ReportMetric(float64(pprof.Lookup("threadcreate").Count()), "threads")
}

// openRaw opens a port at a speed, for the poller of the runtime: a thread for each
// reader would be counted with those of the twins.
func openRaw(b *testing.B, path string, baud uint32) *os.File {
	b.Helper()
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS2)
	if err != nil {
		b.Fatal(err)
	}
	t.Cflag = t.Cflag&^unix.CBAUD | unix.BOTHER
	t.Ispeed, t.Ospeed = baud, baud
	if err := unix.IoctlSetTermios(fd, unix.TCSETS2, t); err != nil {
		b.Fatal(err)
	}
	return os.NewFile(uintptr(fd), path)
}

// spent is the processor time of this process.
func spent(b *testing.B) time.Duration {
	b.Helper()
	var use unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
