package modbus

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// ErrMap is what the errors of Map.Check wrap.
var ErrMap = errors.New("modbus: register map")

// Kind is a table of a unit (Application Protocol, 4.3).
type Kind string

// The tables.
const (
	Holding  Kind = "holding" // read and write, 16 bits
	Input    Kind = "input"   // read only, 16 bits
	Coil     Kind = "coil"    // read and write, one bit
	Discrete Kind = "discrete"
)

var functionOf = map[Kind]byte{Coil: readCoils, Discrete: readDiscretes, Holding: readHolding, Input: readInput}

// Order is how the bytes of a value of several registers lie in them, the most
// significant byte being A. The standard leaves it open, makers differ.
type Order string

// The orders.
const (
	ABCD Order = "abcd" // most significant register and byte first; the default
	CDAB Order = "cdab" // least significant register first
	BADC Order = "badc" // least significant byte of each register first
	DCBA Order = "dcba" // least significant first throughout
)

// Register is one value: (raw · Scale) + Offset.
type Register struct {
	Name    string
	Unit    string // UCUM symbol; optional
	Kind    Kind   // "" = Holding
	Address int    // as it goes over the line, from 0: 40001 in old manuals is holding 0
	Type    string // u16, i16, u32, i32, u64, i64, f32, f64, text, bit; "" = u16, or bit for coils and discretes
	Order   Order  // "" = ABCD
	Length  int    // registers of a text
	Bit     int    // of a register when Type is bit, 0 the least significant
	Scale   float64
	Offset  float64
}

// Write is a register or coil that is set before the first reading.
type Write struct {
	Unit    int  // 0 = a broadcast to all units, which none answers
	Kind    Kind // Holding or Coil; "" = Holding
	Address int
	Value   int // for a coil 0 or 1
}

// Map says what to read of a unit.
type Map struct {
	Name      string // for reports; "" = "modbus-rtu"
	Unit      int    // 1 … 247
	Registers []Register
	Writes    []Write
	Period    time.Duration // 0 = 1 s
	Timeout   time.Duration // 0 = 500 ms
	Retries   int
	// Gap is how many registers that nobody wants may be read between two that
	// are wanted, to spare a request. 0 = none: some units refuse to be asked
	// for registers that they do not have.
	Gap int
}

// size returns how many registers or bits a value takes.
func (r Register) size() int {
	switch r.Type {
	case "u32", "i32", "f32":
		return 2
	case "u64", "i64", "f64":
		return 4
	case "text":
		return r.Length
	}
	return 1
}

func (r Register) withDefaults() Register {
	if r.Kind == "" {
		r.Kind = Holding
	}
	if r.Type == "" {
		r.Type = "u16"
		if r.bits() {
			r.Type = "bit"
		}
	}
	if r.Order == "" {
		r.Order = ABCD
	}
	if r.Scale == 0 {
		r.Scale = 1
	}
	return r
}

// bits reports whether the register is in a table of single bits.
func (r Register) bits() bool { return r.Kind == Coil || r.Kind == Discrete }

var registerTypes = []string{"u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64", "text", "bit"}

// Check says what is wrong with the map: which key, why, what would be right.
func (m Map) Check() (key string, err error) {
	wrong := func(key, format string, args ...any) (string, error) {
		return key, fmt.Errorf("%w: %s", ErrMap, fmt.Sprintf(format, args...))
	}
	switch {
	case m.Unit < 1 || m.Unit > highestUnit:
		return wrong("unit", "%d is no unit that can be read; they go from 1 to %d", m.Unit, highestUnit)
	case len(m.Registers) == 0:
		return wrong("registers", "holds no register")
	case len(m.Registers) > maxRegisters:
		return wrong("registers", "holds more than %d registers", maxRegisters)
	case m.Gap < 0 || m.Gap >= mostRegisters:
		return wrong("gap", "%d is not between 0 and %d", m.Gap, mostRegisters-1)
	case m.Retries < 0 || m.Retries > 10:
		return wrong("retries", "%d is not between 0 and 10", m.Retries)
	case m.Period < 0 || m.Period > time.Hour || m.Timeout < 0 || m.Timeout > time.Minute:
		return wrong("period", "a period up to 1h and a timeout up to 1m are possible")
	}
	seen := map[string]bool{}
	for i, r := range m.Registers {
		if reason := r.withDefaults().check(); reason != "" {
			return wrong("registers", "register %d, %q: %s", i+1, r.Name, reason)
		}
		if seen[r.Name] {
			return wrong("registers", "register %d: there is a %q already", i+1, r.Name)
		}
		seen[r.Name] = true
	}
	for i, w := range m.Writes {
		if reason := w.check(); reason != "" {
			return wrong("writes", "write %d: %s", i+1, reason)
		}
	}
	return "", nil
}

// maxRegisters bounds a map.
const maxRegisters = 512

func (r Register) check() string {
	_, known := functionOf[r.Kind]
	switch {
	case r.Name == "" || len(r.Name) > 256:
		return "needs a name of at most 256 bytes"
	case !known:
		return fmt.Sprintf("kind %q is none of holding, input, coil, discrete", r.Kind)
	case !slices.Contains(registerTypes, r.Type):
		return fmt.Sprintf("type %q is none of %s", r.Type, strings.Join(registerTypes, ", "))
	case r.bits() && (r.Type != "bit" || r.Bit != 0):
		return "a coil or discrete input is one bit and has no type"
	case r.Order != ABCD && r.Order != CDAB && r.Order != BADC && r.Order != DCBA:
		return fmt.Sprintf("order %q is none of abcd, cdab, badc, dcba", r.Order)
	case r.Type == "text" && (r.Length < 1 || r.Length > mostRegisters) || r.Type != "text" && r.Length != 0:
		return fmt.Sprintf("a text has a length of 1 to %d registers, nothing else has one", mostRegisters)
	case r.Address < 0 || r.Address+r.size() > registersOfAUnit:
		return fmt.Sprintf("address %d and %d more: a unit has registers 0 to %d; 40001 in old manuals is holding register 0", r.Address, r.size()-1, registersOfAUnit-1)
	case r.Bit < 0 || r.Bit > 15 || r.Bit != 0 && r.Type != "bit":
		return fmt.Sprintf("bit %d: a register has bits 0 to 15, and type bit takes one", r.Bit)
	case math.IsNaN(r.Scale+r.Offset) || math.IsInf(r.Scale+r.Offset, 0):
		return "scale and offset must be finite"
	}
	return ""
}

func (w Write) check() string {
	most := 65535
	if w.Kind == Coil {
		most = 1
	}
	switch {
	case w.Unit < 0 || w.Unit > highestUnit:
		return fmt.Sprintf("unit %d is not between 0, which is all of them, and %d", w.Unit, highestUnit)
	case w.Kind != "" && w.Kind != Holding && w.Kind != Coil:
		return fmt.Sprintf("kind %q cannot be written, only holding and coil", w.Kind)
	case w.Address < 0 || w.Address >= registersOfAUnit:
		return fmt.Sprintf("address %d: a unit has registers 0 to %d", w.Address, registersOfAUnit-1)
	case w.Value < 0 || w.Value > most:
		return fmt.Sprintf("value %d is not between 0 and %d", w.Value, most)
	}
	return ""
}
