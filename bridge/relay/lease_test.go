package relay

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"plumbline/bridge/internal/brokertest"
	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/internal/redistest"
	"plumbline/bridge/journal"
)

// session is a broker's session of one node: it delivers every message in order and again until it is acknowledged.
type session struct {
	acked atomic.Int64
	stop  context.CancelFunc
	ended chan struct{}
}

// message is what the broker has: of three topics, on one of which every payload is the same.
func brokerMessage(i int) journal.Message {
	m := journal.Message{Topic: fmt.Sprintf("s/%d", i%3), Payload: fmt.Appendf(nil, "%d", i), QoS: 1}
	if i%3 == 2 {
		m.Payload = []byte("constant")
	}
	return m
}

// deliver starts a session that has messages up to the value of most, of which acked are acknowledged.
func deliver(n *Relay, acked int64, most *atomic.Int64) *session {
	ctx, cancel := context.WithCancel(context.Background())
	s := &session{stop: cancel, ended: make(chan struct{})}
	s.acked.Store(acked)
	go func() {
		defer close(s.ended)
		for ctx.Err() == nil {
			var ms []journal.Message
			for i := s.acked.Load() + 1; i <= most.Load() && len(ms) < 16; i++ {
				ms = append(ms, brokerMessage(int(i)))
			}
			if len(ms) > 0 {
				if _, err := n.Log().AppendAll(ctx, ms); err == nil {
					s.acked.Add(int64(len(ms)))
					continue
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(2 * time.Millisecond):
			}
		}
	}()
	return s
}

func (s *session) end() {
	s.stop()
	<-s.ended
}

func ingesting(s *redistest.Server, name string) Options {
	o := options(s, name)
	o.Ingests, o.Lease = true, 2*time.Second
	return o
}

// stored waits until the node has n messages and fails when they are not the broker's, each topic in its order and each once.
func stored(t *testing.T, n *node, count int) {
	t.Helper()
	eventually.Must(t, fmt.Sprintf("%d messages in the journal of node %s", count, n.opts.Node), func() bool { return n.journal.Head().Offset >= uint64(count)+n.journal.First()-1 })
	want, got := map[string][]string{}, map[string][]string{}
	for i := 1; i <= count; i++ {
		m := brokerMessage(i)
		want[m.Topic] = append(want[m.Topic], string(m.Payload))
	}
	for _, e := range n.entries() {
		topic, payload, _ := strings.Cut(e, " ")
		got[topic] = append(got[topic], payload)
	}
	for topic := range want {
		if !slices.Equal(got[topic], want[topic]) {
			t.Errorf("node %s has %d messages of %s, want %d in order: %.300v", n.opts.Node, len(got[topic]), topic, len(want[topic]), got[topic])
		}
	}
}

// TestLeaderDies: the one that stores what the broker sends dies, again and again; another takes over. Nothing is lost or twice.
func TestLeaderDies(t *testing.T) {
	redis := redistest.New(t)
	nodes := []*node{newNode(t, ingesting(redis, "a")), newNode(t, ingesting(redis, "b"))}
	var most atomic.Int64
	sessions := []*session{deliver(nodes[0].Relay, 0, &most), deliver(nodes[1].Relay, 0, &most)}
	defer func() {
		for _, s := range sessions {
			s.end()
		}
	}()
	for round := range 3 {
		most.Add(150)
		eventually.Must(t, "both sessions to be acknowledged", func() bool {
			return sessions[0].acked.Load() == most.Load() && sessions[1].acked.Load() == most.Load()
		})
		most.Add(50)
		lead := -1
		eventually.Must(t, fmt.Sprintf("round %d: one node to lead, and no other", round), func() bool {
			lead = slices.IndexFunc(nodes, func(n *node) bool { return n.leading() })
			return lead >= 0 && !nodes[1-lead].leading()
		})
		dead := sessions[lead]
		nodes[lead].die()
		dead.end()
		eventually.Must(t, "the other node to store", func() bool { return sessions[1-lead].acked.Load() == most.Load() })
		nodes[lead].start()
		sessions[lead] = deliver(nodes[lead].Relay, dead.acked.Load(), &most) // the broker sends again what it had no answer to
	}
	for _, n := range nodes {
		stored(t, n, int(most.Load()))
	}
}

// TestN96FencingRefusesAnOldLeader: a node that was paused thinks that it leads. Redis refuses what it stores, and it stands by.
func TestN96FencingRefusesAnOldLeader(t *testing.T) {
	redis := redistest.New(t)
	ctx := context.Background()
	a, b := newNode(t, ingesting(redis, "a")), newNode(t, ingesting(redis, "b"))
	eventually.Must(t, "a node to lead", func() bool { return a.leading() || b.leading() })
	if b.leading() {
		a, b = b, a
	}
	if _, err := a.Log().AppendAll(ctx, []journal.Message{brokerMessage(1)}); err != nil {
		t.Fatal(err)
	}
	if err := redis.Client.HSet(ctx, a.keys.lease(), "by", b.opts.Node+" "+b.process, "token", "another").Err(); err != nil {
		t.Fatal(err)
	}
	if err := redis.Client.Persist(ctx, a.keys.lease()).Err(); err != nil {
		t.Fatal(err)
	}
	a.lease.take(a.lease.token(), time.Now().Add(time.Hour), 0) // what a paused process believes
	head := a.journal.Head()
	short, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	if _, err := a.Log().AppendAll(short, []journal.Message{brokerMessage(2)}); err == nil {
		t.Error("an old leader has stored")
	}
	if a.Stats().Fenced == 0 && a.leading() || a.journal.Head() != head {
		t.Errorf("the old leader: %+v, head %v, was %v", a.Stats(), a.journal.Head(), head)
	}
	eventually.Must(t, "the new one to lead", func() bool { return b.leading() })
	if _, err := b.Log().AppendAll(ctx, []journal.Message{brokerMessage(2)}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Log().AppendAll(ctx, []journal.Message{brokerMessage(2)}); err != nil {
		t.Errorf("what the new leader has stored the old one does not know: %v", err)
	}
	for _, n := range []*node{a, b} {
		stored(t, n, 2)
	}
}

const pausedNode = "PLUMBLINE_TEST_PAUSED_NODE"

// TestN96PausedLeader stops the process of the leader (SIGSTOP) for longer than its lease, while it stores, and lets it go on.
func TestN96PausedLeader(t *testing.T) {
	if spec := os.Getenv(pausedNode); spec != "" {
		runPausedNode(t, spec)
		return
	}
	redis := redistest.New(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestN96PausedLeader$", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), pausedNode+"="+redis.Addr, "TMPDIR="+t.TempDir())
	brokertest.DieWithTest(cmd)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
	lines := bufio.NewScanner(out)
	said := func(what string) {
		t.Helper()
		for lines.Scan() {
			if lines.Text() == what {
				return
			}
		}
		t.Fatalf("the node to be paused did not say %q", what)
	}
	tell := func(n int64) {
		t.Helper()
		if _, err := fmt.Fprintln(in, n); err != nil {
			t.Fatal(err)
		}
	}
	said("leading")
	b := newNode(t, ingesting(redis, "b"))
	var most atomic.Int64
	s := deliver(b.Relay, 0, &most)
	defer s.end()
	for round := range 2 {
		more := func(n int64) { tell(most.Add(n)) }
		more(100)
		said(fmt.Sprint("acked ", most.Load()))
		eventually.Must(t, "the standby to acknowledge", func() bool { return s.acked.Load() == most.Load() })
		more(300) // it is stopped while it stores these
		if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		eventually.Must(t, "the standby to take over", func() bool { return b.leading() && s.acked.Load() == most.Load() })
		if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		said(fmt.Sprint("acked ", most.Load())) // it has seen that they are stored
		stored(t, b, int(most.Load()))
		if round == 0 {
			b.lease.drop() // and back
			if err := redis.Client.Del(context.Background(), b.keys.lease()).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// runPausedNode is a node in a process of its own: it reads how many messages its broker has and says what it acknowledged.
func runPausedNode(t *testing.T, redis string) {
	t.Helper()
	a := newNode(t, ingesting(&redistest.Server{Addr: redis}, "a"))
	eventually.Must(t, "the lease", a.leading)
	fmt.Println("leading")
	var most atomic.Int64
	s := deliver(a.Relay, 0, &most)
	gone := make(chan struct{}) // the test that started it
	go func() {
		defer close(gone)
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			n, _ := strconv.ParseInt(in.Text(), 10, 64)
			most.Store(n)
		}
	}()
	for told := int64(0); ; {
		if n := s.acked.Load(); n != told && n == most.Load() {
			fmt.Println("acked", n)
			told = n
		}
		select {
		case <-gone:
			s.end()
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}
