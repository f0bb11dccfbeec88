package viewer

import (
	"fmt"
	"strings"
)

// takenOver remembers what frames said last that a viewer hands back when it resumes.
// It is owned by the goroutine that connects and reads.
type takenOver struct {
	frames []string
	of     map[string][]pointer // by what stands within the braces: one of these
	values map[string]string    // what any of them found last
}

// newTakenOver reads the templates of frames: {{/pointer}}, or {{/a | /b}} for what
// either finds.
func newTakenOver(frames []string) (*takenOver, error) {
	t := &takenOver{frames: frames, of: map[string][]pointer{}, values: map[string]string{}}
	for _, frame := range frames {
		for _, mark := range marks.FindAllStringSubmatch(frame, -1) {
			var all []pointer
			for text := range strings.SplitSeq(mark[1], "|") {
				p, err := parsePointer(strings.TrimSpace(text))
				if err != nil {
					return nil, fmt.Errorf("resume: %w", err)
				}
				all = append(all, p)
			}
			t.of[mark[1]] = all
		}
	}
	return t, nil
}

// took looks at a text, which must be valid JSON.
func (t *takenOver) took(text []byte) {
	var scratch []byte
	for mark, all := range t.of {
		for _, p := range all {
			if value, ok := p.find(text, &scratch); ok {
				if said, ok := spelled(value); ok {
					t.values[mark] = said
				}
			}
		}
	}
}

// filled returns the frames with everything filled in; false when nothing has been
// found yet for one of their templates.
func (t *takenOver) filled(filter, token string) ([]string, bool) {
	missing := false
	var out []string
	for _, frame := range t.frames {
		out = append(out, marks.ReplaceAllStringFunc(frame, func(mark string) string {
			value, known := t.values[marks.FindStringSubmatch(mark)[1]]
			missing = missing || !known
			return quoted(value)
		}))
	}
	return Hellos(out, []string{filter}, token), len(out) > 0 && !missing
}

// spelled returns a text, or the spelling of a number or boolean.
func spelled(value []byte) (string, bool) {
	if len(value) == 0 || len(value) > idLimit || value[0] == '{' || value[0] == '[' || value[0] == 'n' {
		return "", false
	}
	if value[0] != '"' {
		return string(value), true
	}
	scan := scanner{buf: value}
	var scratch []byte
	out := scan.text(&scratch)
	return string(out), scan.end() == nil
}
