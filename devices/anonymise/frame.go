package anonymise

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"

	"plumbline/devices/codec"
)

// covered are the codecs whose frames are known well enough.
var covered = set("nmea0183 dsmr-p1 sds011 pms5003 pms5003t pms3003 linejson linejson+crc senml+json payload")

// Check errs when frames of the codec cannot be anonymised; nil is no codec.
func Check(c codec.Codec) error {
	switch {
	case c == nil:
		return fmt.Errorf("anonymise: nobody knows what the bytes mean; name their codec")
	case !covered[c.Name()]:
		return fmt.Errorf("anonymise: where %s says who and where is not known; known are nmea0183, dsmr-p1, sds011, pms5003, pms5003t, pms3003, linejson, linejson+crc, senml+json and MQTT", c.Name())
	}
	return nil
}

// Frame replaces in place what a frame that has passed its check tells of who and
// where; it then passes again.
func (k *Key) Frame(c codec.Codec, frame []byte) {
	switch c.Name() {
	case "nmea0183":
		k.sentence(frame)
	case "dsmr-p1":
		k.telegram(frame)
	case "sds011":
		if len(frame) == 10 {
			copy(frame[6:8], k.stream("sds011", string(frame[6:8]), 2))
			frame[8] = byte(codec.Sum8.Of(frame[2:8]))
		}
	case "linejson", "linejson+crc":
		body := bytes.TrimSpace(frame)
		n := bytes.LastIndexByte(body, '}') + 1
		k.object(body[:n], false)
		if n < len(body) && body[n] == '*' {
			copy(body[n+1:], fmt.Sprintf("%04X", codec.CRC16(body[:n])))
		}
	case "senml+json":
		k.object(frame, true)
	}
}

// Scrub takes everything out of bytes that belong to no good frame, in place.
func Scrub(c codec.Codec, p []byte) {
	switch c.Name() {
	case "pms5003", "pms5003t", "pms3003":
		return // there is nothing in them
	}
	last, one := -1, byte('1')
	for i, b := range p {
		switch {
		case c.Name() == "sds011":
			if b != 0xaa && b != 0xab && b != 0xc0 && b != 0xc5 {
				p[i], last, one = 0, i, 1
			}
		case b >= '0' && b <= '9':
			p[i], last = '0', i
		case b >= 'A' && b <= 'Z', b >= 'a' && b <= 'z', b >= 0x80:
			p[i] = 'x'
		}
	}
	if _, err := c.Decode(p); err == nil && last >= 0 {
		p[last] = one // a frame that fails stays one
	}
}

// position is a number before the letter of a direction.
var position = regexp.MustCompile(`^[+-]?\d{4,}(\.\d*)?$`)

// harmless are the types of sentences that hold readings, times and names of
// waypoints only, beside positions; of any other nobody knows who is in it.
var harmless = set("GGA GLL GNS RMC RMA RMB RMM VTG ZDA GSA GSV GST GBS GRS DTM HDT HDG HDM HDR ROT RSA RPM DBT DBK DBS DPT DEP MWV MWD MTW MDA MTA MHU " +
	"MMB VHW VLW VBW VDR VWR VWT VPW XDR XTE XTR APA APB BOD BWC BWR BWW WPL RTE AAM GTD THS STN ZFO ZTG OSD VWE XTC")

// run is what looks like a serial number.
var run = regexp.MustCompile(`[0-9A-Za-z]{6,}`)

// sentence replaces within a good NMEA 0183 sentence.
func (k *Key) sentence(frame []byte) {
	start, star := bytes.IndexAny(frame, "$!"), bytes.LastIndexByte(frame, '*')
	if start < 0 || star < start || star+3 > len(frame) {
		return
	}
	body := frame[start+1 : star]
	fields := bytes.Split(body, []byte(",")) // parts of body
	address := string(fields[0])
	for i := 1; i+1 < len(fields); i++ {
		f, d := fields[i], fields[i+1]
		if position.Match(f) && len(d) == 1 && bytes.IndexByte([]byte("NSEW"), d[0]) >= 0 {
			k.degreesMinutes(f)
		}
	}
	kind := ""
	if len(address) == 5 {
		kind = address[2:]
	}
	proprietary := address != "" && address[0] == 'P'
	switch {
	case harmless[kind] && !proprietary:
	case len(fields) > 5 && (kind == "VDM" || kind == "VDO"):
		k.armoured(fields[5])
	case !proprietary && kind != "TXT":
		for _, f := range fields[1:] {
			k.letters("text", string(f), f)
		}
	default:
		for _, f := range fields[1:] {
			for _, at := range run.FindAllIndex(f, -1) {
				k.code(f[at[0]:at[1]])
			}
		}
	}
	copy(frame[star+1:], fmt.Sprintf("%02X", codec.NMEAChecksum(body)))
}

// degreesMinutes replaces dddmm.mmmm or ddmm.mmmm within its bounds; what is in
// other units keeps its length only.
func (k *Key) degreesMinutes(p []byte) {
	p = bytes.TrimLeft(p, "+-")
	hash := k.stream("position", string(p), len(p))
	degrees := bytes.IndexByte(p, '.')
	if degrees < 0 {
		degrees = len(p)
	}
	degrees -= 2
	for i, b := range p {
		if b >= '0' && b <= '9' {
			p[i] = '0' + hash[i]%10
		}
	}
	switch degrees { // digits of the degrees
	case 2:
		p[0] = '0' + hash[0]%9
	case 3:
		p[0], p[1] = '0'+hash[0]%2, '0'+hash[1]%8
	}
	p[degrees] = '0' + hash[degrees]%6
}

// armoured replaces the six-bit characters of an AIS payload behind the first,
// which is the type of the message.
func (k *Key) armoured(p []byte) {
	if len(p) < 2 {
		return
	}
	const alphabet = "0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVW`abcdefghijklmnopqrstuvw"
	for i, h := range k.stream("ais", string(p), len(p)-1) {
		p[i+1] = alphabet[h%64]
	}
}

// code replaces in a run of a proprietary sentence what may be an identity.
func (k *Key) code(p []byte) {
	if k.serial(p) {
		return
	}
	for _, at := range hexadecimal.FindAllIndex(p, -1) {
		k.letters("text", string(p[at[0]:at[1]]), p[at[0]:at[1]])
	}
}

// serial replaces a run that has at least four digits, and is false for any other.
func (k *Key) serial(p []byte) bool {
	digits := 0
	for _, b := range p {
		if b >= '0' && b <= '9' {
			digits++
		}
	}
	if digits >= 4 {
		k.letters("text", string(p), p)
	}
	return digits >= 4
}

// hexadecimal is an identity of a transponder, such as FLARM's or ICAO's: half of
// them have fewer than four decimal digits, some have none.
var hexadecimal = regexp.MustCompile(`[0-9A-F]{6,}`)

var (
	// Whether the identifier ends in its sixth part, mostly 255, is the meter's choice.
	named  = regexp.MustCompile(`(?m)^\d+-\d+:(?:96\.1\.\d+|96\.13\.\d+|42\.0\.\d+|0\.0\.\d+)(?:[.*]\d+)?\(([^\n]*)`)
	digits = regexp.MustCompile(`\d{8,}`)
)

// telegram replaces within a good P1 telegram.
func (k *Key) telegram(frame []byte) {
	end := bytes.LastIndexByte(frame, '!')
	if end < 0 || end+5 > len(frame) {
		return
	}
	sent, err := strconv.ParseUint(string(frame[end+1:end+5]), 16, 16)
	plain := err == nil && uint64(codec.CRC16ARC.Of(frame[:end+1])) == sent
	head := frame[:max(bytes.IndexByte(frame, '\n'), 0)]
	for _, at := range digits.FindAllIndex(head, -1) {
		k.letters("text", string(head[at[0]:at[1]]), head[at[0]:at[1]])
	}
	for _, at := range named.FindAllSubmatchIndex(frame[:end], -1) {
		for _, group := range bytes.FieldsFunc(frame[at[2]:at[3]], func(r rune) bool { return r == '(' || r == ')' || r == '\r' }) {
			k.hex(group)
		}
	}
	covered := frame[:end+1]
	if !plain { // line ends were reduced to LF on the way, as the codec allows
		covered = bytes.ReplaceAll(covered, []byte("\n"), []byte("\r\n"))
	}
	copy(frame[end+1:], fmt.Sprintf("%04X", codec.CRC16ARC.Of(covered)))
}
