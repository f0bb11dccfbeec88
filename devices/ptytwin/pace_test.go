package ptytwin_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.bug.st/serial"

	"plumbline/devices/ptytwin"
)

// BenchmarkPace measures how late complete lines arrive at the serial library
// against the instant at which an ideal UART would have delivered them, at line
// rate. It asserts nothing: the figures depend on the machine.
func BenchmarkPace(b *testing.B) {
	for _, baud := range []int{9600, 115200, 921600} {
		b.Run(fmt.Sprint(baud), func(b *testing.B) { pace(b, baud) })
	}
}

func pace(b *testing.B, baud int) {
	b.Helper()
	const size = 64
	twin, err := ptytwin.NewPair(b.Context(), ptytwin.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = twin.Close() }()
	port, err := serial.Open(twin.Path(), &serial.Mode{BaudRate: baud})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = port.Close() }()
	line := strings.Repeat("x", size-1) + "\n"
	ideal := size * 10 * time.Second / time.Duration(baud)
	var late []time.Duration
	buf := make([]byte, 4096)
	b.ResetTimer()
	start := time.Now()
	if _, err := twin.Write([]byte(strings.Repeat(line, b.N))); err != nil {
		b.Fatal(err)
	}
	for len(late) < b.N {
		n, err := port.Read(buf)
		if err != nil {
			b.Fatal(err)
		}
		now := time.Since(start)
		for range bytes.Count(buf[:n], []byte("\n")) {
			late = append(late, now-time.Duration(len(late)+1)*ideal)
		}
	}
	slices.Sort(late)
	b.ReportMetric(float64(late[len(late)/2].Microseconds()), "late-p50-µs")
	b.ReportMetric(float64(late[len(late)*99/100].Microseconds()), "late-p99-µs")
}
