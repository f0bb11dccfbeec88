package browser

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"plumbline/harness/clocks"
	"plumbline/harness/record"
)

// site is a system under test as a page sees it: one page, and every way by which it
// may be sent messages.
type site struct {
	*httptest.Server
	isolated bool
	script   string
	sockets  chan *websocket.Conn
	posts    chan string
}

func serve(t *testing.T, isolated bool, script string) *site {
	t.Helper()
	s := &site{isolated: isolated, script: script, sockets: make(chan *websocket.Conn, 64), posts: make(chan string, 64)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		if s.isolated {
			w.Header().Set("Cross-Origin-Opener-Policy", "same-origin")
			w.Header().Set("Cross-Origin-Embedder-Policy", "require-corp")
		}
		// As strict as the dashboard's: the instrument must not need anything.
		w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; connect-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'")
		_, _ = fmt.Fprint(w, `<!doctype html><title>site</title><p id="p"></p><script src="/script.js"></script>`)
	})
	mux.HandleFunc("GET /script.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		_, _ = fmt.Fprint(w, "const told = (word) => fetch('/told', {method: 'POST', body: String(word)});\n"+s.script)
	})
	mux.HandleFunc("GET /ws", func(w http.ResponseWriter, r *http.Request) {
		up := websocket.Upgrader{}
		if conn, err := up.Upgrade(w, r, nil); err == nil {
			s.sockets <- conn
		}
	})
	mux.HandleFunc("GET /events", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprintf(w, "event: batch\ndata: {\"payload\":%s}\n\ndata: %s\n\n", quote(ours(10)), ours(11))
	})
	mux.HandleFunc("GET /json", func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `{"readings":[{"payload":%s}]}`, quote(ours(seqOf(r))))
	})
	mux.HandleFunc("GET /stream", func(w http.ResponseWriter, _ *http.Request) {
		line := fmt.Sprintf("data: {\"payload\":%s}\n\n", quote(ours(20)))
		for _, part := range []string{line[:40], line[40:]} {
			_, _ = fmt.Fprint(w, part)
			_ = http.NewResponseController(w).Flush()
		}
	})
	mux.HandleFunc("POST /told", func(_ http.ResponseWriter, r *http.Request) {
		var word [100]byte
		n, _ := r.Body.Read(word[:])
		s.posts <- string(word[:n])
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func seqOf(r *http.Request) (seq uint64) {
	_, _ = fmt.Sscan(r.URL.Query().Get("seq"), &seq)
	return seq
}

func (s *site) socket(t *testing.T) *websocket.Conn {
	t.Helper()
	select {
	case conn := <-s.sockets:
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	case <-minute(t).Done():
		t.Fatal("the page opens no WebSocket")
		return nil
	}
}

// told waits until the page itself says that word.
func (s *site) told(t *testing.T, word string) {
	t.Helper()
	for {
		select {
		case got := <-s.posts:
			if got == word {
				return
			}
			t.Logf("the page says %q", got)
		case <-minute(t).Done():
			t.Fatalf("the page never says %q", word)
		}
	}
}

// visit opens the page and returns it with its folder.
func (s *site) visit(t *testing.T, clock *record.Clock) (*Page, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "page-1")
	p, err := chromium(t).Open(minute(t), Config{
		Name: "page-1", URL: s.URL + "/?secret=1#token", Filters: []string{"bench/#"}, Frames: true, Dir: dir, Clock: clock, Run: "0a1b2c3d",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p, dir
}

// recorded closes the page and returns what it saw, in the time of the run, by viewer.
func recorded(t *testing.T, p *Page, dir string) (seen map[string][]uint64, log *record.Log) {
	t.Helper()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	log = &record.Log{}
	log.Index.Streams = []record.Stream{{Device: `präss"7`, Topic: "bench/präss"}}
	if _, err := Load(dir, log); err != nil {
		t.Fatal(err)
	}
	seen = map[string][]uint64{}
	for _, r := range log.Records {
		if r.Stream != 0 {
			t.Errorf("record %+v is of no stream of ours", r)
		}
		name := log.Index.Nodes[r.Node].Name
		seen[name] = append(seen[name], r.Seq)
	}
	return seen, log
}

// Whatever way a message takes to the script of a page, it is seen once, and the page
// sees it as if nobody had looked.
func TestEveryWayToAPageIsSeen(t *testing.T) {
	s := serve(t, true, `
const got = [];
const bytes = new WebSocket('ws://' + location.host + '/ws', []);
bytes.binaryType = 'arraybuffer';
const ok = bytes instanceof WebSocket && WebSocket.OPEN === 1 && bytes.constructor.name === 'WebSocket';
bytes.onmessage = async (e) => {
  if (typeof e.data === 'string') { got.push('text'); return; }
  got.push(e.data.byteLength);
  const blob = new WebSocket('ws://' + location.host + '/ws');
  blob.onmessage = async (e) => {
    got.push((await e.data.arrayBuffer()).byteLength);
    const source = new EventSource('/events');
    let events = 0;
    const event = (e) => { if (++events === 2) { source.close(); rest(); } };
    source.addEventListener('batch', event);
    source.onmessage = event;
  };
};
async function rest() {
  const json = await (await fetch('/json?seq=12')).json();
  got.push(json.readings.length);
  got.push((await (await fetch('/json?seq=13')).arrayBuffer()).byteLength > 50);
  got.push((await (await fetch('/json?seq=14')).clone().text()).length > 50);
  const answer = await fetch('/stream');
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (let part = await reader.read(); !part.done; part = await reader.read()) text += part.value;
  got.push(text.endsWith('\n\n'));
  const x = new XMLHttpRequest();
  x.open('GET', '/json?seq=15');
  x.onload = () => { got.push(JSON.parse(x.responseText).readings.length); told(ok + ' ' + got.join(' ')); };
  x.send();
}
`)
	clock := record.NewClock()
	p, dir := s.visit(t, clock)
	before := clock.Now()
	first := s.socket(t)
	write := func(conn *websocket.Conn, kind int, data []byte) {
		t.Helper()
		if err := conn.WriteMessage(kind, data); err != nil {
			t.Fatal(err)
		}
	}
	cbor := slices.Concat([]byte{0x58, 0xff}, ours(2), []byte{0xff, 0x00})
	write(first, websocket.TextMessage, []byte(`{"readings":[{"payload":`+string(quote(ours(1)))+`}]}`))
	write(first, websocket.BinaryMessage, cbor)
	write(s.socket(t), websocket.BinaryMessage, ours(3))
	s.told(t, fmt.Sprintf("true text %d %d 1 true true true 1", len(cbor), len(ours(3))))
	if err := p.WaitDistinct(minute(t), 10); err != nil {
		t.Fatal(err)
	}
	framed := func() bool {
		waiting := 0
		for _, d := range p.state.documents {
			waiting += len(d.unframed)
		}
		return waiting == 0
	}
	if err := p.wait(minute(t), "their frames", framed); err != nil {
		t.Fatal(err)
	}
	after := clock.Now()
	seen, log := recorded(t, p, dir)
	want := []uint64{1, 2, 3, 10, 11, 12, 13, 14, 20, 15}
	if !slices.Equal(seen["page-1"], want) || !slices.Equal(seen["page-1 frame"], want) {
		t.Errorf("seen %v, want %v twice", seen, want)
	}
	for _, r := range log.Records {
		if u := int64(log.Index.Nodes[r.Node].Uncertainty); r.At < before-u || r.At > after+u {
			t.Errorf("message %d was seen at %v, and all were between %v and %v", r.Seq, time.Duration(r.At), time.Duration(before), time.Duration(after))
		}
	}
	e, err := ReadEvidence(dir)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(e)
	if !e.Isolated || e.Step != StepIsolated || e.Hidden || e.Documents != 1 || e.Damaged != 0 || e.Lost != "" || strings.Contains(string(text), "secret") || strings.Contains(string(text), "token") {
		t.Errorf("evidence %s", text)
	}
	t.Logf("evidence %s", text)
}

// A reload makes another document with another clock; both have their place in time.
func TestAReloadedPageKeepsItsPlaceInTime(t *testing.T) {
	s := serve(t, false, `const s = new WebSocket('ws://' + location.host + '/ws'); s.onmessage = () => told('got');`)
	clock := record.NewClock()
	p, dir := s.visit(t, clock)
	var sent, told []int64
	for seq := range uint64(3) {
		conn := s.socket(t)
		sent = append(sent, clock.Now())
		if err := conn.WriteMessage(websocket.TextMessage, ours(seq+1)); err != nil {
			t.Fatal(err)
		}
		s.told(t, "got")
		told = append(told, clock.Now())
		if seq < 2 {
			if err := p.Reload(minute(t)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := p.WaitDistinct(minute(t), 3); err != nil {
		t.Fatal(err)
	}
	seen, log := recorded(t, p, dir)
	if !slices.Equal(seen["page-1"], []uint64{1, 2, 3}) {
		t.Fatalf("seen %v", seen)
	}
	at := 0
	for _, r := range log.Records {
		if log.Index.Nodes[r.Node].Name != "page-1" {
			continue
		}
		// However busy the machine is, no answer about the clock took longer than all of it.
		if u := int64(log.Index.Nodes[r.Node].Uncertainty); r.At+u < sent[at] || r.At-u > told[at] || u > clock.Now() {
			t.Errorf("message %d was sent at %d, shown by %d and seen at %d ± %v", r.Seq, sent[at], told[at], r.At, time.Duration(u))
		}
		at++
	}
	e, err := ReadEvidence(dir)
	if err != nil || e.Isolated || e.Step != StepShared || e.Documents != 3 {
		t.Errorf("evidence %+v, %v", e, err)
	}
}

// What came in a document whose clock nobody asked has no place in time.
func TestAMessageWithoutAClockIsRefused(t *testing.T) {
	dir := t.TempDir()
	rec, err := record.NewRecorder(dir, record.NewClock())
	if err != nil {
		t.Fatal(err)
	}
	node := rec.Node(record.Node{Name: "page-1", Role: "viewer", Filters: []string{"#"}})
	rec.Add(record.Record{Kind: record.Received, Node: node, Stream: record.NoStream, At: instant(2, 5)})
	exchanges := make([]clocks.Exchange, 6)
	for i := range exchanges {
		at := int64(i) * 1e9
		exchanges[i] = clocks.Exchange{Sent: at, Got: instant(1, float64(i)*1e3+1), Answered: instant(1, float64(i)*1e3+1), Returned: at + 2e6}
	}
	if err := errors.Join(rec.Close(), keep(dir, exchanges, Evidence{Format: evidenceFormat, Name: "page-1", Step: StepIsolated})); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir, &record.Log{}); !errors.Is(err, clocks.ErrFew) {
		t.Errorf("a document without exchanges: %v", err)
	}
}

// What is no plain file, which may lead anywhere and never end, is damage like any other.
func TestEvidenceThatLeadsElsewhereIsDamage(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(dir, "elsewhere"), filepath.Join(dir, evidenceFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadEvidence(dir); !errors.Is(err, record.ErrCorrupt) {
		t.Errorf("a link: %v", err)
	}
}

// An instrument that says nonsense, or whose reports are not all there, leaves a
// recording that is not whole.
func TestAReportThatIsMissingTearsTheRecording(t *testing.T) {
	for name, reports := range map[string][]string{
		"no JSON":       {`{"doc":`},
		"one left out":  {`{"doc":"a","number":1,"log":[]}`, `{"doc":"a","number":3,"log":[]}`},
		"unknown entry": {`{"doc":"a","number":1,"log":[["q",1,1]]}`},
		"short entry":   {`{"doc":"a","number":1,"log":[["m",1]]}`},
		"no base64":     {`{"doc":"a","number":1,"log":[["b",1,1,"*"]]}`},
	} {
		t.Run(name, func(t *testing.T) {
			rec, err := record.NewRecorder(t.TempDir(), record.NewClock())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = rec.Close() }()
			p := &Page{recorder: rec, changed: make(chan struct{}), state: newState()}
			for _, r := range reports {
				p.took(r)
			}
			if p.fault == nil {
				t.Error("nothing is said to be wrong")
			}
			if err := p.wait(context.Background(), "nothing", func() bool { return false }); err == nil {
				t.Error("who waits is not told")
			}
		})
	}
}

// What befalls a page befalls it, and is over when it is ended.
func TestHardshipsComeAndGo(t *testing.T) {
	s := serve(t, true, `
const was = [];
document.addEventListener('visibilitychange', () => was.push(document.visibilityState));
document.addEventListener('freeze', () => was.push('frozen'));
document.addEventListener('resume', () => was.push('resumed'));
addEventListener('offline', async () => { was.push('offline ' + await fetch('/json?seq=1').then(() => 'served', () => 'refused')); });
addEventListener('online', async () => { was.push('online ' + await fetch('/json?seq=1').then(() => 'served', () => 'refused')); });
globalThis.was = was;
`)
	p, _ := s.visit(t, record.NewClock())
	ctx := minute(t)
	say := func(want string) {
		t.Helper()
		for {
			got, err := p.Text(ctx, "was.join(', ')")
			if err != nil {
				t.Fatalf("waiting for %q: %v", want, err)
			}
			if got == want {
				break
			}
			t.Logf("the page was %q", got)
			select {
			case <-ctx.Done():
				t.Fatalf("the page was %q, never %q", got, want)
			case <-time.After(50 * time.Millisecond):
			}
		}
		if _, err := p.Text(ctx, "was.length = 0"); err != nil {
			t.Fatal(err)
		}
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	show, err := p.Hide(ctx)
	do(err)
	say("hidden")
	do(show(ctx))
	say("visible")
	do(p.Freeze(ctx))
	do(p.Thaw(ctx))
	say("hidden, frozen, resumed, visible")
	do(p.Offline(ctx, true))
	say("offline refused")
	do(p.Offline(ctx, false))
	say("online served")
	do(p.Throttle(ctx, 4))
	do(p.Throttle(ctx, 1))
}
