package mqttdev_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"plumbline/devices/devicetest"
	"plumbline/devices/mqttdev"
)

// TestPublisherGoesOnAfterARestart: whatever a broken connection is called, it is no
// reason to give up.
func TestPublisherGoesOnAfterARestart(t *testing.T) {
	both(t, func(t *testing.T, version string) {
		t.Helper()
		for _, qos := range []byte{0, 1} {
			t.Run(fmt.Sprintf("QoS %d", qos), func(t *testing.T) { goesOn(t, version, qos) })
		}
	})
}

func goesOn(t *testing.T, version string, qos byte) {
	t.Helper()
	b := startBroker(t, freeAddress(t).String())
	ctx, cancel := context.WithTimeout(t.Context(), devicetest.Patience)
	defer cancel()
	p, err := mqttdev.NewPublisher(ctx, mqttdev.PublisherConfig{Broker: b.url(), Version: version, Retry: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var sent atomic.Int64
	run, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		for {
			if err := p.Publish(run, mqttdev.Message{Topic: "a", Payload: []byte("1"), QoS: qos}); err != nil {
				ended <- err
				return
			}
			sent.Add(1)
		}
	}()
	more := func(what string) {
		before := sent.Load()
		devicetest.Eventually(t, what, func() bool { return len(ended) > 0 || sent.Load() > before+20 })
	}
	more("the first messages")
	b.stop()
	startBroker(t, b.addr)
	more("messages after the restart")
	if len(ended) > 0 {
		t.Errorf("it gave up: %v", <-ended)
		stop()
		return
	}
	stop()
	<-ended
}
