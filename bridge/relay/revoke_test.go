package relay

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"plumbline/bridge/auth"
	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/internal/pathtest"
	"plumbline/bridge/internal/redistest"
)

// revoking is a node and what it knows of revocations, with files of its own.
type revoking struct {
	*node
	revoked *auth.Revocations
	t       *testing.T
	list    string
}

func newRevoking(t *testing.T, o Options) *revoking {
	t.Helper()
	dir := t.TempDir()
	n := &revoking{t: t, list: filepath.Join(dir, "revoked")}
	n.write("")
	var err error
	if n.revoked, err = auth.NewRevocations(n.list, "", testLog()); err == nil {
		err = n.revoked.KeepEnded(filepath.Join(dir, "ended"))
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.revoked.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	n.node = &node{tb: t, dir: t.TempDir(), opts: o, revoked: n.revoked}
	n.start()
	t.Cleanup(n.end)
	return n
}

// write replaces the file of what is revoked.
func (n *revoking) write(text string) {
	n.t.Helper()
	if err := os.WriteFile(n.list, []byte(text), 0o600); err != nil {
		n.t.Fatal(err)
	}
}

// knows waits until the node takes a token for revoked, or not.
func (n *revoking) knows(id auth.Identity, revoked bool) {
	n.t.Helper()
	eventually.Must(n.t, "the node to learn of "+id.Subject+id.Key, func() bool { return n.revoked.Revoked(id) == revoked })
}

func token(subject, key string) auth.Identity {
	return auth.Identity{Subject: subject, Key: key, Expires: time.Now().Add(time.Hour)}
}

// logout ends a token at a node.
func (n *revoking) logout(id auth.Identity) {
	n.t.Helper()
	if err := n.revoked.End(id); err != nil {
		n.t.Fatal(err)
	}
}

// TestRevokedEverywhere: a token that is ended at one node, or revoked by its file, is revoked at all, also at one that comes later or was
// cut off meanwhile, and after Redis lost everything.
func TestRevokedEverywhere(t *testing.T) {
	redis := redistest.New(t)
	way, addr := pathtest.New(t, redis.Addr)
	far := options(redis, "b")
	far.URL = "redis://" + addr + "/0"
	a, b := newRevoking(t, options(redis, "a")), newRevoking(t, far)
	eventually.Must(t, "two nodes", func() bool { return a.Stats().Nodes == 2 && b.Stats().Nodes == 2 })
	first, eva := token("anna", "first"), token("eva", "eva")
	if b.revoked.Revoked(first) || b.revoked.Revoked(eva) {
		t.Fatal("revoked from the start")
	}
	a.logout(first)
	a.write("sub:eva\n")
	b.knows(first, true)
	b.knows(eva, true)
	a.write("# nobody\n")
	b.knows(eva, false)

	way.Swallow(true)
	b.alarmed()
	cutOff, back := token("anna", "ended-meanwhile"), token("anna", "ended-there")
	a.logout(cutOff)
	b.logout(back)
	a.write("jti:7\n")
	way.Swallow(false)
	b.knows(cutOff, true)
	a.knows(back, true)
	seven := token("paul", "seven")
	seven.TokenID = "7"
	b.knows(seven, true)

	if err := redis.Client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	eventually.Must(t, "Redis to be told again", func() bool { return redis.Client.ZCard(t.Context(), a.keys.ended()).Val() == 3 })
	late := newRevoking(t, options(redis, "c"))
	for _, id := range []auth.Identity{first, cutOff, back, seven} {
		if !late.revoked.Revoked(id) { // from its first moment on
			t.Errorf("a node that is new does not know that %s%s is revoked", id.Subject, id.Key)
		}
	}
	if late.revoked.Revoked(eva) || late.revoked.Revoked(token("anna", "another")) {
		t.Error("revoked is what nobody revoked")
	}
}

// TestRevokedByOneThatLeft: what is on the list of a node that is away stays revoked, also when Redis lost it, or has an older one.
func TestRevokedByOneThatLeft(t *testing.T) {
	redis := redistest.New(t)
	a, b := newRevoking(t, options(redis, "a")), newRevoking(t, options(redis, "b"))
	a.write("sub:eva\n")
	eva, paul := token("eva", "1"), token("paul", "2")
	b.knows(eva, true)
	older := redis.Client.HGet(t.Context(), a.keys.lists(), "a").Val()
	a.write("sub:eva\nsub:paul\n")
	b.knows(paul, true)
	a.end()
	pipe := redis.Client.TxPipeline() // nobody comes between
	pipe.FlushAll(t.Context())
	pipe.HSet(t.Context(), a.keys.lists(), "a", older)
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually.Must(t, "Redis to be told again", func() bool {
		now := redis.Client.HGet(t.Context(), a.keys.lists(), "a").Val()
		return strings.Contains(now, "paul")
	})
	c := newRevoking(t, options(redis, "c"))
	if !c.revoked.Revoked(eva) || !c.revoked.Revoked(paul) || !b.revoked.Revoked(paul) {
		t.Error("what a node revoked that is away is not revoked any more")
	}
}

// TestForgedRevocations: what is not signed revokes nobody, and what has expired goes.
func TestForgedRevocations(t *testing.T) {
	redis := redistest.New(t)
	a := newRevoking(t, options(redis, "a"))
	ctx := t.Context()
	add := func(member string) {
		t.Helper()
		n := redis.Client.HIncrBy(ctx, a.keys.revoked(), "ended", 1).Val()
		if err := redis.Client.ZAdd(ctx, a.keys.ended(), scored(n, member)).Err(); err != nil {
			t.Fatal(err)
		}
	}
	past := a.signEnded("past", time.Now().Add(-time.Hour))
	add(past)
	add("ended forged 99999999999")
	add(signText([]byte("another secret"), []byte("ended forged 99999999999")))
	redis.Client.HSet(ctx, a.keys.lists(), "z", signText([]byte("another secret"), []byte(`{"node":"z","version":1,"names":["sub:anna"]}`)))
	redis.Client.HIncrBy(ctx, a.keys.revoked(), "lists", 1)
	eventually.Must(t, "three to be rejected", func() bool { return a.Stats().Rejected["signature"] >= 3 })
	if a.revoked.Revoked(token("anna", "forged")) {
		t.Error("somebody without the secret revoked a token")
	}
	newRevoking(t, options(redis, "b")) // it reads all
	if n := redis.Client.ZScore(ctx, a.keys.ended(), past); n.Err() == nil {
		t.Error("what has expired stays in Redis")
	}
}

func scored(n int64, member string) redis.Z { return redis.Z{Score: float64(n), Member: member} }
