package fault_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"plumbline/harness/fault"
	"plumbline/harness/record"
)

// rig is a proxy with a recording and the server that it leads to.
type rig struct {
	*fault.Proxy
	rec    *record.Recorder
	dir    string
	server net.Listener
}

func through(t *testing.T, opts fault.ProxyOptions) *rig {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	r := &rig{server: listener, dir: filepath.Join(t.TempDir(), "records")}
	r.rec, err = record.NewRecorder(r.dir, record.NewClock())
	must(t, err)
	t.Cleanup(func() { _ = r.rec.Close() })
	opts.Recorder = r.rec
	r.Proxy, err = fault.NewProxy(listener.Addr().String(), opts)
	must(t, err)
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// pair opens a connection through the proxy and returns both of its ends.
func (r *rig) pair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	client = dial(t, r.Addr())
	server, err := r.server.Accept()
	must(t, err)
	t.Cleanup(func() { _ = server.Close() })
	must(t, server.SetDeadline(time.Now().Add(patience)))
	return client, server
}

// log ends the recording and returns the fault log of it.
func (r *rig) log(t *testing.T) string {
	t.Helper()
	must(t, r.rec.Close())
	must(t, fault.WriteLog(r.dir))
	text, err := os.ReadFile(filepath.Join(r.dir, fault.LogFile))
	must(t, err)
	return string(text)
}

func write(t *testing.T, to io.Writer, pieces ...string) {
	t.Helper()
	for _, p := range pieces {
		if _, err := io.WriteString(to, p); err != nil {
			t.Fatal(err)
		}
	}
}

// reads checks that exactly these bytes come next.
func reads(t *testing.T, from io.Reader, want string) {
	t.Helper()
	buf := make([]byte, len(want))
	n, err := io.ReadFull(from, buf)
	if err != nil || string(buf) != want {
		t.Fatalf("came %q, %v, want %q", buf[:n], err, want)
	}
}

func TestJitterIsDrawnBySeedAndShape(t *testing.T) {
	for _, shape := range []fault.Shape{fault.Uniform, fault.Normal, fault.Tailed} {
		t.Run(shape.String(), func(t *testing.T) {
			p := relay(t)
			conn := dial(t, p.Addr())
			hears(t, conn, "before")
			f := p.JitterFault(fault.Both, shape, 30*time.Millisecond, 5*time.Millisecond, 9)
			must(t, f.Inject(t.Context()))
			began := time.Now()
			hears(t, conn, "late")
			if took := time.Since(began); took < 60*time.Millisecond {
				t.Errorf("a round trip took %v, want at least twice 30 ms", took)
			}
			must(t, f.Revert(t.Context()))
			hears(t, conn, "after")
		})
	}
	p := relay(t)
	for _, f := range []fault.Fault{
		p.JitterFault(fault.Both, fault.Tailed, 0, time.Hour, 1),
		p.JitterFault(fault.Both, fault.Tailed+1, 0, time.Millisecond, 1),
		p.JitterFault(fault.Both, fault.Normal, -1, time.Millisecond, 1),
	} {
		if err := f.Inject(t.Context()); err == nil {
			t.Errorf("%q was injected", f.Name())
		}
	}
}

func TestHalfOpen(t *testing.T) {
	for _, gone := range []fault.Direction{fault.Upstream, fault.Downstream} {
		r := through(t, fault.ProxyOptions{})
		client, server := r.pair(t)
		write(t, client, "hello")
		reads(t, server, "hello")
		vanished, stays := server, client
		if gone == fault.Downstream {
			vanished, stays = client, server
		}
		f := r.HalfOpenFault(gone)
		must(t, f.Inject(t.Context()))
		if _, err := vanished.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the end that vanished read %v", err)
		}
		// The other end can send as before and hears nothing, not even the end.
		write(t, stays, "are you there?")
		must(t, stays.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
		if _, err := stays.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the end that stays read %v", err)
		}
		again, peer := r.pair(t)
		write(t, again, "new")
		reads(t, peer, "new")
		must(t, f.Revert(t.Context()))
		must(t, stays.SetReadDeadline(time.Now().Add(patience)))
		if _, err := stays.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("after the fault the end that stays read %v", err)
		}
		write(t, peer, "still")
		reads(t, again, "still")
		if f.Fired() != 1 {
			t.Errorf("fired %d times", f.Fired())
		}
	}
	if err := relay(t).HalfOpenFault(fault.Both).Inject(t.Context()); err == nil {
		t.Error("both ends vanished")
	}
}

func TestResetComesAfterTheDrawnBytes(t *testing.T) {
	r := through(t, fault.ProxyOptions{})
	f := r.ResetFault(fault.Upstream, 10, 10, 3)
	must(t, f.Inject(t.Context()))
	for range 2 { // connections that come later as well
		client, server := r.pair(t)
		write(t, client, "012345678")
		reads(t, server, "012345678")
		write(t, client, "9tail")
		got, err := io.ReadAll(server)
		if err == nil || errors.Is(err, os.ErrDeadlineExceeded) || len(got) > 1 {
			t.Errorf("the server read %q, %v", got, err)
		}
		if _, err := client.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the client read %v", err)
		}
	}
	must(t, f.Revert(t.Context()))
	client, server := r.pair(t)
	write(t, client, "0123456789tail")
	reads(t, server, "0123456789tail")
	if f.Fired() != 2 {
		t.Errorf("fired %d times", f.Fired())
	}
	for _, bad := range [][2]int64{{0, 5}, {5, 4}, {-1, -1}} {
		if err := r.ResetFault(fault.Both, bad[0], bad[1], 1).Inject(t.Context()); err == nil {
			t.Errorf("%v was accepted", bad)
		}
	}
}

// secured starts a TLS echo server with a right certificate of ca.
func secured(t *testing.T, ca *fault.Authority) net.Listener {
	t.Helper()
	right, err := ca.Certify("127.0.0.1", fault.Flawless)
	must(t, err)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{right}})
	must(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go echo(listener)
	return listener
}

func TestCertificateSwap(t *testing.T) {
	ca, err := fault.NewAuthority()
	must(t, err)
	listener := secured(t, ca)
	rec := recorder(t)
	p, err := fault.NewProxy(listener.Addr().String(), fault.ProxyOptions{Recorder: rec})
	must(t, err)
	t.Cleanup(func() { _ = p.Close() })
	try := func(config *tls.Config) error {
		conn, err := tls.Dial("tcp", p.Addr(), config)
		if err != nil {
			return err
		}
		defer conn.Close()
		hears(t, conn, "hello")
		return nil
	}
	good := &tls.Config{RootCAs: ca.Pool()}
	must(t, try(good))
	for _, flaw := range []fault.Flaw{fault.Expired, fault.NotYetValid, fault.WrongHost, fault.SelfSigned, fault.ForeignIssue} {
		cert, err := ca.Certify("127.0.0.1", flaw)
		must(t, err)
		f := p.CertificateFault(flaw.String(), cert)
		must(t, fault.During(limit(t), rec, f, func(context.Context) error {
			if err := try(good); err == nil {
				t.Errorf("a client that checks accepted a certificate that is %s", flaw)
			}
			// One that does not check is let through, so that it can be caught.
			return try(&tls.Config{InsecureSkipVerify: true})
		}))
		if f.Fired() != 2 {
			t.Errorf("%s: fired %d times", flaw, f.Fired())
		}
		must(t, try(good))
	}
	var did []string
	for _, e := range eventsOf(t, rec) {
		if e.Kind == record.FaultAction {
			did = append(did, e.Detail)
		}
	}
	slices.Sort(did) // a client may be through before the proxy has heard its alert
	if len(did) != 10 || did[4] != "accepted" || did[5] != "refused: tls: bad certificate" || did[9] != did[5] {
		t.Errorf("the clients did %q", did)
	}
	if err := p.CertificateFault("none", tls.Certificate{}).Inject(t.Context()); err == nil {
		t.Error("no certificate was accepted")
	}
}

func TestProxyEndsTLS(t *testing.T) {
	ca, err := fault.NewAuthority()
	must(t, err)
	listener := secured(t, ca)
	shown, err := ca.Certify("127.0.0.1", fault.Flawless)
	must(t, err)
	p, err := fault.NewProxy(listener.Addr().String(), fault.ProxyOptions{TLS: &fault.Termination{Certificate: shown, Upstream: &tls.Config{RootCAs: ca.Pool()}}})
	must(t, err)
	t.Cleanup(func() { _ = p.Close() })
	conn, err := tls.Dial("tcp", p.Addr(), &tls.Config{RootCAs: ca.Pool()})
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	hears(t, conn, "through two sessions")
	p.Cut(true)
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the cut came %v", err)
	}
	silent := dial(t, p.Addr()) // never says hello
	must(t, p.Close())
	if _, err := silent.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after Close a handshake goes on: %v", err)
	}
	if _, err := fault.NewProxy("127.0.0.1:1", fault.ProxyOptions{TLS: &fault.Termination{}}); err == nil {
		t.Error("TLS was to be ended without a certificate")
	}
	if _, err := fault.NewProxy("127.0.0.1:1", fault.ProxyOptions{Protocol: 9}); err == nil {
		t.Error("protocol 9 was accepted")
	}
}

func BenchmarkAddedLatency(b *testing.B) {
	for name, p := range map[string]struct {
		protocol     fault.Protocol
		hello, reply string
		ask          string
	}{
		"bytes":     {fault.Bytes, "hello", "hello", "0123456789abcdef"},
		"mqtt":      {fault.MQTT, "\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00", "\x20\x02\x00\x00", "\x30\x0e\x00\x01tpayload 123"},
		"websocket": {fault.WebSocket, upgradeRequest, upgradeAnswer, "\x82\x8e\x00\x00\x00\x00payload 123456"},
		"direct":    {255, "hello", "hello", "0123456789abcdef"},
	} {
		b.Run(name, func(b *testing.B) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			address := listener.Addr().String()
			if p.protocol != 255 {
				proxy, err := fault.NewProxy(address, fault.ProxyOptions{Protocol: p.protocol})
				if err != nil {
					b.Fatal(err)
				}
				defer proxy.Close()
				address = proxy.Addr()
			}
			client, err := net.Dial("tcp", address)
			if err != nil {
				b.Fatal(err)
			}
			defer client.Close()
			server, err := listener.Accept()
			if err != nil {
				b.Fatal(err)
			}
			defer server.Close()
			exchange(b, client, server, p.hello)
			exchange(b, server, client, p.reply)
			var serving sync.WaitGroup
			serving.Go(func() { _, _ = io.Copy(server, server) })
			buf := make([]byte, len(p.ask))
			b.ResetTimer()
			for range b.N {
				if _, err := io.WriteString(client, p.ask); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(client, buf); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			_ = client.Close()
			serving.Wait()
		})
	}
}

func exchange(b *testing.B, from, to net.Conn, text string) {
	b.Helper()
	if _, err := io.WriteString(from, text); err != nil {
		b.Fatal(err)
	}
	if _, err := to.Read(make([]byte, 1024)); err != nil {
		b.Fatal(err)
	}
}
