package modbus

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"plumbline/devices"
	"plumbline/devices/polled"
)

// Master asks for the registers of a map. It implements polled.Protocol.
type Master struct {
	name   string
	start  []polled.Request
	round  []polled.Request
	blocks []block // parallel to round
}

var _ polled.Protocol = (*Master)(nil)

// block is what one request reads.
type block struct {
	kind         Kind
	first, count int
	registers    []Register
}

// NewMaster returns the master of a map that Check accepts.
func NewMaster(m Map) (*Master, error) {
	if _, err := m.Check(); err != nil {
		return nil, err
	}
	out := &Master{name: m.Name, blocks: blocksOf(m)}
	if out.name == "" {
		out.name = "modbus-rtu"
	}
	for _, b := range out.blocks {
		out.round = append(out.round, polled.Request{
			Name:  fmt.Sprintf("unit %d, %s %d to %d", m.Unit, b.kind, b.first, b.first+b.count-1),
			Bytes: request(byte(m.Unit), functionOf[b.kind], uint16(b.first), uint16(b.count)),
		})
	}
	for _, w := range m.Writes {
		function, value := byte(writeRegister), uint16(w.Value)
		if w.Kind == Coil {
			function, value = writeCoil, uint16(w.Value)*0xff00
		}
		out.start = append(out.start, polled.Request{
			Name:  fmt.Sprintf("unit %d, write of %d to %d", w.Unit, w.Value, w.Address),
			Bytes: request(byte(w.Unit), function, uint16(w.Address), value), Silent: w.Unit == 0,
		})
	}
	return out, nil
}

// Options returns how the map wants to be polled on a line of baud bits per
// second, of 11 bits a character (Serial Line, 2.5.1).
func (m Map) Options(baud int) polled.Options {
	gap := 1750 * time.Microsecond // (2.5.1.1): fixed above 19200 baud
	if baud > 0 && baud <= 19200 {
		gap = time.Duration(3.5 * 11 / float64(baud) * float64(time.Second))
	}
	return polled.Options{Period: m.Period, Timeout: m.Timeout, Retries: m.Retries, Gap: gap}
}

// blocksOf joins registers that lie together into as few requests as the
// standard allows.
func blocksOf(m Map) []block {
	registers := make([]Register, len(m.Registers))
	for i, r := range m.Registers {
		registers[i] = r.withDefaults()
	}
	slices.SortStableFunc(registers, func(a, b Register) int {
		if a.Kind != b.Kind {
			return strings.Compare(string(a.Kind), string(b.Kind))
		}
		return a.Address - b.Address
	})
	var blocks []block
	for _, r := range registers {
		end, most := r.Address+r.size(), mostRegisters
		if r.bits() {
			most = mostBits
		}
		if n := len(blocks); n > 0 {
			last := &blocks[n-1]
			if last.kind == r.Kind && r.Address <= last.first+last.count+m.Gap && end-last.first <= most {
				last.count = max(last.count, end-last.first)
				last.registers = append(last.registers, r)
				continue
			}
		}
		blocks = append(blocks, block{r.Kind, r.Address, r.size(), []Register{r}})
	}
	return blocks
}

// Name implements polled.Protocol.
func (m *Master) Name() string { return m.name }

// Start implements polled.Protocol: the writes.
func (m *Master) Start() []polled.Request { return m.start }

// Round implements polled.Protocol: the readings.
func (m *Master) Round() []polled.Request { return m.round }

// Answer implements polled.Protocol.
func (m *Master) Answer(r polled.Request, p []byte, quiet bool) polled.Answer {
	n := answerLength(p)
	if n < 0 {
		return unknown(p, quiet)
	}
	if n == 0 || len(p) < n {
		return polled.Answer{} // more
	}
	frame := p[:n]
	if fault := Check(frame); fault != "" {
		// The length may be what is damaged: all that came until the line fell
		// silent is one damaged frame.
		if !quiet && len(p) < maxADU {
			return polled.Answer{}
		}
		return polled.Answer{Verdict: polled.Damaged, Reason: fault}
	}
	if reason := foreign(r, frame); reason != "" {
		return polled.Answer{Verdict: polled.Foreign, Used: n, Reason: reason}
	}
	if frame[1]&exceptionBit != 0 {
		return polled.Answer{Verdict: polled.Refused, Used: n, Reason: ExceptionText(frame[2]), Again: frame[2] == 5 || frame[2] == 6}
	}
	for i := range m.round {
		if m.round[i].Name == r.Name {
			return m.blocks[i].answer(frame)
		}
	}
	return polled.Answer{Verdict: polled.Done, Used: n} // the echo of a write
}

// unknown judges bytes that no answer begins with.
func unknown(p []byte, quiet bool) polled.Answer {
	if !quiet && len(p) < maxADU {
		return polled.Answer{}
	}
	return polled.Answer{Verdict: polled.Damaged, Reason: fmt.Sprintf("function %d was not asked for", p[1])}
}

// foreign says why a whole frame is not the answer to r, "" if it is.
func foreign(r polled.Request, frame []byte) string {
	unit, function := r.Bytes[0], r.Bytes[1]
	switch {
	case frame[0] != unit:
		return fmt.Sprintf("an answer of unit %d, asked was unit %d: two units on the line answer, or one has another address than thought", frame[0], unit)
	case frame[1]&^exceptionBit != function:
		return fmt.Sprintf("an answer to function %d, asked was function %d", frame[1]&^exceptionBit, function)
	case frame[1] == writeCoil || frame[1] == writeRegister:
		if string(frame) != string(r.Bytes) {
			return "the answer to another write"
		}
	case function <= readInput && frame[1]&exceptionBit == 0:
		count := int(binary.BigEndian.Uint16(r.Bytes[4:]))
		want := 2 * count
		if function <= readDiscretes {
			want = (count + 7) / 8
		}
		if int(frame[2]) != want {
			return fmt.Sprintf("an answer with %d bytes of data, %d were asked for: it belongs to another request", frame[2], want)
		}
	}
	return ""
}

// answer reads the values of a frame that passed.
func (b block) answer(frame []byte) polled.Answer {
	data := frame[3 : len(frame)-2]
	values := make([]devices.Value, 0, len(b.registers))
	for _, r := range b.registers {
		if v, ok := r.value(data, r.Address-b.first); ok {
			values = append(values, v)
		}
	}
	return polled.Answer{Verdict: polled.Good, Used: len(frame), Values: values}
}

// value reads a register that is the at-th of a block. A float that is no
// number is left out.
func (r Register) value(data []byte, at int) (devices.Value, bool) {
	v := devices.Value{Name: r.Name, Unit: r.Unit}
	if r.bits() {
		v.Number = float64(data[at/8]>>(at%8)&1)*r.Scale + r.Offset
		return v, true
	}
	p := r.ordered(data[2*at : 2*(at+r.size())])
	if r.Type == "text" {
		v.Text, v.IsText = strings.ToValidUTF8(strings.TrimRight(string(p), "\x00 "), "\uFFFD"), true
		return v, true
	}
	v.Number = r.number(p)*r.Scale + r.Offset
	return v, !math.IsNaN(v.Number) && !math.IsInf(v.Number, 0)
}

// ordered returns the bytes of a value, the most significant first.
func (r Register) ordered(data []byte) []byte {
	p := slices.Clone(data)
	if r.Order == CDAB || r.Order == DCBA {
		slices.Reverse(p) // which turns the bytes of each register round, too
	}
	if r.Order == CDAB || r.Order == BADC {
		for i := 0; i+1 < len(p); i += 2 {
			p[i], p[i+1] = p[i+1], p[i]
		}
	}
	return p
}

func (r Register) number(p []byte) float64 {
	switch r.Type {
	case "i16":
		return float64(int16(binary.BigEndian.Uint16(p)))
	case "u32":
		return float64(binary.BigEndian.Uint32(p))
	case "i32":
		return float64(int32(binary.BigEndian.Uint32(p)))
	case "f32":
		return float64(math.Float32frombits(binary.BigEndian.Uint32(p)))
	case "u64":
		return float64(binary.BigEndian.Uint64(p))
	case "i64":
		return float64(int64(binary.BigEndian.Uint64(p)))
	case "f64":
		return math.Float64frombits(binary.BigEndian.Uint64(p))
	case "bit":
		return float64(binary.BigEndian.Uint16(p) >> r.Bit & 1)
	}
	return float64(binary.BigEndian.Uint16(p))
}
