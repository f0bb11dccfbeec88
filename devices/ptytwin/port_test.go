package ptytwin_test

import (
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"plumbline/devices"
	"plumbline/devices/devicetest"
	"plumbline/devices/ptytwin"
)

// socket is a port that keeps what it is given; full says how much it holds, less
// than 0 that nobody listens.
type socket struct {
	full int

	mu   sync.Mutex
	got  strings.Builder
	gone chan struct{}
}

func (*socket) Path() string                 { return "usb:0403:6001:SN-A" }
func (*socket) Framing() (bits, baud int)    { return 11, 1_000_000 }
func (s *socket) Read(p []byte) (int, error) { <-s.gone; return 0, io.EOF }
func (s *socket) Close() error               { close(s.gone); return nil }

func (s *socket) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full < 0 {
		return 0, devices.ErrUnplugged
	}
	return s.got.Write(p)
}

func (s *socket) Unread() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(min(s.got.Len(), s.full), 0)
}

func (s *socket) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got.String()
}

// A twin on a port of another kind is what it is on a pty: it keeps the pace and
// the count, overruns who does not read, and comes back by its path.
func TestATwinOnAPortOfItsOwn(t *testing.T) {
	var ports []*socket
	var refuse error
	twin, err := ptytwin.NewPair(t.Context(), ptytwin.Options{FIFO: 20, Open: func() (ptytwin.Port, error) {
		if refuse != nil {
			return nil, refuse
		}
		ports = append(ports, &socket{full: 20 * len(ports), gone: make(chan struct{})}) // the first is read at once
		return ports[len(ports)-1], nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if bits, baud := twin.Framing(); bits != 11 || baud != 1_000_000 || twin.Path() != ports[0].Path() {
		t.Errorf("%d bits, %d baud at %q", bits, baud, twin.Path())
	}
	const line = "0123456789abcde\n"
	say := func(lines uint64) {
		t.Helper()
		if _, err := twin.Write([]byte(line + line)); err != nil {
			t.Fatal(err)
		}
		devicetest.Eventually(t, "the lines to go out", func() bool { s := twin.Stats(); return s.Lines+s.Overrun+s.Lost == lines })
	}
	say(2)
	if got := ports[0].text(); got != line+line {
		t.Errorf("on the port came %q", got)
	}
	if err := twin.Unplug(); err != nil {
		t.Fatal(err)
	}
	say(4)
	refuse = errors.New("no socket is free")
	if err := twin.Replug(); !errors.Is(err, refuse) || twin.Plugged() {
		t.Errorf("a port that does not open: %v, plugged %v", err, twin.Plugged())
	}
	refuse = nil
	if err := twin.Replug(); err != nil {
		t.Fatal(err)
	}
	say(6)
	if s := twin.Stats(); s.Lines != 3 || s.Lost != 2 || s.Overrun != 1 || ports[1].text() != line+line[:4] {
		t.Errorf("counted %+v, on the second port came %q", s, ports[1].text())
	}
	ports[1].mu.Lock()
	ports[1].full = -1
	ports[1].mu.Unlock()
	say(8)
	if s := twin.Stats(); s.Lost != 4 {
		t.Errorf("counted %+v where nobody listens, want 4 lost", s)
	}
	if err := twin.Close(); err != nil {
		t.Error(err)
	}
	<-ports[1].gone
}

// slow is a port of 2000 baud; its Close waits to be let go.
type slow struct {
	*socket
	closing, free chan struct{}
}

func (slow) Framing() (bits, baud int) { return 10, 2000 }

func (s slow) Close() error {
	close(s.closing)
	<-s.free
	return s.socket.Close()
}

// TestAPortThatIsSlowToCloseHoldsUpNobody: all twins share the thread that paces them.
func TestAPortThatIsSlowToCloseHoldsUpNobody(t *testing.T) {
	plug := func() (*ptytwin.Twin, slow) {
		port := slow{&socket{full: 4000, gone: make(chan struct{})}, make(chan struct{}), make(chan struct{})}
		return newTwin(t, ptytwin.Options{Open: func() (ptytwin.Port, error) { return port, nil }}), port
	}
	first, stuck := plug()
	second, port := plug()
	close(port.free)
	write(t, first, strings.Repeat("x", 99_999)+"\nwaits\n") // 8 min, which are not waited for
	devicetest.Eventually(t, "the head of a long line", func() bool { return stuck.text() != "" })
	ended := make(chan error, 1)
	go func() { ended <- first.Unplug() }()
	<-stuck.closing
	const line = "a line of forty characters, or of 200 ms\n"
	write(t, second, line)
	devicetest.Eventually(t, "a line of the other twin", func() bool { return port.text() == line })
	close(stuck.free)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if s := first.Stats(); s.Cut != 1 || s.Lost != 1 {
		t.Errorf("counted %+v", s)
	}
}

// TestNoLineIsUncountedAtTheEnd: those that a Close cuts or drops are lost as by an unplug.
func TestNoLineIsUncountedAtTheEnd(t *testing.T) {
	port := slow{&socket{full: 4000, gone: make(chan struct{})}, make(chan struct{}), make(chan struct{})}
	close(port.free)
	twin := newTwin(t, ptytwin.Options{Open: func() (ptytwin.Port, error) { return port, nil }})
	write(t, twin, strings.Repeat("x", 99_999)+"\nwaits\n")
	devicetest.Eventually(t, "the head of a long line", func() bool { return port.text() != "" })
	if err := twin.Close(); err != nil {
		t.Fatal(err)
	}
	if s := twin.Stats(); s.Cut != 1 || s.Lost != 1 || s.Lines != 0 {
		t.Errorf("counted %+v, want one line cut and one lost", s)
	}
}
