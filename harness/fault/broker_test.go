package fault_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"
	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"

	"plumbline/devices/devicetest"
	"plumbline/harness/fault"
)

// A real broker and a real client of MQTT 5, neither of them ours, feel what
// happens to their packets.
func TestClientAndBrokerFeelPacketFaults(t *testing.T) {
	broker := mqtt.New(&mqtt.Options{Logger: slog.New(slog.DiscardHandler)})
	must(t, broker.AddHook(new(auth.AllowHook), nil))
	listener := listeners.NewTCP(listeners.Config{ID: "tcp", Address: "127.0.0.1:0"})
	must(t, broker.AddListener(listener))
	must(t, broker.Serve())
	t.Cleanup(func() { devicetest.CloseSoon(t, "the broker", broker.Close) })
	p, err := fault.NewProxy(listener.Address(), fault.ProxyOptions{Protocol: fault.MQTT})
	must(t, err)
	t.Cleanup(func() { _ = p.Close() })

	conn, err := net.Dial("tcp", p.Addr())
	must(t, err)
	starved := make(chan error, 10)
	client := paho.NewClient(paho.ClientConfig{Conn: conn, PacketTimeout: patience, OnClientError: func(err error) { starved <- err }})
	_, err = client.Connect(limit(t), &paho.Connect{ClientID: "c", CleanStart: true, KeepAlive: 2})
	must(t, err)
	publish := func(within time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		_, err := client.Publish(ctx, &paho.Publish{Topic: "t", QoS: 1, Payload: []byte("v")})
		return err
	}
	lost := p.PacketFault(fault.PacketRule{Way: fault.Downstream, Type: fault.Puback, Do: fault.Drop, When: fault.When{Nth: 2}})
	must(t, lost.Inject(t.Context()))
	must(t, publish(patience))
	if err := publish(200 * time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without its PUBACK a publish gives %v", err)
	}
	must(t, publish(patience))
	must(t, lost.Revert(t.Context()))

	starve := p.PingStarvationFault()
	must(t, starve.Inject(t.Context()))
	for deadline, saidSo := time.After(patience), false; !saidSo; {
		select {
		case err := <-starved: // what follows from its end may come first
			saidSo = strings.HasSuffix(err.Error(), "PINGRESP timed out")
		case <-deadline:
			t.Fatalf("the client lives without PINGRESP for %v; %d were swallowed", patience, starve.Fired())
		}
	}
	if starve.Fired() == 0 {
		t.Error("no PINGRESP was swallowed")
	}
	must(t, starve.Revert(t.Context()))
	select {
	case <-client.Done():
	case <-time.After(patience):
		t.Error("the client does not end")
	}
}
