package recorder

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"plumbline/devices/codec"
	"plumbline/devices/internal/intake"
	"plumbline/devices/mqttdev"
	"plumbline/devices/replay"
)

// MQTT records the messages of a topic filter, those that the broker has retained
// first, as Serial records a port. Config is as for mqttdev.Open. After a lost
// connection it comes back; what was published meanwhile is missing, and the
// recording says when it was.
func MQTT(ctx context.Context, cfg mqttdev.Config, opts Options) (Summary, error) {
	clock := intake.Monotonic()
	version := cfg.Version
	if version == "" {
		version = mqttdev.Versions()[0]
	}
	cfg.QoS = 1
	if version == "5" {
		cfg.QoS = 2
	}
	h := replay.Header{Codec: codec.Payload{}.Name(), Device: cfg.Model, Settings: replay.Settings{MQTT: version, QoS: cfg.QoS}}
	if cfg.Broker != nil {
		h.Source = cfg.Broker.Scheme + "://" + cfg.Broker.Host + "#" + cfg.Filter // no user: some brokers take a token there
	}
	k, err := newKeeper(opts, h, codec.Payload{}, clock)
	if err != nil {
		return Summary{}, err
	}
	var taken atomic.Uint64
	cfg.Clock, cfg.KeepRetained = clock, true
	cfg.Tap = func(m mqttdev.Message) {
		n := taken.Add(1)
		if opts.Until > 0 && n > opts.Until {
			return
		}
		k.message(m.At, replay.Message{Topic: m.Topic, QoS: m.QoS, Retain: m.Retain}, m.Payload)
		if n == opts.Until {
			k.end(fmt.Sprintf("%d messages are there", n))
		}
	}
	opening, opened := opts.opening(ctx)
	dev, err := mqttdev.Open(opening, cfg)
	opened()
	if err != nil {
		_, closed := k.close("the broker was not reached")
		return Summary{}, errors.Join(err, closed, os.Remove(opts.Path)) // there is nothing in it
	}
	opts.started()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		watchLink(dev, k)
	}()
	k.until(ctx, opts.For)
	<-watched
	closeErr := dev.Close()
	sum, err := k.close("")
	sum.Counters = dev.Counters()
	return sum, errors.Join(err, closeErr)
}

// linkEvery is how often is looked whether the connection was another meanwhile.
const linkEvery = 100 * time.Millisecond

// watchLink keeps when the connection came back, until the recording ends.
func watchLink(dev *mqttdev.Device, k *keeper) {
	tick := time.NewTicker(linkEvery)
	defer tick.Stop()
	for before := dev.Stats().Connects; ; {
		select {
		case <-k.ended:
			return
		case <-tick.C:
		}
		if now := dev.Stats().Connects; now != before {
			before = now
			k.event(replay.Event{Port: "plugged"})
		}
	}
}
