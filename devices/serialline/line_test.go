package serialline_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"plumbline/devices"
	"plumbline/devices/codec"
	"plumbline/devices/devicetest"
	"plumbline/devices/ptytwin"
	"plumbline/devices/serialline"
)

// newTwin makes a twin that the test closes; systems without ptys are skipped.
func newTwin(tb testing.TB, opts ptytwin.Options) *ptytwin.Twin {
	tb.Helper()
	twin, err := ptytwin.NewPair(tb.Context(), opts)
	if errors.Is(err, ptytwin.ErrUnsupported) {
		tb.Skip("no pseudo terminals on this system")
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := twin.Close(); err != nil {
			tb.Errorf("close twin: %v", err)
		}
	})
	return twin
}

// open opens a line that the test closes.
func open(tb testing.TB, cfg serialline.Config) *serialline.Line {
	tb.Helper()
	if cfg.Codec == nil {
		cfg.Codec = codec.NMEA0183{}
	}
	if cfg.Baud == 0 {
		cfg.Baud = 115200
	}
	l, err := serialline.Open(tb.Context(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = l.Close() })
	return l
}

func read(tb testing.TB, d devices.Device) devices.Sample {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), devicetest.Patience)
	defer cancel()
	s, err := d.Read(ctx)
	if err != nil {
		tb.Fatalf("read: %v; counters %+v", err, d.Counters())
	}
	return s
}

func send(tb testing.TB, twin *ptytwin.Twin, p string) {
	tb.Helper()
	if _, err := twin.Write([]byte(p)); err != nil {
		tb.Fatal(err)
	}
}

// heading is a good sentence with its line end.
func heading(n int) string { return string(codec.AppendNMEA(nil, fmt.Sprintf("GPHDT,%d.0,T", n))) }

func TestConformsOverAPty(t *testing.T) {
	devicetest.Conform(t, devicetest.Subject{Samples: 20, Open: func(tb testing.TB) devices.Device {
		tb.Helper()
		twin := newTwin(tb, ptytwin.Options{Unpaced: true})
		l := open(tb, serialline.Config{ID: "gps", Port: twin.Path()})
		for i := range 30 {
			send(tb, twin, heading(i))
			if i == 5 {
				send(tb, twin, "$GPHDT,1.0,T*00\r\n")
			}
		}
		return l
	}})
}

func TestDamagedLinesAreCountedAndNeverPublished(t *testing.T) {
	for _, c := range []codec.Codec{codec.NMEA0183{}, codec.LineJSON{CRC: true}} {
		t.Run(c.Name(), func(t *testing.T) {
			twin := newTwin(t, ptytwin.Options{Unpaced: true})
			l := open(t, serialline.Config{Port: twin.Path(), Codec: c, Damages: 16})
			line := func(i int) string {
				if c.Name() == "nmea0183" {
					return heading(i)
				}
				return string(codec.AppendLineJSON(nil, "n", uint64(i), []devices.Value{{Name: "v", Number: float64(i)}}))
			}
			send(t, twin, line(0)) // the first line after an opening is judged mildly
			read(t, l)
			const lines, seed = 200, 11
			twin.Noise(0.3, seed)
			for i := range lines {
				send(t, twin, line(i+1))
			}
			devicetest.Eventually(t, "201 lines to be judged", func() bool {
				n := l.Counters()
				return n.Good+n.Rejected() == lines+1
			})
			n, s := l.Counters(), twin.Stats()
			if n.Damaged+n.Unchecked != s.Noisy || n.Good != s.Lines || s.Noisy == 0 {
				t.Errorf("seed %d: the twin sent %d intact and %d noisy lines, the driver counts %+v", seed, s.Lines, s.Noisy, n)
			}
			if got := len(l.Damages()); got != 16 {
				t.Errorf("%d pieces of evidence kept, want the bound of 16", got)
			}
			for _, d := range l.Damages() {
				if d.Reason == "" || len(d.Raw) == 0 || d.At <= 0 {
					t.Errorf("evidence %+v says too little", d)
				}
			}
		})
	}
}

func TestReconnectsUnderTheSamePath(t *testing.T) {
	twin := newTwin(t, ptytwin.Options{})
	var lost, back atomic.Int64
	l := open(t, serialline.Config{Port: twin.Path(), RetryEvery: 5 * time.Millisecond, OnState: func(s serialline.State) {
		if s.Plugged {
			back.Add(1)
		} else if s.Err != nil {
			lost.Add(1)
		}
	}})
	for round := range 3 {
		send(t, twin, heading(round))
		if s := read(t, l); s.Seq != uint64(round+1) {
			t.Errorf("round %d: sample %d", round, s.Seq)
		}
		send(t, twin, "$GPHDT,99") // a partial last line
		devicetest.Eventually(t, "the partial line to reach the port", func() bool { return twin.Stats().Lines == uint64(2*round+2) })
		if err := twin.Unplug(); err != nil {
			t.Fatal(err)
		}
		devicetest.Eventually(t, "the driver to see the unplug", func() bool { return l.Stats().Unplugs == uint64(round+1) })
		if _, err := l.Write([]byte("x")); !errors.Is(err, devices.ErrUnplugged) {
			t.Errorf("write while unplugged: %v, want ErrUnplugged", err)
		}
		if err := twin.Replug(); err != nil {
			t.Fatal(err)
		}
		devicetest.Eventually(t, "the driver to reopen the port", func() bool { return l.Stats().Replugs == uint64(round+1) })
	}
	n := l.Counters()
	if n.Good != 3 || n.Damaged+n.Unchecked != 0 || n.Partial > 3 {
		t.Errorf("%+v, want 3 good and only partial lines beside", n)
	}
	devicetest.Eventually(t, "three states each", func() bool { return lost.Load() == 3 && back.Load() == 3 })
}

func TestPartialLastLineIsKeptAsEvidence(t *testing.T) {
	twin := newTwin(t, ptytwin.Options{Unpaced: true})
	l := open(t, serialline.Config{Port: twin.Path(), NoReconnect: true})
	send(t, twin, heading(1)+"$GPHDT,99")
	read(t, l)
	all := uint64(len(heading(1) + "$GPHDT,99"))
	devicetest.Eventually(t, "the driver to have all bytes", func() bool { return l.Stats().Bytes == all })
	if err := twin.Unplug(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), devicetest.Patience)
	defer cancel()
	if _, err := l.Read(ctx); !errors.Is(err, devices.ErrUnplugged) {
		t.Fatalf("read after the unplug: %v, want ErrUnplugged", err)
	}
	if n := l.Counters(); n.Good != 1 || n.Partial != 1 || len(l.Damages()) != 1 {
		t.Fatalf("%+v with %d damages, want 1 good and 1 partial", n, len(l.Damages()))
	}
	if d := l.Damages()[0]; string(d.Raw) != "$GPHDT,99" || !strings.Contains(d.Reason, "cut by") {
		t.Errorf("evidence %q %q", d.Raw, d.Reason)
	}
}

func TestOwnCloseIsNoUnplug(t *testing.T) {
	twin := newTwin(t, ptytwin.Options{})
	l := open(t, serialline.Config{Port: twin.Path()})
	ended := make(chan error, 1)
	go func() {
		_, err := l.Read(context.Background())
		ended <- err
	}()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, devices.ErrClosed) || errors.Is(err, devices.ErrUnplugged) {
		t.Errorf("read ended by Close: %v, want ErrClosed alone", err)
	}
	if s := l.Stats(); s.Unplugs != 0 {
		t.Errorf("%d unplugs counted at our own Close", s.Unplugs)
	}
}

func TestCloseWhileUnplugged(t *testing.T) {
	twin := newTwin(t, ptytwin.Options{})
	l := open(t, serialline.Config{Port: twin.Path(), RetryEvery: time.Hour})
	if err := twin.Unplug(); err != nil {
		t.Fatal(err)
	}
	devicetest.Eventually(t, "the driver to see the unplug", func() bool { return l.Stats().Unplugs == 1 })
	if err := l.Close(); err != nil { // must not wait for the hour
		t.Error(err)
	}
}

func TestStaleBacklogIsDropped(t *testing.T) {
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprintf("keep=%v", keep), func(t *testing.T) {
			twin := newTwin(t, ptytwin.Options{Unpaced: true})
			// More than the line discipline's 4 KiB: a flush alone would leave some.
			const stale = 400
			for i := range stale {
				send(t, twin, heading(i))
			}
			devicetest.Eventually(t, "the backlog to fill the port", func() bool { return twin.Stats().Bytes > 6000 })
			l := open(t, serialline.Config{Port: twin.Path(), KeepBacklog: keep})
			if keep {
				if s := read(t, l); !strings.Contains(string(s.Raw), "GPHDT,0.0,") {
					t.Errorf("first line %q, want the oldest", s.Raw)
				}
				return
			}
			if s := l.Stats(); s.Stale < 6000 {
				t.Errorf("%d stale bytes dropped, more than 6000 lay in the port", s.Stale)
			}
		})
	}
}

func TestFirstLineAfterOpeningMayBeCut(t *testing.T) {
	twin := newTwin(t, ptytwin.Options{Unpaced: true})
	l := open(t, serialline.Config{Port: twin.Path()})
	send(t, twin, "171926.00,A,4404.14063,N*76\r\n"+heading(5)+"no sentence\r\n")
	if s := read(t, l); !strings.HasPrefix(string(s.Raw), "$GPHDT,5.0") {
		t.Errorf("first sample %q", s.Raw)
	}
	devicetest.Eventually(t, "three lines to be judged", func() bool { n := l.Counters(); return n.Good+n.Rejected() == 3 })
	if n := l.Counters(); n.Partial != 1 || n.Unchecked != 1 {
		t.Errorf("%+v, want the first line partial and the last unchecked", n)
	}
}

func TestPortWithoutModemLines(t *testing.T) {
	twin := newTwin(t, ptytwin.Options{Unpaced: true})
	on := true
	l := open(t, serialline.Config{Port: twin.Path(), DTR: &on, RTS: &on})
	if s := l.Stats(); !s.NoModem {
		t.Error("a pty has no modem lines; the driver did not notice")
	}
	send(t, twin, heading(1))
	read(t, l)
}

func TestPreludeIsSentAtEachOpening(t *testing.T) {
	twin := newTwin(t, ptytwin.Options{Unpaced: true})
	l := open(t, serialline.Config{Port: twin.Path(), Prelude: []byte("\r\n"), RetryEvery: time.Millisecond})
	devicetest.Eventually(t, "the prelude", func() bool { return string(twin.Received()) == "\r\n" })
	if _, err := l.Write([]byte("rate 5\r\n")); err != nil {
		t.Fatal(err)
	}
	devicetest.Eventually(t, "the command", func() bool { return string(twin.Received()) == "\r\nrate 5\r\n" })
	if err := errors.Join(twin.Unplug(), twin.Replug()); err != nil {
		t.Fatal(err)
	}
	devicetest.Eventually(t, "the prelude again", func() bool { return string(twin.Received()) == "\r\nrate 5\r\n\r\n" })
}

func TestNULsBeforeALine(t *testing.T) {
	twin := newTwin(t, ptytwin.Options{Unpaced: true})
	l := open(t, serialline.Config{Port: twin.Path()})
	send(t, twin, heading(1)+strings.Repeat("\x00", 21)+heading(2))
	read(t, l)
	if s := read(t, l); !strings.HasPrefix(string(s.Raw), "$GPHDT,2.0") {
		t.Errorf("the line behind the NULs is %q", s.Raw)
	}
	if n := l.Counters(); n.Damaged != 1 || !strings.Contains(l.Damages()[0].Reason, "21 NUL bytes") {
		t.Errorf("%+v, %+v: want one piece of evidence of 21 NULs", n, l.Damages())
	}
}

func TestStampsSpanTheLine(t *testing.T) {
	host, device := net.Pipe()
	var now time.Duration
	clock := func() time.Duration { // called once for each read that brought bytes
		now += time.Millisecond
		return now
	}
	l, err := serialline.New(host, serialline.Config{ID: "pipe", Codec: codec.NMEA0183{}, Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for _, piece := range []string{"$GPHDT,", "274.07", ",T*03\r\n$GP", "HDT,274.07,T*03\r\n"} {
			_, _ = device.Write([]byte(piece)) // each is one read of the host
		}
	}()
	first, second := read(t, l), read(t, l)
	if first.First != 1*time.Millisecond || first.Last != 3*time.Millisecond {
		t.Errorf("first line from %v to %v, want 1ms to 3ms", first.First, first.Last)
	}
	if second.First != 3*time.Millisecond || second.Last != 4*time.Millisecond {
		t.Errorf("second line from %v to %v, want 3ms to 4ms", second.First, second.Last)
	}
}

func TestOpenErrorsSayTheMend(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  serialline.Config
		want string
	}{
		{"no codec", serialline.Config{Port: "x"}, "set Config.Codec"},
		{"no port", serialline.Config{Codec: codec.NMEA0183{}}, "set Config.Port"},
		{"no such port", serialline.Config{Codec: codec.NMEA0183{}, Port: filepath.Join(t.TempDir(), "ttyNONE")}, "no such port"},
		{"baud", serialline.Config{Codec: codec.NMEA0183{}, Port: "x", Baud: -1}, "must be 50 to 4000000"},
		{"data bits", serialline.Config{Codec: codec.NMEA0183{}, Port: "x", DataBits: 9}, "must be 5 to 8"},
		{"parity", serialline.Config{Codec: codec.NMEA0183{}, Port: "x", Parity: "most"}, "must be none, even, odd, mark or space"},
		{"stop bits", serialline.Config{Codec: codec.NMEA0183{}, Port: "x", StopBits: 3}, "must be 1 or 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := serialline.Open(t.Context(), c.cfg)
			if err == nil {
				_ = l.Close()
				t.Fatal("opened")
			}
			if !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "serialline: ") {
				t.Errorf("error %q does not say %q", err, c.want)
			}
		})
	}
}

func TestOpenHonoursItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := serialline.Open(ctx, serialline.Config{Codec: codec.NMEA0183{}, Port: "x"}); !errors.Is(err, context.Canceled) {
		t.Errorf("open with a cancelled context: %v", err)
	}
}
