// Package console shows a run to a person: progress while it goes on and the
// totals, failures and the place of the report at its end.
//
// It knows verdicts, results and events, not how they come about. On a terminal a
// block at the bottom is redrawn in place; into a pipe or a file it writes plain
// lines.
package console

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"

	"plumbline/reports"
)

// Style says how a stream is written to. The zero value is plain text.
type Style struct {
	Live   bool // a block at the bottom that is redrawn in place
	Color  bool
	Quiet  bool // nothing but warnings until the end
	Width  int  // columns; 0 means unlimited
	Height int  // rows; 0 means unlimited
}

// StyleOf looks at what w is connected to. Nothing but a terminal is written
// to live or in colour; NO_COLOR (https://no-color.org) and TERM=dumb are kept.
func StyleOf(w io.Writer, getenv func(string) string) Style {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || getenv("TERM") == "dumb" {
		return Style{}
	}
	s := Style{Live: true, Color: getenv("NO_COLOR") == ""}
	if width, height, err := term.GetSize(int(f.Fd())); err == nil {
		s.Width, s.Height = width, height
	}
	return s
}

// SGR codes of the verdicts' colours.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	dim    = "2"
	bold   = "1"
)

func (s Style) paint(code, text string) string {
	if !s.Color || code == "" || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s Style) verdict(v reports.Verdict) string {
	text := fmt.Sprintf("%-16s", v)
	switch v {
	case reports.Pass:
		return s.paint(green, text)
	case reports.Fail, reports.Error:
		return s.paint(red, text)
	case reports.NotApplicable, reports.NotRun:
		return s.paint(dim, text)
	default:
		return s.paint(yellow, text)
	}
}

// Clean makes text from descriptors, devices and systems under test safe to
// print: one line, no control sequence reaches the terminal, and no command the
// runner of GitHub Actions that reads along.
func Clean(text string) string {
	return inert(strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case r == utf8.RuneError, unicode.IsControl(r), unicode.In(r, unicode.Cf):
			return -1
		}
		return r
	}, text))
}

// command matches how a line begins that the runner of GitHub Actions obeys. No
// address of IPv6, which may begin with "::" as well, has a letter behind f.
var command = regexp.MustCompile(`^([\s\p{Z}]*:)(:[0-9A-Za-z-]*[g-zG-Z])`)

// inert parts the marks of commands; those of the older form count anywhere in a line.
func inert(line string) string {
	return strings.ReplaceAll(command.ReplaceAllString(line, "$1 $2"), "##[", "## [")
}

// First returns the first line of text, cleaned; "…" says that there was more.
func First(text string) string {
	line, _, more := strings.Cut(strings.TrimRight(text, "\n"), "\n")
	if more {
		return Clean(strings.TrimRight(line, " :")) + " …"
	}
	return Clean(line)
}

// Block returns text cleaned line by line, all lines but the first indented,
// for messages that end with the last words of a process.
func Block(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, line := range lines {
		lines[i] = Clean(strings.TrimSpace(line))
	}
	return strings.Join(lines, "\n    ")
}

// fit cuts text to width columns.
func fit(text string, width int) string {
	if width <= 0 || columns(text) <= width {
		return text
	}
	used := 1 // of the "…"
	for i, r := range text {
		if used += column(r); used > width {
			return text[:i] + "…"
		}
	}
	return text
}

// columns returns how many columns a terminal needs for cleaned text, at most.
func columns(text string) int {
	n := 0
	for _, r := range text {
		n += column(r)
	}
	return n
}

// column returns how many columns a rune takes at most: terminals do not agree
// about many of those that may be wide (Unicode Standard Annex 11), and a line
// that is taken for too long is only cut early.
func column(r rune) int {
	if r < 0x1100 || r >= 0x1e00 && r < 0x2600 {
		return 1
	}
	return 2
}

// span prints a duration for people: tenths of a second below a minute.
func span(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%d min %02d s", int(d.Minutes()), int(d.Seconds())%60)
}

// Status paints the four words of a health check at equal width: "ok",
// "warn", "bad", and anything else as it is.
func (s Style) Status(word string) string {
	text := fmt.Sprintf("%-4s", Clean(word))
	switch word {
	case "ok":
		return s.paint(green, text)
	case "warn":
		return s.paint(yellow, text)
	case "bad":
		return s.paint(red, text)
	default:
		return s.paint(dim, text)
	}
}
