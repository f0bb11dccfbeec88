// Package source reads the short device descriptions of the command line, such
// as "sim:temperature" or "serial:usb:0403:6001:SN-A?baud=9600&codec=nmea0183", and
// opens what they name as one stream of samples.
package source

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"plumbline/devices/inventory"
	"plumbline/devices/remoteport"
	"plumbline/devices/serialline"
	"plumbline/harness"
	"plumbline/harness/strictyaml"
)

// ErrSpec marks a description that cannot be understood.
var ErrSpec = errors.New("wrong device description")

// Spec is a parsed description. What does not concern its kind is zero.
type Spec struct {
	Kind  string               // sim, host, serial, replay or mqtt
	What  string               // sim: kind of twin; serial: selector, path or address of the port; replay: file; mqtt: topic filter
	ID    string               // name of the device; "" lets the driver choose
	Codec string               // serial and replay; "" is the driver's default
	Baud  int                  // serial; 0 is the driver's default
	Line  harness.LineSettings // serial, but for RS-485
	Seed  uint64               // sim; 0 is 1
	Speed float64
	Rule  string   // mqtt: family of the sensors, such as sparkplug-b; "" takes any payload
	URL   *url.URL // mqtt: broker, without topic
}

// forms shows one example of each kind, in the order they are explained.
var forms = []struct{ kind, example string }{
	{"sim", "sim:temperature"},
	{"host", "host:"},
	{"serial", "serial:usb:0403:6001:SN-A?baud=9600&codec=nmea0183"},
	{"replay", "replay:track.nmea"},
	{"mqtt", "mqtt://127.0.0.1:1883#tele/+/SENSOR"},
}

// options lists the query keys of each kind.
var options = map[string][]string{
	"sim":    {"id", "seed"},
	"host":   {"id"},
	"serial": {"id", "baud", "codec", "dataBits", "parity", "stopBits", "dtr", "rts", "break", "modemReadings"},
	"replay": {"id", "codec", "speed"},
	"mqtt":   {"id", "rule"},
}

// Examples returns one description of each kind.
func Examples() []string {
	out := make([]string, len(forms))
	for i, f := range forms {
		out[i] = f.example
	}
	return out
}

// Parse reads a description. Errors are ErrSpec and say what is expected.
func Parse(text string) (Spec, error) {
	scheme, rest, found := strings.Cut(text, ":")
	if !found {
		return Spec{}, fmt.Errorf("%w %q: no kind; give one of %s", ErrSpec, masked(text), strings.Join(Examples(), ", "))
	}
	if scheme == "mqtt" || scheme == "mqtts" {
		return parseMQTT(text)
	}
	allowed, known := options[scheme]
	if !known {
		return Spec{}, fmt.Errorf("%w %q: unknown kind %q%s; give one of %s", ErrSpec, masked(text), scheme,
			meant(scheme, kinds()), strings.Join(Examples(), ", "))
	}
	what, query, _ := strings.Cut(rest, "?")
	s := Spec{Kind: scheme, What: what, Seed: 1, Speed: 1}
	if what == "" && scheme != "host" {
		return Spec{}, fmt.Errorf("%w %q: nothing after %q, for example %s", ErrSpec, masked(text), scheme+":", example(scheme))
	}
	if what != "" && scheme == "host" {
		return Spec{}, fmt.Errorf("%w %q: all sensors of this machine come as one device, written %q", ErrSpec, masked(text), "host:")
	}
	if scheme == "serial" {
		if err := checkPort(what); err != nil {
			return Spec{}, fmt.Errorf("%w: %w", ErrSpec, err)
		}
	}
	if err := s.set(text, query, allowed); err != nil {
		return s, err
	}
	cfg := serialline.Config{Port: what}
	s.Line.Configure(&cfg)
	if err := cfg.Check(); err != nil {
		return s, fmt.Errorf("%w %q: %w", ErrSpec, masked(text), err)
	}
	return s, nil
}

// masked is a description for an error, without what may be a secret: what stands
// before an @, a password or a token in the place of a user's name, and the value of
// an option that does not exist, with all that follows it.
func masked(text string) string {
	if start, end := strings.Index(text, ":"), strings.LastIndex(text, "@"); end > start {
		text = text[:start+1] + "…" + text[end:]
	}
	for at := 0; ; {
		next := strings.IndexAny(text[at:], "?&")
		if next < 0 {
			return text
		}
		at += next + 1
		name, _, given := strings.Cut(text[at:], "=")
		if given && !strings.ContainsAny(name, "#&") && !isOption(name) {
			return text[:at+len(name)] + "=…"
		}
	}
}

// isOption reports whether any kind takes an option of that name.
func isOption(name string) bool {
	for _, known := range options {
		if slices.Contains(known, name) {
			return true
		}
	}
	return false
}

// checkPort says what is wrong with the selector or address of a port.
func checkPort(text string) error {
	if remoteport.Is(text) {
		return remoteport.Check(text)
	}
	_, err := inventory.ParseSelector(text)
	return err
}

func parseMQTT(text string) (Spec, error) {
	u, err := url.Parse(text)
	if err != nil {
		// What the library says repeats the text, and of what follows a user's name a part.
		return Spec{}, fmt.Errorf("%w: this is no address of a broker, for example %s; in a user's name and in topics %%20 stands for a blank", ErrSpec, example("mqtt"))
	}
	if u.Host == "" {
		return Spec{}, fmt.Errorf("%w %q: no broker, for example %s", ErrSpec, masked(text), example("mqtt"))
	}
	if u.User != nil {
		if _, secret := u.User.Password(); secret {
			return Spec{}, fmt.Errorf("%w: a password on the command line can be read by every user of this machine; use a rig file with passwordFile", ErrSpec)
		}
	}
	// A fragment is kept as it was typed: "#" and "+" are MQTT wildcards.
	filter := "#"
	if _, fragment, found := strings.Cut(text, "#"); found && fragment != "" {
		filter = fragment
	}
	s := Spec{Kind: "mqtt", What: filter, URL: &url.URL{Scheme: u.Scheme, Host: u.Host, User: u.User}}
	return s, s.set(text, u.RawQuery, options["mqtt"])
}

// set fills the options of the description, in the order in which they stand: behind
// one that does not exist may stand the rest of a password with an & in it, which an
// error must not name.
func (s *Spec) set(text, query string, allowed []string) error {
	given := map[string]bool{}
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		key, value, _ := strings.Cut(pair, "=")
		key, err := url.QueryUnescape(key)
		if err != nil {
			return fmt.Errorf("%w %q: the name of an option has a %% that begins no character; write %%25 for it", ErrSpec, masked(text))
		}
		if !slices.Contains(allowed, key) {
			return fmt.Errorf("%w %q: unknown option %q%s; %s takes %s", ErrSpec, masked(text), key, meant(key, allowed), s.Kind, strings.Join(allowed, ", "))
		}
		value, err = url.QueryUnescape(value)
		switch {
		case err != nil:
			return fmt.Errorf("%w %q: option %q has a %% that begins no character; write %%25 for it", ErrSpec, masked(text), key)
		case given[key]:
			return fmt.Errorf("%w %q: option %q is given twice", ErrSpec, masked(text), key)
		}
		given[key] = true
		if err := s.option(key, value); err != nil {
			return fmt.Errorf("%w %q: option %s=%q: %w", ErrSpec, masked(text), key, value, err)
		}
	}
	return nil
}

func (s *Spec) option(key, value string) (err error) {
	switch key {
	case "id":
		s.ID = value
	case "codec":
		s.Codec = value
	case "rule":
		s.Rule = value
	case "seed":
		if s.Seed, err = strconv.ParseUint(value, 10, 64); err != nil {
			err = errors.New("a seed is a whole number from 0 on")
		}
	case "baud":
		if s.Baud, err = strconv.Atoi(value); err != nil || s.Baud <= 0 {
			err = errors.New("a baud rate is a positive whole number")
		}
	case "dataBits", "parity", "stopBits", "dtr", "rts", "break", "modemReadings":
		return s.line(key, value)
	case "speed":
		if s.Speed, err = strconv.ParseFloat(strings.TrimSuffix(value, "x"), 64); err != nil || !(s.Speed > 0 && s.Speed <= maxSpeed) {
			err = fmt.Errorf("a speed is above 0 and at most %d", maxSpeed)
		}
	}
	return err
}

// line sets what is told a serial port beside its speed.
func (s *Spec) line(key, value string) (err error) {
	number := func(into *int) {
		if *into, err = strconv.Atoi(value); err != nil {
			err = errors.New("must be a whole number")
		}
	}
	onOff := func() bool {
		on, wrong := strconv.ParseBool(value)
		if wrong != nil {
			err = errors.New("must be true or false")
		}
		return on
	}
	switch key {
	case "dataBits":
		number(&s.Line.DataBits)
	case "stopBits":
		number(&s.Line.StopBits)
	case "parity":
		s.Line.Parity = value
	case "dtr":
		on := onOff()
		s.Line.DTR = &on
	case "rts":
		on := onOff()
		s.Line.RTS = &on
	case "modemReadings":
		s.Line.ModemReadings = onOff()
	case "break":
		if s.Line.Break, err = time.ParseDuration(value); err != nil {
			err = errors.New("must be a time with its unit, for example 250ms")
		}
	}
	return err
}

// maxSpeed bounds how much faster than life a recording is played.
const maxSpeed = 1_000_000

func kinds() []string {
	out := make([]string, len(forms))
	for i, f := range forms {
		out[i] = f.kind
	}
	return out
}

func example(kind string) string {
	for _, f := range forms {
		if f.kind == kind {
			return f.example
		}
	}
	return ""
}

func meant(word string, candidates []string) string {
	if near := strictyaml.Nearest(word, candidates); near != "" {
		return fmt.Sprintf(" (did you mean %q?)", near)
	}
	return ""
}
