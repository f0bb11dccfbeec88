package recorder

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"plumbline/devices/codec"
	"plumbline/devices/internal/intake"
	"plumbline/devices/mqttdev"
	"plumbline/devices/replay"
)

// MQTT records the messages of a topic filter, those that the broker has retained
// first, as Serial records a port. Config is as for mqttdev.Open. After a lost
// connection it comes back; what was published meanwhile is missing, and the
// recording says when that was, as of a port that was unplugged and plugged in again.
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
	breaks, before := uint64(0), false // of the link's goroutine until the device is closed
	cfg.Linked = func(up bool) {
		switch {
		case !up:
			breaks++
			k.event(replay.Event{Port: "unplugged"})
		case before:
			k.event(replay.Event{Port: "plugged"})
		}
		before = true
	}
	opening, opened := opts.opening(ctx)
	dev, err := mqttdev.Open(opening, cfg)
	opened()
	if err != nil {
		_, closed := k.close("the broker was not reached")
		return Summary{}, errors.Join(err, closed, os.Remove(opts.Path)) // there is nothing in it
	}
	opts.started()
	k.until(ctx, opts.For)
	closeErr := dev.Close()
	sum, err := k.close("")
	sum.Counters, sum.Breaks = dev.Counters(), breaks
	return sum, errors.Join(err, closeErr)
}
