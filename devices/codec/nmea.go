package codec

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"plumbline/devices"
)

// NMEA0183 is the line protocol of marine and GNSS receivers: sentences
// "$…*HH" or "!…*HH" with an exclusive-or of the bytes between (IEC 61162-1,
// section 7.2). A sentence without checksum is not published: on a line that
// carries checksums elsewhere it is a damaged one.
//
// The first value is "sentence" with talker and type, for example "GPGGA".
// GGA, RMC, VTG, GLL, GSA, HDT, DBT, DPT, MTW, MWV and ZDA give named values;
// of any other the fields come as "f1", "f2" …, numbers where they are numbers.
// Empty fields are left out. A field that passed the checksum and still cannot
// be read (receivers do send such) comes as text under its name.
type NMEA0183 struct{}

var _ Codec = NMEA0183{}

// Name implements Codec.
func (NMEA0183) Name() string { return "nmea0183" }

// NewFramer implements Codec.
func (NMEA0183) NewFramer() Framer { return &Lines{} }

// Decode implements Codec.
func (NMEA0183) Decode(frame []byte) ([]devices.Value, error) {
	body, err := checkNMEA(frame)
	if err != nil {
		return nil, err
	}
	fields := strings.Split(string(body), ",")
	values := make([]devices.Value, 0, len(fields))
	values = append(values, devices.Value{Name: "sentence", Text: fields[0], IsText: true})
	if parse, ok := sentences(sentenceType(fields[0])); ok {
		return parse(values, fields), nil
	}
	return appendGeneric(values, fields), nil
}

// checkNMEA verifies the checksum and returns what lies between the start
// character and the asterisk.
func checkNMEA(frame []byte) ([]byte, error) {
	line := bytes.TrimRight(frame, " \t\r\n")
	if len(line) == 0 || (line[0] != '$' && line[0] != '!') {
		return nil, unchecked("does not begin with $ or !")
	}
	n := len(line) - 3
	if n < 1 || line[n] != '*' || !isHex(line[n+1]) || !isHex(line[n+2]) {
		return nil, unchecked("no checksum")
	}
	want, err := strconv.ParseUint(string(line[n+1:]), 16, 8)
	if err != nil {
		return nil, damaged("checksum %q is not hexadecimal", line[n+1:])
	}
	body := line[1:n]
	if got := NMEAChecksum(body); uint64(got) != want {
		return nil, damaged("checksum %02X, computed %02X", want, got)
	}
	return body, nil
}

// NMEAChecksum is the exclusive-or of all bytes of body, the part between the
// start character and the asterisk (IEC 61162-1, section 7.2.5).
func NMEAChecksum(body []byte) byte {
	var sum byte
	for _, b := range body {
		sum ^= b
	}
	return sum
}

// AppendNMEA appends the sentence with start character, checksum and line end.
// Body is what stands between, for example "GPHDT,274.07,T".
func AppendNMEA(dst []byte, body string) []byte {
	return fmt.Appendf(dst, "$%s*%02X\r\n", body, NMEAChecksum([]byte(body)))
}

// sentenceType cuts the two-letter talker off an address; proprietary
// addresses (P…) have none and have no known type here.
func sentenceType(address string) string {
	if len(address) != 5 || address[0] == 'P' {
		return ""
	}
	return address[2:]
}

// appendGeneric gives the fields of an unknown sentence by their number.
func appendGeneric(values []devices.Value, fields []string) []devices.Value {
	for i, field := range fields[1:] {
		if field == "" {
			continue
		}
		values = append(values, numberOrText("f"+strconv.Itoa(i+1), "", field))
	}
	return values
}

// numberOrText reads a plain decimal number; anything else stays text, also
// "1e5", "0x10" and "Inf", which are no NMEA numbers.
func numberOrText(name, unit, field string) devices.Value {
	if n, ok := decimal(field); ok {
		return devices.Value{Name: name, Unit: unit, Number: n}
	}
	return devices.Value{Name: name, Text: strings.ToValidUTF8(field, "\uFFFD"), IsText: true}
}

// decimal reads [+-]digits[.digits].
func decimal(field string) (float64, bool) {
	if strings.Trim(field, "+-.0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseFloat(field, 64)
	return n, err == nil
}

func isHex(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'A' && b <= 'F' || b >= 'a' && b <= 'f'
}
