package relay

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/internal/redistest"
	"plumbline/bridge/journal"
)

func TestDecide(t *testing.T) {
	member := func(pos uint64, knows ...string) stand { return stand{true, "e", pos, knows} }
	joiner := func(epoch string, pos uint64) stand { return stand{false, epoch, pos, nil} }
	other := stand{true, "f", 9, nil}
	for _, c := range []struct {
		name string
		was  state
		all  map[string]stand
		want verdict
	}{
		{"all are there", state{}, map[string]stand{"a": member(7, "a", "b"), "b": member(9, "a", "b")}, verdict{"e", 9, true}},
		{"Redis has more", state{epoch: "e", pos: 12}, map[string]stand{"a": member(7, "a")}, verdict{"e", 12, true}},
		{"Redis has another epoch", state{epoch: "x", pos: 12}, map[string]stand{"a": member(7, "a")}, verdict{"e", 7, true}},
		{"one is missing", state{}, map[string]stand{"a": member(7, "a", "c")}, verdict{"", 8, false}},
		{"one is missing and was started anew", state{}, map[string]stand{"a": member(7, "a", "c"), "c": joiner("e", 9)}, verdict{"e", 9, true}},
		{"one is missing and lost its journal", state{}, map[string]stand{"a": member(7, "a", "c"), "c": joiner("f", 0)}, verdict{"", 8, false}},
		{"nobody was there before", state{}, map[string]stand{"a": joiner("e", 3), "b": joiner("f", 5)}, verdict{"", 6, false}},
		{"nobody was there before, Redis was", state{epoch: "e", pos: 8}, map[string]stand{"a": joiner("e", 3)}, verdict{"", 9, false}},
		{"two epochs", state{}, map[string]stand{"a": member(7), "b": other}, verdict{"", 10, false}},
	} {
		if got := decide(c.was, c.all); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestJudge(t *testing.T) {
	good := func(change ...string) map[string]string {
		info := map[string]string{"redis_version": "7.0.15", "run_id": "r", "role": "master", "maxmemory": "0", "maxmemory_policy": "noeviction"}
		for i := 0; i < len(change); i += 2 {
			info[change[i]] = change[i+1]
		}
		return info
	}
	for _, c := range []struct {
		info        map[string]string
		alarm, fail string
	}{
		{good(), "", ""},
		{good("redis_version", "5.0.14"), "", "too old"},
		{good("role", "slave", "master_host", "m"), "", "read-only replica of m"},
		{good("maxmemory", "100", "maxmemory_policy", "allkeys-lru"), "noeviction", ""},
		{good("maxmemory_policy", "allkeys-lru"), "", ""}, // it never has to
		{map[string]string{}, "", "INFO does not say"},
	} {
		_, alarm, err := judge(c.info)
		if (c.fail == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.fail) || !strings.Contains(alarm, c.alarm) || c.alarm == "" && alarm != "" {
			t.Errorf("%v: %q, %v", c.info, alarm, err)
		}
	}
}

func FuzzParseBatch(f *testing.F) {
	key := []byte("key")
	b := &batch{flags: flagLeased, process: strings.Repeat("p", processBytes), number: 3, from: 7, to: 9, epoch: "e", entries: []journal.Entry{
		{Offset: 8, Message: journal.Message{Topic: "t", Payload: []byte("x"), QoS: 1, Retain: true, Producer: "p", ProducerSeq: 300, Meta: []byte("m"), Time: time.UnixMicro(5).UTC()}},
		{Offset: 9, Message: journal.Message{Topic: "u", Payload: []byte{}, Time: time.UnixMicro(-5).UTC()}},
	}}
	whole := appendBatch(nil, b, key)
	f.Add(whole[:len(whole)-sumBytes])
	f.Fuzz(func(t *testing.T, p []byte) {
		signed := append(append([]byte{}, p...), sum(key, p)...)
		got, err := parseBatch(signed, key)
		if err != nil {
			return
		}
		back := appendBatch(nil, got, key)
		again, err := parseBatch(back, key)
		if err != nil || again.from != got.from || again.to != got.to || len(again.entries) != len(got.entries) {
			t.Errorf("what was read and written reads otherwise: %v", err)
		}
		if string(p) == string(whole[:len(whole)-sumBytes]) && string(back) != string(whole) {
			t.Error("a batch does not survive")
		}
	})
}

// TestTroubleAtTheStart: what is wrong with Redis is named, with what to mend, and no secret is.
func TestTroubleAtTheStart(t *testing.T) {
	redis := redistest.New(t, "--requirepass", "geheim")
	file := filepath.Join(t.TempDir(), "credentials")
	for _, c := range []struct{ name, file, want string }{
		{"no password", "", "relay.credentialsFile"},
		{"wrong password", "falsch\n", "relay.credentialsFile"},
		{"unknown user", "nobody\ngeheim\n", "relay.credentialsFile"},
	} {
		o := options(redis, "a")
		if c.file != "" {
			if err := os.WriteFile(file, []byte(c.file), 0o600); err != nil {
				t.Fatal(err)
			}
			o.CredentialsFile = file
		}
		n := &node{tb: t, dir: t.TempDir(), opts: o}
		err := n.tryStart()
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "geheim") || strings.Contains(err.Error(), "falsch") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if err := os.WriteFile(file, []byte("geheim\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := options(redis, "a")
	o.CredentialsFile = file
	newNode(t, o)

	replica := redistest.New(t, "--replicaof", "127.0.0.1 1")
	n := &node{tb: t, dir: t.TempDir(), opts: options(replica, "a")}
	if err := n.tryStart(); err == nil || !strings.Contains(err.Error(), "read-only replica") {
		t.Errorf("a replica: %v", err)
	}
}

// TestTroubleWhileRunning: an alarm names it, what is stored says that it was not, and all goes on when it is mended.
func TestTroubleWhileRunning(t *testing.T) {
	redis := redistest.New(t)
	ctx := context.Background()
	a := newNode(t, options(redis, "a"))
	alarm := func(text string) {
		t.Helper()
		eventually.Must(t, "an alarm with "+text, func() bool { return strings.Contains(strings.Join(a.Alarms(), "\n"), text) })
	}
	set := func(name, value string) {
		t.Helper()
		if err := redis.Client.ConfigSet(ctx, name, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	m := journal.Message{Topic: "t", Payload: []byte("x")}
	works := func() {
		t.Helper()
		eventually.Must(t, "storing to work", func() bool { _, _, err := a.Log().Append(ctx, m); return err == nil })
		eventually.Must(t, "the alarms to end", func() bool { return len(a.Alarms()) == 0 })
	}
	works()
	set("maxmemory", "1mb")
	alarm("memory is full")
	eventually.Must(t, "a refusal", func() bool { _, _, err := a.Log().Append(ctx, m); return err != nil })
	set("maxmemory", "0")
	works()
	redis.Kill()
	alarm("connection refused")
	redis.Start()
	works()
}

// TestTroubleBetweenNodes: another cluster's messages, other settings, another clock and a name taken twice are alarms.
func TestTroubleBetweenNodes(t *testing.T) {
	redis := redistest.New(t)
	oa, ob := options(redis, "a"), options(redis, "b")
	oa.Same, ob.Same = map[string]string{"auth": "1", "external": "1"}, map[string]string{"auth": "2", "external": "1"}
	ob.Now = func() time.Time { return time.Now().Add(-time.Hour) }
	a, _ := newNode(t, oa), newNode(t, ob)
	newNode(t, options(redis, "a"))
	eventually.Must(t, "three alarms", func() bool {
		all := strings.Join(a.Alarms(), "\n")
		return strings.Contains(all, "under auth") && !strings.Contains(all, "under external,") && strings.Contains(all, `clock of node "b" differs from ours by 1h0m`) && strings.Contains(all, `named "a" too`)
	})
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(strings.Repeat("s", 40)), 0o600); err != nil {
		t.Fatal(err)
	}
	foreign := options(redis, "c")
	foreign.SecretFile = secret
	newNode(t, foreign)
	eventually.Must(t, "an alarm of two clusters", func() bool { return strings.Contains(strings.Join(a.Alarms(), "\n"), "two clusters of one name") })
}
