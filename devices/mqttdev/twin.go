package mqttdev

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"plumbline/devices"
	"plumbline/devices/internal/intake"
	"plumbline/devices/mqttrule"
)

// TwinConfig describes a sensor program. Broker, Name and Source are required.
type TwinConfig struct {
	Broker   *url.URL
	TLS      *tls.Config
	Version  string // of MQTT, as in Config
	Username string
	Password []byte
	Name     string            // the device's name in its topics, for example "tasmota_A1B2C3"
	Family   string            // of mqttrule.Families: how it speaks; "" = as a Tasmota plug
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
	Published uint64 // samples, all messages of each
	Missed    uint64 // samples due while there was no connection, or not acknowledged within its period
	Connects  uint64
}

// Twin is a sensor program that publishes its own payload at its own period, as
// devices of its family do: where there is such a thing it says that it is there
// whenever it is connected, and its will says that it is gone.
type Twin struct {
	cfg    TwinConfig
	voice  voice          // used by who has speaks, but for Topics and Will
	speaks chan struct{}  // full while somebody does
	last   devices.Sample // likewise
	bornIn uint64         // likewise: the connection on which it said that it is there, from 1
	lost   atomic.Uint64  // connections: the one that is up has the number behind it

	mu    sync.Mutex
	stats TwinStats
}

// voice is how a family speaks; see mqttrule.Twin.
type voice interface {
	Will() mqttrule.Said
	Birth(first devices.Sample) []mqttrule.Said
	Say(s devices.Sample) []mqttrule.Said
	Topics(s devices.Sample) []string
	Silent() bool
}

// plug is the voice of a Tasmota plug: tele/NAME/SENSOR with JSON whose groups are
// those of the firmware, and tele/NAME/LWT retained with Online, by its will Offline
// (Tasmota documentation, "MQTT").
type plug struct {
	*mqttrule.Twin
	name, kind string
	now        func() time.Time
}

// Say implements voice.
func (p plug) Say(s devices.Sample) []mqttrule.Said {
	return []mqttrule.Said{{Topic: "tele/" + p.name + "/SENSOR", Payload: tasmota(s, p.kind, p.now())}}
}

// voiceOf returns how the twin speaks.
func voiceOf(cfg TwinConfig) (voice, error) {
	spoken, err := mqttrule.NewTwin(cmp.Or(cfg.Family, "tasmota"), cfg.Name, cfg.Now)
	if err != nil || cfg.Family != "" {
		return spoken, err
	}
	return plug{spoken, cfg.Name, cfg.Source.Info().Kind, cfg.Now}, nil
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
	speaker, err := voiceOf(cfg)
	if err != nil {
		return nil, fmt.Errorf("mqttdev: twin %q: %w", cfg.Name, err)
	}
	t := &Twin{cfg: cfg, voice: speaker, speaks: make(chan struct{}, 1)}
	texts := map[string]int{"user name": len(cfg.Username), "password": len(cfg.Password)}
	for _, topic := range append(t.Topics(), t.voice.Will().Topic) {
		texts["name in topics"] = max(texts["name in topics"], len(topic))
	}
	if err := errors.Join(checkVersion(cfg.Version), checkTexts(texts)); err != nil {
		return nil, err
	}
	return t, nil
}

// first is what it says before its first sample was due.
func (t *Twin) first() devices.Sample {
	return t.cfg.Source.Sample(1, t.cfg.Source.Schedule().Instant(1, t.cfg.Seed))
}

// Topics are those under which the sensor publishes its readings.
func (t *Twin) Topics() []string { return t.voice.Topics(t.first()) }

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
// there, and its will says so when it is not any more. A twin that ends is seen
// to be gone too.
func (t *Twin) connect(ctx context.Context) (link, error) {
	up := make(chan struct{}, 1)
	var last *message
	if will := t.voice.Will(); will.Topic != "" {
		last = &message{topic: will.Topic, payload: will.Payload, qos: 1, retain: will.Retain}
	}
	broker, err := newLink(linkConfig{
		broker: t.cfg.Broker, tls: t.cfg.TLS, version: t.cfg.Version, username: t.cfg.Username, password: t.cfg.Password,
		clientID: t.cfg.Name, retry: t.cfg.Retry, will: last,
		up: func(bool) {
			t.mu.Lock()
			t.stats.Connects++
			t.mu.Unlock()
			select {
			case up <- struct{}{}:
			default: // it will be said
			}
		},
		down:   func() { t.lost.Add(1) },
		failed: func(error) {},
	})
	if err != nil {
		return nil, err
	}
	w := &welcomed{link: broker}
	ctx, w.cancel = context.WithCancel(ctx)
	w.work.Go(func() { t.greet(ctx, broker, up) })
	return w, nil
}

// greet says on each connection that the sensor is there, until ctx ends. What
// cannot be said is said again.
func (t *Twin) greet(ctx context.Context, broker link, up <-chan struct{}) {
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-up:
		case <-again:
		}
		limited, cancel := context.WithTimeout(ctx, connectLimit)
		err := t.speak(limited, func() error { return t.born(limited, broker) })
		cancel()
		if again = nil; err != nil {
			again = time.After(t.cfg.Retry)
		}
	}
}

// born is the birth; the caller speaks.
func (t *Twin) born(ctx context.Context, broker link) error {
	connection := t.lost.Load() + 1
	if t.last.Seq == 0 {
		t.last = t.first()
	}
	for _, m := range t.voice.Birth(t.last) {
		if err := broker.publish(ctx, message{topic: m.Topic, payload: m.Payload, qos: 1, retain: m.Retain}); err != nil {
			return err
		}
	}
	t.bornIn = connection
	return nil
}

// speak calls say when nobody else speaks, or returns the error of ctx.
func (t *Twin) speak(ctx context.Context, say func() error) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case t.speaks <- struct{}{}:
	}
	defer func() { <-t.speaks }()
	return say()
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

// errUnborn says that nothing can be said before the birth.
var errUnborn = errors.New("it has not said that it is there")

// publish sends one sample and counts what became of it. Waiting for an
// acknowledgement is bounded by the period, so that the schedule is kept.
func (t *Twin) publish(ctx context.Context, broker link, seq uint64, due time.Duration) {
	bounded, cancel := context.WithTimeout(ctx, max(t.cfg.Source.Schedule().Period, 100*time.Millisecond))
	defer cancel()
	err := t.speak(bounded, func() error {
		t.last = t.cfg.Source.Sample(seq, due)
		if t.voice.Silent() && t.bornIn != t.lost.Load()+1 {
			return errUnborn
		}
		for _, m := range t.voice.Say(t.last) {
			if err := broker.publish(bounded, message{topic: m.Topic, qos: t.cfg.QoS, payload: m.Payload, retain: m.Retain}); err != nil {
				return err
			}
			if at := t.cfg.Clock(); t.cfg.OnPublish != nil {
				t.cfg.OnPublish(Published{Seq: seq, Due: due, At: at, Topic: m.Topic, Payload: m.Payload})
			}
		}
		return nil
	})
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.stats.Missed++
	} else {
		t.stats.Published++
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
