package bench

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// Port is one serial port of this machine.
type Port struct {
	Path    string // for example /dev/ttyUSB0
	Stable  string // a link that follows the device wherever it is plugged in, "" when there is none
	USB     bool
	VID     string // four hexadecimal digits
	PID     string
	Serial  string
	Product string
	Problem string // why it cannot be opened, "" when it can
	Mend    string
}

// stableNames is where udev keeps links that are named after the device.
const stableNames = "/dev/serial/by-id"

// Ports lists the serial ports of this machine, sorted by path. It opens none:
// opening a port resets some sensors and disturbs whoever uses it.
func Ports() ([]Port, error) {
	found, err := enumerate()
	if err != nil {
		return nil, fmt.Errorf("bench: list serial ports: %w", err)
	}
	links := readLinks(stableNames)
	for i := range found {
		p := &found[i]
		p.Stable = links[p.Path]
		p.Problem, p.Mend = access(p.Path)
	}
	slices.SortFunc(found, func(a, b Port) int { return cmp.Compare(a.Path, b.Path) })
	return found, nil
}

// readLinks maps what the links in a folder lead to back to them.
func readLinks(dir string) map[string]string {
	out := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return out // no udev, or no USB device
	}
	for _, e := range entries {
		link := filepath.Join(dir, e.Name())
		if target, err := filepath.EvalSymlinks(link); err == nil {
			out[target] = link
		}
	}
	return out
}

// access says why a port could not be opened, by its mode alone.
func access(path string) (problem, mend string) {
	if runtime.GOOS == "windows" {
		return "", ""
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "it has gone", "plug the device in again"
	case err != nil:
		return err.Error(), ""
	case readable(path):
		return "", ""
	}
	group := ownerGroup(info)
	if group == "" {
		return "no permission to open it", "give your user access to " + path
	}
	return fmt.Sprintf("no permission: it belongs to the group %s", group),
		fmt.Sprintf("sudo usermod -aG %s \"$USER\", then log in again", group)
}

// Title is what a person calls the device.
func (p Port) Title() string {
	words := []string{}
	if p.Product != "" {
		words = append(words, p.Product)
	}
	if p.USB {
		words = append(words, p.VID+":"+p.PID)
	}
	if p.Serial != "" {
		words = append(words, p.Serial)
	}
	return strings.Join(words, " ")
}

// YAML returns the port as an entry of the list "devices" of a rig file, ready
// to paste. Baud rate and codec cannot be found out from outside: the entry
// holds the most usual ones. Texts that come from the device are quoted.
func (p Port) YAML() string {
	var b strings.Builder
	fmt.Fprintf(&b, "  - id: %s\n    kind: serial\n", p.id())
	if p.Product != "" {
		fmt.Fprintf(&b, "    model: %s\n", strconv.QuoteToASCII(p.Product))
	}
	if p.Serial != "" {
		fmt.Fprintf(&b, "    serial: %s\n", strconv.QuoteToASCII(p.Serial))
	}
	path := p.Path
	if p.Stable != "" {
		path = p.Stable
	}
	fmt.Fprintf(&b, "    port: %s\n    baud: 9600        # as in the data sheet of the sensor\n    codec: nmea0183   # or linejson\n", strconv.QuoteToASCII(path))
	return b.String()
}

// id makes a name out of product and path that fits into a topic.
func (p Port) id() string {
	name := filepath.Base(p.Path)
	if p.Product != "" {
		name = p.Product + "-" + name
	}
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		case r == ' ', r == '_', r == '.', r == '/':
			return '-'
		}
		return -1
	}, name)
	return strings.Trim(clean, "-")
}
