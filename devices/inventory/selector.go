package inventory

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// Errors of a selector that does not name exactly one port.
var (
	ErrAbsent    = errors.New("no such device is plugged in")
	ErrAmbiguous = errors.New("more than one device fits")
	ErrOther     = errors.New("another device is plugged in there")
	ErrSelector  = errors.New("wrong selector")
)

// Prefix is how a selector by USB identity begins.
const Prefix = "usb:"

// Selector chooses a port by what it is. Its text form is
//
//	usb:VID:PID:SERIAL        this very device, wherever it is plugged in
//	usb:VID:PID               the only one of its kind
//	usb:VID:PID@1-1.4         one of this kind, in this USB socket
//	usb:@1-1.4                whatever is plugged into this USB socket
//	…/2                       port 2 of an adapter with several
//
// Letters, digits, "-", "." and "_" of a serial number stand for themselves,
// all else is written %XX. Any other text is the path of a port.
type Selector struct {
	VID, PID string // four hexadecimal digits in lower case; "" = any
	Serial   string
	USBPath  string
	Unit     string
	Path     string // a plain path; then all else is ""
}

// numbered are the names that the kernel gives in the order of plugging in.
var numbered = regexp.MustCompile(`^/dev/(ttyUSB|ttyACM)[0-9]+$`)

// Numbered reports whether a path changes its meaning at a replug.
func Numbered(path string) bool { return numbered.MatchString(path) }

// ParseSelector reads the text form. Errors are ErrSelector and show the form.
func ParseSelector(text string) (Selector, error) {
	rest, is := strings.CutPrefix(text, Prefix)
	if !is {
		if text == "" {
			return Selector{}, fmt.Errorf("inventory: %w: it is empty; plumbline devices prints one for each port", ErrSelector)
		}
		return Selector{Path: text}, nil
	}
	fail := func(why string) (Selector, error) {
		return Selector{}, fmt.Errorf("inventory: %w %q: %s; it is usb:VID:PID:SERIAL, usb:VID:PID or usb:VID:PID@PLACE, "+
			"and plumbline devices prints it for each port", ErrSelector, text, why)
	}
	var s Selector
	var more bool
	if rest, s.Unit, more = cut(rest, "/"); more && (s.Unit == "" || strings.Trim(s.Unit, "0123456789.") != "") {
		return fail("behind the / stands the number of a port of the adapter")
	}
	if rest, s.USBPath, more = cut(rest, "@"); more && (s.USBPath == "" || strings.Trim(s.USBPath, "0123456789-.") != "") {
		return fail("behind the @ stands a USB place such as 1-1.4")
	}
	if rest == "" {
		if s.USBPath == "" {
			return fail("it names nothing")
		}
		return s, nil
	}
	parts := strings.SplitN(rest, ":", 3)
	if len(parts) < 2 {
		return fail("the product number is missing")
	}
	if s.VID, s.PID = hexID(parts[0]), hexID(parts[1]); s.VID == "" || s.PID == "" {
		return fail("vendor and product are four hexadecimal digits each")
	}
	if len(parts) == 3 {
		serial, err := url.PathUnescape(parts[2])
		if err != nil || serial == "" {
			return fail("the serial number is empty or holds a lone %")
		}
		s.Serial = serial
	}
	return s, nil
}

// cut splits at the last separator.
func cut(text, sep string) (before, after string, found bool) {
	i := strings.LastIndex(text, sep)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+1:], true
}

// String returns the text form, which ParseSelector reads back.
func (s Selector) String() string {
	if s.Path != "" {
		return s.Path
	}
	var b strings.Builder
	b.WriteString(Prefix)
	if s.VID != "" {
		b.WriteString(s.VID + ":" + s.PID)
	}
	if s.Serial != "" {
		b.WriteByte(':')
		for _, c := range []byte(s.Serial) {
			if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._", c) >= 0 {
				b.WriteByte(c)
			} else {
				fmt.Fprintf(&b, "%%%02X", c)
			}
		}
	}
	if s.USBPath != "" {
		b.WriteString("@" + s.USBPath)
	}
	if s.Unit != "" {
		b.WriteString("/" + s.Unit)
	}
	return b.String()
}

// fits reports whether the port is one that s means.
func (s Selector) fits(p Port) bool {
	if s.Path != "" {
		return s.Path == p.Path || s.Path == p.Link
	}
	return p.USB && (s.VID == "" || s.VID == p.VID && s.PID == p.PID) && (s.Serial == "" || s.Serial == p.Serial) &&
		(s.USBPath == "" || s.USBPath == p.USBPath) && (s.Unit == "" || s.Unit == p.Unit)
}

// selectorOf returns the shortest selector that fits p and no other port: by
// serial number where that is its own, else by the socket.
func selectorOf(p Port, all []Port) Selector {
	if !p.USB || p.VID == "" || p.PID == "" {
		return Selector{Path: p.Path}
	}
	kind := Selector{VID: p.VID, PID: p.PID}
	tries := []Selector{}
	if p.Serial != "" {
		tries = append(tries, Selector{VID: p.VID, PID: p.PID, Serial: p.Serial}, Selector{VID: p.VID, PID: p.PID, Serial: p.Serial, Unit: p.Unit})
	}
	if p.USBPath != "" {
		place := Selector{VID: p.VID, PID: p.PID, USBPath: p.USBPath}
		tries = append(tries, place)
		place.Unit = p.Unit
		tries = append(tries, place)
	} else {
		tries = append(tries, kind)
	}
	for _, s := range tries {
		if fitting(s, all) == 1 {
			return s
		}
	}
	return Selector{Path: p.Path}
}

func fitting(s Selector, all []Port) int {
	n := 0
	for _, p := range all {
		if s.fits(p) {
			n++
		}
	}
	return n
}

// Find returns the one port that s fits. The error wraps ErrAbsent, ErrOther
// or ErrAmbiguous and names the candidates. A path that the inventory does not
// know is returned as it is: links of udev and pseudo terminals are ports, too.
func (inv Inventory) Find(s Selector) (Port, error) {
	ports, err := inv.Scan()
	if err != nil {
		if s.Path != "" {
			return Port{Path: s.Path, Select: s.Path}, nil
		}
		return Port{}, err
	}
	return find(s, ports)
}
