package ingest

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"plumbline/bridge/internal/brokertest"
	"plumbline/bridge/journal"
	"plumbline/bridge/metrics"
)

// restartable is a broker whose folder outlives it.
type restartable struct {
	t      *testing.T
	dir    string
	change func(*Options)
	b      *Broker
	j      *journal.Journal
}

func (r *restartable) start() *Broker {
	r.t.Helper()
	var err error
	if r.j, err = journal.Open(journal.Options{Dir: filepath.Join(r.dir, "journal")}); err != nil {
		r.t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	o := Options{Journal: r.j, Listeners: []Listener{{Name: "mqtt", Socket: l}}, SessionDir: filepath.Join(r.dir, "sessions"), Metrics: metrics.New(), Log: testLog()}
	if r.change != nil {
		r.change(&o)
	}
	if r.b, err = New(o); err != nil {
		r.t.Fatal(err)
	}
	if err := r.b.Start(); err != nil {
		r.t.Fatal(err)
	}
	return r.b
}

func (r *restartable) stop() {
	r.t.Helper()
	if err := r.b.Close(); err != nil {
		r.t.Error(err)
	}
	if err := r.j.Close(); err != nil {
		r.t.Error(err)
	}
}

// TestSessionsSurviveARestart: subscriptions, what waits, what is under way in each direction and state.
func TestSessionsSurviveARestart(t *testing.T) {
	r := &restartable{t: t, dir: t.TempDir()}
	b := r.start()
	in := login{id: "s", props: cat(kept1h, []byte{0x21, 0, 3})}
	p := dial(t, b, 5).ok(login{id: "p", clean: true})
	p.publish("r/kept", "retained", 1, 1, 1, nil)
	p.want(4)
	s := dial(t, b, 5).ok(in)
	s.sub("q/#", 2, nil)
	for i := range 10 {
		p.publish("q/1", fmt.Sprint(i), 2, uint16(i+1), 0, userProp("n", fmt.Sprint(i)))
		p.want(5)
	}
	a, c, d := s.next(), s.next(), s.next() // three are under way: one released, one acknowledged and one not
	s.send(ackOf(0x50, a.id))
	s.want(6)
	s.send(ackOf(0x50, c.id))
	s.want(6)
	s.send(ackOf(0x70, c.id))
	e := s.next()
	s.publish("up", "twice", 2, 500, 0, nil)
	s.want(5) // stored; PUBREL is still to come
	r.stop()

	b = r.start()
	defer r.stop()
	s = dial(t, b, 5)
	if body := s.connect(in); body[0] != 1 || body[1] != 0 {
		t.Fatalf("CONNACK %x, want the session", body)
	}
	s.publish("up", "twice", 2, 500, 8, nil)
	var order []string
	for len(order) < 9 {
		first, body, err := s.read()
		if err != nil {
			t.Fatalf("after %q: %v", order, err)
		}
		switch first >> 4 {
		case 3:
			g := s.parsePublish(first, body)
			if again := g.payload == d.payload || g.payload == e.payload; g.dup != again || string(g.props) != string(userProp("n", g.payload)) {
				t.Errorf("%+v", g)
			}
			order = append(order, g.payload)
			s.send(ackOf(0x50, g.id))
		case 6:
			id, _, _ := ackCode(body)
			if id == a.id && len(order) == 0 {
				order = append(order, "PUBREL")
			}
			s.send(ackOf(0x70, id))
		case 5: // of the message sent again
		default:
			t.Fatalf("packet %#x", first)
		}
	}
	if want := "PUBREL 2 3 4 5 6 7 8 9"; strings.Join(order, " ") != want {
		t.Errorf("order %q", order)
	}
	n := 0
	for _, one := range stored(t, r.j) {
		if one.Topic == "up" {
			n++
		}
	}
	if n != 1 {
		t.Errorf("a QoS 2 message sent again after the restart is stored %d times", n)
	}
	fresh := dial(t, b, 5).ok(login{id: "fresh", clean: true})
	fresh.sub("r/#", 1, nil)
	if g := fresh.next(); g.payload != "retained" || !g.retain {
		t.Errorf("%+v", g)
	}
}

// TestDamagedSessionFile: one client begins anew, the others keep what they have.
func TestDamagedSessionFile(t *testing.T) {
	r := &restartable{t: t, dir: t.TempDir()}
	b := r.start()
	for _, id := range []string{"a", "b"} {
		dial(t, b, 5).ok(login{id: id, props: kept1h}).sub("x", 1, nil)
	}
	r.stop()
	if err := os.WriteFile(b.sessions.store.path("a"), []byte("00000000 {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b = r.start()
	defer r.stop()
	for id, want := range map[string]byte{"a": 0, "b": 1} {
		if body := dial(t, b, 5).connect(login{id: id, props: kept1h}); body[0] != want || body[1] != 0 {
			t.Errorf("%s: CONNACK %x, session present %d wanted", id, body, want)
		}
	}
}

// TestMain runs the broker that TestKilledBrokerLosesNothing kills, when it is asked to.
func TestMain(m *testing.M) {
	if dir := os.Getenv("PLUMBLINE_TEST_BROKER"); dir != "" {
		serveUntilKilled(dir)
		return
	}
	m.Run()
}

// serveUntilKilled runs a broker in dir, says where it listens, and ends only by a signal.
func serveUntilKilled(dir string) {
	j, err := journal.Open(journal.Options{Dir: filepath.Join(dir, "journal")})
	if err != nil {
		panic(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	b, err := New(Options{Journal: j, Listeners: []Listener{{Name: "mqtt", Socket: l}}, SessionDir: filepath.Join(dir, "sessions"), Metrics: metrics.New(), Log: testLog()})
	if err != nil {
		panic(err)
	}
	if err := b.Start(); err != nil {
		panic(err)
	}
	fmt.Println(l.Addr())
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	<-end
}

// spawn starts the broker as a process of its own.
func spawn(t *testing.T, dir string) (addr string, kill func()) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "PLUMBLINE_TEST_BROKER="+dir)
	cmd.Stderr = os.Stderr
	brokertest.DieWithTest(cmd)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	kill = func() {
		once.Do(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
	}
	t.Cleanup(kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the broker says nothing: %v", err)
	}
	return strings.TrimSpace(line), kill
}

// at dials an address.
func at(t *testing.T, addr string) *client {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, wait)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(2 * wait))
	return &client{t: t, Conn: c, r: bufio.NewReader(c), v: 5}
}

// TestKilledBrokerLosesNothing: SIGKILL at random moments under load. An acknowledged subscription stays; every acknowledged
// QoS 1 message comes, in order; what comes again is marked, and under its identifier.
func TestKilledBrokerLosesNothing(t *testing.T) {
	const rounds, seed = 15, 11
	rnd := rand.New(rand.NewPCG(seed, seed))
	dir := t.TempDir()
	var next, last int // last is the highest number that the subscriber has
	seen, must := map[int]bool{}, map[int]bool{}
	in := login{id: "s", props: cat(kept1h, []byte{0x21, 0, 20})}
	take := func(s *client, first byte, body []byte) {
		g := s.parsePublish(first, body)
		n, err := strconv.Atoi(g.payload)
		switch {
		case err != nil:
			t.Fatalf("payload %q", g.payload)
		case seen[n] && !g.dup:
			t.Fatalf("message %d comes again without DUP", n)
		case !seen[n] && n < last:
			t.Fatalf("message %d comes for the first time after %d", n, last)
		}
		seen[n], last = true, max(last, n)
		_, _ = s.Write(ackOf(0x40, g.id))
	}
	for round := range rounds {
		addr, kill := spawn(t, dir)
		s := at(t, addr)
		if body := s.connect(in); body[1] != 0 || body[0] == 0 && round > 0 {
			t.Fatalf("round %d: CONNACK %x, want the session", round, body)
		}
		if round == 0 && s.sub("load", 1, nil) != 1 {
			t.Fatal("not subscribed")
		}
		end := time.AfterFunc(time.Duration(20+rnd.IntN(150))*time.Millisecond, kill)
		done := make(chan struct{})
		go func() { // the publisher: numbers that were not acknowledged are not sent again
			defer close(done)
			p := at(t, addr)
			if _, err := p.Write(p.connectPacket(login{id: "p", clean: true})); err != nil {
				return
			}
			if _, _, err := p.read(); err != nil {
				return
			}
			for {
				next++
				if _, err := p.Write(p.publishPacket("load", strconv.Itoa(next), 1, uint16(next%60000+1), 0, nil)); err != nil {
					return
				}
				if _, _, err := p.read(); err != nil {
					return
				}
				must[next] = true
			}
		}()
		stop := -1
		if round%3 == 1 { // away from some moment on: the rest waits
			stop = rnd.IntN(50)
		}
		for n := 0; n != stop; n++ {
			first, body, err := s.read()
			if err != nil {
				break
			}
			if first>>4 == 3 {
				take(s, first, body)
			}
		}
		<-done
		end.Stop()
		kill()
	}
	addr, _ := spawn(t, dir)
	s := at(t, addr)
	s.ok(in)
	t.Logf("%d of %d acknowledged messages are still to come", len(missing(must, seen)), len(must))
	for len(missing(must, seen)) > 0 {
		first, body, err := s.read()
		if err != nil {
			t.Fatalf("%d of %d acknowledged messages never came, the first %d: %v", len(missing(must, seen)), len(must), missing(must, seen)[0], err)
		}
		take(s, first, body)
	}
	t.Logf("%d messages acknowledged over %d kills, none lost", len(must), rounds)
}

// missing lists, ascending, what should have come and did not.
func missing(must, seen map[int]bool) (out []int) {
	for n := range must {
		if !seen[n] {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out
}
