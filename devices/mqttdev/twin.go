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

	"plumbline/devices"
	"plumbline/devices/internal/intake"
)

// TwinConfig describes a sensor program. Broker, Name and Source are required.
type TwinConfig struct {
	Broker   *url.URL
	TLS      *tls.Config
	Version  string // of MQTT, as in Config
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
	if err := errors.Join(checkVersion(cfg.Version), checkTexts(map[string]int{
		"name": len("tele//SENSOR") + len(cfg.Name), "user name": len(cfg.Username), "password": len(cfg.Password),
	})); err != nil {
		return nil, err
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
	broker, err := t.connect(ctx)
	if err != nil {
		return fmt.Errorf("mqttdev: twin %q: %w", t.cfg.Name, err)
	}
	defer broker.close()
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
		t.publish(ctx, broker, seq, due)
	}
}

// connect opens the connection: whenever it is up the sensor says that it is
// online, and its will says so when it is not any more. A twin that ends is seen
// to be offline too.
func (t *Twin) connect(ctx context.Context) (link, error) {
	lwt := "tele/" + t.cfg.Name + "/LWT"
	up := make(chan struct{}, 1)
	broker, err := newLink(linkConfig{
		broker: t.cfg.Broker, tls: t.cfg.TLS, version: t.cfg.Version, username: t.cfg.Username, password: t.cfg.Password,
		clientID: t.cfg.Name, retry: t.cfg.Retry, will: &message{topic: lwt, payload: []byte("Offline"), qos: 1, retain: true},
		up: func(bool) {
			t.mu.Lock()
			t.stats.Connects++
			t.mu.Unlock()
			select {
			case up <- struct{}{}:
			default: // it will be said
			}
		},
		failed: func(error) {},
	})
	if err != nil {
		return nil, err
	}
	w := &welcomed{link: broker}
	ctx, w.cancel = context.WithCancel(ctx)
	w.work.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-up: // what cannot be said now is said on the next connection
				_ = broker.publish(ctx, message{topic: lwt, payload: []byte("Online"), qos: 1, retain: true})
			}
		}
	})
	return w, nil
}

// welcomed is a link with the goroutine that speaks whenever it is up.
type welcomed struct {
	link
	cancel context.CancelFunc
	work   sync.WaitGroup
}

func (w *welcomed) close() {
	w.cancel()
	w.work.Wait()
	w.link.close()
}

// publish sends one sample and counts what became of it. Waiting for an
// acknowledgement is bounded by the period, so that the schedule is kept.
func (t *Twin) publish(ctx context.Context, broker link, seq uint64, due time.Duration) {
	payload := tasmota(t.cfg.Source.Sample(seq, due), t.cfg.Source.Info().Kind, t.cfg.Now())
	bounded, cancel := context.WithTimeout(ctx, max(t.cfg.Source.Schedule().Period, 100*time.Millisecond))
	defer cancel()
	err := broker.publish(bounded, message{topic: t.Topic(), qos: t.cfg.QoS, payload: payload})
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
