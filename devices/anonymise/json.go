package anonymise

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// identities are the names of members whose numbers are identities, in letters
// and small ones only. The cell of a mobile network is one: it is a place, too.
var identities = set("id deviceid devid nodeid sensorid meterid clientid userid serial serialnumber serialno sn mac macaddress " +
	"imei imsi iccid msisdn ip ipaddress ssid bssid uuid eui deveui address phone mmsi imo vin ean meter dev device node sensor unit " +
	"plate iban user account chipid espid cellid cid lac tac enb enbid eci")

// positions are the names of members that are coordinates.
var positions = set("lat latitude lon lng long longitude coordinates coordinate coords coord position location loc gps geo point latlng latlon lnglat " +
	"pos latlong longlat gpspos gpsposition gpslocation gpscoordinates geohash geopoint geopos geoposition geolocation")

// degrees are the names of those that are one number.
var degrees = set("lat latitude lon lng longitude")

// stateWords are texts that say how something is, and not who.
var stateWords = set("on off online offline open closed opened true false yes no ok error unknown auto heat cool idle none null " +
	"nan low high normal alive dead connected disconnected single double hold release")

// plain returns the letters of a name, in small ones.
func plain(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return -1
	}, name)
}

// words takes a name apart at its capitals and at what is no letter.
var words = regexp.MustCompile(`[A-Z]?[a-z]+|[A-Z]+`)

// nameOf is plain of a member's name, or "latitude" when one of its words says
// that it is degrees: gps_lat, startLongitude, latitude_i.
func nameOf(name string) string {
	for _, w := range words.FindAllString(name, -1) {
		if degrees[strings.ToLower(w)] {
			return "latitude"
		}
	}
	return plain(name)
}

// Payload replaces what an MQTT payload tells of who and where. It is false for
// one that cannot be looked into.
func (k *Key) Payload(topic string, payload []byte) ([]byte, bool) {
	out := bytes.Clone(payload)
	body := bytes.TrimSpace(out)
	last := nameOf(topic[strings.LastIndexByte(topic, '/')+1:])
	switch {
	case len(body) == 0:
		return out, true
	case !utf8.Valid(body) || bytes.ContainsFunc(body, func(r rune) bool { return r < ' ' && r != '\n' && r != '\r' && r != '\t' }):
		return nil, false
	case isNumber(string(body)):
		k.numberOf(last, body)
	case json.Valid(body):
		k.object(body, false)
	default:
		k.textValue(body)
	}
	return out, true
}

func isNumber(s string) bool {
	_, err := strconv.ParseFloat(s, 64)
	return err == nil
}

// numberOf replaces the digits of a number in place if its name is one of an
// identity or a position.
func (k *Key) numberOf(name string, p []byte) {
	switch {
	case degrees[name], positions[name] && bytes.IndexByte(p, '.') >= 0: // a blind's position is whole
		k.coordinate(p)
	case identities[name]:
		k.digits("text", p)
	}
}

// coordinate replaces the digits of degrees so that they stay below 90, or below
// 180 where there are three.
func (k *Key) coordinate(p []byte) {
	whole, _, _ := strings.Cut(strings.TrimLeft(string(p), "+-"), ".")
	start := len(p) - len(strings.TrimLeft(string(p), "+-"))
	k.digits("position", p[start:])
	switch p := p[start:]; len(whole) {
	case 2:
		if p[0] == '9' {
			p[0] = '8'
		}
	case 3:
		p[0], p[1] = '1', '0'+(p[1]-'0')%8
	}
}

// object replaces within valid JSON, in place.
func (k *Key) object(p []byte, senml bool) {
	name := ""
	// A record that says elsewhere that it is a coordinate, as SenML does, has its
	// numbers replaced, whatever their name.
	place := placed.Match(p)
	for i := 0; i < len(p); {
		switch b := p[i]; {
		case b == '"':
			end := closing(p, i)
			text := p[i+1 : end]
			i = end + 1
			if rest := bytes.TrimLeft(p[i:], " \t\r\n"); len(rest) > 0 && rest[0] == ':' {
				name = nameOf(string(text))
				if senml {
					name = string(text)
				}
				for _, at := range run.FindAllIndex(text, -1) { // a member that is named by a device
					_ = k.serial(text[at[0]:at[1]])
				}
				continue
			}
			k.member(name, text, senml)
		case b == '-' || b >= '0' && b <= '9':
			end := i + 1
			for end < len(p) && strings.IndexByte("0123456789+-.eE", p[end]) >= 0 {
				end++
			}
			if n := p[i:end]; place && bytes.IndexByte(n, '.') >= 0 {
				k.coordinate(n)
			} else {
				k.numberOf(name, n)
			}
			i = end
		default:
			i++
		}
	}
}

// placed finds a text that says that a number beside it is a coordinate.
var placed = regexp.MustCompile(`(?i):\s*"([^"\\]*[^a-z"\\])?(lat|latitude|lon|lng|longitude|point|position|location|coordinates|gps)"`)

// longDigits are texts that are numbers and no readings.
var longDigits = regexp.MustCompile(`^\d{6,}$`)

// closing is where the text that begins at i ends.
func closing(p []byte, i int) int {
	for i++; i < len(p) && p[i] != '"'; i++ {
		if p[i] == '\\' {
			i++
		}
	}
	return min(i, len(p)-1)
}

// member replaces a text of an object.
func (k *Key) member(name string, text []byte, senml bool) {
	if senml {
		switch {
		case name == "u" || name == "bu":
			return
		case name == "n" && !bytes.ContainsAny(text, "0123456789"):
			return
		}
	}
	if isNumber(string(text)) {
		if k.numberOf(name, text); !positions[name] && !identities[name] && longDigits.Match(text) {
			k.digits("text", text)
		}
		return
	}
	k.textValue(text)
}

// textValue replaces a text in place, level by level where it looks like a topic.
// What follows a backslash stays, or it would be no JSON any more.
func (k *Key) textValue(text []byte) {
	s := string(text)
	switch {
	case stateWords[strings.ToLower(s)], isTime(s):
		return
	case strings.Contains(s, "/") && !strings.Contains(s, `\`):
		copy(text, k.Topic(s))
		return
	}
	if strings.Contains(s, `\`) {
		k.escaped(text)
		return
	}
	copy(text, k.Text(s))
}

// escaped replaces what stands between the escapes of a text.
func (k *Key) escaped(text []byte) {
	out := []byte(k.Text(string(text)))
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			text[i] = out[i]
			continue
		}
		i++
		if i < len(text) && text[i] == 'u' {
			for j := 1; j <= 4 && i+j < len(text); j++ { // a letter of a name, too
				text[i+j] = "0061"[j-1]
			}
			i += 4
		}
	}
}

// isTime reports whether a text is an instant as devices write it.
func isTime(s string) bool {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", time.DateOnly, time.TimeOnly} {
		if _, err := time.Parse(layout, s); err == nil {
			return true
		}
	}
	return false
}
