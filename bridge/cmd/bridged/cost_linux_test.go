package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"
	"github.com/gorilla/websocket"

	"plumbline/bridge"
	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/internal/redistest"
)

// The load of TestRelayCost: deliveries a second are devices × rate × viewers.
const (
	costDevices = 20
	costRate    = 25 // messages a second of each device
	costViewers = 40
	costRound   = 10 * time.Second
)

// costSide is one of the two systems that are compared: one bridge alone, or several with a Redis.
type costSide struct {
	t       *testing.T
	bridges []*child
	redis   *redistest.Server // nil = none

	delivered atomic.Int64
	mu        sync.Mutex
	latencies []time.Duration // of one viewer at each bridge, from the intended time; under mu
}

// costOf is what one round has shown.
type costOf struct {
	bridges, redis time.Duration // processor time for each delivery
	p99            time.Duration
}

// TestRelayCost compares what a delivery costs through a Redis and two bridges with what it costs at one bridge that is alone: the
// same devices and viewers, in rounds that take turns, as ratios of the medians. It judges nothing: a busy machine would.
// Run it with PLUMBLINE_RELAY_COST=ROUNDS, on a quiet machine.
func TestRelayCost(t *testing.T) {
	rounds, _ := strconv.Atoi(os.Getenv("PLUMBLINE_RELAY_COST"))
	if rounds == 0 {
		t.Skip("a measurement: run it with PLUMBLINE_RELAY_COST=5 on a quiet machine")
	}
	redis := redistest.New(t)
	sides := []*costSide{newCostSide(t, nil, "one"), newCostSide(t, redis, "two", "three")}
	results := make([][]costOf, len(sides))
	for range rounds {
		for i, s := range sides {
			c := s.round()
			results[i] = append(results[i], c)
			t.Logf("%d bridges: %v for a delivery (Redis %v), p99 %v", len(s.bridges), c.bridges, c.redis, c.p99)
		}
	}
	median := func(side int, of func(costOf) time.Duration) time.Duration {
		all := make([]time.Duration, 0, rounds)
		for _, c := range results[side] {
			all = append(all, of(c))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	cpu := func(c costOf) time.Duration { return c.bridges }
	p99 := func(c costOf) time.Duration { return c.p99 }
	alone, together := median(0, cpu), median(1, cpu)
	shared := median(1, func(c costOf) time.Duration { return c.redis })
	t.Logf("processor time of the bridges for a delivery: %v alone, %v through Redis: ratio %.2f; Redis itself %v more: ratio %.2f", alone, together,
		float64(together)/float64(alone), shared, float64(together+shared)/float64(alone))
	t.Logf("p99 from the intended time: %v alone, %v through Redis: %v added", median(0, p99), median(1, p99), median(1, p99)-median(0, p99))
}

func newCostSide(t *testing.T, redis *redistest.Server, names ...string) *costSide {
	t.Helper()
	s := &costSide{t: t, redis: redis}
	for _, name := range names {
		sets := []string{"node=" + name, "history.store=off", "viewers.plaintext=true"}
		if os.Getenv("PLUMBLINE_RELAY_PROFILE") != "" {
			sets = append(sets, "ops.pprof=true")
		}
		if redis != nil {
			sets = append(sets, "relay.url="+redis.URL())
		}
		s.bridges = append(s.bridges, begin(t, filepath.Join(t.TempDir(), "data"), bridge.Addresses{}, sets...))
	}
	return s
}

// round connects viewers and devices anew, loads for costRound, and says what that cost.
func (s *costSide) round() costOf {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer cancel()
	for i := range costViewers {
		p := s.bridges[i%len(s.bridges)]
		ws := s.view(p)
		context.AfterFunc(ctx, func() { _ = ws.Close() })
		tasks.Go(func() { s.follow(ws, i < len(s.bridges)) })
	}
	s.delivered.Store(0)
	s.latencies = nil
	before, redisBefore := s.spent()
	loaded, stop := context.WithTimeout(ctx, costRound)
	defer stop()
	var devices sync.WaitGroup
	for i, p := range s.bridges {
		if dir := os.Getenv("PLUMBLINE_RELAY_PROFILE"); dir != "" {
			devices.Go(func() { s.profile(p, filepath.Join(dir, fmt.Sprintf("%d-of-%d.pprof", i+1, len(s.bridges)))) })
		}
	}
	for i := range costDevices {
		devices.Go(func() { s.device(loaded, s.bridges[i%len(s.bridges)], i) })
	}
	devices.Wait()
	after, redisAfter := s.spent()
	n := time.Duration(max(1, s.delivered.Load()))
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.Sort(s.latencies)
	c := costOf{bridges: (after - before) / n, redis: (redisAfter - redisBefore) / n}
	if len(s.latencies) > 0 {
		c.p99 = s.latencies[len(s.latencies)*99/100]
	}
	return c
}

// profile writes where a bridge spends its processor time in the round.
func (s *costSide) profile(p *child, path string) {
	client := http.Client{Timeout: 2 * costRound}
	answer, err := client.Get(fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", p.addrs.Ops, int((costRound - time.Second).Seconds())))
	if err != nil {
		s.t.Error(err)
		return
	}
	defer func() { _ = answer.Body.Close() }()
	raw, err := io.ReadAll(answer.Body)
	if err == nil {
		err = os.WriteFile(path, raw, 0o600)
	}
	if err != nil {
		s.t.Error(err)
	}
}

// spent is the processor time of the bridges and of Redis so far.
func (s *costSide) spent() (bridges, redis time.Duration) {
	s.t.Helper()
	for _, p := range s.bridges {
		bridges += processorTime(s.t, p.cmd.Process.Pid)
	}
	if s.redis != nil {
		redis = processorTime(s.t, s.redis.PID())
	}
	return bridges, redis
}

// processorTime reads utime and stime of a process, proc(5), in clock ticks of 10 ms.
func processorTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	user, uerr := strconv.Atoi(fields[11])
	system, serr := strconv.Atoi(fields[12])
	if uerr != nil || serr != nil {
		t.Fatal(uerr, serr)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

// view subscribes a viewer to everything from now on.
func (s *costSide) view(p *child) *websocket.Conn {
	s.t.Helper()
	code, token, errs := invoke(s.t, "", "token", "--set", "data="+p.data, "--sub", "anna", "--grants", "#")
	if code != exitOK {
		s.t.Fatalf("token: exit %d, %s", code, errs)
	}
	d := websocket.Dialer{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, Subprotocols: []string{"plumbline.v1.json"}, HandshakeTimeout: eventually.Patience}
	ws, _, err := d.Dial("ws://"+p.addrs.Viewers+"/ws", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, m := range []any{map[string]any{"type": "hello", "token": strings.TrimSpace(token), "client": "cost"}, map[string]any{"type": "sub", "id": 1, "filter": "cost/#"}} {
		if err := ws.WriteJSON(m); err != nil {
			s.t.Fatal(err)
		}
	}
	for e := (event{}); e.Type != "subok"; {
		if err := ws.ReadJSON(&e); err != nil {
			s.t.Fatalf("waiting for subok: %v", err)
		}
	}
	return ws
}

// follow counts what comes, and notes when, if it is exact.
func (s *costSide) follow(ws *websocket.Conn, exact bool) {
	for {
		_, raw, err := ws.ReadMessage()
		if err != nil {
			return
		}
		if !exact {
			s.delivered.Add(int64(strings.Count(string(raw), `"payload"`)))
			continue
		}
		now := time.Now()
		var e event
		if json.Unmarshal(raw, &e) != nil {
			continue
		}
		s.delivered.Add(int64(len(e.Readings)))
		s.mu.Lock()
		for _, r := range e.Readings {
			if at, err := strconv.ParseInt(r.Payload, 10, 64); err == nil {
				s.latencies = append(s.latencies, now.Sub(time.Unix(0, at)))
			}
		}
		s.mu.Unlock()
	}
}

// device publishes the intended time of each message, at an even rate whatever became of those before.
func (s *costSide) device(ctx context.Context, p *child, i int) {
	conn, err := (&net.Dialer{Timeout: eventually.Patience}).DialContext(ctx, "tcp", p.addrs.MQTT)
	if err != nil {
		s.t.Error(err)
		return
	}
	defer func() { _ = conn.Close() }()
	c := paho.NewClient(paho.ClientConfig{Conn: conn, PacketTimeout: eventually.Patience})
	if _, err := c.Connect(s.t.Context(), &paho.Connect{ClientID: fmt.Sprint("cost-", i), CleanStart: true, KeepAlive: 60}); err != nil {
		s.t.Error(err)
		return
	}
	const every = time.Second / costRate
	for at := time.Now().Add(time.Duration(i) * every / costDevices); ; at = at.Add(every) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(at)):
		}
		if _, err := c.Publish(s.t.Context(), &paho.Publish{Topic: fmt.Sprint("cost/", i), QoS: 1, Payload: strconv.AppendInt(nil, at.UnixNano(), 10)}); err != nil {
			s.t.Error(err)
			return
		}
	}
}
