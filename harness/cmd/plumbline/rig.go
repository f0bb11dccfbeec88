package main

import (
	"fmt"

	"github.com/goccy/go-yaml"

	"plumbline/harness"
	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/harness/cmd/plumbline/internal/source"
	"plumbline/reports"
)

// inputs returns the declared devices: those of the rig file, then those of
// --device. None at all leaves the built-in mix.
func (f *campaignFlags) inputs() ([]harness.DeviceSpec, error) {
	var all []harness.DeviceSpec
	if f.rig != "" {
		specs, err := harness.LoadDevices(f.rig)
		if err != nil {
			return nil, exit.Usage(err, "plumbline devices prints entries for a rig file")
		}
		all = specs
	}
	for i, text := range f.devices {
		s, err := source.Parse(text)
		if err != nil {
			return nil, exit.Usage(fmt.Errorf("--device: %w", err), "plumbline watch --help shows the forms")
		}
		d, err := declare(s, fmt.Sprintf("%s-%d", s.Kind, i+1))
		if err != nil {
			return nil, exit.Usage(fmt.Errorf("--device %q: %w", text, err), "")
		}
		for _, other := range all {
			if other.ID == d.ID {
				return nil, exit.Usage(fmt.Errorf("--device %q: there is a device %q already", text, d.ID), "give it another ?id=")
			}
		}
		all = append(all, d)
	}
	return all, nil
}

// kindOf translates the short form into the words of a rig file.
var kindOf = map[string]string{
	"sim": harness.KindTwin, "host": harness.KindHost, "serial": harness.KindSerial, "replay": harness.KindRecording,
}

// declare turns a short description into a declared device. It goes through
// the text of a rig file, so that both are checked by the same rules.
func declare(s source.Spec, id string) (harness.DeviceSpec, error) {
	kind, known := kindOf[s.Kind]
	if !known {
		return harness.DeviceSpec{}, fmt.Errorf("a %s device publishes to the broker of the system under test; declare it in a rig file with its topic", s.Kind)
	}
	if s.ID != "" {
		id = s.ID
	}
	d := harness.DeviceSpec{ID: id, Kind: kind, Codec: s.Codec}
	switch s.Kind {
	case "sim":
		d.Model = s.What
	case "serial":
		d.Port, d.Baud, d.LineSettings = s.What, s.Baud, s.Line
	case "replay":
		d.Path, d.Speed = s.What, s.Speed
	}
	text, err := yaml.Marshal(map[string]any{"apiVersion": "plumbline/v1", "kind": "Rig", "name": "command line", "devices": []harness.DeviceSpec{d}})
	if err != nil {
		return d, err
	}
	specs, err := harness.ParseDevices("command line", text)
	if err != nil {
		return d, err
	}
	return specs[0], nil
}

// modeOf says what a declared device is.
func modeOf(d harness.DeviceSpec) reports.Mode {
	switch d.Kind {
	case harness.KindHost, harness.KindSerial, harness.KindMQTT:
		return reports.ModeReal
	case harness.KindRecording:
		return reports.ModeReplay
	case harness.KindSerialTwin:
		if d.Path != "" {
			return reports.ModeReplay
		}
	}
	return reports.ModeSim
}
