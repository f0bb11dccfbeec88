package bridge

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"plumbline/bridge/config"
)

// sensor is a bare MQTT 3.1.1 publisher that does not wait for its acknowledgements.
func sensor(b *testing.B, addr string, id int) net.Conn {
	b.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	name := fmt.Sprintf("s%05d", id)
	connect := append([]byte{0x10, byte(12 + len(name)), 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, byte(len(name))}, name...)
	if _, err := c.Write(connect); err != nil {
		b.Fatal(err)
	}
	var ack [4]byte
	if _, err := io.ReadFull(c, ack[:]); err != nil || ack[3] != 0 {
		b.Fatalf("CONNACK %x %v", ack, err)
	}
	go func() { _, _ = io.Copy(io.Discard, c) }()
	return c
}

// BenchmarkLatency measures from the intended time of publishing to the arrival at each of 20 TLS viewers: 100 sensors, QoS 1, 1,000
// messages a second together, journal sync os, everything in one process. Run it with -benchtime=20000x for 20 s.
func BenchmarkLatency(b *testing.B) {
	const sensors, viewers, rate = 100, 20, 1000
	c := testConfig(b.TempDir())
	c.Viewers.Heartbeat = config.Duration(25 * time.Second)
	r := runConfig(b, c)
	defer r.drain()
	n := b.N
	var wg sync.WaitGroup
	lat := make([][]time.Duration, viewers)
	for i := range viewers {
		v := r.open(nil)
		ok := v.sub(1, "#", nil)
		_ = v.ws.SetReadDeadline(time.Now().Add(time.Duration(n)*time.Millisecond + time.Minute))
		wg.Go(func() {
			for cursor := ok.Offset; len(lat[i]) < n; {
				_, raw, err := v.ws.ReadMessage()
				now := time.Now().UnixNano()
				var m message
				if err != nil || json.Unmarshal(raw, &m) != nil || m.Type == "batch" && m.From != cursor {
					b.Errorf("viewer %d after %d readings: %v %.200s", i, len(lat[i]), err, raw)
					return
				}
				if m.Type != "batch" {
					continue
				}
				cursor = m.To
				for _, one := range m.Readings {
					due, _ := strconv.ParseInt(one.Payload, 10, 64)
					lat[i] = append(lat[i], time.Duration(now-due))
				}
			}
		})
	}
	conns := make([]net.Conn, sensors)
	for i := range conns {
		conns[i] = sensor(b, r.b.Addresses().MQTT, i)
	}
	b.ResetTimer()
	start := time.Now()
	for i := range n {
		due := start.Add(time.Duration(i) * time.Second / rate)
		<-time.After(time.Until(due))
		topic, payload := fmt.Sprintf("dev/%03d", i%sensors), strconv.FormatInt(due.UnixNano(), 10)
		p := []byte{0x32, byte(2 + len(topic) + 2 + len(payload)), 0, byte(len(topic))}
		p = binary.BigEndian.AppendUint16(append(p, topic...), uint16(i%65535+1))
		if _, err := conns[i%sensors].Write(append(p, payload...)); err != nil {
			b.Fatal(err)
		}
	}
	wg.Wait()
	b.StopTimer()
	var all []time.Duration
	for _, one := range lat {
		all = append(all, one...)
	}
	slices.Sort(all)
	for _, q := range []float64{0.5, 0.99, 0.999} {
		b.ReportMetric(float64(all[int(q*float64(len(all)-1))].Microseconds())/1000, fmt.Sprintf("p%v-ms", q*100))
	}
	b.ReportMetric(float64(all[len(all)-1].Microseconds())/1000, "max-ms")
	b.ReportMetric(float64(n*viewers-len(all)), "lost")
}
