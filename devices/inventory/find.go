package inventory

import (
	"fmt"
	"path/filepath"
	"strings"
)

// find chooses among ports; see Inventory.Find.
func find(s Selector, ports []Port) (Port, error) {
	var fit []Port
	for _, p := range ports {
		if s.fits(p) || s.Path != "" && leadsTo(s.Path, p.Path) {
			fit = append(fit, p)
		}
	}
	switch {
	case len(fit) == 1:
		return fit[0], nil
	case s.Path != "":
		return Port{Path: s.Path, Select: s.Path}, nil
	case len(fit) > 1:
		return Port{}, fmt.Errorf("inventory: %q: %w: %s; name the one you mean", s, ErrAmbiguous, candidates(fit))
	}
	if s.USBPath != "" {
		for _, p := range ports {
			if p.USBPath == s.USBPath {
				return Port{}, fmt.Errorf("inventory: %q: %w: %s; plug the right one in, or name this one", s, ErrOther, candidates([]Port{p}))
			}
		}
	}
	if near := sameKind(s, ports); len(near) > 0 {
		return Port{}, fmt.Errorf("inventory: %q: %w; of the same kind there is %s", s, ErrAbsent, candidates(near))
	}
	if len(ports) == 0 {
		return Port{}, fmt.Errorf("inventory: %q: %w; no serial port is, see plumbline doctor", s, ErrAbsent)
	}
	return Port{}, fmt.Errorf("inventory: %q: %w; there is %s", s, ErrAbsent, candidates(ports))
}

// leadsTo reports whether a link leads to the port.
func leadsTo(link, path string) bool {
	a, err := filepath.EvalSymlinks(link)
	if err != nil {
		return false
	}
	b, err := filepath.EvalSymlinks(path)
	return err == nil && a == b
}

// sameKind returns the ports of the vendor and product that s asks for.
func sameKind(s Selector, ports []Port) []Port {
	var out []Port
	for _, p := range ports {
		if s.VID != "" && p.VID == s.VID && p.PID == s.PID {
			out = append(out, p)
		}
	}
	return out
}

// maxCandidates bounds how many ports an error names.
const maxCandidates = 8

// candidates lists ports for an error.
func candidates(ports []Port) string {
	words := []string{}
	for i, p := range ports {
		if i == maxCandidates {
			words = append(words, fmt.Sprintf("and %d more", len(ports)-i))
			break
		}
		word := p.Select
		if title := p.Title(); title != "" || p.Path != p.Select {
			word += fmt.Sprintf(" (%s)", strings.Trim(p.Path+", "+title, ", "))
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

// Title is what a person calls the device: product, numbers, serial number.
func (p Port) Title() string {
	words := []string{}
	if p.Manufacturer != "" && !strings.HasPrefix(p.Product, p.Manufacturer) {
		words = append(words, p.Manufacturer)
	}
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
