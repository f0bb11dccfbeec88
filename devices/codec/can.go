package codec

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"plumbline/devices"
)

// CAN reads frames of a CAN bus as text gateways and tools print them, one a
// line, in any of these forms:
//
//	(1502984866.421964) can0 09F112CC#FF725AFF7FFF7FFD      candump -l (can-utils)
//	  can0  09F112CC   [8]  FF 72 5A FF 7F FF 7F FD         candump
//	<0x09f112cc> [8] ff 72 5a ff 7f ff 7f fd                candump before can-utils 4
//	00:29:58.617 R 09F112CC FF 72 5A FF 7F FF 7F FD         Yacht Devices RAW (YDWG-02 manual, appendix E)
//	2021-08-07-17:06:37.249,2,127250,204,255,8,ff,72,…      canboat and Actisense "plain"
//	!PDGY,127250,2,204,255,481.7,/3Ja/3//f/0=               Digital Yacht iKonvert
//
// An identifier of 29 bits is taken apart as SAE J1939-21 and NMEA 2000 do it
// (5.2): "pgn", "source", "destination", "priority". Well-known groups give named
// values in SI units beside "data". One of 11 bits gives "id". A line that has
// one of these forms and does not keep it is damaged; the lines carry no check of
// their own, the bus has checked the frames. Error frames, requests without data
// and comments are Control.
type CAN struct{}

var _ Codec = CAN{}

// Name implements Codec.
func (CAN) Name() string { return "candump" }

// NewFramer implements Codec.
func (CAN) NewFramer() Framer { return &Lines{} }

// canFrame is one frame; id is -1 when the gateway gives the parts instead.
type canFrame struct {
	bus      string
	id       int64
	extended bool
	priority int64
	pgn      int64
	src, dst int64
	data     []byte
}

// Decode implements Codec.
func (CAN) Decode(frame []byte) ([]devices.Value, error) {
	line := strings.TrimSpace(string(frame))
	f, err := readCAN(line)
	if err != nil {
		return nil, err
	}
	if f.id >= 0 && f.extended {
		f.split()
	}
	return f.values(), nil
}

func readCAN(line string) (canFrame, error) {
	switch {
	case strings.HasPrefix(line, "#"):
		return canFrame{}, control("a comment")
	case strings.HasPrefix(line, "$PDGY,") && !strings.ContainsAny(line[1:], "$!"):
		return canFrame{}, control("a message about the gateway")
	case strings.HasPrefix(line, "!PDGY,"), strings.HasPrefix(line, "$PDGY,"):
		return readIKonvert(line)
	case strings.HasPrefix(line, "<0x"):
		return readOldDump(line)
	}
	words := strings.Fields(line)
	if len(words) > 0 && strings.HasPrefix(words[0], "(") {
		if _, ok := scientific(strings.Trim(words[0], "()")); !ok || !strings.HasSuffix(words[0], ")") {
			return canFrame{}, damaged("time stamp %q", clip(words[0]))
		}
		if len(words) < 3 {
			return canFrame{}, damaged("cut after the time stamp")
		}
		words = words[1:]
	}
	switch {
	case len(words) >= 2 && strings.Contains(words[1], "#"):
		return readCompact(words)
	case len(words) >= 3 && strings.HasPrefix(words[2], "["):
		f, err := readDump(words[1], words[2], words[3:])
		f.bus = words[0]
		return f, err
	case len(words) >= 3 && (words[1] == "R" || words[1] == "T") && strings.Count(words[0], ":") == 2:
		return readYDRaw(words)
	case strings.Count(line, ",") >= 5 && strings.Count(line[:strings.IndexByte(line, ',')], "-") >= 2:
		return readPlain(line)
	}
	return canFrame{}, unchecked("not a CAN frame in a form that is known")
}

// readCompact reads bus and "09F112CC#FF72…".
func readCompact(words []string) (canFrame, error) {
	f := canFrame{bus: words[0]}
	id, data, _ := strings.Cut(words[1], "#")
	if err := f.setID(id); err != nil {
		return f, err
	}
	if flags, isFD := strings.CutPrefix(data, "#"); isFD { // CAN FD: one digit of flags
		if flags == "" {
			return f, damaged("no data after the identifier")
		}
		data = flags[1:]
	}
	if strings.HasPrefix(data, "R") {
		return f, control("a request without data")
	}
	return f, f.setHex(data)
}

// readDump reads an identifier, "[8]" and bytes.
func readDump(id, length string, rest []string) (canFrame, error) {
	var f canFrame
	if err := f.setID(id); err != nil {
		return f, err
	}
	n, err := strconv.Atoi(strings.Trim(length, "[]"))
	if err != nil || n < 0 || n > maxCANData || !strings.HasSuffix(length, "]") {
		return f, damaged("length %q", clip(length))
	}
	if len(rest) > 0 && rest[0] == "remote" {
		return f, control("a request without data")
	}
	if len(rest) > n { // candump -a and -x print more behind the bytes
		rest = rest[:n]
	}
	if len(rest) < n {
		return f, damaged("%d bytes of data, %d are said", len(rest), n)
	}
	return f, f.setBytes(rest)
}

func readOldDump(line string) (canFrame, error) {
	words := strings.Fields(line)
	id, closed := strings.CutSuffix(strings.TrimPrefix(words[0], "<0x"), ">")
	if !closed || len(words) < 2 {
		return canFrame{}, damaged("cut after the identifier")
	}
	return readDump(id, words[1], words[2:])
}

func readYDRaw(words []string) (canFrame, error) {
	var f canFrame
	if err := f.setID(words[2]); err != nil {
		return f, err
	}
	return f, f.setBytes(words[3:])
}

// readPlain reads time, priority, PGN, source, destination, length, bytes.
func readPlain(line string) (canFrame, error) {
	fields := strings.Split(line, ",")
	f := canFrame{id: -1, extended: true}
	n, err := f.setParts(fields[1], fields[2], fields[3], fields[4], fields[5])
	if err != nil {
		return f, err
	}
	if len(fields)-6 != int(n) {
		return f, damaged("%d bytes of data, %d are said", len(fields)-6, n)
	}
	return f, f.setBytes(fields[6:])
}

// readIKonvert reads PGN, priority, source, destination, time, base64. Messages
// about the gateway itself begin with "$".
func readIKonvert(line string) (canFrame, error) {
	fields := strings.Split(line, ",")
	if len(fields) != 7 {
		return canFrame{}, damaged("%d fields, a frame has 7", len(fields))
	}
	f := canFrame{id: -1, extended: true}
	if _, err := f.setParts(fields[2], fields[1], fields[3], fields[4], "0"); err != nil {
		return f, err
	}
	data, err := base64.StdEncoding.DecodeString(fields[6])
	if err != nil || len(data) > maxCANData {
		return f, damaged("data that is not base64, or too long")
	}
	f.data = data
	return f, nil
}

// maxCANData bounds the bytes of a frame: a fast packet of NMEA 2000 that the
// gateway has put together.
const maxCANData = 223

func (f *canFrame) setParts(priority, pgn, src, dst, length string) (n int64, err error) {
	for _, part := range []struct {
		text string
		into *int64
		most int64
	}{{priority, &f.priority, 7}, {pgn, &f.pgn, 1<<18 - 1}, {src, &f.src, 255}, {dst, &f.dst, 255}, {length, &n, maxCANData}} {
		v, err := strconv.ParseUint(part.text, 10, 32)
		if err != nil || int64(v) > part.most {
			return 0, damaged("%q is no whole number up to %d", clip(part.text), part.most)
		}
		*part.into = int64(v)
	}
	return n, nil
}

// setID reads an identifier: 29 bits when it has eight digits.
func (f *canFrame) setID(text string) error {
	id, err := strconv.ParseUint(text, 16, 32)
	if err != nil {
		return damaged("identifier %q", clip(text))
	}
	if id&0x2000_0000 != 0 && len(text) == 8 { // CAN_ERR_FLAG of linux/can.h
		return control("an error frame")
	}
	f.extended = len(text) > 3
	if len(text) != 3 && len(text) != 8 || f.extended && id > 0x1fff_ffff || !f.extended && id > 0x7ff {
		return damaged("identifier %q is neither of 11 nor of 29 bits", clip(text))
	}
	f.id = int64(id)
	return nil
}

func (f *canFrame) setHex(digits string) error {
	digits = strings.ReplaceAll(digits, ".", "")
	data, err := hex.DecodeString(digits)
	if err != nil || len(data) > maxCANData {
		return damaged("data %q", clip(digits))
	}
	f.data = data
	return nil
}

func (f *canFrame) setBytes(words []string) error {
	for _, w := range words {
		if len(w) != 2 {
			return damaged("%q is no byte", clip(w))
		}
	}
	return f.setHex(strings.Join(words, ""))
}

// split takes a 29-bit identifier apart (SAE J1939-21, 5.2).
func (f *canFrame) split() {
	format, specific := f.id>>16&0xff, f.id>>8&0xff
	f.priority, f.src = f.id>>26&7, f.id&0xff
	f.pgn, f.dst = f.id>>8&0x3ff00, specific
	if format >= 240 {
		f.pgn, f.dst = f.pgn|specific, 255
	}
}

func (f *canFrame) values() []devices.Value {
	var values []devices.Value
	add := func(name string, n int64) { values = append(values, devices.Value{Name: name, Number: float64(n)}) }
	if f.bus != "" {
		values = append(values, devices.Value{Name: "bus", Text: textOf([]byte(f.bus)), IsText: true})
	}
	if f.extended {
		add("pgn", f.pgn)
		add("source", f.src)
		add("destination", f.dst)
		add("priority", f.priority)
	} else {
		add("id", f.id)
	}
	values = append(values, devices.Value{Name: "data", Text: hex.EncodeToString(f.data), IsText: true})
	if f.extended {
		values = appendGroup(values, f.pgn, f.data)
	}
	return values
}

// AppendCAN appends a frame as candump -l prints it; at is in seconds since 1970.
func AppendCAN(dst []byte, at float64, bus string, id uint32, data []byte) []byte {
	width := 3
	if id > 0x7ff {
		width = 8
	}
	return fmt.Appendf(dst, "(%.6f) %s %0*X#%X\n", at, bus, width, id, data)
}
