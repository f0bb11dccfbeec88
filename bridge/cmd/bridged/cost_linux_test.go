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

// The loads of TestRelayCost: 20,000 deliveries a second each, so that what a message costs is told from what a delivery does.
var costLoads = []costLoad{{25, 40}, {5, 200}, {1, 1000}} //nolint:gochecknoglobals // a table

type costLoad struct {
	rate    int // messages a second of each device
	viewers int // of all of them
}

const (
	costDevices = 20
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
// same devices and viewers, in rounds that take turns, as ratios of the medians, at more than one number of viewers for each message.
// It judges nothing: a busy machine would. Run it with PLUMBLINE_RELAY_COST=ROUNDS, on a quiet machine: a round takes some 70 s.
func TestRelayCost(t *testing.T) {
	rounds, _ := strconv.Atoi(os.Getenv("PLUMBLINE_RELAY_COST"))
	if rounds == 0 {
		t.Skip("a measurement: run it with PLUMBLINE_RELAY_COST=5 on a quiet machine")
	}
	redis := redistest.New(t)
	sides := []*costSide{newCostSide(t, nil, "one"), newCostSide(t, redis, "two", "three")}
	results := make([][2][]costOf, len(costLoads))
	for range rounds {
		for n, load := range costLoads {
			for i, s := range sides {
				c := s.round(load)
				results[n][i] = append(results[n][i], c)
				t.Logf("%d messages/s to %d viewers, %d bridges: %v for a delivery (Redis %v), p99 %v", costDevices*load.rate, load.viewers, len(s.bridges), c.bridges, c.redis, c.p99)
			}
		}
	}
	cpu := func(c costOf) time.Duration { return c.bridges }
	p99 := func(c costOf) time.Duration { return c.p99 }
	var lines [2]costLine
	for n, load := range costLoads {
		alone, together := medianCost(results[n][0], cpu), medianCost(results[n][1], cpu)
		lines[0].add(load.viewers, alone)
		lines[1].add(load.viewers, together)
		shared := medianCost(results[n][1], func(c costOf) time.Duration { return c.redis })
		before, after := medianCost(results[n][0], p99), medianCost(results[n][1], p99)
		t.Logf("%d messages/s to %d viewers: processor time of the bridges for a delivery %v alone, %v through Redis: ratio %.2f; Redis itself %v more: ratio %.2f. p99 from the intended time %v alone, %v through Redis: %v added",
			costDevices*load.rate, load.viewers, alone, together, float64(together)/float64(alone), shared, float64(together+shared)/float64(alone), before, after, after-before)
	}
	message, delivery := lines[0].fit()
	message2, delivery2 := lines[1].fit()
	t.Logf("fitted: %v a message and %v a delivery alone, %v and %v through Redis", message, delivery, message2, delivery2)
	const bound = 1.3
	if spare := bound*float64(delivery) - float64(delivery2); spare > 0 {
		t.Logf("by that the ratio is at most %v from %.0f viewers on", bound, max(1, (float64(message2)-bound*float64(message))/spare))
	} else {
		t.Logf("by that the ratio is above %v however many viewers there are", bound)
	}
}

func medianCost(all []costOf, of func(costOf) time.Duration) time.Duration {
	values := make([]time.Duration, 0, len(all))
	for _, c := range all {
		values = append(values, of(c))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// costLine is the line through what a delivery costs over 1/viewers, of least squares: what it rises by is what a message costs.
type costLine struct{ n, x, y, xx, xy float64 }

func (l *costLine) add(viewers int, cost time.Duration) {
	x, y := 1/float64(viewers), float64(cost)
	l.n, l.x, l.y, l.xx, l.xy = l.n+1, l.x+x, l.y+y, l.xx+x*x, l.xy+x*y
}

func (l *costLine) fit() (message, delivery time.Duration) {
	slope := (l.n*l.xy - l.x*l.y) / (l.n*l.xx - l.x*l.x)
	return time.Duration(slope), time.Duration((l.y - slope*l.x) / l.n)
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
func (s *costSide) round(load costLoad) costOf {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer cancel()
	var tokens []string
	for _, p := range s.bridges {
		tokens = append(tokens, s.token(p))
	}
	for i := range load.viewers {
		p := s.bridges[i%len(s.bridges)]
		ws := s.view(p, tokens[i%len(s.bridges)])
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
		devices.Go(func() { s.device(loaded, s.bridges[i%len(s.bridges)], i, load.rate) })
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

func (s *costSide) token(p *child) string {
	s.t.Helper()
	code, token, errs := invoke(s.t, "", "token", "--set", "data="+p.data, "--sub", "anna", "--grants", "#")
	if code != exitOK {
		s.t.Fatalf("token: exit %d, %s", code, errs)
	}
	return strings.TrimSpace(token)
}

// view subscribes a viewer to everything from now on.
func (s *costSide) view(p *child, token string) *websocket.Conn {
	s.t.Helper()
	d := websocket.Dialer{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, Subprotocols: []string{"plumbline.v1.json"}, HandshakeTimeout: eventually.Patience}
	ws, _, err := d.Dial("ws://"+p.addrs.Viewers+"/ws", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, m := range []any{map[string]any{"type": "hello", "token": token, "client": "cost"}, map[string]any{"type": "sub", "id": 1, "filter": "cost/#"}} {
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
func (s *costSide) device(ctx context.Context, p *child, i, rate int) {
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
	every := time.Second / time.Duration(rate)
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
