package main

import (
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"plumbline/bridge"
	"plumbline/bridge/internal/brokertest"
	"plumbline/bridge/internal/eventually"
)

// life is one bridged process after another on the same data, killed in between, and a viewer that resumes where it was.
type life struct {
	*child // of the life that goes on
	sets   []string

	ws     *websocket.Conn
	gone   chan struct{} // closed when the viewer's connection is no more
	epoch  string
	offset uint64
	last   map[string]int // per topic; the publisher counts from 1
	got    atomic.Int64   // messages
	twice  int
	wrong  []string
}

// begin starts the process and the viewer.
func (l *life) begin() {
	l.t.Helper()
	l.child = begin(l.t, l.data, bridge.Addresses{}, l.sets...)
	l.view("wss://" + l.addrs.Viewers + "/ws")
}

func (l *life) token() string {
	l.t.Helper()
	code, token, errs := invoke(l.t, "", "token", "--set", "data="+l.data, "--sub", "anna", "--grants", "#")
	if code != exitOK {
		l.t.Fatalf("token: exit %d, %s", code, errs)
	}
	return strings.TrimSpace(token)
}

// event is any message of the bridge.
type event struct {
	Type      string `json:"type"`
	Epoch     string `json:"epoch"`
	Offset    uint64 `json:"offset"`
	From      uint64 `json:"from"`
	To        uint64 `json:"to"`
	Recovered bool   `json:"recovered"`
	Readings  []struct {
		Topic   string `json:"topic"`
		Payload string `json:"payload"`
	} `json:"readings"`
}

// view connects a viewer, which goes on after its cursor, and follows it on a goroutine.
func (l *life) view(url string) {
	l.t.Helper()
	d := websocket.Dialer{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, Subprotocols: []string{"plumbline.v1.json"}, HandshakeTimeout: eventually.Patience}
	ws, _, err := d.Dial(url, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	l.ws, l.gone = ws, make(chan struct{})
	sub := map[string]any{"type": "sub", "id": 1, "filter": "site-a/#"}
	if l.epoch != "" {
		sub["since"] = map[string]any{"epoch": l.epoch, "offset": l.offset}
	}
	for _, m := range []any{map[string]any{"type": "hello", "token": l.token(), "client": "test"}, sub} {
		if err := ws.WriteJSON(m); err != nil {
			l.t.Fatal(err)
		}
	}
	e := event{}
	for _ = ws.SetReadDeadline(time.Now().Add(eventually.Patience)); e.Type != "subok"; {
		if err := ws.ReadJSON(&e); err != nil {
			l.t.Fatalf("waiting for subok: %v", err)
		}
	}
	if l.epoch != "" && (!e.Recovered || e.Epoch != l.epoch) {
		l.t.Errorf("not recovered after a kill: %+v", e)
	}
	l.epoch, l.offset = e.Epoch, e.Offset
	_ = ws.SetReadDeadline(time.Time{})
	go l.follow(ws, l.gone)
}

func (l *life) follow(ws *websocket.Conn, ended chan<- struct{}) {
	defer close(ended)
	for {
		var e event
		if err := ws.ReadJSON(&e); err != nil {
			return
		}
		if e.Type != "batch" {
			continue
		}
		if e.From != l.offset {
			l.wrong = append(l.wrong, fmt.Sprintf("batch (%d,%d] after cursor %d", e.From, e.To, l.offset))
		}
		l.offset = e.To
		l.got.Add(int64(len(e.Readings)))
		for _, r := range e.Readings {
			switch n, err := strconv.Atoi(r.Payload); {
			case err != nil:
				l.wrong = append(l.wrong, r.Payload)
			case n <= l.last[r.Topic]:
				l.twice++
			case n != l.last[r.Topic]+1:
				l.wrong = append(l.wrong, fmt.Sprintf("%s: %d after %d", r.Topic, n, l.last[r.Topic]))
				l.last[r.Topic] = n
			default:
				l.last[r.Topic] = n
			}
		}
	}
}

// kill ends the process without mercy and waits for the end of its viewer.
func (l *life) kill() {
	l.t.Helper()
	l.signal(os.Kill)
	_ = l.awaitEnd()
	select {
	case <-l.gone:
	case <-time.After(eventually.Patience):
		l.t.Fatal("the viewer's connection outlives the process")
	}
	_ = l.ws.Close()
}

// TestN102ExternalKill: bridged is killed at random points under messages of an external broker, each time once more while the
// backlog of its absence comes in, when Mosquitto up to 2.0.12 has far more than Receive Maximum without acknowledgement. Nothing
// is lost, nothing comes twice, order per topic is kept, and a viewer resumes without a hole; the messages carry no numbers.
func TestN102ExternalKill(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no Mosquitto there")
	}
	for _, sync := range []string{"os", "durable"} {
		t.Run(sync, func(t *testing.T) {
			kills, err := strconv.Atoi(os.Getenv("PLUMBLINE_KILLS"))
			if err != nil {
				kills = 6
			}
			broker := brokertest.New(t, brokertest.Lines)
			l := &life{child: &child{t: t, data: filepath.Join(t.TempDir(), "data")}, last: map[string]int{}, sets: []string{
				"mqtt.listen=", "ops.listen=", "journal.sync=" + sync, "external.a.url=mqtt://" + broker.Addr,
				"external.a.prefix=site-a/", "external.a.receiveMaximum=20", "external.a.clientId=k", "external.a.reconnectMin=20ms",
			}}
			l.begin()
			eventually.Must(t, "the bridge to subscribe", func() bool {
				raw, err := os.ReadFile(filepath.Join(l.data, "external", "a.json"))
				return err == nil && strings.Contains(string(raw), `"#"`)
			})
			p := brokertest.NewPublisher(t, broker.Addr, 2000, false, "press/1", "press/2", "hall/1")
			eventually.Must(t, "more messages than the first identifiers, by which none is known again", func() bool { return l.got.Load() > 40 })
			for i := range kills {
				p.Await(p.Count() + rand.IntN(200))
				l.kill()
				if i%2 == 0 {
					p.Await(p.Count() + 3000)
				}
				l.begin()
			}
			counts, resent := p.Finish()
			l.finish(counts)
			published := 0
			for _, n := range counts {
				published += n
			}
			t.Logf("sync %s: kills %d, published %d (%d sent again by the publisher), twice at the viewer %d, lost or out of order %d", sync, kills, published, len(resent), l.twice, len(l.wrong))
			if l.twice > len(resent) || len(l.wrong) > 0 {
				t.Errorf("twice %d, wrong %v", l.twice, l.wrong)
			}
		})
	}
}

// finish waits until everything that was published is in the journal, kills the process once more and reads what is left.
func (l *life) finish(counts map[string]int) {
	l.t.Helper()
	for {
		l.kill() // the counts of the viewer belong to its goroutine: look between two lives
		done := true
		for name, n := range counts {
			done = done && l.last["site-a/"+name] >= n
		}
		if done {
			return
		}
		l.begin()
		select {
		case <-l.gone:
		case <-time.After(300 * time.Millisecond):
		case <-l.t.Context().Done():
			l.t.Fatal("the viewer never got everything")
		}
	}
}
