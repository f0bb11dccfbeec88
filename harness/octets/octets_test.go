package octets

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"
)

// plainly counts what TLS is given and gives, beside the meter.
type plainly struct {
	net.Conn
	up, down int64
}

func (p *plainly) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	p.down += int64(n)
	return n, err
}

func (p *plainly) Write(b []byte) (int, error) {
	n, err := p.Conn.Write(b)
	p.up += int64(n)
	return n, err
}

// echo serves TLS and gives back what it gets, in pieces of some bytes.
func echo(t *testing.T) (address string, client *tls.Config) {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	t.Cleanup(server.Close)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: server.TLS.Certificates, MinVersion: tls.VersionTLS13})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.CopyBuffer(struct{ io.Writer }{conn}, struct{ io.Reader }{conn}, make([]byte, 700)) }()
		}
	}()
	return l.Addr().String(), Config(server.Client().Transport.(*http.Transport).TLSClientConfig)
}

// TestWhatIsCountedIsWhatCryptoTLSWasGiven holds the meter, which sees ciphertext, against the two ends of TLS.
func TestWhatIsCountedIsWhatCryptoTLSWasGiven(t *testing.T) {
	address, config := echo(t)
	m := New(true)
	conn, err := m.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	config.ServerName = "example.com"
	secure := tls.Client(conn, config)
	if err := secure.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := secure.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := &plainly{Conn: secure}
	say := func(size int) {
		t.Helper()
		if _, err := io.WriteString(p, strings.Repeat("x", size)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, struct{ io.Reader }{p}, int64(size)); err != nil {
			t.Fatal(err)
		}
	}
	say(1) // the tickets of the server come before its first answer
	before := m.Counts()
	p.up, p.down = 0, 0
	for _, size := range []int{1, 2, 125, 1000, 40_000} {
		say(size)
	}
	got := m.Counts().Minus(before)
	for name, way := range map[string]struct {
		Way
		plain int64
	}{"up": {got.Up, p.up}, "down": {got.Down, p.down}} {
		if way.Plain != way.plain || way.Other != 0 {
			t.Errorf("%s: %d bytes of data and %d of other records, crypto/tls carried %d", name, way.Plain, way.Other, way.plain)
		}
		if want := way.plain + way.Records*(recordHeader+recordInside); way.TCP != want || way.Records < 5 {
			t.Errorf("%s: %d bytes in %d records, want %d", name, way.TCP, way.Records, want)
		}
	}
	if got.Connections != 0 || m.Counts().Connections != 1 {
		t.Errorf("%+v connections", m.Counts())
	}
	checkSegments(t, got)
	if whole := m.Counts(); conn.Close() != nil || m.Counts().Up.TCP != whole.Up.TCP || m.Counts().Down.Plain != whole.Down.Plain || conn.Close() == nil {
		t.Errorf("closed: %+v, was %+v", m.Counts(), whole)
	}
}

// checkSegments: 40 000 bytes do not fit into fewer segments than Ethernet takes, and each takes some.
func checkSegments(t *testing.T, got Counts) {
	t.Helper()
	if runtime.GOOS != "linux" {
		if got.Told {
			t.Error("segments are told where nobody can count them")
		}
		return
	}
	least := got.Down.TCP / 1448
	if !got.Told || got.Up.Segments < least || got.Down.Segments < least || got.Down.Segments > got.Down.TCP {
		t.Errorf("%+v, want at least %d segments each way", got, least)
	}
}

// TestRecordsAreFoundWhereverReadsCutThem: a record header in pieces is one.
func TestRecordsAreFoundWhereverReadsCutThem(t *testing.T) {
	record := func(kind byte, n int) []byte {
		return append([]byte{kind, 3, 3, byte(n >> 8), byte(n)}, make([]byte, n)...)
	}
	whole := append(append(append(record(22, 300), record(20, 1)...), record(23, 17+4)...), record(23, 17+16384)...)
	for piece := 1; piece < 40; piece++ {
		var s stream
		for rest := whole; len(rest) > 0; {
			n := min(piece, len(rest))
			s.take(rest[:n], true)
			rest = rest[n:]
		}
		want := Way{TCP: int64(len(whole)), Records: 4, Plain: 4 + 16384, Other: 305 + 6}
		if got := s.way(); got != want {
			t.Fatalf("in pieces of %d: %+v, want %+v", piece, got, want)
		}
	}
}

func TestWithoutTLSAllIsData(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	defer server.Close()
	m := New(false)
	client := &http.Client{Transport: &http.Transport{DialContext: m.DialContext, DisableKeepAlives: true}}
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, response.Body)
		if _ = response.Body.Close(); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
	got := m.Counts()
	if got.Connections != 2 || got.Up.Plain != got.Up.TCP || got.Down.Plain < 2*5 || got.Down.Records != 0 {
		t.Errorf("%+v", got)
	}
}
