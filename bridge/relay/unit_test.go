package relay

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/internal/redistest"
	"plumbline/bridge/journal"
)

func TestDecide(t *testing.T) {
	whole := parseLine("aaaaaaaaaaaa:0 bbbbbbbbbbbb:6")
	first := whole[:1]
	redis := func(epoch string, pos uint64, l line) state { return state{epoch: epoch, pos: pos, line: l} }
	member := func(pos uint64, knows ...string) stand {
		return stand{"", true, "e", whole.name(), whole.String(), pos, knows}
	}
	earlier := func(pos uint64, knows ...string) stand {
		return stand{"", true, "e", first.name(), first.String(), pos, knows}
	}
	joiner := func(epoch string, pos uint64) stand { return stand{"", false, epoch, whole.name(), "", pos, nil} }
	other := stand{"", true, "f", "cccccccccccc", "cccccccccccc:0", 9, nil}
	sure := func(pos uint64) verdict { return verdict{"e", pos, whole, "", true} }
	doubt := func(pos uint64, from seed) verdict { return verdict{"", pos, nil, from, false} }
	for _, c := range []struct {
		name string
		was  state
		all  map[string]stand
		want verdict
	}{
		{"all are there", state{}, map[string]stand{"a": member(7, "a", "b"), "b": member(9, "a", "b")}, sure(9)},
		{"Redis has more", redis("e", 12, whole), map[string]stand{"a": member(7, "a")}, sure(12)},
		{"Redis has another epoch", redis("x", 12, whole), map[string]stand{"a": member(7, "a")}, sure(7)},
		{"Redis is older", redis("e", 6, first), map[string]stand{"a": member(7, "a")}, sure(7)},
		{"Redis knows of a later settling", redis("e", 8, whole), map[string]stand{"a": earlier(5, "a")}, sure(8)},
		{"Redis has what the log has otherwise", redis("e", 7, first), map[string]stand{"a": member(7, "a")}, doubt(8, "a")},
		{"one has not heard of the last settling", state{}, map[string]stand{"a": member(7, "a"), "b": earlier(6, "b")}, sure(7)},
		{"one has what the log has otherwise", state{}, map[string]stand{"a": member(9, "a"), "b": earlier(7, "b")}, doubt(10, "a")},
		{"one that was started anew has what the log has otherwise", state{}, map[string]stand{"a": member(9, "a"), "b": {"", false, "e", first.name(), "", 7, nil}}, doubt(10, "a")},
		{"two lines of one epoch", state{}, map[string]stand{"a": member(9, "a"), "b": {"", true, "e", "dddddddddddd", "aaaaaaaaaaaa:0 dddddddddddd:6", 7, nil}}, doubt(10, "a")},
		{"one is missing", state{}, map[string]stand{"a": member(7, "a", "c")}, doubt(8, "a")},
		{"one is missing and was started anew", state{}, map[string]stand{"a": member(7, "a", "c"), "c": joiner("e", 9)}, sure(9)},
		{"one is missing and lost its journal", state{}, map[string]stand{"a": member(7, "a", "c"), "c": joiner("f", 0)}, doubt(8, "a")},
		{"nobody was there before", state{}, map[string]stand{"a": joiner("e", 3), "b": joiner("f", 5)}, doubt(6, "b")},
		{"nobody was there before, Redis was", redis("e", 8, whole), map[string]stand{"a": joiner("e", 3)}, doubt(9, "a")},
		{"two epochs", state{}, map[string]stand{"a": member(7), "b": other}, doubt(10, "b")},
	} {
		if got := decide(c.was, c.all); !reflect.DeepEqual(got, c.want) {
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
		_, alarm, err := judge(c.info, false)
		if (c.fail == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.fail) || !strings.Contains(alarm, c.alarm) || c.alarm == "" && alarm != "" {
			t.Errorf("%v: %q, %v", c.info, alarm, err)
		}
	}
}

func FuzzParseBatch(f *testing.F) {
	key := []byte("key")
	b := &batch{flags: flagLeased, process: strings.Repeat("p", processBytes), number: 3, from: 7, to: 9, epoch: "e", name: "n", entries: []journal.Entry{
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
	alarm("start it, or mend the way to it or relay.url (dial tcp " + redis.Addr + ": connect: connection refused)")
	redis.Start()
	works()
}

// TestRedisThatEvicts: an alarm says so, and storing goes on.
func TestRedisThatEvicts(t *testing.T) {
	a := newNode(t, options(redistest.New(t, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"), "a"))
	if _, _, err := a.Log().Append(t.Context(), journal.Message{Topic: "t"}); err != nil {
		t.Error(err)
	}
	eventually.Must(t, "an alarm", func() bool { return strings.Contains(strings.Join(a.Alarms(), "\n"), "set noeviction") })
}

// TestTroubleBetweenNodes: another cluster's messages, another version, other settings, one client id at two, another clock and a name taken twice are alarms.
func TestTroubleBetweenNodes(t *testing.T) {
	redis := redistest.New(t)
	oa, ob := options(redis, "a"), options(redis, "b")
	oa.Own, ob.Own = map[string]string{"clientId": "1", "other": "1"}, map[string]string{"clientId": "1", "other": "2"}
	oa.Same, ob.Same = map[string]string{"auth": "1", "external": "1"}, map[string]string{"auth": "2", "external": "1"}
	ob.Now = func() time.Time { return time.Now().Add(-time.Hour) }
	a, _ := newNode(t, oa), newNode(t, ob)
	newNode(t, options(redis, "a"))
	eventually.Must(t, "four alarms", func() bool {
		all := strings.Join(a.Alarms(), "\n")
		return strings.Contains(all, "the same clientId as this one") && !strings.Contains(all, "the same other") && strings.Contains(all, "under auth") && !strings.Contains(all, "under external,") && strings.Contains(all, `clock of node "b" differs from ours by 1h0m`) && strings.Contains(all, `named "a" too`)
	})
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(strings.Repeat("s", 40)), 0o600); err != nil {
		t.Fatal(err)
	}
	foreign := options(redis, "c")
	foreign.SecretFile = secret
	newNode(t, foreign)
	if err := redis.Client.Publish(t.Context(), a.keys.live("b"), "PLR0 of a bridge of another version").Err(); err != nil {
		t.Fatal(err)
	}
	eventually.Must(t, "an alarm of two versions", func() bool {
		return strings.Contains(strings.Join(a.Alarms(), "\n"), "another version") && a.Stats().Rejected["version"] > 0
	})
	eventually.Must(t, "an alarm of two clusters", func() bool { return strings.Contains(strings.Join(a.Alarms(), "\n"), "two clusters of one name") })
}

// TestLateAndLevel: a standby that has forgotten what was stored before it was brought is late; what it acknowledges then tells it when
// it was too early, and is not taken for later messages that are alike.
func TestLateAndLevel(t *testing.T) {
	var s standby
	m := journal.Message{Topic: "t", Payload: []byte("constant"), QoS: 1}
	stored := func(offset uint64) []journal.Entry { return []journal.Entry{{Offset: offset, Message: m}} }
	matched := func(offset uint64) {
		t.Helper()
		s.see(stored(offset))
		if left := s.left(s.bring([]journal.Message{m})); len(left) > 0 {
			t.Errorf("entry %d is not matched", offset)
		}
	}
	s.see(stored(1))
	s.order[0].at = time.Now().Add(-2 * seenFor)
	s.see(nil)
	if !s.late.Load() {
		t.Fatal("forgot what was stored, and is not late")
	}
	early := s.bring([]journal.Message{m, m, m})
	s.vouch(early)
	s.leave(early)
	s.see(stored(2))
	if s.late.Load() {
		t.Error("acknowledged before it was stored, and still takes itself for late")
	}
	matched(3)
	s.late.Store(true)
	s.vouch(early)
	if !s.level() || s.level() {
		t.Error("is level once")
	}
	matched(4)
	s.vouch(early)
	s.vouchedAt = time.Now().Add(-vouchedFor)
	matched(5)
	s.see([]journal.Entry{{Offset: 6, Message: journal.Message{Topic: "q"}}})
	if len(s.order) != 0 && s.order[len(s.order)-1].key == s.key(&journal.Message{Topic: "q"}) {
		t.Error("something with QoS 0 is remembered: nobody waits for it")
	}
}
