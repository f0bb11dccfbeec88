package harness

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"plumbline/devices/board"
	"plumbline/devices/power"
)

// BoardSpec declares what can be done to a real device on a serial port beside
// reading it. The zero value is nothing.
type BoardSpec struct {
	Set       map[string]Setting  `yaml:"set,omitempty"`       // by the name of the reading that shows it
	Actuators map[string]Actuator `yaml:"actuators,omitempty"` // by name
	Power     *PowerSpec          `yaml:"power,omitempty"`     // nil: nobody switches it
}

// Setting says how the physical value behind a reading is set: by a command that is
// written to the device, or by a line of its port that drives something.
type Setting struct {
	Write  string  `yaml:"write,omitempty"`  // a line with "{value}" in it
	Answer string  `yaml:"answer,omitempty"` // the line that the device says then; "" means none is waited for
	From   float64 `yaml:"from,omitempty"`   // with write: the values are From, From + Step … up to To
	To     float64 `yaml:"to,omitempty"`
	Step   float64 `yaml:"step,omitempty"`

	Line  string        `yaml:"line,omitempty"`  // dtr, rts, or break: each pulse takes the value from low to high or back
	Pulse time.Duration `yaml:"pulse,omitempty"` // of a break; 0 means 250 ms
	Low   float64       `yaml:"low,omitempty"`   // with line: the value while it is off
	High  float64       `yaml:"high,omitempty"`  // and on

	// Tolerance is how far a reading may be from a value that it shows; 0 means that it
	// is the value.
	Tolerance float64 `yaml:"tolerance,omitempty"`
}

// Actuator says how something that the device moves is switched by a command, and
// which reading of the device says that it has moved.
type Actuator struct {
	On        string  `yaml:"on"`               // the command that switches it on
	Off       string  `yaml:"off"`              // and off
	Answer    string  `yaml:"answer,omitempty"` // what the device says to either, so that it is taken for no reading
	Reads     string  `yaml:"reads,omitempty"`  // reading; "" means the name of the actuator. modem_cts and the like are read at the port
	Low       float64 `yaml:"low,omitempty"`    // what the reading says while it is off
	High      float64 `yaml:"high,omitempty"`   // and on; both 0 means 0 and 1
	Tolerance float64 `yaml:"tolerance,omitempty"`
}

// PowerSpec says how the power of the device is switched: by a relay board, or by a
// USB hub through the program uhubctl.
type PowerSpec struct {
	Relay    string `yaml:"relay,omitempty"`    // selector of the board's port
	Baud     int    `yaml:"baud,omitempty"`     // of that; 0 means 9600
	Protocol string `yaml:"protocol,omitempty"` // lcus or ff; "" means lcus
	Channel  int    `yaml:"channel,omitempty"`  // number of the relay; 0 means 1
	On       string `yaml:"on,omitempty"`       // bytes of any other board, in hexadecimal
	Off      string `yaml:"off,omitempty"`

	Uhubctl string `yaml:"uhubctl,omitempty"` // location of the hub
	Port    int    `yaml:"port,omitempty"`    // on it
}

// Acts reports whether anything can be done to the device beside reading it and
// switching its power.
func (s BoardSpec) Acts() bool { return len(s.Set)+len(s.Actuators) > 0 }

// given says which keys are in the file.
func (s BoardSpec) given() map[string]bool {
	return map[string]bool{"set": len(s.Set) > 0, "actuators": len(s.Actuators) > 0, "power": s.Power != nil}
}

// boardKeys are the keys of a serial device that BoardSpec has.
var boardKeys = []string{"set", "actuators", "power"}

// maxDeclared bounds what is declared of one kind; maxSettings how many values one
// reading can be set to.
const (
	maxDeclared = 64
	maxSettings = 10_000
)

// checkBoard says what is wrong with what can be done to a device, and where it
// stands below it.
func (d *DeviceSpec) checkBoard() (at []any, problem string) {
	if len(d.Set) > maxDeclared || len(d.Actuators) > maxDeclared {
		return nil, fmt.Sprintf("declares %d settings and %d actuators; %d of each are the most", len(d.Set), len(d.Actuators), maxDeclared)
	}
	if d.Acts() {
		if problem := d.checkEar(); problem != "" {
			return []any{"codec"}, problem
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Set)) {
		if key, problem := d.Set[name].check(name); problem != "" {
			return below("set", name, key), problem
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Actuators)) {
		if key, problem := d.Actuators[name].check(name, d.ModemReadings); problem != "" {
			return below("actuators", name, key), problem
		}
	}
	if d.Power != nil {
		if err := d.Power.check(); err != nil {
			return []any{"power"}, err.Error()
		}
	}
	return nil, ""
}

// below is where a key stands, "" for none.
func below(group, name, key string) []any {
	if key == "" {
		return []any{group, name}
	}
	return []any{group, name, key}
}

// checkEar says why what a device says cannot be told apart from its answers.
func (d *DeviceSpec) checkEar() string {
	p, err := protocolOf(d.Codec)
	switch {
	case err != nil:
		return err.Error()
	case p.Poll != nil:
		return "a device that is asked for its readings takes no other commands; set and actuators need one that speaks by itself"
	case d.answers() != nil && !board.OfLines(p.Codec):
		return fmt.Sprintf("%s is no protocol of text lines, among which an answer could stand; leave answer out", p.Codec.Name())
	}
	return ""
}

// nameOf says what is wrong with the name of a reading.
func nameOf(name string) string {
	if name == "" || len(name) > screenName {
		return fmt.Sprintf("a reading has a name of 1 to %d bytes", screenName)
	}
	return ""
}

// check returns the key and what is wrong with it, "" when nothing is.
func (s Setting) check(name string) (key, problem string) {
	if problem := nameOf(name); problem != "" {
		return "", problem
	}
	for _, v := range []float64{s.From, s.To, s.Step, s.Low, s.High, s.Tolerance} {
		if math.IsNaN(v) || math.Abs(v) > 1e9 {
			return "", "its numbers must lie within ±1e9"
		}
	}
	switch {
	case (s.Write == "") == (s.Line == ""):
		return "", "needs one of write, a command that sets it, and line, a line of the port that does"
	case s.Write != "":
		return s.checkWrite()
	case s.Answer != "" || s.From != 0 || s.To != 0 || s.Step != 0:
		return "line", "takes low and high, what the reading is while it is off and on; answer, from, to and step belong to write"
	case !slices.Contains([]board.Wire{board.DTR, board.RTS, board.Break}, board.Wire(s.Line)):
		return "line", fmt.Sprintf("%q is no line that can be set; choose dtr, rts or break", s.Line)
	case s.Pulse != 0 && s.Line != string(board.Break):
		return "pulse", "is of a break; dtr and rts stay as they are set"
	case s.Pulse < 0 || s.Pulse > 5*time.Second:
		return "pulse", fmt.Sprintf("%v is not up to 5 s", s.Pulse)
	case s.Low == s.High:
		return "high", "must be another value than low: what the reading is while the line is on"
	}
	return checkTolerance(s.Tolerance, math.Abs(s.High-s.Low))
}

// checkWrite is check for a setting by a command.
func (s Setting) checkWrite() (key, problem string) {
	write, err := board.ParseTemplate(s.Write)
	switch {
	case err != nil:
		return "write", err.Error()
	case !write.Valued():
		return "write", fmt.Sprintf("%q must have %s in it, in the place of the value", s.Write, board.Placeholder)
	case s.Low != 0 || s.High != 0 || s.Pulse != 0:
		return "write", "takes from, to and step; low, high and pulse belong to line"
	case !(s.Step > 0):
		return "step", "must be above 0: write from, to and step, the values that are set one after the other"
	case !(s.To >= s.From+s.Step):
		return "to", fmt.Sprintf("%v is not at least a step above from, %v", s.To, s.From)
	case s.values() > maxSettings:
		return "step", fmt.Sprintf("makes %d values; %d are the most", s.values(), maxSettings)
	}
	if s.Answer != "" {
		if _, err := board.ParseTemplate(s.Answer); err != nil {
			return "answer", err.Error()
		}
	}
	return checkTolerance(s.Tolerance, s.Step)
}

// checkTolerance says what is wrong with a tolerance where values are so far apart:
// what is shown of one must not be taken for another.
func checkTolerance(tolerance, apart float64) (key, problem string) {
	if !(tolerance >= 0 && tolerance < apart/2) {
		return "tolerance", fmt.Sprintf("%v must be below half of what lies between two values, %v", tolerance, apart/2)
	}
	return "", ""
}

// check returns the key and what is wrong with it, "" when nothing is.
func (a Actuator) check(name string, modem bool) (key, problem string) {
	if problem := nameOf(name); problem != "" {
		return "", problem
	}
	texts := map[string]board.Template{}
	for key, text := range map[string]string{"on": a.On, "off": a.Off, "answer": a.Answer} {
		if key == "answer" && text == "" {
			continue
		}
		t, err := board.ParseTemplate(text)
		if err != nil {
			return key, err.Error()
		}
		if key != "answer" && t.Valued() {
			return key, "is the whole command; an actuator is on or off"
		}
		texts[key] = t
	}
	low, high := a.states()
	switch {
	case texts["on"].Line(0) == texts["off"].Line(0):
		return "off", "is the same command as on"
	case slices.ContainsFunc([]float64{low, high, a.Tolerance}, func(v float64) bool { return math.IsNaN(v) || math.Abs(v) > 1e9 }):
		return "", "its numbers must lie within ±1e9"
	case low == high:
		return "high", "must be another value than low: what the reading says while it is on"
	case len(a.Reads) > screenName:
		return "reads", nameOf(a.Reads)
	case board.OfModem(a.reading(name)) && !modem:
		return "reads", fmt.Sprintf("%s is shown to nobody; add modemReadings: true to the device", a.reading(name))
	}
	return checkTolerance(a.Tolerance, math.Abs(high-low))
}

// reading is what says that an actuator of that name has moved.
func (a Actuator) reading(name string) string { return cmp.Or(a.Reads, name) }

// states are what the reading says while it is off and on.
func (a Actuator) states() (low, high float64) {
	if a.Low == 0 && a.High == 0 {
		return 0, 1
	}
	return a.Low, a.High
}

// check says what is wrong with a switch.
func (p PowerSpec) check() error {
	switch {
	case (p.Relay == "") == (p.Uhubctl == ""):
		return fmt.Errorf("%w: it needs one of relay, the port of a relay board, and uhubctl, the location of a USB hub", power.ErrSettings)
	case p.Relay != "" && p.Port != 0:
		return fmt.Errorf("%w: port is that of a hub; a relay is chosen by channel", power.ErrSettings)
	case p.Relay != "":
		if err := checkPort(p.Relay); err != nil {
			return err
		}
		return p.relay().Check()
	case p.Baud != 0 || p.Protocol != "" || p.Channel != 0 || p.On != "" || p.Off != "":
		return fmt.Errorf("%w: uhubctl takes its port and nothing else", power.ErrSettings)
	}
	return p.hub().Check()
}

func (p PowerSpec) relay() power.Relay {
	return power.Relay{Port: p.Relay, Baud: p.Baud, Protocol: power.Protocol(p.Protocol), Channel: p.Channel, On: p.On, Off: p.Off}
}

func (p PowerSpec) hub() power.Hub { return power.Hub{Location: p.Uhubctl, Port: p.Port} }
