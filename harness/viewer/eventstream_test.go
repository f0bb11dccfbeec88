package viewer

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// told is an event with the id that a client would send back after it.
type told struct{ name, data, id string }

func readStream(in io.Reader) (out []told, s *eventStream, err error) {
	return readUpTo(frameLimit, in)
}

// readUpTo is readStream with another bound.
func readUpTo(most int, in io.Reader) (out []told, s *eventStream, err error) {
	s = newEventStream(in, "")
	s.most = most
	for {
		e, err := s.next()
		if err != nil {
			return out, s, err
		}
		out = append(out, told{e.name, string(e.data), s.lastID})
	}
}

// TestEventStreamOfTheStandard: the examples of section 9.2.6 and the corners
// that its text names.
func TestEventStreamOfTheStandard(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []told
	}{
		{"stock ticker", "data: YHOO\ndata: +2\ndata: 10\n\n", []told{{"", "YHOO\n+2\n10", ""}}},
		{"four blocks", ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
			[]told{{"", "first event", "1"}, {"", "second event", ""}, {"", " third event", ""}}},
		{"empty data", "data\n\ndata\ndata\n\ndata:", []told{{"", "", ""}, {"", "\n", ""}}},
		{"space after the colon", "data:test\n\ndata: test\n\n", []told{{"", "test", ""}, {"", "test", ""}}},
		{"byte order mark", "\uFEFFdata: x\n\n", []told{{"", "x", ""}}},
		{"a second mark is data", "\uFEFF\uFEFFdata: x\n\ndata: y\n\n", []told{{"", "y", ""}}},
		{"CRLF", "event: add\r\ndata: 1\r\n\r\ndata: 2\r\n\r\n", []told{{"add", "1", ""}, {"", "2", ""}}},
		{"CR", "data: 1\r\rdata: 2\r\r", []told{{"", "1", ""}, {"", "2", ""}}},
		{"mixed", "data: 1\r\ndata: 2\r\n\ndata: 3\n\r\n", []told{{"", "1\n2", ""}, {"", "3", ""}}},
		{"id stays", "id: 7\ndata: a\n\ndata: b\n\n", []told{{"", "a", "7"}, {"", "b", "7"}}},
		{"id of an event without data", "id: 8\n\ndata: b\n\n", []told{{"", "b", "8"}}},
		{"id with NUL", "id: 7\ndata: a\n\nid: 8\x00\ndata: b\n\n", []told{{"", "a", "7"}, {"", "b", "7"}}},
		{"name goes with an event without data", "event: x\n\ndata: b\n\n", []told{{"", "b", ""}}},
		{"unknown fields and capitals", "Data: x\nfoo: y\nbar\ndata: z\n\n", []told{{"", "z", ""}}},
		{"colon in the value", "data: a:b: c\n\n", []told{{"", "a:b: c", ""}}},
		{"cut short", "data: a\n\ndata: b\n", []told{{"", "a", ""}}},
		{"nothing", "", nil},
	} {
		for _, way := range []func(io.Reader) io.Reader{func(r io.Reader) io.Reader { return r }, iotest.OneByteReader, iotest.DataErrReader} {
			got, _, err := readStream(way(strings.NewReader(c.text)))
			if !errors.Is(err, io.EOF) || !slices.Equal(got, c.want) {
				t.Errorf("%s: %q, %v; want %q", c.name, got, err, c.want)
			}
		}
	}
}

func TestEventStreamRetry(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"retry: 1500\n\n": 1500 * time.Millisecond, "retry: 15x\n\n": 0, "retry: -1\n\n": 0, "retry: +1\n\n": 0, "retry:\n\n": 0,
		"retry: 99999999999999999999\n\n": 0, "retry: 7\nretry: bad\n\n": 7 * time.Millisecond,
	} {
		if _, s, _ := readStream(strings.NewReader(text)); s.retry != want {
			t.Errorf("%q: %v, want %v", text, s.retry, want)
		}
	}
}

// TestEventStreamDoesNotWaitForLF: a line that ends with CR is complete, though
// a LF may follow.
func TestEventStreamDoesNotWaitForLF(t *testing.T) {
	in, out := io.Pipe()
	defer in.Close()
	s := newEventStream(in, "")
	wrote := make(chan error, 1)
	go func() { _, err := io.WriteString(out, "data: x\r\n\r"); wrote <- err }()
	if e, err := s.next(); err != nil || string(e.data) != "x" {
		t.Fatalf("%q, %v", e.data, err)
	}
	must(t, <-wrote)
	go func() { _, err := io.WriteString(out, "\ndata: y\n\n"); wrote <- err }()
	if e, err := s.next(); err != nil || string(e.data) != "y" {
		t.Fatalf("%q, %v", e.data, err)
	}
	must(t, <-wrote)
}

// endless repeats a text for ever.
type endless struct{ text string }

func (e endless) Read(p []byte) (n int, err error) {
	for n < len(p) {
		n += copy(p[n:], e.text)
	}
	return n, nil
}

func TestEventStreamIsBounded(t *testing.T) {
	for name, text := range map[string]string{
		"a line without end": "xxxxxxxx", "an event without end": "data: xxxxxxxx\n", "an event of empty lines": "data\n",
	} {
		if _, _, err := readUpTo(100_000, endless{text}); !errors.Is(err, errStream) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := readStream(endless{"data: xxxxxxxx"}); !errors.Is(err, errStream) || !strings.Contains(err.Error(), strconv.Itoa(frameLimit)) {
		t.Errorf("by its own bound: %v", err)
	}
	if _, _, err := readStream(strings.NewReader("id: " + strings.Repeat("x", idLimit+1) + "\n\n")); !errors.Is(err, errStream) {
		t.Errorf("long id: %v", err)
	}
}

// FuzzEventStream: where the stream is cut into pieces changes nothing, and a
// slow reading of the standard's text says the same.
func FuzzEventStream(f *testing.F) {
	for _, text := range []string{"data: a\r\n\r\nid: 1\rdata: b\n\n", "\uFEFFevent: x\ndata\n\nretry: 10\n: c\n\n", "id:\x00\ndata:  x\n\n\n"} {
		f.Add([]byte(text), uint8(3))
	}
	f.Fuzz(func(t *testing.T, text []byte, size uint8) {
		whole, _, err := readStream(bytes.NewReader(text))
		if !errors.Is(err, io.EOF) && !errors.Is(err, errStream) {
			t.Fatal(err)
		}
		pieces, _, _ := readStream(&pieceReader{text, int(size%7) + 1})
		if !slices.Equal(whole, pieces) {
			t.Fatalf("%q: whole %q, in pieces %q", text, whole, pieces)
		}
		if want := slowly(string(text)); err == nil || errors.Is(err, io.EOF) {
			if !slices.Equal(whole, want) {
				t.Fatalf("%q: %q, want %q", text, whole, want)
			}
		}
	})
}

type pieceReader struct {
	rest []byte
	size int
}

func (r *pieceReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.rest[:min(r.size, len(r.rest))])
	r.rest = r.rest[n:]
	return n, nil
}

// slowly interprets a stream as the standard words it, all at once.
func slowly(text string) (out []told) {
	text = strings.TrimPrefix(text, "\uFEFF")
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	lines := strings.Split(text, "\n")
	data, name, id := "", "", ""
	for _, line := range lines[:len(lines)-1] { // the rest is not ended
		if line == "" {
			if data != "" {
				out = append(out, told{name, strings.TrimSuffix(data, "\n"), id})
			}
			data, name = "", ""
			continue
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case field == "data":
			data += value + "\n"
		case field == "event":
			name = value[:min(len(value), 256)]
		case field == "id" && !strings.Contains(value, "\x00"):
			id = value
		}
	}
	return out
}
