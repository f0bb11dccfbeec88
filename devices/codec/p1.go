package codec

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"plumbline/devices"
)

// P1 is the consumer port of smart meters in the Netherlands, Belgium and
// Luxembourg: a telegram "/…!" of OBIS objects, closed by the CRC-16 of all of it
// in four hexadecimal digits (DSMR 5.0.2 P1 Companion Standard, 5.12 and 6).
// 115200 baud 8N1; DSMR 2 and 3 have 9600 7E1 and no CRC: such telegrams are
// Unchecked. One telegram is one frame.
//
// Common objects have names, "power_delivered" for 1-0:1.7.0, others their OBIS
// identifier. Units are UCUM symbols. A telegram whose line ends a logger has
// reduced to LF is checked with CR LF in their place, as the meter sent them.
type P1 struct{}

var _ Codec = P1{}

// maxTelegram bounds a telegram in bytes: the two text messages of a meter alone
// may hold 2048 and 1024 digits.
const maxTelegram = 8192

// Name implements Codec.
func (P1) Name() string { return "dsmr-p1" }

// NewFramer implements Codec.
func (P1) NewFramer() Framer { return &telegrams{} }

// Decode implements Codec.
func (P1) Decode(frame []byte) ([]devices.Value, error) {
	body, err := checkP1(frame)
	if err != nil {
		return nil, err
	}
	head, objects, _ := bytes.Cut(body, []byte("\n"))
	values := []devices.Value{{Name: "meter", Text: textOf(bytes.TrimSpace(head[1:])), IsText: true}}
	// An object begins a line; DSMR 2 continues one on the next, with "(".
	objects = bytes.ReplaceAll(bytes.ReplaceAll(objects, []byte("\r"), nil), []byte("\n("), []byte("("))
	for line := range bytes.SplitSeq(objects, []byte("\n")) {
		id, groups, found := strings.Cut(string(line), "(")
		if !found {
			continue
		}
		if len(values) >= maxValues {
			return nil, damaged("more than %d objects", maxValues)
		}
		if v, ok := readObject(id, strings.TrimSuffix(groups, ")")); ok {
			values = append(values, v)
		}
	}
	return values, nil
}

// checkP1 verifies the CRC and returns what is between "/" and "!", the first
// included.
func checkP1(frame []byte) ([]byte, error) {
	end := bytes.LastIndexByte(frame, '!')
	if len(frame) == 0 || frame[0] != '/' || end < 0 {
		return nil, unchecked("not a telegram from / to !")
	}
	covered, tail := frame[:end+1], bytes.TrimSpace(frame[end+1:])
	if len(tail) == 0 {
		return nil, unchecked("no CRC, as before DSMR 4")
	}
	want, err := strconv.ParseUint(string(tail), 16, 16)
	if err != nil || len(tail) != 4 {
		return nil, damaged("CRC %q is not four hexadecimal digits", tail)
	}
	got := CRC16ARC.Of(covered)
	if uint64(got) != want && !bytes.Contains(covered, []byte("\r")) {
		got = CRC16ARC.Of(bytes.ReplaceAll(covered, []byte("\n"), []byte("\r\n")))
	}
	if uint64(got) != want {
		return nil, damaged("CRC %04X, computed %04X", want, got)
	}
	return covered[:end], nil
}

// objectNames are the objects of DSMR 5.0.2, table 6-12, without the channel.
var objectNames = map[string]string{
	"1-3:0.2.8": "dsmr_version", "0-0:1.0.0": "timestamp", "0-0:96.1.1": "equipment_id",
	"1-0:1.8.0": "energy_delivered", "1-0:1.8.1": "energy_delivered_1", "1-0:1.8.2": "energy_delivered_2",
	"1-0:2.8.0": "energy_returned", "1-0:2.8.1": "energy_returned_1", "1-0:2.8.2": "energy_returned_2",
	"0-0:96.14.0": "tariff", "1-0:1.7.0": "power_delivered", "1-0:2.7.0": "power_returned",
	"0-0:96.7.21": "power_failures", "0-0:96.7.9": "long_power_failures",
	"1-0:32.32.0": "voltage_sags_l1", "1-0:52.32.0": "voltage_sags_l2", "1-0:72.32.0": "voltage_sags_l3",
	"1-0:32.36.0": "voltage_swells_l1", "1-0:52.36.0": "voltage_swells_l2", "1-0:72.36.0": "voltage_swells_l3",
	"1-0:32.7.0": "voltage_l1", "1-0:52.7.0": "voltage_l2", "1-0:72.7.0": "voltage_l3",
	"1-0:31.7.0": "current_l1", "1-0:51.7.0": "current_l2", "1-0:71.7.0": "current_l3",
	"1-0:21.7.0": "power_delivered_l1", "1-0:41.7.0": "power_delivered_l2", "1-0:61.7.0": "power_delivered_l3",
	"1-0:22.7.0": "power_returned_l1", "1-0:42.7.0": "power_returned_l2", "1-0:62.7.0": "power_returned_l3",
}

// obisUnits translates units of telegrams to UCUM.
var obisUnits = map[string]string{
	"kWh": "kW.h", "Wh": "W.h", "kvarh": "kvar.h", "GJ": "GJ", "MJ": "MJ", "kW": "kW", "W": "W", "V": "V", "A": "A", "m3": "m3", "dm3": "dm3", "s": "s", "Hz": "Hz",
}

// texts are objects that are digits and yet no numbers.
var texts = map[string]bool{"timestamp": true, "equipment_id": true, "dsmr_version": true}

// readObject reads "1.7.0(00.378*kW" and its kind; the last group counts: for
// meters on the M-Bus the first is when the reading was taken. Empty ones are
// left out.
func readObject(id, groups string) (devices.Value, bool) {
	id = strings.TrimSuffix(id, ".255")
	name := objectNames[id]
	if name == "" {
		name = id
	}
	parts := strings.Split(groups, ")(")
	last := parts[len(parts)-1]
	number, unit, _ := strings.Cut(last, "*")
	if len(parts) > 2 && unit == "" && obisUnits[parts[len(parts)-2]] != "" {
		unit = parts[len(parts)-2] // DSMR 2: …(m3)(07890.693)
	}
	if n, ok := decimal(number); ok && !texts[name] && (len(parts) <= 2 || unit != "") && (unit != "" || len(number) <= 15) {
		return devices.Value{Name: name, Unit: obisUnits[unit], Number: n}, true
	}
	return devices.Value{Name: name, Text: textOf([]byte(groups)), IsText: true}, groups != ""
}

func textOf(p []byte) string { return strings.ToValidUTF8(string(p), string(utf8.RuneError)) }

// telegrams is the framer of P1. "/" begins a telegram and "!" ends it wherever
// they stand: neither occurs in between (IEC 62056-21, 6.5.12 and 6.6).
type telegrams struct {
	stamps stamps
	buf    []byte
	inside bool // buf begins with "/"
	ending int  // bytes after "!"; 0 = it has not come
}

// Push implements Framer.
func (t *telegrams) Push(at time.Duration, p []byte, emit func(Frame)) {
	for _, b := range p {
		t.stamps.add(at, 1)
		if b == '/' {
			t.finish(emit, "another telegram begins before its end")
			t.inside = true
		}
		t.buf = append(t.buf, b)
		switch {
		case t.ending > 0:
			t.ending++
			if b == '\n' || t.ending > len("!1234\r\n") {
				t.finish(emit, "")
			}
		case b == '!':
			t.ending = 1
		case len(t.buf) >= maxTelegram:
			t.finish(emit, fmt.Sprintf("longer than %d bytes without an end", maxTelegram))
		}
	}
}

// finish emits what is in the buffer. A telegram that ended has no fault; one
// without its head has.
func (t *telegrams) finish(emit func(Frame), fault string) {
	switch {
	case len(t.buf) == 0:
		return
	case t.ending > 0 && t.inside:
		fault = ""
	case !t.inside:
		fault = "does not begin with /"
	}
	f := t.take(fault)
	if len(bytes.TrimSpace(f.Raw)) > 0 {
		emit(f)
	}
}

func (t *telegrams) take(fault string) Frame {
	n := len(t.buf)
	first, last, offset := t.stamps.take(n)
	f := Frame{Raw: bytes.Clone(t.buf), First: first, Last: last, Bytes: n, Offset: offset, Fault: fault}
	t.buf, t.inside, t.ending = t.buf[:0], false, 0
	return f
}

// Rest implements Framer.
func (t *telegrams) Rest() (Frame, bool) {
	if len(t.buf) == 0 {
		return Frame{}, false
	}
	f := t.take("cut before its end")
	return f, len(bytes.TrimSpace(f.Raw)) > 0
}

// Object is one line of a telegram: an OBIS identifier and what stands in its
// brackets, for example {"1-0:1.7.0", "00.378*kW"}.
type Object struct{ ID, Text string }

// AppendP1 appends a telegram with its CRC as the meter with that identification
// sends it.
func AppendP1(dst []byte, meter string, objects []Object) []byte {
	start := len(dst)
	dst = append(dst, "/"+meter+"\r\n\r\n"...)
	for _, o := range objects {
		dst = append(dst, o.ID+"("+o.Text+")\r\n"...)
	}
	dst = append(dst, '!')
	return fmt.Appendf(dst, "%04X\r\n", CRC16ARC.Of(dst[start:]))
}
