package mqtt_test

import (
	"bytes"
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"plumbline/harness/conform"
	"plumbline/harness/conform/mqtt"
	"plumbline/harness/conform/targets"
)

// late is a connection of a machine that stands still now and then: a read comes
// back when there is something, long after its deadline, and the first client that
// comes back is away for longer than it wanted.
type late struct {
	net.Conn
	testators *atomic.Int64 // CONNECTs of them so far
}

// SetReadDeadline sets one that is much later.
func (l late) SetReadDeadline(at time.Time) error {
	return l.Conn.SetReadDeadline(at.Add(3 * time.Second))
}

// Write delays the second CONNECT of a testator.
func (l late) Write(p []byte) (int, error) {
	if p[0] == 0x10 && bytes.Contains(p, []byte("testator")) && l.testators.Add(1) == 2 {
		<-time.After(3500 * time.Millisecond)
	}
	return l.Conn.Write(p)
}

// TestLateMachine: that this machine came late to look at a delayed will, or back for
// it, is not held against the broker.
func TestLateMachine(t *testing.T) {
	t.Parallel()
	url, _ := targets.Mosquitto(t)
	for _, id := range []string{"MQTT5-3.1.3.2.2", "MQTT5-3.1.3-9"} {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			var testators atomic.Int64
			dial := func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := (&net.Dialer{}).DialContext(ctx, network, address)
				return late{c, &testators}, err
			}
			r := run(t, mqtt.Target{URL: url, Dial: dial}, mqtt.Options{Only: []string{id}})
			if c, _ := r.Case(id); c.Verdict != conform.Pass {
				t.Errorf("%q %s", c.Verdict, c.Detail)
			}
		})
	}
}
