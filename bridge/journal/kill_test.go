package journal

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// childEnv makes the test binary a process that appends until it is killed.
const childEnv = "PLUMBLINE_JOURNAL_TEST_CHILD"

func TestMain(m *testing.M) {
	if spec := os.Getenv(childEnv); spec != "" {
		if err := child(spec); err != nil {
			fmt.Println("error", err)
		}
		return
	}
	m.Run()
}

// child appends with several writers and prints each acknowledgement only after
// it has it: "writer number offset".
func child(spec string) error {
	policy, dir, _ := strings.Cut(spec, " ")
	j, err := Open(Options{Dir: dir, Sync: SyncPolicy(policy), SegmentBytes: 16 << 10, RetainAge: -1})
	if err != nil {
		return err
	}
	fmt.Println("epoch", j.Epoch())
	var out, wg = sync.Mutex{}, sync.WaitGroup{}
	for w := range 4 {
		wg.Go(func() {
			for i := uint64(1); ; i++ {
				producer := fmt.Sprint("p", w)
				offset, _, err := j.Append(context.Background(), Message{
					Topic: "t/" + producer, Payload: fmt.Append(nil, i), Producer: producer, ProducerSeq: j.next(producer),
				})
				if err != nil {
					fmt.Println("error", err)
					return
				}
				out.Lock()
				fmt.Println("ack", producer, offset)
				out.Unlock()
			}
		})
	}
	wg.Wait()
	return nil
}

// next returns the producer's next number.
func (j *Journal) next(producer string) uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	if n := j.producers.nodes[producer]; n != nil {
		return n.value + 1
	}
	return 1
}

// Kill a real process at random points: everything it acknowledged is there, in
// order, no number twice, and the epoch goes on.
func TestKilledProcess(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: it starts and kills processes for half a minute")
	}
	for _, policy := range []SyncPolicy{SyncOS, SyncDurable} {
		t.Run(string(policy), func(t *testing.T) {
			dir := t.TempDir()
			r := rand.New(rand.NewPCG(3, 3))
			epoch := ""
			acked := make(map[uint64]string)
			for round := range 12 {
				acks, seen := runAndKill(t, policy, dir, 1+r.IntN(400))
				if epoch != "" && seen != epoch {
					t.Fatal("epoch renewed by a kill")
				}
				epoch = seen
				for offset, producer := range acks {
					if acked[offset] != "" {
						t.Fatalf("offset %d acknowledged twice", offset)
					}
					acked[offset] = producer
				}
				if round%3 == 2 { // in between, a killed run follows a killed run
					verifyAcks(t, policy, dir, epoch, acked)
				}
			}
			t.Logf("%d acknowledged entries, 12 kills, none lost", len(acked))
		})
	}
}

// runAndKill kills the child after it acknowledged n entries.
func runAndKill(t *testing.T, policy SyncPolicy, dir string, n int) (acks map[uint64]string, epoch string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"="+string(policy)+" "+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	acks = make(map[uint64]string)
	lines := bufio.NewScanner(out)
	for lines.Scan() { // to the end: what is in the pipe was acknowledged too
		word := strings.Fields(lines.Text())
		switch {
		case len(word) == 2 && word[0] == "epoch":
			epoch = word[1]
		case len(word) == 3 && word[0] == "ack":
			offset, err := strconv.ParseUint(word[2], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			acks[offset] = word[1]
		case len(word) > 0 && word[0] == "error":
			t.Fatalf("child: %s", lines.Text())
		}
		if len(acks) == n {
			_ = cmd.Process.Kill()
		}
	}
	_ = cmd.Wait()
	if len(acks) < n {
		t.Fatalf("child ended after %d acknowledgements", len(acks))
	}
	return acks, epoch
}

// verifyAcks opens the journal as it was left and looks for everything.
func verifyAcks(t *testing.T, policy SyncPolicy, dir, epoch string, acks map[uint64]string) {
	t.Helper()
	j, err := Open(Options{Dir: dir, Sync: policy, RetainAge: -1})
	if err != nil {
		t.Fatal(err)
	}
	all := readAll(t, j, 0)
	seqs := map[string]uint64{}
	for i, e := range all {
		if e.Offset != uint64(i+1) || e.ProducerSeq != seqs[e.Producer]+1 {
			t.Fatalf("entry %d: offset %d, %s number %d after %d", i, e.Offset, e.Producer, e.ProducerSeq, seqs[e.Producer])
		}
		seqs[e.Producer] = e.ProducerSeq
	}
	for offset, producer := range acks {
		if offset > uint64(len(all)) || all[offset-1].Producer != producer {
			t.Fatalf("acknowledged entry %d of %s is missing; %d entries", offset, producer, len(all))
		}
	}
	if j.Epoch() != epoch {
		t.Fatal("epoch renewed although continuity is proven")
	}
	closeJournal(t, j)
}
