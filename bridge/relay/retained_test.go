package relay

import (
	"context"
	"slices"
	"testing"
	"time"

	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/internal/redistest"
	"plumbline/bridge/journal"
)

func door(state string) journal.Message {
	return journal.Message{Topic: "door", Payload: []byte(state), QoS: 1, Retain: true}
}

// leaderAndOther returns two nodes with sources, of which the first leads, and whose log has the value "open".
func leaderAndOther(t *testing.T, lease time.Duration) (leader, other *node) {
	t.Helper()
	redis := redistest.New(t)
	named := func(name string) Options {
		o := ingesting(redis, name)
		o.Lease = lease
		return o
	}
	leader = newNode(t, named("a"))
	eventually.Must(t, "the lease", leader.leading)
	other = newNode(t, named("b"))
	for _, n := range []*node{leader, other} {
		if _, err := n.Log().AppendAll(t.Context(), []journal.Message{door("open")}); err != nil {
			t.Fatal(err)
		}
	}
	return leader, other
}

// TestRetainedThatComesBack: a retained value goes from open to shut and back while the node that leads gets nothing. Who takes over
// stores both changes: the first one alone would stand for good.
func TestRetainedThatComesBack(t *testing.T) {
	leader, other := leaderAndOther(t, 2*time.Second)
	done := make(chan error, 1)
	go func() {
		_, err := other.Log().AppendAll(context.Background(), []journal.Message{door("shut"), door("open")})
		done <- err
	}()
	eventually.Must(t, "the other to hold what came", func() bool {
		other.standby.mu.Lock()
		defer other.standby.mu.Unlock()
		return len(other.standby.open) > 0
	})
	leader.die()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := other.entries(); !slices.Equal(got, []string{"door open", "door shut", "door open"}) {
		t.Errorf("the log is %q", got)
	}
}

// TestRetainedOfANewSession: what a broker gives a session that begins, and the log has, is not stored once more, nor waited for as
// long as what may be new: else a node with many of them would be late for long.
func TestRetainedOfANewSession(t *testing.T) {
	leader, other := leaderAndOther(t, time.Minute) // three of them are longer than any test waits
	if _, err := other.Log().AppendAll(t.Context(), []journal.Message{door("open")}); err != nil {
		t.Fatal(err)
	}
	for _, n := range []*node{leader, other} {
		if got := n.entries(); !slices.Equal(got, []string{"door open"}) {
			t.Errorf("the log of node %s is %q", n.opts.Node, got)
		}
	}
}
