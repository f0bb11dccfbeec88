package harness

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"plumbline/devices"
	"plumbline/devices/mqttdev"
	"plumbline/devices/mqttrule"
	"plumbline/devices/simulated"
)

// tasmota is the family of a twin that names none.
var tasmota = mqttrule.Tasmota{}.Name()

// voice is the twin of a device as its family speaks.
func (d *DeviceSpec) voice() (*mqttrule.Twin, error) {
	return mqttrule.NewTwin(cmp.Or(d.Rule, tasmota), d.ID, nil)
}

// checkVoice says what is wrong with how a twin speaks.
func (d *DeviceSpec) checkVoice() (key, problem string) {
	if _, err := d.voice(); err != nil {
		return "rule", err.Error()
	}
	for _, topic := range append(d.ownTopics(), d.StateTopics()...) {
		for _, root := range []string{TopicRoot, CommandRoot} {
			if strings.HasPrefix(topic, root+"/") {
				return "id", fmt.Sprintf("makes the twin publish under %q, which is the harness's; take another", topic)
			}
		}
	}
	return "", ""
}

// ownTopics returns what a sensor that publishes by itself publishes its readings
// under; none for all others.
func (d *DeviceSpec) ownTopics() []string {
	if d.Kind != KindMQTTTwin {
		if d.Topic == "" {
			return nil
		}
		return []string{d.Topic}
	}
	voice, err := d.voice()
	source, failed := d.source(0)
	if err != nil || failed != nil {
		return nil // the file was refused for it
	}
	return voice.Topics(source.Sample(1, 0))
}

// source is what the twin of a sensor measures.
func (d *DeviceSpec) source(seed uint64) (*simulated.Twin, error) {
	return simulated.New(simulated.Power, d.ID, seed, simulated.Options{Period: d.period})
}

// openMQTTTwin lets a twin publish by itself.
func openMQTTTwin(_ context.Context, s *sources, b *Bench, d DeviceSpec) error {
	sensor, info, err := b.newSensor(d)
	if err != nil {
		return err
	}
	topics := sensor.Topics()
	info.Kind, info.Path, info.Note = KindMQTTTwin, strings.Join(topics, " "), "publishes by itself, as a device of "+cmp.Or(d.Rule, tasmota)+" does"
	if d.Rule == "" {
		info.Note = "publishes by itself, as a Tasmota plug does"
	}
	s.watchTopics(b, info, topics, 1)
	s.players = append(s.players, sensor.Run)
	return nil
}

// newSensor makes the twin of a sensor that publishes by itself.
func (b *Bench) newSensor(d DeviceSpec) (*mqttdev.Twin, devices.Info, error) {
	source, err := d.source(b.seed(d.ID))
	if err != nil {
		return nil, devices.Info{}, err
	}
	username, password := b.SUT.BrokerAuth()
	sensor, err := mqttdev.NewTwin(mqttdev.TwinConfig{
		Broker: b.SUT.Broker(), Version: b.SUT.BrokerVersion(), TLS: b.SUT.BrokerTLS(), Username: username, Password: []byte(password),
		Name: d.ID, Family: d.Rule, Source: source, Seed: b.seed(d.ID), QoS: 1, Clock: b.Clock.Since,
	})
	return sensor, source.Info(), err
}

// StateWord returns what the twin of a sensor says when it is there or gone, as far
// as that is the same each time; nil for what is not, and for what is no twin.
func (d *DeviceSpec) StateWord(online bool) []byte {
	voice, err := d.voice()
	if d.Kind != KindMQTTTwin || err != nil {
		return nil
	}
	if !online {
		return voice.Will().Payload
	}
	for _, m := range voice.Birth(devices.Sample{}) {
		if m.Topic == voice.Will().Topic { // a birth of Sparkplug B, which has a topic of its own, holds the time
			return m.Payload
		}
	}
	return nil
}
