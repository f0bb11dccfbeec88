package wire

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"plumbline/bridge/internal/attempt"
)

// pair is a session that writes to a real socket, and the other end of that.
func pair(t *testing.T, srv *Server) (*session, *bufio.Reader) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	far, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	near, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(near.Close(), far.Close()) })
	s := quiet(near)
	s.srv, s.live = srv, true
	s.nc.quick = attempt.New(near)
	return s, bufio.NewReader(far)
}

// bare is a server whose sessions write what they are given and have no subscriptions. Its writers are not started unless run.
func bare(t *testing.T, limit int) *Server {
	t.Helper()
	s, _ := following(t)
	s.srv.writers = &writers{work: make(chan *session, limit)}
	return s.srv
}

// say gives s something to write and wakes it.
func (s *session) say(text string) {
	s.mu.Lock()
	s.control = append(s.control, text...)
	s.mu.Unlock()
	s.wake()
}

// TestTogetherWritesToFew: up to fewSessions are written to when Together returns; more of them go to the writers, all of them, and so
// does who is woken at another time.
func TestTogetherWritesToFew(t *testing.T) {
	for _, n := range []int{0, 1, fewSessions, fewSessions + 1, 2 * fewSessions} {
		srv := bare(t, 2*fewSessions+1)
		sessions := make([]*session, n)
		far := make([]*bufio.Reader, n)
		for i := range sessions {
			sessions[i], far[i] = pair(t, srv)
		}
		srv.Together(func() {
			for i, s := range sessions {
				s.say(fmt.Sprintf("%d\n", i))
			}
		})
		waiting := len(srv.writers.work)
		if want := n * max(0, min(1, n-fewSessions)); waiting != want {
			t.Errorf("%d sessions: %d wait for a writer, want %d", n, waiting, want)
		}
		for range waiting {
			(<-srv.writers.work).step(&turn{})
		}
		for i, s := range sessions {
			if got, err := far[i].ReadString('\n'); got != fmt.Sprintf("%d\n", i) {
				t.Errorf("%d sessions: the %d. got %q, %v", n, i, got, err)
			}
			s.writer.Wait()
		}
		late, other := pair(t, srv)
		late.say("late\n")
		if len(srv.writers.work) != 1 {
			t.Fatalf("%d sessions: %d wait for a writer after one was woken by itself", n, len(srv.writers.work))
		}
		(<-srv.writers.work).step(&turn{})
		if got, err := other.ReadString('\n'); got != "late\n" {
			t.Errorf("got %q, %v", got, err)
		}
	}
}

// TestTogetherWaitsForNobody: a viewer whose socket is full, and one whose connection ends before its turn, hold up nobody else.
func TestTogetherWaitsForNobody(t *testing.T) {
	srv := bare(t, 8)
	full, slowly := pair(t, srv)
	gone, _ := pair(t, srv)
	good, far := pair(t, srv)
	large := strings.Repeat("x", maxControl-1) + "\n"
	for more := true; more; { // until it waits
		srv.Together(func() { full.say(large) })
		full.mu.Lock()
		more = !full.writing
		full.mu.Unlock()
	}
	srv.Together(func() {
		full.say("last\n")
		gone.say("nothing\n")
		gone.nc.cut()
		good.say("good\n")
	})
	if got, err := far.ReadString('\n'); got != "good\n" {
		t.Errorf("got %q, %v", got, err)
	}
	gone.writer.Wait()
	select {
	case <-gone.last:
	default:
		t.Error("the session whose connection ended writes on")
	}
	for line := ""; line != "last\n"; {
		var err error
		if line, err = slowly.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		if line != "last\n" && line != large {
			t.Fatalf("got %d bytes, %.20q", len(line), line)
		}
	}
	full.writer.Wait()
}
