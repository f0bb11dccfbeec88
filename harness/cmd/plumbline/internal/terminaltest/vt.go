// Package terminaltest is a terminal for tests: as much of one as a program may use
// that leaves nothing behind, and programs on a pseudo terminal in front of it.
package terminaltest

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// VT is what a terminal shows. It knows text, line ends, "cursor up", "erase" and
// colours (ECMA-48 CUU, EL, ED, SGR); what it does not know it refuses: a mode that is
// set would have to be brought back.
type VT struct {
	width, height int
	rows          [][]rune // scrollback and screen; a wide rune is followed by a 0
	top           int      // first row of the screen
	x, y          int      // cursor; y counts from the first row of all
	full          bool     // the last column was written: the next rune wraps
	rest          []byte   // of a sequence that is not whole yet
	refused       []string
}

// New returns an empty terminal with the cursor in its first row.
func New(width, height int) *VT {
	return &VT{width: width, height: height, rows: [][]rune{nil}}
}

// Write takes what a program sends; it never fails.
func (v *VT) Write(p []byte) (int, error) {
	data := slices.Concat(v.rest, p)
	v.rest = nil
	for len(data) > 0 {
		n := v.one(data)
		if n == 0 {
			v.rest = append([]byte{}, data...)
			break
		}
		data = data[n:]
	}
	return len(p), nil
}

// one takes one rune or sequence; 0 says that it is not whole.
func (v *VT) one(data []byte) int {
	switch data[0] {
	case '\r':
		v.x, v.full = 0, false
		return 1
	case '\n':
		v.down()
		return 1
	case '\t':
		v.put(' ')
		for v.x%8 != 0 && !v.full {
			v.put(' ')
		}
		return 1
	case '\a', '\b':
		v.refuse(data[:1])
		return 1
	case 0x1b:
		return v.escape(data)
	}
	if !utf8.FullRune(data) {
		return 0
	}
	r, n := utf8.DecodeRune(data)
	if r < 0x20 || r == 0x7f || r >= 0x80 && r < 0xa0 {
		v.refuse(data[:n])
		return n
	}
	v.put(r)
	return n
}

func (v *VT) refuse(what []byte) { v.refused = append(v.refused, fmt.Sprintf("%q", what)) }

func (v *VT) escape(data []byte) int {
	if len(data) < 2 {
		return 0
	}
	if data[1] != '[' {
		v.refuse(data[:2])
		return 2
	}
	end := 2
	for end < len(data) && (data[end] < 0x40 || data[end] > 0x7e) {
		end++
	}
	if end == len(data) {
		return 0
	}
	parameter, n := string(data[2:end]), 1
	if data[end] != 'm' {
		if _, err := fmt.Sscanf(parameter, "%d", &n); err != nil && parameter != "" {
			v.refuse(data[:end+1])
			return end + 1
		}
	}
	switch {
	case data[end] == 'A':
		v.y, v.full = max(v.y-n, v.top), false
	case data[end] == 'K' && parameter == "":
		v.cut()
	case data[end] == 'J' && parameter == "":
		v.cut()
		v.rows = v.rows[:v.y+1]
	case data[end] == 'm' && strings.Trim(parameter, "0123456789;") == "":
	default:
		v.refuse(data[:end+1])
	}
	return end + 1
}

// cut erases from the cursor to the end of its row.
func (v *VT) cut() {
	if row := v.rows[v.y]; len(row) > v.x { // also of the last column when it was just written
		v.rows[v.y] = row[:v.x]
	}
	v.full = false
}

func (v *VT) down() {
	v.y++
	v.full = false
	for len(v.rows) <= v.y {
		v.rows = append(v.rows, nil)
	}
	v.top = max(v.top, v.y-v.height+1)
}

func (v *VT) put(r rune) {
	if v.full || v.x+column(r) > v.width {
		v.x = 0
		v.down()
	}
	row := v.rows[v.y]
	for len(row) < v.x+column(r) {
		row = append(row, ' ')
	}
	row[v.x] = r
	if column(r) == 2 {
		row[v.x+1] = 0
	}
	v.rows[v.y] = row
	v.x += column(r)
	v.full = v.x == v.width
	if v.full {
		v.x--
	}
}

// Resize gives the window another size; what stands there is not broken anew.
func (v *VT) Resize(width, height int) {
	v.width, v.height = width, height
	v.top = max(v.top, len(v.rows)-height)
	v.x = min(v.x, width-1)
}

// Refused returns what the terminal was sent and must not be, quoted.
func (v *VT) Refused() []string { return v.refused }

// Column returns the column of the cursor, from 0.
func (v *VT) Column() int { return v.x }

// Text returns everything, the scrollback included, without what is blank.
func (v *VT) Text() string {
	var b strings.Builder
	for _, row := range v.rows {
		b.WriteString(strings.TrimRight(strings.ReplaceAll(string(row), "\x00", ""), " ") + "\n")
	}
	return strings.TrimRight(b.String(), "\n")
}

// Print writes text as the line discipline of a terminal passes it on.
func (v *VT) Print(text string) {
	_, _ = v.Write([]byte(strings.ReplaceAll(text, "\n", "\r\n"))) // see Write
}

// column returns how many columns a rune takes, roughly (Unicode Standard Annex 11).
func column(r rune) int {
	if r >= 0x1100 && r < 0x1160 || r >= 0x2e80 && r < 0xa4d0 || r >= 0xac00 && r < 0xd7a4 || r >= 0xff00 && r < 0xff61 || r >= 0x1f300 {
		return 2
	}
	return 1
}
