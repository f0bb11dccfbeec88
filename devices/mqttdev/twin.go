package mqttdev

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"

	"plumbline/devices"
	"plumbline/devices/internal/intake"
)

// TwinConfig describes a sensor program. Broker, Name and Source are required.
type TwinConfig struct {
	Broker   *url.URL
	TLS      *tls.Config
	Username string
	Password []byte
	Name     string            // the device's name in its topics, for example "tasmota_A1B2C3"
	Source   devices.Scheduled // what it measures, and when; a twin of devices/simulated
	Seed     uint64            // moves the instants by the schedule's dither
	QoS      byte              // 0, as Tasmota sends, or 1
	Retry    time.Duration     // between attempts to connect; 0 = 500 ms
	Clock    devices.Clock     // nil = counts from Run
	Now      func() time.Time  // wall clock in the payload; nil = time.Now
	// OnPublish is told of each message that was handed to the network (and,
	// with QoS 1, acknowledged); optional. It must not block.
	OnPublish func(Published)
}

// Published is one message of a Twin.
type Published struct {
	Seq     uint64
	Due, At time.Duration // planned and done, on the twin's Clock
	Topic   string
	Payload []byte
}

// TwinStats are totals of a Twin.
type TwinStats struct {
	Published uint64
	Missed    uint64 // due while there was no connection, or not acknowledged within its period
	Connects  uint64
}

// Twin is a sensor program that publishes its own payload at its own period, as
// a Tasmota plug does: tele/NAME/SENSOR with JSON, and tele/NAME/LWT retained
// with Online, by its will Offline (Tasmota documentation, "MQTT").
type Twin struct {
	cfg TwinConfig

	mu    sync.Mutex
	stats TwinStats
}

// NewTwin checks the configuration; Run starts the sensor.
func NewTwin(cfg TwinConfig) (*Twin, error) {
	switch {
	case cfg.Broker == nil || cfg.Broker.Host == "":
		return nil, errors.New("mqttdev: twin: no broker; set TwinConfig.Broker, for example mqtt://127.0.0.1:1883")
	case cfg.Name == "":
		return nil, errors.New("mqttdev: twin: no name; set TwinConfig.Name")
	case cfg.Source == nil || cfg.Source.Schedule().Period <= 0:
		return nil, fmt.Errorf("mqttdev: twin %q: no source with a positive period", cfg.Name)
	case cfg.QoS > 1:
		return nil, fmt.Errorf("mqttdev: twin %q: QoS %d: must be 0 or 1", cfg.Name, cfg.QoS)
	}
	if cfg.Clock == nil {
		cfg.Clock = intake.Monotonic()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Retry <= 0 {
		cfg.Retry = 500 * time.Millisecond
	}
	return &Twin{cfg: cfg}, nil
}

// Topic is where the sensor publishes.
func (t *Twin) Topic() string { return "tele/" + t.cfg.Name + "/SENSOR" }

// Stats returns the totals so far.
func (t *Twin) Stats() TwinStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stats
}

// Run connects and publishes until ctx ends; it then disconnects and returns
// nil. It blocks, keeps its schedule whether or not there is a connection, and
// reconnects by itself. Instants count from the call.
func (t *Twin) Run(ctx context.Context) error {
	link, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	manage, err := autopaho.NewConnection(link, t.clientConfig())
	if err != nil {
		return fmt.Errorf("mqttdev: twin %q: %w", t.cfg.Name, err)
	}
	defer func() {
		cancel()
		<-manage.Done()
	}()
	schedule, start := t.cfg.Source.Schedule(), t.cfg.Clock()
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	for seq := uint64(1); ; seq++ {
		due := start + schedule.Instant(seq, t.cfg.Seed)
		timer.Reset(due - t.cfg.Clock())
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		t.publish(ctx, manage, seq, due)
	}
}

// publish sends one sample and counts what became of it. Waiting for an
// acknowledgement is bounded by the period, so that the schedule is kept.
func (t *Twin) publish(ctx context.Context, manage *autopaho.ConnectionManager, seq uint64, due time.Duration) {
	payload := tasmota(t.cfg.Source.Sample(seq, due), t.cfg.Source.Info().Kind, t.cfg.Now())
	bounded, cancel := context.WithTimeout(ctx, max(t.cfg.Source.Schedule().Period, 100*time.Millisecond))
	defer cancel()
	_, err := manage.Publish(bounded, &paho.Publish{Topic: t.Topic(), QoS: t.cfg.QoS, Payload: payload})
	at := t.cfg.Clock()
	t.mu.Lock()
	if err != nil {
		t.stats.Missed++
	} else {
		t.stats.Published++
	}
	t.mu.Unlock()
	if err == nil && t.cfg.OnPublish != nil {
		t.cfg.OnPublish(Published{Seq: seq, Due: due, At: at, Topic: t.Topic(), Payload: payload})
	}
}

func (t *Twin) clientConfig() autopaho.ClientConfig {
	lwt := "tele/" + t.cfg.Name + "/LWT"
	c := connection(t.cfg.Broker, t.cfg.TLS, t.cfg.Username, t.cfg.Password, t.cfg.Retry)
	c.ClientID = t.cfg.Name
	c.CleanStartOnInitialConnection = true
	c.WillMessage = &paho.WillMessage{Topic: lwt, Payload: []byte("Offline"), QoS: 1, Retain: true}
	c.OnConnectionUp = func(m *autopaho.ConnectionManager, _ *paho.Connack) {
		t.mu.Lock()
		t.stats.Connects++
		t.mu.Unlock()
		// Queued, because this callback must not block.
		_ = m.PublishViaQueue(context.Background(), &autopaho.QueuePublish{
			Publish: &paho.Publish{Topic: lwt, Payload: []byte("Online"), QoS: 1, Retain: true}}) // a memory queue takes all
	}
	// 0x04: disconnect and publish the will, so that a twin that ends is seen
	// to be offline [MQTT-3.1.2-8].
	c.DisconnectPacketBuilder = func() *paho.Disconnect { return &paho.Disconnect{ReasonCode: 4} }
	return c
}

// tasmota builds the payload: the time without zone, and the values in a group
// named by what measures them, as Tasmota groups them.
func tasmota(s devices.Sample, kind string, now time.Time) []byte {
	group, names := "SENSOR", map[string]string{}
	switch kind {
	case "power":
		group = "ENERGY"
		names = map[string]string{"energy": "Total", "power": "Power", "voltage": "Voltage", "current": "Current"}
	case "temperature":
		group = "SHT3X"
		names = map[string]string{"temperature": "Temperature", "humidity": "Humidity"}
	}
	members := make(map[string]any, len(s.Values))
	for _, v := range s.Values {
		name := v.Name
		if n, ok := names[name]; ok {
			name = n
		}
		if v.IsText {
			members[name] = v.Text
		} else {
			members[name] = v.Number
		}
	}
	// Maps are written in the order of their keys: Time comes where T does,
	// which no JSON reader minds. Twins' numbers are always finite.
	payload, _ := json.Marshal(map[string]any{"Time": now.UTC().Format("2006-01-02T15:04:05"), group: members})
	return payload
}
