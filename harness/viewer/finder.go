package viewer

import (
	"bytes"
	"fmt"
	"iter"
	"unicode/utf8"

	"plumbline/harness/record"
)

// finder takes readings out of frames whose shape a descriptor describes. It is
// owned by the goroutine that reads.
type finder struct {
	list, topic, payload, retained, missed pointer

	lines    bool // a frame holds one text a line
	raw      bool // a text is nothing but a payload
	hasTopic bool
	marks    bool              // frames say which readings are old ones
	asking   map[string]string // texts that ask for an answer: no readings, and perhaps no JSON
	scratch  [3][]byte
	restored []byte
}

// newFinder checks the pointers.
func newFinder(p Pointers) (*finder, error) {
	f := &finder{
		lines: p.Lines, raw: p.Topic == "" && p.Payload == "" && p.List == "" && p.Retained == "" && p.Missed == "", hasTopic: p.Topic != "", marks: p.Retained != "",
	}
	for _, one := range []struct {
		name, text string
		into       *pointer
	}{
		{"list", p.List, &f.list}, {"topic", p.Topic, &f.topic}, {"payload", p.Payload, &f.payload}, {"retained", p.Retained, &f.retained}, {"missed", p.Missed, &f.missed},
	} {
		var err error
		if *one.into, err = parsePointer(one.text); err != nil {
			return nil, fmt.Errorf("message.%s: %w", one.name, err)
		}
	}
	return f, nil
}

// found is one reading in a frame. Its slices are good until the next one.
type found struct {
	topic   []byte // nil when frames do not tell it
	payload []byte
	old     bool // marked as a value that was there before
}

// texts are those that a frame holds: itself, or its lines but for blank ones.
func (f *finder) texts(frame []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if !f.lines {
			yield(frame)
			return
		}
		for line := range bytes.SplitSeq(frame, []byte{'\n'}) {
			if len(bytes.TrimSpace(line)) > 0 && !yield(line) {
				return
			}
		}
	}
}

// readings calls visit for every reading in a frame. One that is no JSON text, or
// that holds a line which is none, is an error, and what stands before that line
// was visited; one that holds no reading, such as an acknowledgement, is none.
func (f *finder) readings(frame []byte, visit func(found)) error {
	for text := range f.texts(frame) {
		if _, asks := f.asking[string(bytes.TrimSpace(text))]; asks {
			continue
		}
		if err := f.within(text, visit); err != nil {
			return err
		}
	}
	return nil
}

// within is readings for one text.
func (f *finder) within(text []byte, visit func(found)) error {
	if f.raw {
		visit(found{payload: f.restore(text)})
		return nil
	}
	switch {
	case !utf8.Valid(text):
		return fmt.Errorf("frame is not UTF-8")
	case !valid(text):
		return fmt.Errorf("frame is no JSON text, or one of more than %d levels: %w", depthLimit, errJSON)
	}
	f.listed(f.list, text, visit)
	if f.missed != nil {
		f.listed(f.missed, text, visit)
	}
	return nil
}

// listed visits the readings in the array, or the one reading, that a pointer finds.
func (f *finder) listed(at pointer, text []byte, visit func(found)) {
	value, ok := at.find(text, &f.scratch[0])
	if !ok {
		return
	}
	scan := scanner{buf: value}
	if scan.peek() != '[' {
		f.reading(value, visit)
		return
	}
	scan.take('[')
	for first := true; scan.more(&first, ']'); {
		scan.peek()
		start := scan.pos
		scan.skip(0)
		f.reading(value[start:scan.pos], visit)
	}
}

// reading visits one message when it has a topic, if it must, and a payload.
func (f *finder) reading(value []byte, visit func(found)) {
	var r found
	if f.hasTopic {
		text, ok := f.topic.find(value, &f.scratch[0])
		if !ok || len(text) == 0 || text[0] != '"' {
			return
		}
		if r.topic, ok = f.unquote(text, 1); !ok || len(r.topic) == 0 {
			return
		}
	}
	text, ok := f.payload.find(value, &f.scratch[0])
	if !ok {
		return
	}
	if text[0] == '"' {
		if text, ok = f.unquote(text, 2); !ok {
			return
		}
	}
	r.payload = f.restore(text)
	if f.marks {
		mark, ok := f.retained.find(value, &f.scratch[0])
		r.old = ok && string(bytes.TrimSpace(mark)) == "true"
	}
	visit(r)
}

func (f *finder) unquote(text []byte, into int) ([]byte, bool) {
	scan := scanner{buf: text}
	out := scan.text(&f.scratch[into])
	return out, scan.end() == nil
}

// restore returns the payload as it was published when it is one of ours that
// was written anew on its way, and else as it came.
func (f *finder) restore(payload []byte) []byte {
	if _, err := record.Parse(payload); err == nil {
		return payload
	}
	restored, ok := record.Restore(f.restored[:0], payload, len(f.payload) == 0 && !f.raw)
	if !ok {
		return payload
	}
	f.restored = restored
	return restored
}
