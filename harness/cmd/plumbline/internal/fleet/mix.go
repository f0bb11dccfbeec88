// Package fleet declares what the devices of a fleet do, and runs one in a process
// of its own.
package fleet

import (
	"fmt"
	"os"
	"time"

	"plumbline/devices/mqttdev"
	"plumbline/harness/strictyaml"
)

// mixFile is a file that declares a fleet:
//
//	apiVersion: plumbline/v1
//	kind: Fleet
//	name: house
//	groups:
//	  - {share: 0.9, period: 10s, payload: [64, 256]}
//	  - {share: 0.1, period: 5s, qos: 1, payload: [200, 2000], will: true, reconnect: 20, abrupt: true}
type mixFile struct {
	APIVersion string      `yaml:"apiVersion"`
	Kind       string      `yaml:"kind"`
	Name       string      `yaml:"name"`
	Groups     []groupFile `yaml:"groups"`
}

type groupFile struct {
	Share     float64       `yaml:"share"`     // of the devices; all sum to 1
	Period    time.Duration `yaml:"period"`    // between two messages of a device
	QoS       int           `yaml:"qos"`       // 0 or 1
	Payload   []int         `yaml:"payload"`   // bytes: [least, most]
	Retain    bool          `yaml:"retain"`    // messages are retained
	Will      bool          `yaml:"will"`      // a last will, and a word at each connection
	Reconnect int           `yaml:"reconnect"` // after so many messages; 0 = never
	Abrupt    bool          `yaml:"abrupt"`    // without DISCONNECT
}

// Usual is the mix of a fleet that nobody has declared: 0.1 messages a second from
// each device, two kinds of QoS, payloads of 64 bytes to 8 KiB, wills, and one in
// a hundred that connects anew after every message, half of them without a word.
func Usual() []mqttdev.Group {
	const period = 10 * time.Second
	return []mqttdev.Group{
		{Share: 0.60, Period: period, Least: 64, Most: 256},
		{Share: 0.29, Period: period, QoS: 1, Least: 64, Most: 1024},
		{Share: 0.09, Period: period, QoS: 1, Least: 200, Most: 600, Will: true},
		{Share: 0.01, Period: period, QoS: 1, Least: 4096, Most: 8192, Retain: true, Will: true},
		{Share: 0.005, Period: period, QoS: 1, Least: 64, Most: 256, Reconnect: 1, Will: true},
		{Share: 0.005, Period: period, QoS: 1, Least: 64, Most: 256, Reconnect: 1, Will: true, Abrupt: true},
	}
}

// Load reads the mix of a file; "" is Usual. What the groups say is checked by
// mqttdev.NewFleet.
func Load(path string) ([]mqttdev.Group, error) {
	if path == "" {
		return Usual(), nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var f mixFile
	if _, err := strictyaml.Decode(path, text, &f); err != nil {
		return nil, err
	}
	if f.APIVersion != "plumbline/v1" || f.Kind != "Fleet" {
		return nil, fmt.Errorf("%s: apiVersion %q, kind %q: must be plumbline/v1 and Fleet", path, f.APIVersion, f.Kind)
	}
	groups := make([]mqttdev.Group, len(f.Groups))
	for i, g := range f.Groups {
		if g.QoS < 0 || g.QoS > 1 || len(g.Payload) != 0 && len(g.Payload) != 2 {
			return nil, fmt.Errorf("%s: group %d: qos must be 0 or 1, payload [least, most]", path, i+1)
		}
		groups[i] = mqttdev.Group{Share: g.Share, Period: g.Period, QoS: byte(g.QoS), Retain: g.Retain, Will: g.Will, Reconnect: g.Reconnect, Abrupt: g.Abrupt}
		if len(g.Payload) == 2 {
			groups[i].Least, groups[i].Most = g.Payload[0], g.Payload[1]
		}
	}
	return groups, nil
}
