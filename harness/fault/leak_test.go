package fault_test

import (
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"plumbline/harness/fault"
)

// counts returns how many goroutines and, where it can be told, descriptors
// there are.
func counts() (goroutines, files int) {
	entries, _ := os.ReadDir("/proc/self/fd")
	return runtime.NumGoroutine(), len(entries)
}

// settles waits until there are no more than before.
func settles(t *testing.T, goroutines, files int) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		g, f := counts()
		if g <= goroutines && f <= files {
			return
		}
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines and %d descriptors, before it were %d and %d\n%s", g, f, goroutines, files, stacks[:runtime.Stack(stacks, true)])
		}
		<-tick.C
	}
}

// Connections that end in every way leave nothing behind while the proxy runs,
// and the proxy leaves nothing behind.
func TestNothingLeaks(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	goroutines, files := counts()
	p, err := fault.NewProxy(listener.Addr().String(), fault.ProxyOptions{Protocol: fault.MQTT})
	must(t, err)
	defer p.Close()
	pair := func() (client *net.TCPConn, server net.Conn) {
		client = dial(t, p.Addr())
		server, err := listener.Accept()
		must(t, err)
		must(t, server.SetDeadline(time.Now().Add(patience)))
		write(t, client, mqttConnect)
		reads(t, server, mqttConnect)
		return client, server
	}
	held := p.PacketFault(fault.PacketRule{Way: fault.Upstream, Type: fault.Publish, Do: fault.Reorder, When: fault.When{Every: 2}})
	must(t, held.Inject(t.Context()))
	for i := range 60 {
		client, server := pair()
		write(t, client, messages("a", "b"), "\x30\x7f begins and never ends")
		var f fault.Fault
		switch i % 6 {
		case 0:
			must(t, client.CloseWrite())
			_, _ = io.Copy(io.Discard, server)
		case 1:
			must(t, client.SetLinger(0))
		case 2:
			p.Cut(i%4 == 0)
		case 3:
			f = p.HalfOpenFault(fault.Upstream)
		case 4:
			f = p.BlackHoleFault(fault.Both)
		case 5:
			f = p.ResetFault(fault.Upstream, 1, 1, 1)
		}
		if f != nil {
			must(t, f.Inject(t.Context()))
			_, _ = io.WriteString(client, message("during"))
			must(t, f.Revert(t.Context()))
		}
		_, _ = client.Close(), server.Close()
	}
	must(t, held.Revert(t.Context()))
	settles(t, goroutines+1, files+1) // the proxy's own
	if n := p.Connections(); n != 0 {
		t.Errorf("%d connections are left", n)
	}
	client, server := pair()
	defer client.Close()
	defer server.Close()
	must(t, p.BlackHoleFault(fault.Both).Inject(t.Context()))
	write(t, client, message("held"))
	must(t, p.Close())
	_, _ = client.Close(), server.Close()
	settles(t, goroutines, files)
}
