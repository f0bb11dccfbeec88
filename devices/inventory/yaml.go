package inventory

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// Guess is what was heard on a port. The zero value is: nothing was heard.
type Guess struct {
	Codec     string `json:"codec,omitempty"` // "" when no codec understood it
	Baud      int    `json:"baud,omitempty"`  // speed it was understood at
	Good      uint64 `json:"good"`            // frames that passed their check
	Rejected  uint64 `json:"rejected"`        // frames that did not
	Bytes     uint64 `json:"bytes"`           // heard at all speeds
	Ambiguous string `json:"alsoFits,omitempty"`
}

// Understood reports whether a codec was found.
func (g Guess) Understood() bool { return g.Codec != "" }

// String says what was heard, for a comment.
func (g Guess) String() string {
	switch {
	case g.Understood():
		text := fmt.Sprintf("heard %d good frames, %d rejected", g.Good, g.Rejected)
		if g.Ambiguous != "" {
			text += "; " + g.Ambiguous + " would fit as well"
		}
		return text
	case g.Bytes > 0:
		return fmt.Sprintf("heard %d bytes that no codec understands at any common speed", g.Bytes)
	default:
		return "heard nothing: it is silent, or speaks only when asked"
	}
}

// YAML returns the port as an entry of the list "devices" of a rig file, ready
// to paste, under the given id. Speed and codec are those that were heard, else
// the most usual ones, marked so. What nobody can see, what can be done to the device
// and who switches its power, follows as comments: keys of the entry to be filled in.
// Texts that come from the device are quoted.
func (p Port) YAML(id string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  - id: %s\n    kind: serial\n", id)
	if model := strings.TrimSpace(p.Manufacturer + " " + p.Product); p.Product != "" {
		if strings.HasPrefix(p.Product, p.Manufacturer) {
			model = p.Product
		}
		fmt.Fprintf(&b, "    model: %s\n", strconv.QuoteToASCII(model))
	}
	if p.Serial != "" {
		fmt.Fprintf(&b, "    serial: %s\n", strconv.QuoteToASCII(p.Serial))
	}
	fmt.Fprintf(&b, "    port: %s%s\n", strconv.QuoteToASCII(p.Select), p.place())
	switch {
	case p.Guess != nil && p.Guess.Understood():
		fmt.Fprintf(&b, "    baud: %d\n    codec: %s   # %s\n", p.Guess.Baud, p.Guess.Codec, p.Guess)
	case p.Guess != nil:
		fmt.Fprintf(&b, "    baud: 9600        # %s\n    codec: nmea0183   # as in the data sheet of the sensor\n", p.Guess)
	default:
		fmt.Fprint(&b, "    baud: 9600        # not listened to: as in the data sheet of the sensor\n    codec: nmea0183   # or linejson\n")
	}
	b.WriteString(`    # set: {READING: {write: "SET {value}", from: 0, to: 10, step: 1}}   # or {line: dtr, low: 0, high: 1}
    # actuators: {READING: {on: "ON", off: "OFF"}}                        # what a viewer's command switches
`)
	fmt.Fprintf(&b, "    # power: %s\n", p.power())
	return b.String()
}

// power is how the power of the device may be switched: by the hub that its port is on,
// where that can, or by a relay.
func (p Port) power() string {
	const relay = `{relay: "SELECTOR OF THE RELAY BOARD", channel: 1}`
	dot := strings.LastIndexAny(p.USBPath, "-.")
	if dot < 0 {
		return relay
	}
	hub, port := p.USBPath[:dot], p.USBPath[dot+1:]
	return fmt.Sprintf("{uhubctl: %q, port: %s}   # where that hub can switch it (sudo uhubctl lists those that can), or %s", hub, port, relay)
}

// place says where the port is now, as a comment.
func (p Port) place() string {
	var words []string
	if p.Path != p.Select {
		words = append(words, "now "+p.Path)
	}
	if p.USBPath != "" {
		words = append(words, "USB "+p.USBPath)
	}
	if p.Driver != "" {
		words = append(words, p.Driver)
	}
	if len(words) == 0 {
		return ""
	}
	return "   # " + strings.Join(words, ", ")
}

// Names returns an id for each port, in order: unique, fit for a topic, and for
// USB devices the same wherever they are plugged in.
func Names(ports []Port) []string {
	names, seen := make([]string, len(ports)), map[string]bool{}
	for i, p := range ports {
		name := p.name()
		for n := 2; seen[name]; n++ {
			name = fmt.Sprintf("%s-%d", p.name(), n)
		}
		names[i], seen[name] = name, true
	}
	return names
}

// name makes an id out of product and serial number, else of place or path.
func (p Port) name() string {
	what, which := p.Product, p.Serial
	if which == "" && p.USBPath != "" {
		which = p.USBPath
	}
	if p.Unit != "" && p.Unit != "0" {
		which += "-" + p.Unit
	}
	if what == "" && p.Driver != "" && p.USB {
		what = p.Driver
	}
	if which == "" || clean(what+"-"+which) == "" {
		what, which = p.Product, filepath.Base(p.Path)
	}
	return clean(what + "-" + which)
}

// clean keeps what may stand in a level of a topic and needs no quotes.
func clean(text string) string {
	mapped := strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		case r == ' ', r == '_', r == '.', r == '/', r == ':':
			return '-'
		}
		return -1
	}, text)
	mapped = strings.Trim(mapped, "-")
	if mapped != "" && mapped[0] >= '0' && mapped[0] <= '9' {
		mapped = "port-" + mapped // a bare number would be one in YAML
	}
	return mapped
}
