package bridge

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"plumbline/bridge/config"
	"plumbline/bridge/internal/eventually"
)

// idleEnv makes the test binary the other end of BenchmarkIdleViewers.
const idleEnv = "PLUMBLINE_IDLE_VIEWERS"

func TestMain(m *testing.M) {
	if os.Getenv(idleEnv) != "" {
		if err := holdViewers(os.Getenv(idleEnv), os.Stdin, os.Stdout); err != nil {
			panic(err)
		}
		return
	}
	// Tests here that run side by side only wait. The flag of the command line would be for all packages.
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	m.Run()
}

// BenchmarkIdleViewers measures what a viewer costs that has said hello, holds one subscription and hears heartbeats only: the
// growth of the process's resident memory divided by their number. The viewers live in another process. Their number is
// 2,000, or what the variable PLUMBLINE_IDLE_COUNT says.
func BenchmarkIdleViewers(b *testing.B) {
	if runtime.GOOS != "linux" {
		b.Skip("reads /proc/self/status")
	}
	for _, plaintext := range []bool{true, false} {
		name := map[bool]string{true: "plain", false: "tls"}[plaintext]
		b.Run(name, func(b *testing.B) { benchmarkIdle(b, plaintext) })
	}
}

func benchmarkIdle(b *testing.B, plaintext bool) {
	b.Helper()
	count := 2000
	if n, err := strconv.Atoi(os.Getenv("PLUMBLINE_IDLE_COUNT")); err == nil {
		count = n
	}
	r := run(b, func(c *Config) {
		c.Viewers.Plaintext = plaintext
		c.Viewers.MaxConnections, c.Viewers.MaxStreams, c.MQTT.MaxClients = count+30, 1, 1 // files for viewers only: 19,000 in 20,000
		c.Viewers.Heartbeat = config.Duration(25 * time.Second)
		c.Viewers.HandshakeRate = 0
	})
	first := r.idle(b, plaintext, 20) // what the first ones cost once is not theirs
	before := resident(b)
	var mem, then runtime.MemStats
	runtime.ReadMemStats(&then)
	rest := r.idle(b, plaintext, count)
	eventually.Must(b, "all subscriptions", func() bool { return r.b.hub.Stats().Subscriptions == count+20 })
	after := resident(b)
	b.ReportMetric(float64(after-before)/float64(count), "B/viewer")
	runtime.ReadMemStats(&mem)
	b.ReportMetric(float64(mem.HeapAlloc-then.HeapAlloc)/float64(count), "heap-B/viewer")
	b.ReportMetric(float64(mem.StackInuse-then.StackInuse)/float64(count), "stack-B/viewer")
	b.ReportMetric(0, "ns/op")
	for _, stop := range []func(){rest, first} {
		stop()
	}
}

// resident returns the process's resident memory once the collector has given back what is free.
func resident(b *testing.B) int64 {
	b.Helper()
	for range 3 { // stacks shrink by half each time
		runtime.GC()
	}
	debug.FreeOSMemory()
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			return kb << 10
		}
	}
	b.Fatal("no VmRSS in /proc/self/status")
	return 0
}

// idle starts a process with n viewers and returns when all have their subscription.
func (r *running) idle(b *testing.B, plaintext bool, n int) (stop func()) {
	b.Helper()
	ca := ""
	if !plaintext {
		ca = filepath.Join(r.cfg.Data, "tls", "ca.pem")
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), idleEnv+"="+strings.Join([]string{r.b.Addresses().Viewers, ca, strconv.Itoa(n), r.token(nil)}, "|"))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		b.Fatalf("the viewers' process said %q, %v", line, err)
	}
	return func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	}
}

// holdViewers opens the viewers that spec asks for, says so, and holds them until its input ends.
func holdViewers(spec string, in io.Reader, out io.Writer) error {
	part := strings.Split(spec, "|")
	n, err := strconv.Atoi(part[2])
	if err != nil {
		return err
	}
	var conf *tls.Config
	if part[1] != "" {
		pem, err := os.ReadFile(part[1])
		if err != nil {
			return err
		}
		conf = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
		conf.RootCAs.AppendCertsFromPEM(pem)
	}
	todo, failed := make(chan struct{}, n), make(chan error, n)
	for range n {
		todo <- struct{}{}
	}
	close(todo)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range todo {
				if err := openIdle(part[0], conf, part[3]); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-failed:
		return err
	default:
	}
	if _, err := fmt.Fprintln(out, "ready"); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, in)
	return err
}

// openIdle opens one viewer and leaves it to the process's end: nobody reads from it any more.
func openIdle(addr string, conf *tls.Config, token string) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	if conf != nil {
		c := conf.Clone()
		c.ServerName, _, _ = net.SplitHostPort(addr)
		conn = tls.Client(conn, c)
	}
	req := &http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: "http", Host: addr, Path: "/ws"}, Host: addr, Header: upgrade(), ProtoMajor: 1, ProtoMinor: 1}
	if err := req.Write(conn); err != nil {
		return err
	}
	br := bufio.NewReader(conn)
	resp, err := http.ReadResponse(br, req)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("handshake: %v %w", resp, err)
	}
	if _, err := conn.Write(append(frame(0x81, `{"type":"hello","token":"`+token+`"}`), frame(0x81, `{"type":"sub","id":1,"filter":"idle/#"}`)...)); err != nil {
		return err
	}
	for seen := ""; !strings.Contains(seen, `"subok"`); {
		buf := make([]byte, 1024)
		k, err := br.Read(buf)
		if err != nil {
			return err
		}
		seen += string(buf[:k])
	}
	idleConns.Lock()
	defer idleConns.Unlock()
	idleConns.open = append(idleConns.open, conn)
	return nil
}

// idleConns keeps the connections from the collector, which would close them.
var idleConns struct { //nolint:gochecknoglobals // of the other process
	sync.Mutex
	open []net.Conn
}
