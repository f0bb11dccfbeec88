package console

import (
	"fmt"
	"slices"
	"strings"
)

// piece is a part of a row in one colour; "" is none.
type piece struct{ code, text string }

// row is one line of the block.
type row []piece

// text returns the row cut to width columns, painted.
func (r row) text(style Style, width int) string {
	var b strings.Builder
	left := width
	for _, s := range r {
		cut := s.text
		if width > 0 {
			if left <= 0 {
				break
			}
			cut = fit(s.text, left)
			left -= columns(cut)
		}
		b.WriteString(style.paint(s.code, cut))
		if cut != s.text {
			break
		}
	}
	return b.String()
}

// columns returns how wide the row is.
func (r row) columns() int {
	n := 0
	for _, s := range r {
		n += columns(s.text)
	}
	return n
}

// screen is the block at the bottom of a terminal; above it lines scroll by. The
// cursor always stands in the first column below the block, so that whatever comes
// after it, a prompt of the shell say, begins on a line of its own.
//
// It sets no mode of the terminal: no alternate screen, no hidden cursor, nothing
// of the line discipline. So there is nothing to bring back, however the program
// ends, SIGKILL included. What it writes is text, colours that end with their text,
// line ends, "cursor up" and "erase" (ECMA-48 CUU, EL, ED).
type screen struct {
	style Style
	drawn []string // rows that stand there
	sizes []int    // their columns
}

// compose returns what to write so that lines scroll by above a block in a window
// of that width. "" says that nothing changes. The last column stays free: what
// stands there is erased by "erase" on some terminals.
func (s *screen) compose(lines []string, block []row, width int) string {
	rows, sizes := make([]string, 0, len(block)), make([]int, 0, len(block))
	for _, r := range block {
		size := r.columns()
		if width > 0 {
			size = min(size, width-1)
		}
		rows, sizes = append(rows, r.text(s.style, width-1)), append(sizes, size)
	}
	if len(lines) == 0 && slices.Equal(rows, s.drawn) {
		return ""
	}
	var b strings.Builder
	up := s.height(width)
	if up > 0 {
		fmt.Fprintf(&b, "\r\x1b[%dA", up)
	}
	if up > 0 && (len(lines) > 0 || up != len(s.drawn)) {
		b.WriteString("\x1b[J")
	}
	for _, l := range lines {
		b.WriteString(l + "\n")
	}
	for _, r := range rows {
		b.WriteString(r + "\x1b[K\n")
	}
	if len(lines) == 0 && len(rows) < up {
		b.WriteString("\x1b[J")
	}
	s.drawn, s.sizes = rows, sizes
	return b.String()
}

// height returns how many rows the block takes in a window of that width: most
// terminals break the lines of a window that was made narrower.
func (s *screen) height(width int) int {
	n := len(s.drawn)
	for _, size := range s.sizes {
		if width > 0 && size > width {
			n += (size - 1) / width
		}
	}
	return n
}

// forget leaves the block where it stands; the next one is drawn below it. It is
// for when others wrote to the terminal meanwhile.
func (s *screen) forget() { s.drawn, s.sizes = nil, nil }
