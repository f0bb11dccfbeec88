package bridge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plumbline/bridge/config"
	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/internal/redistest"
	"plumbline/bridge/journal"
)

// cluster starts bridges that share one log.
func cluster(t *testing.T, redis *redistest.Server, names ...string) (all []*running) {
	t.Helper()
	return clusterWith(t, redis, func(*Config) {}, names...)
}

func clusterWith(t *testing.T, redis *redistest.Server, change func(*Config), names ...string) (all []*running) {
	t.Helper()
	secret := ""
	for _, name := range names {
		r := run(t, func(c *Config) {
			c.Node = name
			c.Relay.URL = redis.URL()
			c.Relay.Lease = config.Duration(2 * time.Second)
			c.History.Store = "off"
			c.Auth.RevocationFile = filepath.Join(c.Data, "revoked")
			change(c)
			if secret == "" {
				return
			}
			if err := os.WriteFile(filepath.Join(c.Data, "jwt.key"), []byte(secret), 0o600); err != nil {
				t.Fatal(err)
			}
		})
		if secret == "" {
			raw, err := os.ReadFile(SecretFile(r.cfg))
			if err != nil {
				t.Fatal(err)
			}
			secret = string(raw)
		}
		all = append(all, r)
	}
	return all
}

// TestClusterViewersSeeEverythingOnce: devices publish at two bridges, viewers watch at both, and each of them sees every message
// once, in the order of its topic, with equal cursors.
func TestClusterViewersSeeEverythingOnce(t *testing.T) {
	redis := redistest.New(t)
	all := cluster(t, redis, "one", "two")
	var viewers []*viewer
	var cursors []uint64
	for _, r := range all {
		v := r.open(nil)
		ok := v.sub(1, "plant/#", nil)
		viewers, cursors = append(viewers, v), append(cursors, ok.Offset)
	}
	const each = 60
	for k, r := range all {
		p := r.publisher(fmt.Sprintf("press-%d", k))
		for i := range each {
			r.publish(p, fmt.Sprintf("plant/%d", k), fmt.Sprint(i))
		}
	}
	var first []reading
	for i, v := range viewers {
		got, _ := v.collect(each*len(all), cursors[i])
		next := map[string]int{}
		for _, m := range got {
			if m.Payload != fmt.Sprint(next[m.Topic]) {
				t.Fatalf("viewer %d: %s of %s, want %d", i, m.Payload, m.Topic, next[m.Topic])
			}
			next[m.Topic]++
		}
		if first == nil {
			first = got
		}
		for k := range first {
			if got[k].O != first[k].O || got[k].Topic != first[k].Topic {
				t.Fatalf("viewer %d has offset %d for %s, the other %d for %s", i, got[k].O, got[k].Topic, first[k].O, first[k].Topic)
			}
		}
	}
}

// TestClusterResumeAnywhere: a viewer goes on at another bridge where it left the first, also when that has died and Redis was
// emptied.
func TestClusterResumeAnywhere(t *testing.T) {
	redis := redistest.New(t)
	all := cluster(t, redis, "one", "two")
	v := all[0].open(nil)
	ok := v.sub(1, "plant/#", nil)
	epoch := ok.Epoch
	p := all[0].publisher("press")
	for i := range 20 {
		all[0].publish(p, "plant/1", fmt.Sprint(i))
	}
	_, at := v.collect(20, ok.Offset)
	for round := range 2 {
		next := all[1-round]
		if round == 1 {
			redis.Kill()
			redis.Start()
			eventually.Must(t, "storing to work", func() bool {
				_, _, err := next.b.intake().Append(context.Background(), journal.Message{Topic: "plant/1", Payload: []byte("20")})
				return err == nil
			})
		}
		v = next.open(nil)
		ok = v.sub(1, "plant/#", map[string]any{"since": map[string]any{"epoch": epoch, "offset": at}})
		if !ok.Recovered || ok.Offset != at {
			t.Fatalf("round %d: at the other bridge: %+v, want to go on behind %d", round, ok, at)
		}
		if round == 0 {
			next.publish(next.publisher("press-2"), "plant/1", "19a")
		}
		var got []reading
		got, at = v.collect(1, at)
		if want := []string{"19a", "20"}[round]; got[0].Payload != want {
			t.Errorf("round %d: then came %q, want %q", round, got[0].Payload, want)
		}
	}
}

// TestClusterAlarms: what is wrong between the bridges, or with Redis, stands in /readyz, which stays 200 for those who are there.
func TestClusterAlarms(t *testing.T) {
	redis := redistest.New(t)
	one := cluster(t, redis, "one")[0]
	run(t, func(c *Config) { c.Node, c.Relay.URL, c.History.Store = "two", redis.URL(), "off" }) // with a secret of its own
	alarm := func(text string) {
		t.Helper()
		eventually.Must(t, "an alarm: "+text, func() bool {
			status, body := one.opsGet("/readyz")
			return status == 200 && strings.Contains(body, text)
		})
	}
	alarm("under auth")
	redis.Kill()
	alarm("connection refused")
	v := one.open(nil)
	v.sub(1, "#", nil)
}

// TestClusterLeft: a bridge that goes on without its cluster gets an epoch of its own, or its entries would be taken for the cluster's.
func TestClusterLeft(t *testing.T) {
	redis := redistest.New(t)
	r := cluster(t, redis, "one")[0]
	r.publish(r.publisher("press"), "t", "1")
	r.drain()
	c := r.cfg
	c.Relay.URL = ""
	for i := range 2 {
		before := r.b.journal.Epoch()
		r = runConfig(t, c)
		if now := r.b.journal.Epoch(); (now == before) != (i == 1) {
			t.Errorf("start %d alone: epoch %s, was %s", i, now, before)
		}
		r.drain()
	}
}

// TestClusterNotJoined: a bridge whose joining was refused has not been in a cluster: alone again, it goes on in the epoch that its viewers know.
func TestClusterNotJoined(t *testing.T) {
	redis := redistest.New(t)
	redis.Kill()
	r := run(t, func(c *Config) { c.History.Store = "off" })
	epoch := r.b.journal.Epoch()
	r.drain()
	c := r.cfg
	c.Relay.URL = redis.URL()
	if b, err := New(Options{Config: c}); !errors.Is(err, ErrUnavailable) || b != nil {
		t.Fatalf("without Redis: %v", err)
	}
	c.Relay.URL = ""
	if now := runConfig(t, c).b.journal.Epoch(); now != epoch {
		t.Errorf("alone again: epoch %s, was %s", now, epoch)
	}
}

// TestN38RevokedInTheCluster: who signs out at one bridge, or is revoked by its file, is cut off at the other and comes in no more.
func TestN38RevokedInTheCluster(t *testing.T) { // SEC-05
	all := cluster(t, redistest.New(t), "one", "two")
	here, there := all[0], all[1]
	token := here.token(map[string]any{"jti": "1"})
	enter := func(r *running, token string) *viewer {
		v := r.dial()
		v.send(map[string]any{"type": "hello", "token": token, "client": "test"})
		return v
	}
	watching := enter(there, token)
	watching.want("welcome")
	ben := there.open(map[string]any{"sub": "ben"})
	in := here.signIn(token)
	if resp := here.ask(http.MethodDelete, "/session", "", append([]string{"Origin", here.own()}, in...)...); resp.StatusCode != http.StatusNoContent {
		t.Fatalf("sign out: %d", resp.StatusCode)
	}
	watching.wantClose(4007, "revoked")
	enter(there, token).wantClose(4007, "revoked")
	there.open(nil) // another token of the same name is good
	if err := os.WriteFile(here.cfg.Auth.RevocationFile, []byte("sub:ben\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ben.wantClose(4007, "revoked")
}
