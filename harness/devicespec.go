package harness

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"

	"plumbline/devices/inventory"
	"plumbline/devices/mqttrule"
	"plumbline/devices/remoteport"
	"plumbline/devices/serialline"
	"plumbline/devices/simulated"
	"plumbline/devices/virtual"
	"plumbline/harness/strictyaml"
)

// Kinds of declared devices.
const (
	KindTwin       = "twin"        // a computed sensor, published by the harness
	KindHost       = "host"        // this machine's own CPU, memory, temperature and network
	KindSerial     = "serial"      // a sensor on a serial port
	KindSerialTwin = "serial-twin" // a twin or a recording that speaks over a pseudo terminal
	KindRecording  = "recording"   // a recording, played by the harness
	KindMQTT       = "mqtt"        // a sensor that publishes to the broker by itself
	KindMQTTTwin   = "mqtt-twin"   // a twin of such a sensor
	KindNodeTwin   = "node-twin"   // a computed twin of such a node on a pseudo terminal: the first tier of the virtual bench
	KindGuestTwin  = "guest-twin"  // a node-twin on a USB adapter of a Linux guest, read by the driver of its kernel: the third tier of the virtual bench
	KindFirmware   = "firmware"    // firmware on an emulated board, read over a serial port: the second tier of the virtual bench
)

// DeviceSpec declares one device of a rig. Which keys matter depends on Kind.
type DeviceSpec struct {
	ID     string  `yaml:"id"`               // unique; the last part of the topic
	Kind   string  `yaml:"kind"`             // one of the kinds above
	Model  string  `yaml:"model,omitempty"`  // maker and model, for the report; twin: temperature, vibration, gps, power, door; guest-twin: ftdi_sio or cdc_acm
	Serial string  `yaml:"serial,omitempty"` // serial number, for the report; guest-twin: that of its adapter
	Port   string  `yaml:"port,omitempty"`   // serial: selector of the port (see inventory.Selector), a path that lasts, rfc2217:// or tcp://HOST:PORT
	Baud   int     `yaml:"baud,omitempty"`   // serial, serial-twin, node-twin, guest-twin; 0 means 9600
	Codec  string  `yaml:"codec,omitempty"`  // serial, serial-twin, recording: a name such as sds011, or a file (see codecfile); "" means nmea0183
	Path   string  `yaml:"path,omitempty"`   // recording, serial-twin: the file; "" plays the built-in one
	Speed  float64 `yaml:"speed,omitempty"`  // recording: 2 is twice as fast; 0 means 1
	Period string  `yaml:"period,omitempty"` // twin, host, mqtt-twin, node-twin, guest-twin, firmware: "500ms"; "" means what is usual for it
	Topic  string  `yaml:"topic,omitempty"`  // mqtt: what the sensor publishes under
	Drift  float64 `yaml:"drift,omitempty"`  // node-twin, guest-twin: how much faster than ours its clock runs, within ±0.5
	Rule   string  `yaml:"rule,omitempty"`   // mqtt: its family, see mqttrule; says where its availability or last will comes. mqtt-twin: how it speaks; "" means as a Tasmota plug
	// Availability is where an mqtt sensor says "online" or "offline", when its rule does not tell.
	Availability string `yaml:"availability,omitempty"`
	// Optional lets a run go on without the device when it is absent, held by
	// another or its recording is not whole; the report then names it. For serial,
	// firmware, guest-twin and what has a path; no other device can be tried before.
	Optional bool `yaml:"optional,omitempty"`

	LineSettings `yaml:",inline"` // serial, and in part serial-twin and guest-twin
	BoardSpec    `yaml:",inline"` // serial

	period time.Duration
}

// rigFile is the form of a rig file.
type rigFile struct {
	APIVersion string       `yaml:"apiVersion"`
	Kind       string       `yaml:"kind"`
	Name       string       `yaml:"name"`
	Devices    []DeviceSpec `yaml:"devices"`
}

// LoadDevices reads the devices of a rig file. Errors name file, line and mend.
func LoadDevices(path string) ([]DeviceSpec, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("harness: rig file: %w", err)
	}
	return ParseDevices(path, data)
}

// ParseDevices reads the text of a rig file; file is used in errors.
func ParseDevices(file string, data []byte) ([]DeviceSpec, error) {
	var raw rigFile
	doc, err := strictyaml.Decode(file, data, &raw)
	if err != nil {
		return nil, fmt.Errorf("harness: %w", err)
	}
	fail := func(path []any, format string, args ...any) ([]DeviceSpec, error) {
		return nil, fmt.Errorf("harness: %w", doc.Errorf(path, format, args...))
	}
	switch {
	case raw.APIVersion != "plumbline/v1":
		return fail([]any{"apiVersion"}, "is %q; this program reads %q", raw.APIVersion, "plumbline/v1")
	case raw.Kind != "Rig":
		return fail([]any{"kind"}, "is %q; a rig file says %q", raw.Kind, "Rig")
	case len(raw.Devices) == 0:
		return fail([]any{"devices"}, "declares no device; plumbline devices prints what is plugged in")
	}
	guests := 0
	seen, topics, adapters := map[string]int{}, map[string]int{}, map[string]int{}
	for i := range raw.Devices {
		d := &raw.Devices[i]
		if key, problem := d.check(); problem != "" {
			return fail([]any{"devices", i, key}, "%s", problem)
		}
		if at, problem := d.checkBoard(); problem != "" {
			return fail(append([]any{"devices", i}, at...), "%s", problem)
		}
		if first, twice := seen[d.ID]; twice {
			return fail([]any{"devices", i, "id"}, "%q is the id of device %d already; ids are unique in a rig", d.ID, first+1)
		}
		seen[d.ID] = i
		for _, topic := range d.ownTopics() {
			if first, twice := topics[topic]; twice {
				return fail([]any{"devices", i}, "publishes under %q, as device %d does already; nobody could tell them apart", topic, first+1)
			}
			topics[topic] = i
		}
		if d.Kind != KindGuestTwin {
			continue
		}
		if first, twice := adapters[d.Serial]; twice && d.Serial != "" {
			return fail([]any{"devices", i, "serial"}, "%q is the adapter of device %d already; nobody could tell them apart after a replug", d.Serial, first+1)
		}
		adapters[d.Serial] = i
		if guests++; guests > virtual.GuestSockets {
			return fail([]any{"devices", i}, "is guest-twin %d; the hub of the guest has %d sockets", guests, virtual.GuestSockets)
		}
	}
	return raw.Devices, nil
}

// keysOf lists the keys that a kind understands beside id, kind, model, serial.
var keysOf = map[string][]string{
	KindTwin:       {"period"},
	KindHost:       {"period"},
	KindSerial:     slices.Concat([]string{"port", "baud", "codec"}, lineKeys, boardKeys),
	KindSerialTwin: append([]string{"baud", "path", "codec"}, twinKeys...),
	KindRecording:  {"path", "speed", "codec"},
	KindMQTT:       {"topic", "rule", "availability"},
	KindMQTTTwin:   {"period", "rule"},
	KindFirmware:   {"period"},
	KindNodeTwin:   {"period", "baud", "drift"},
	KindGuestTwin:  append([]string{"period", "baud", "drift"}, twinKeys...),
}

// check returns the key and what is wrong with it, "" when nothing is.
func (d *DeviceSpec) check() (key, problem string) {
	keys, known := keysOf[d.Kind]
	switch {
	case d.ID == "" || strings.ContainsAny(d.ID, "/+#") || strings.ContainsFunc(d.ID, notInTopics):
		return "id", fmt.Sprintf("%q is no device id; it becomes a level of a topic, so no blank, '/', '+' or '#'", d.ID)
	case len(d.ID) > screenName:
		return "id", fmt.Sprintf("%q… has %d bytes; screens know a device by %d at most: shorten it", strings.ToValidUTF8(d.ID[:32], ""), len(d.ID), screenName)
	case !known:
		return "kind", fmt.Sprintf("%q is no kind of device; choose one of %s", d.Kind, strings.Join(kinds(), ", "))
	}
	given := d.LineSettings.given()
	maps.Copy(given, d.BoardSpec.given())
	for name, is := range map[string]bool{
		"port": d.Port != "", "baud": d.Baud != 0, "codec": d.Codec != "", "path": d.Path != "",
		"speed": d.Speed != 0, "period": d.Period != "", "topic": d.Topic != "", "rule": d.Rule != "", "availability": d.Availability != "", "drift": d.Drift != 0,
	} {
		given[name] = is
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if given[name] && !slices.Contains(keys, name) {
			return name, fmt.Sprintf("a device of kind %q has no such setting; it takes %s", d.Kind, strings.Join(keys, ", "))
		}
	}
	if d.Optional && !d.mayBeAbsent() {
		return "optional", fmt.Sprintf("says nothing of a device of kind %q: that it is absent cannot be found before the run; leave it out", d.Kind)
	}
	return d.checkValues()
}

// mayBeAbsent reports whether a look before the run can find that the device is not
// there, see tryDevice.
func (d *DeviceSpec) mayBeAbsent() bool {
	return d.Path != "" || slices.Contains([]string{KindSerial, KindFirmware, KindGuestTwin}, d.Kind)
}

// notInTopics reports whether the harness takes no such character in a topic.
func notInTopics(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }

// checkValues is check for what the keys say.
func (d *DeviceSpec) checkValues() (key, problem string) {
	switch {
	case d.Kind == KindSerial && d.Port == "":
		return "port", "must be given; plumbline devices prints the ports that are plugged in"
	case inventory.Numbered(d.Port):
		return "port", fmt.Sprintf("%q means another device after the next replug; take the selector that plumbline devices prints for it", d.Port)
	case d.Kind == KindMQTT && (d.Topic == "" || strings.ContainsAny(d.Topic, "+#") || strings.ContainsFunc(d.Topic, unicode.IsControl)):
		return "topic", fmt.Sprintf("%q must be the one topic that the sensor publishes under, without wildcards", d.Topic)
	case strings.HasPrefix(d.Topic, TopicRoot+"/"):
		return "topic", fmt.Sprintf("%q lies under %q, where the harness itself publishes", d.Topic, TopicRoot)
	case d.Baud != 0 && (d.Baud < serialline.MinBaud || d.Baud > serialline.MaxBaud):
		return "baud", fmt.Sprintf("%d is no baud rate; it must be %d to %d", d.Baud, serialline.MinBaud, serialline.MaxBaud)
	case !(d.Speed >= 0 && d.Speed <= maxSpeed):
		return "speed", fmt.Sprintf("%v is not between 0 and %d", d.Speed, maxSpeed)
	case !(d.Drift >= -0.5 && d.Drift <= 0.5):
		return "drift", fmt.Sprintf("%v is not between -0.5 and 0.5", d.Drift)
	case d.Kind == KindTwin && d.Model != "" && !slices.Contains(simulated.Kinds(), simulated.Kind(d.Model)):
		return "model", fmt.Sprintf("%q is no twin; choose one of %v", d.Model, simulated.Kinds())
	}
	if d.Kind == KindGuestTwin {
		if key, problem := d.checkAdapter(); problem != "" {
			return key, problem
		}
	}
	if d.Kind == KindMQTT {
		if key, problem := d.checkState(); problem != "" {
			return key, problem
		}
	}
	if d.Kind == KindMQTTTwin {
		if key, problem := d.checkVoice(); problem != "" {
			return key, problem
		}
	}
	if d.Kind == KindSerial {
		if err := checkPort(d.Port); err != nil {
			return "port", err.Error()
		}
	}
	if problem := d.checkCodec(); problem != "" {
		return "codec", problem
	}
	if key, problem := d.LineSettings.check(d.Port); problem != "" {
		return key, problem
	}
	if p, err := protocolOf(d.Codec); err == nil && p.Poll != nil && d.ModemReadings {
		return "modemReadings", "come with what a device says by itself; this one is asked"
	}
	return d.checkPeriod()
}

// checkState says what is wrong with how the state of a sensor is told.
func (d *DeviceSpec) checkState() (key, problem string) {
	if strings.ContainsAny(d.Availability, "+#") || strings.ContainsFunc(d.Availability, unicode.IsControl) || d.Availability != "" && d.Availability == d.Topic {
		return "availability", fmt.Sprintf("%q must be the one topic under which the sensor says that it is online or offline, without wildcards", d.Availability)
	}
	if strings.HasPrefix(d.Availability, TopicRoot+"/") {
		return "availability", fmt.Sprintf("%q lies under %q, where the harness itself publishes", d.Availability, TopicRoot)
	}
	if d.Rule == "" {
		return "", ""
	}
	rule, err := mqttrule.ByName(d.Rule)
	switch {
	case err != nil:
		return "rule", err.Error()
	case d.Availability == "" && len(mqttrule.StateTopics(rule, d.Topic)) == 0:
		return "rule", fmt.Sprintf("%s does not tell where a sensor with the topic %q says that it is online; add availability with that topic, or leave the rule out", d.Rule, d.Topic)
	}
	return "", ""
}

// checkPort says what is wrong with the selector or address of a port.
func checkPort(text string) error {
	if remoteport.Is(text) {
		return remoteport.Check(text)
	}
	_, err := inventory.ParseSelector(text)
	return err
}

// checkCodec says what is wrong with what a device is said to speak.
func (d *DeviceSpec) checkCodec() string {
	p, err := protocolOf(d.Codec)
	switch {
	case err != nil:
	case d.Kind == KindRecording || d.Path != "":
		_, err = p.Played()
	case d.Kind == KindSerial, d.Kind == KindSerialTwin:
		err = p.OnALine()
	}
	if err == nil && d.Kind == KindSerialTwin && d.Path == "" && p.Codec != nil {
		_, _, err = simulated.Speak(p.Codec, d.ID, 1, simulated.Options{}, nil)
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// maxSpeed is how many times faster a recording may be played at most.
const maxSpeed = 1000

func (d *DeviceSpec) checkPeriod() (key, problem string) {
	if d.Period == "" {
		return "", ""
	}
	period, err := time.ParseDuration(d.Period)
	if err != nil || period < time.Millisecond || period > time.Hour {
		return "period", fmt.Sprintf("%q is no time between 1ms and 1h; write for example \"500ms\"", d.Period)
	}
	if (d.Kind == KindFirmware || d.Kind == KindNodeTwin || d.Kind == KindGuestTwin) && (period < 10*time.Millisecond || period > time.Minute) {
		return "period", fmt.Sprintf("%q is not between 10ms and 1m, which the firmware takes", d.Period)
	}
	d.period = period
	return "", ""
}

func kinds() []string {
	names := make([]string, 0, len(keysOf))
	for name := range keysOf {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// DefaultDevices is the real-input mix of a machine with no sensor plugged in:
// its own sensors, an NMEA receiver on a pseudo terminal, a recording and a
// sensor that publishes by itself. The recording is one from the folder that
// the environment variable PLUMBLINE_DATA names, when there is one.
func DefaultDevices() []DeviceSpec {
	return []DeviceSpec{
		{ID: "host", Kind: KindHost, Period: "200ms", period: 200 * time.Millisecond},
		{ID: "gps-pty", Kind: KindSerialTwin, Baud: 9600},
		{ID: "recording", Kind: KindRecording, Path: dataFile()},
		{ID: "tasmota", Kind: KindMQTTTwin, Period: "250ms", period: 250 * time.Millisecond},
	}
}
