package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"plumbline/bridge"
	"plumbline/bridge/config"
	"plumbline/bridge/history"
	"plumbline/bridge/history/influx"
	"plumbline/bridge/history/postgres"
	"plumbline/bridge/history/sqlite"
	"plumbline/bridge/internal/dbtest"
	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/journal"
)

// process is a bridged that is killed and started again.
type process struct {
	*child // of the life that goes on
	sets   []string
	mqtt   atomic.Pointer[string]
}

func newProcess(t *testing.T, sets ...string) *process {
	t.Helper()
	return &process{child: &child{t: t, data: filepath.Join(t.TempDir(), "data")}, sets: append([]string{"history.flush=20ms", "drain.spread=0s", "log.level=warn"}, sets...)}
}

func (p *process) start() {
	p.t.Helper()
	p.child = begin(p.t, p.data, bridge.Addresses{}, p.sets...)
	p.mqtt.Store(&p.addrs.MQTT)
}

// kill ends the process. Publishers try its port no more: a bridged of a test that runs beside may be given that.
func (p *process) kill() {
	p.t.Helper()
	p.mqtt.Store(new(string))
	p.signal(os.Kill)
	_ = p.awaitEnd()
}

// metric reads one value of /metrics; -1 when it is not there.
func (p *process) metric(name string) (value float64) {
	p.t.Helper()
	for line := range strings.SplitSeq(metrics(p.t, p.child), "\n") {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			if _, err := fmt.Sscan(rest, &value); err == nil {
				return value
			}
		}
	}
	return -1
}

// publishUntil publishes numbers until stop is closed, and connects again whenever the bridge went away. It counts what was
// acknowledged.
func (p *process) publishUntil(stop <-chan struct{}, id int, acked *atomic.Int64) {
	for n := 0; ; {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", *p.mqtt.Load())
		if err == nil {
			c := paho.NewClient(paho.ClientConfig{Conn: conn})
			if _, err = c.Connect(ctx, &paho.Connect{ClientID: fmt.Sprint("dev", id), CleanStart: true, KeepAlive: 30}); err == nil {
				n = publishFrom(stop, c, id, n, acked)
			}
			_ = conn.Close()
		}
		cancel()
		select {
		case <-stop:
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// publishFrom publishes n+1, n+2 and so on until something fails, and returns the last number.
func publishFrom(stop <-chan struct{}, c *paho.Client, id, n int, acked *atomic.Int64) int {
	for {
		select {
		case <-stop:
			return n
		case <-c.Done():
			return n
		default:
		}
		n++
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		_, err := c.Publish(ctx, &paho.Publish{Topic: fmt.Sprint("plant/", id), QoS: 1, Payload: fmt.Appendf(nil, `{"n":%d,"ok":true}`, n)})
		cancel()
		if err != nil {
			return n
		}
		acked.Add(1)
	}
}

// eachStore runs a check with a bridged for each kind of store, whose server is a real one. What takes time is that processes start.
func eachStore(t *testing.T, check func(t *testing.T, p *process, store string, open func() (history.Store, error)), sets ...string) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: it starts a bridged and a database server for each kind of store, which takes a minute")
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		p := newProcess(t, append(sets, "history.store=sqlite")...)
		check(t, p, "sqlite", func() (history.Store, error) {
			return sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(p.data, "history.db")})
		})
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		server := dbtest.NewPostgres(t, "fsync=off")
		dsn := write(t, "dsn", server.DSN("127.0.0.1", ""))
		reference := config.HistoryPostgres{DSNFile: dsn}
		check(t, newProcess(t, append(sets, "history.store=postgres", "history.postgres.dsnFile="+dsn)...), "postgres", func() (history.Store, error) {
			return postgres.Open(t.Context(), postgres.Options{DSN: reference.DSN})
		})
	})
	t.Run("influx", func(t *testing.T) {
		t.Parallel()
		server := dbtest.NewInflux(t, false)
		check(t, newProcess(t, append(sets, "history.store=influx", "history.influx.url="+server.URL())...), "influx", func() (history.Store, error) {
			return influx.Open(t.Context(), influx.Options{URL: server.URL(), Version: 1, Database: "plumbline"})
		})
	})
}

// TestKilledHistoryStoresOnce kills a real bridged under load, again and again, with each kind of store. In the end every entry of
// its journal is in the history exactly once, with its number, and the rollups count the same.
func TestKilledHistoryStoresOnce(t *testing.T) { eachStore(t, killed) }

// TestDrainStoresWhatTheJournalHolds ends a real bridged in order, under load, while what came waits to be stored: when the process
// has ended, every entry of its journal is in the history.
func TestDrainStoresWhatTheJournalHolds(t *testing.T) { eachStore(t, drained, "history.flush=1m") }

func drained(t *testing.T, p *process, store string, open func() (history.Store, error)) {
	t.Helper()
	p.start()
	stop := make(chan struct{})
	var acked atomic.Int64
	var publishers sync.WaitGroup
	for id := range 3 {
		publishers.Go(func() { p.publishUntil(stop, id, &acked) })
	}
	eventually.Must(t, "much that waits to be stored", func() bool {
		return acked.Load() > 2000 && p.metric(`bridge_sink_lag_offsets{sink="`+store+`"}`) > 1000
	})
	p.signal(os.Interrupt)
	err := p.awaitEnd()
	close(stop)
	publishers.Wait()
	if err != nil {
		t.Fatalf("bridged ended by %v", err)
	}
	s, err := open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	compare(t, p.data, s, acked.Load())
}

func killed(t *testing.T, p *process, store string, open func() (history.Store, error)) {
	t.Helper()
	p.start()
	stop := make(chan struct{})
	var acked atomic.Int64
	var publishers sync.WaitGroup
	for id := range 3 {
		publishers.Go(func() { p.publishUntil(stop, id, &acked) })
	}
	random := rand.New(rand.NewPCG(5, 5))
	for range 8 {
		from, more := acked.Load(), 100+random.Int64N(400)
		eventually.Must(t, "messages to be acknowledged", func() bool { return acked.Load() > from+more })
		p.kill()
		p.start()
	}
	close(stop)
	publishers.Wait()
	eventually.Must(t, "the history to hold everything", func() bool {
		return p.metric(`bridge_sink_lag_offsets{sink="`+store+`"}`) == 0 && p.metric("bridge_log_head") >= float64(acked.Load())
	})
	p.kill()
	s, err := open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	compare(t, p.data, s, acked.Load())
}

// compare reads journal and history of a bridge that is not running.
func compare(t *testing.T, data string, s history.Store, acked int64) {
	t.Helper()
	j, err := journal.Open(journal.Options{Dir: filepath.Join(data, "journal")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	want := map[history.Series]map[uint64]float64{}
	total := 0
	for after := uint64(0); ; {
		entries, err := j.Read(after, 1000, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) == 0 {
			break
		}
		for _, e := range entries {
			var v struct {
				N float64 `json:"n"`
			}
			if err := json.Unmarshal(e.Payload, &v); err != nil {
				t.Fatal(err)
			}
			series := history.Series{Topic: e.Topic, Field: "n"}
			if want[series] == nil {
				want[series] = map[uint64]float64{}
			}
			want[series][e.Offset] = v.N
			total++
			after = e.Offset
		}
	}
	if int64(total) < acked {
		t.Errorf("%d messages were acknowledged, the journal has %d", acked, total)
	}
	t.Logf("%d messages acknowledged, %d in the journal", acked, total)
	for series, numbers := range want {
		compareSeries(t, s, series, numbers)
	}
	if gaps, err := s.Gaps(t.Context(), time.Unix(0, 0), time.Now().Add(time.Hour), 10); err != nil || len(gaps) != 0 {
		t.Errorf("gaps %v, %v", gaps, err)
	}
}

func compareSeries(t *testing.T, s history.Store, series history.Series, numbers map[uint64]float64) {
	t.Helper()
	page, err := s.Range(t.Context(), history.RangeQuery{Series: series, From: time.Unix(0, 0), To: time.Now().Add(time.Hour), Limit: 1_000_000})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[uint64]bool{}
	for _, x := range page.Points {
		if n, ok := numbers[x.Offset]; !ok || n != x.Value || seen[x.Offset] {
			t.Fatalf("%s: offset %d has %v, the journal %v; seen before: %t", series.Topic, x.Offset, x.Value, n, seen[x.Offset])
		}
		seen[x.Offset] = true
	}
	if len(seen) != len(numbers) {
		t.Errorf("%s: %d points stored of %d messages", series.Topic, len(seen), len(numbers))
	}
	for _, step := range history.Rollups {
		from := history.Floor(time.Now().Add(-time.Hour), step)
		a, err := s.Aggregate(t.Context(), history.AggregateQuery{Series: series, From: from, To: from.Add(3 * time.Hour), Step: step})
		if err != nil {
			t.Fatal(err)
		}
		count, sum, wantSum := int64(0), 0.0, 0.0
		for _, b := range a.Buckets {
			count, sum = count+b.Count, sum+b.Sum
		}
		for _, n := range numbers {
			wantSum += n
		}
		if count != int64(len(numbers)) || sum != wantSum {
			t.Errorf("%s: the rollup of %s counts %d points of sum %v, want %d of %v", series.Topic, step, count, sum, len(numbers), wantSum)
		}
	}
}
