package fault_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"plumbline/harness/fault"
	"plumbline/harness/record"
)

// reader keeps what it gets, write by write.
type reader struct {
	mu  sync.Mutex
	got []string
}

func (r *reader) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, string(p))
	return len(p), nil
}

func (r *reader) take() (got []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	got, r.got = r.got, nil
	return got
}

func TestSerialFaults(t *testing.T) {
	const a, b, c = "temp=21.5\r\n", "temp=21.6\r\n", "temp=21.7\r\n"
	for name, test := range map[string]struct {
		make   func(*fault.Serial) fault.Counted
		during []string // what the reader got of a, b and c while the fault was there
		after  []string // what followed at its end
		fired  uint64
	}{
		"stall":  {(*fault.Serial).StallFault, nil, []string{a + b + c}, 3},
		"unplug": {(*fault.Serial).UnplugFault, nil, nil, 3},
		"merge":  {func(s *fault.Serial) fault.Counted { return s.MergeFault(2) }, []string{a + b}, []string{c}, 1},
		"split": {func(s *fault.Serial) fault.Counted { return s.SplitFault(1, 0, 1) },
			strings.Split(a+b+c, ""), nil, uint64(len(a+b+c) - 3)},
		"baud mismatch": {func(s *fault.Serial) fault.Counted { return s.BaudFault(9600, 19200) },
			[]string{string(fault.Misread([]byte(a), 9600, 19200)), string(fault.Misread([]byte(b), 9600, 19200)), string(fault.Misread([]byte(c), 9600, 19200))}, nil, 3},
		"echo": {(*fault.Serial).EchoFault, []string{a, "PMTK?", b, c}, nil, 5},
	} {
		t.Run(name, func(t *testing.T) {
			var to, device reader
			line := fault.NewSerial(&to, fault.SerialOptions{ToDevice: &device})
			t.Cleanup(func() { _ = line.Close() })
			write(t, line, a)
			f := test.make(line)
			must(t, f.Inject(t.Context()))
			if got := to.take(); len(got) != 1 || got[0] != a {
				t.Errorf("before the fault came %q", got)
			}
			write(t, line, a)
			line.Heard([]byte("PMTK?"))
			write(t, line, b, c)
			if got := to.take(); fmt.Sprintf("%q", got) != fmt.Sprintf("%q", test.during) {
				t.Errorf("during the fault came %q, want %q", got, test.during)
			}
			must(t, f.Revert(t.Context()))
			if got := to.take(); fmt.Sprintf("%q", got) != fmt.Sprintf("%q", test.after) {
				t.Errorf("at the end of the fault came %q, want %q", got, test.after)
			}
			if heard := len(device.take()); heard != 1 && name != "unplug" || heard != 0 && name == "unplug" {
				t.Errorf("the device heard %d things", heard)
			}
			write(t, line, b)
			if got := to.take(); len(got) != 1 || got[0] != b {
				t.Errorf("after the fault came %q", got)
			}
			if f.Fired() != test.fired {
				t.Errorf("fired %d times, want %d", f.Fired(), test.fired)
			}
		})
	}
}

func TestSerialNoiseHitsTheShareOfBytes(t *testing.T) {
	var to reader
	line := fault.NewSerial(&to, fault.SerialOptions{})
	clean := bytes.Repeat([]byte("x"), 20_000)
	f := line.NoiseFault(0.01, 5)
	must(t, f.Inject(t.Context()))
	write(t, line, string(clean))
	got := []byte(strings.Join(to.take(), ""))
	hits, nuls, more := f.Fired(), bytes.Count(got, []byte{0}), len(got)-len(clean)
	if hits < 140 || hits > 260 || nuls == 0 || more == 0 || uint64(more+nuls) >= hits {
		t.Errorf("fired %d times: %d NULs, %d bytes too many", hits, nuls, more)
	}
	for _, rate := range []float64{0, -1, 1.1} {
		if err := line.NoiseFault(rate, 1).Inject(t.Context()); err == nil {
			t.Errorf("rate %g was accepted", rate)
		}
	}
}

func TestSplitPausesUntilClose(t *testing.T) {
	var to reader
	line := fault.NewSerial(&to, fault.SerialOptions{})
	must(t, line.SplitFault(1, 20*time.Millisecond, 1).Inject(t.Context()))
	began := time.Now()
	write(t, line, "abc")
	if took := time.Since(began); took < 40*time.Millisecond || len(to.take()) != 3 {
		t.Errorf("three pieces took %v", took)
	}
	must(t, line.Close())
	must(t, line.Close())
	write(t, line, strings.Repeat("x", 1000)) // 20 s with pauses
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("after Close a write took %v", took)
	}
}

// A line that is torn for minutes is whole again as soon as it is reverted: a
// revert has half a minute.
func TestRevertEndsThePausesOfASplit(t *testing.T) {
	t.Run("alone", func(t *testing.T) { revertOfASplit(t) })
	t.Run("behind another", func(t *testing.T) {
		revertOfASplit(t, func(s *fault.Serial) fault.Fault { return s.SplitFault(1, time.Second, 2) })
	})
}

// revertOfASplit reverts a split behind others, whose pauses a write under way
// would go on with.
func revertOfASplit(t *testing.T, others ...func(*fault.Serial) fault.Fault) {
	t.Helper()
	var to reader
	line := fault.NewSerial(&to, fault.SerialOptions{})
	for _, other := range others {
		must(t, other(line).Inject(t.Context()))
	}
	f := line.SplitFault(1, time.Second, 1)
	must(t, f.Inject(t.Context()))
	text := strings.Repeat("x", 600) // ten minutes with pauses
	written := make(chan error, 1)
	whole := []byte(text)
	go func() { _, err := line.Write(whole); written <- err }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for first := to.take(); ; first = to.take() {
		if text = text[len(strings.Join(first, "")):]; len(first) > 0 {
			break // it is under way
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("nothing came within %v", patience)
		}
	}
	reverted := make(chan error, 1)
	go func() { reverted <- f.Revert(t.Context()) }()
	for _, ended := range []<-chan error{reverted, written} {
		select {
		case err := <-ended:
			must(t, err)
		case <-time.After(patience):
			t.Fatalf("the pauses went on for %v", patience)
		}
	}
	if got := strings.Join(to.take(), ""); got != text {
		t.Errorf("%d of %d bytes came", len(got), len(text))
	}
}

func TestAStalledLineIsBounded(t *testing.T) {
	var to reader
	line := fault.NewSerial(&to, fault.SerialOptions{})
	f := line.StallFault()
	must(t, f.Inject(t.Context()))
	for range 100 {
		write(t, line, strings.Repeat("x", 1000))
	}
	must(t, f.Revert(t.Context()))
	if got := strings.Join(to.take(), ""); len(got) != 64<<10 {
		t.Errorf("%d bytes were kept", len(got))
	}
	for _, f := range []fault.Fault{
		line.SplitFault(0, 0, 1), line.SplitFault(1, time.Minute, 1), line.MergeFault(1), line.BaudFault(9600, 9600), line.BaudFault(0, 9600), line.BaudFault(1, 1<<30),
	} {
		if err := f.Inject(t.Context()); err == nil {
			t.Errorf("%q was injected", f.Name())
		}
	}
}

func TestMisread(t *testing.T) {
	for _, c := range []struct {
		sent, read int
		data, want string
	}{
		{9600, 9600, "any \x00\xff text\r\n", "any \x00\xff text\r\n"},
		{9600, 9400, "within a UART's tolerance", "within a UART's tolerance"},
		// Twice as fast: the start bit lasts two bits, the ones go on.
		{9600, 19200, "\xff", "\xfe"},
		// 0x55 changes at every bit, so each is seen twice and no stop bit is where
		// it is due; the next start bit is found at the seventh bit.
		{9600, 19200, "\x55", "\x00\xe6"},
		// Half as fast: nine zeros are seen as a start bit, three zeros, then ones.
		{9600, 4800, "\x00", "\xf8"},
		{9600, 300, "a", ""},
		{300, 115200, "\x00", "\x00"}, // a break is one NUL
		{9600, 19200, "", ""},
	} {
		if got := fault.Misread([]byte(c.data), c.sent, c.read); string(got) != c.want {
			t.Errorf("%q sent at %d reads at %d as %q, want %q", c.data, c.sent, c.read, got, c.want)
		}
	}
}

func FuzzMisread(f *testing.F) {
	f.Add([]byte("text"), 9600, 19200)
	f.Add([]byte{0, 0xff, 0x55}, 115200, 300)
	f.Fuzz(func(t *testing.T, data []byte, sent, read int) {
		if sent < 1 || read < 1 || sent > 10_000_000 || read > 10_000_000 || len(data) > 4096 {
			return
		}
		got := fault.Misread(data, sent, read)
		if most := len(data)*read/sent + len(data) + 2; len(got) > most {
			t.Fatalf("%d bytes read as %d", len(data), len(got))
		}
		if sent == read && !bytes.Equal(got, data) {
			t.Fatalf("%x reads as %x at the same rate", data, got)
		}
	})
}

// TestEqualSeedsLeaveEqualSerialLogs holds two runs over the same lines to the
// same bytes, in the log and at the reader.
func TestEqualSeedsLeaveEqualSerialLogs(t *testing.T) {
	run := func(seed uint64) (log, got string) {
		dir := filepath.Join(t.TempDir(), "records")
		rec, err := record.NewRecorder(dir, record.NewClock())
		must(t, err)
		var to reader
		line := fault.NewSerial(&to, fault.SerialOptions{Recorder: rec})
		split := line.SplitFault(5, 0, seed)
		must(t, fault.During(t.Context(), rec, line.NoiseFault(0.1, seed), func(ctx context.Context) error {
			return fault.During(ctx, rec, split, func(context.Context) error {
				for i := range 50 {
					write(t, line, fmt.Sprintf("$SDDPT,%d.5,0.0*42\r\n", i))
				}
				return nil
			})
		}))
		must(t, rec.Close())
		must(t, fault.WriteLog(dir))
		text, err := os.ReadFile(filepath.Join(dir, fault.LogFile))
		must(t, err)
		return string(text), strings.Join(to.take(), "|")
	}
	log, got := run(7)
	if again, gotAgain := run(7); again != log || gotAgain != got || strings.Count(log, "\n") < 200 {
		t.Fatalf("the same seed left other bytes; %d lines", strings.Count(log, "\n"))
	}
	if other, otherGot := run(8); other == log || otherGot == got {
		t.Error("another seed left the same bytes")
	}
}
