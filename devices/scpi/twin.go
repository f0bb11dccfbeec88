package scpi

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
)

// Twin is an instrument that answers: questions that it knows with what the
// caller gives, *IDN? with Identity, SYST:ERR? with the oldest error of its
// queue, commands that it knows with nothing, and all others with an error in the
// queue, as SCPI-99, 21.8 asks. Letters may be of either case. Set the fields
// before the first Hear.
type Twin struct {
	Identity string                   // "maker,model,serial,version"
	Answers  map[string]func() string // by question, in upper case
	Commands []string                 // that are obeyed, in upper case, without parameters

	mu     sync.Mutex
	heard  []byte   // of a line that is not whole; owned by mu
	errors []string // owned by mu
}

// Hear takes bytes from the line and returns what the instrument says to the
// lines that they complete.
func (t *Twin) Hear(p []byte) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.heard = append(t.heard, p...)
	var out []byte
	for {
		line, rest, whole := bytes.Cut(t.heard, []byte("\n"))
		if !whole {
			if len(t.heard) > 4096 {
				t.heard = nil
			}
			return out
		}
		t.heard = rest
		if said := strings.ToUpper(strings.TrimSpace(string(line))); said != "" {
			out = append(out, t.obey(said)...)
		}
	}
}

func (t *Twin) obey(said string) string {
	switch said {
	case "*IDN?":
		return t.Identity + "\n"
	case "SYST:ERR?", "SYSTEM:ERROR?", "SYST:ERR:NEXT?":
		if len(t.errors) == 0 {
			return "0,\"No error\"\n"
		}
		first := t.errors[0]
		t.errors = t.errors[1:]
		return first + "\n"
	}
	if answer, known := t.Answers[said]; known {
		return answer() + "\n"
	}
	command, _, _ := strings.Cut(said, " ")
	for _, known := range t.Commands {
		if command == known {
			return ""
		}
	}
	if len(t.errors) < 20 {
		t.errors = append(t.errors, fmt.Sprintf("-113,\"Undefined header;%s\"", command))
	}
	return ""
}
