package viewer

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"
	"github.com/gorilla/websocket"

	"plumbline/harness/record"
)

// EncodingCBOR is plumbline.v1.cbor, the same protocol in CBOR with compact readings.
const EncodingCBOR = "cbor"

// SubprotocolCBOR is its WebSocket subprotocol.
const SubprotocolCBOR = "plumbline.v1.cbor"

// errCBOR marks a frame that is not the CBOR that the protocol allows: definite
// lengths, no tags, no floating point (RFC 8949).
var errCBOR = errors.New("malformed CBOR")

// Major types of RFC 8949 section 3.1.
const (
	cborUint  = 0
	cborNint  = 1
	cborBytes = 2
	cborText  = 3
	cborArray = 4
	cborMap   = 5
	cborOther = 7
)

// cborScanner reads in place what scanner reads of JSON. Its slices are part of the frame.
type cborScanner struct {
	buf []byte
	pos int
	bad bool
}

// head reads a type with its number: a value, a length or how many follow.
func (s *cborScanner) head() (major byte, n uint64) {
	if s.bad || s.pos >= len(s.buf) {
		s.bad = true
		return 0, 0
	}
	first := s.buf[s.pos]
	s.pos++
	info := first & 0x1f
	if info < 24 {
		return first >> 5, uint64(info)
	}
	size := 1 << (info - 24)
	if info > 27 || len(s.buf)-s.pos < size { // others are reserved, or without a length
		s.bad = true
		return 0, 0
	}
	for _, b := range s.buf[s.pos : s.pos+size] {
		n = n<<8 | uint64(b)
	}
	s.pos += size
	return first >> 5, n
}

// of reads an item of that type and returns its number.
func (s *cborScanner) of(major byte) uint64 {
	got, n := s.head()
	if got != major {
		s.bad = true
	}
	if s.bad {
		return 0
	}
	return n
}

// items reads how many items follow, of which each takes a byte at least.
func (s *cborScanner) items(major byte) int {
	n := s.of(major)
	if n > uint64(len(s.buf)-s.pos) {
		s.bad = true
		return 0
	}
	return int(n)
}

// slice reads a string of bytes or of text.
func (s *cborScanner) slice(major byte) []byte {
	n := s.items(major)
	if s.bad {
		return nil
	}
	out := s.buf[s.pos : s.pos+n]
	s.pos += n
	return out
}

// text reads a text, which must be UTF-8.
func (s *cborScanner) text() []byte {
	out := s.slice(cborText)
	if !utf8.Valid(out) {
		s.bad = true
	}
	return out
}

// skip passes over one item.
func (s *cborScanner) skip(depth int) {
	major, n := s.head()
	switch {
	case s.bad || depth > depthLimit:
		s.bad = true
	case major == cborBytes || major == cborText:
		if n > uint64(len(s.buf)-s.pos) {
			s.bad = true
			return
		}
		s.pos += int(n)
	case major == cborArray || major == cborMap:
		if n > uint64(len(s.buf)-s.pos) { // each takes a byte at least: more would overflow when doubled
			s.bad = true
			return
		}
		if major == cborMap {
			n *= 2
		}
		for ; n > 0 && !s.bad; n-- {
			s.skip(depth + 1)
		}
	case major > cborMap && major != cborOther:
		s.bad = true // a tag
	}
}

// plainMaps reads maps within maps as JSON would have them.
var plainMaps = func() cbor.DecMode {
	mode, err := cbor.DecOptions{DefaultMapType: reflect.TypeFor[map[string]any](), MaxNestedLevels: depthLimit}.DecMode()
	if err != nil {
		panic(err) // the options are constants
	}
	return mode
}()

// handleCBOR takes one frame of plumbline.v1.cbor apart.
func (p *plumbline) handleCBOR(s *plumblineSession, at int64, data []byte) error {
	kind, err := cborKind(data)
	if err != nil {
		return err
	}
	switch string(kind) {
	case "batch":
		return p.batchCBOR(s, at, data)
	case "topics":
		return s.announced(data)
	case "snapshot":
		return errors.New("a snapshot that nobody asked for")
	}
	// What is rare is read as its JSON.
	var members map[string]any
	if err := plainMaps.Unmarshal(data, &members); err != nil {
		return fmt.Errorf("%w: %w", errCBOR, err)
	}
	text, err := json.Marshal(members)
	if err != nil {
		return fmt.Errorf("%w: %w", errCBOR, err)
	}
	return p.dispatch(s, at, text)
}

// cborKind finds the type of a message.
func cborKind(data []byte) ([]byte, error) {
	scan := cborScanner{buf: data}
	for n := scan.items(cborMap); n > 0 && !scan.bad; n-- {
		if string(scan.text()) == "type" {
			if kind := scan.text(); !scan.bad {
				return kind, nil
			}
			break
		}
		scan.skip(0)
	}
	return nil, fmt.Errorf("message without type: %w", errCBOR)
}

// topicNumbers bounds how many topics a session keeps by their numbers.
const topicNumbers = 1 << 20

// announced keeps the names that batches will name by numbers.
func (s *plumblineSession) announced(data []byte) error {
	scan := cborScanner{buf: data}
	if s.numbers == nil {
		s.numbers = map[uint64][]byte{}
	}
	for n := scan.items(cborMap); n > 0 && !scan.bad; n-- {
		if string(scan.text()) != "topics" {
			scan.skip(0)
			continue
		}
		for m := scan.items(cborArray); m > 0 && !scan.bad; m-- {
			if scan.items(cborArray) != 2 {
				return fmt.Errorf("topics: %w", errCBOR)
			}
			number, name := scan.of(cborUint), scan.text()
			if have, known := s.numbers[number]; known && string(have) != string(name) {
				return fmt.Errorf("topic number %d means %q and then %q", number, have, name)
			}
			if len(s.numbers) >= topicNumbers {
				return fmt.Errorf("more than %d topic numbers in one session", topicNumbers)
			}
			s.numbers[number] = append([]byte(nil), name...)
		}
	}
	if scan.bad {
		return fmt.Errorf("topics: %w", errCBOR)
	}
	return nil
}

// batchCBOR checks the chain and records every reading.
func (p *plumbline) batchCBOR(s *plumblineSession, at int64, data []byte) error {
	scan, readings := cborScanner{buf: data}, 0
	i := interval{epoch: []byte(p.epoch)} // a compact batch is of the epoch that subok named
	for n := scan.items(cborMap); n > 0 && !scan.bad; n-- {
		switch string(scan.text()) {
		case "id":
			i.id, i.seen = scan.of(cborUint), i.seen|hasID
		case "from":
			i.from, i.seen = scan.of(cborUint), i.seen|hasFrom
		case "to":
			i.to, i.seen = scan.of(cborUint), i.seen|hasTo
		case "conflated":
			i.conflated = scan.of(cborUint)
		case "readings":
			readings = scan.pos
			scan.skip(0)
		default:
			scan.skip(0)
		}
	}
	switch {
	case scan.bad || scan.pos != len(data):
		return fmt.Errorf("batch: %w", errCBOR)
	case i.seen != hasID|hasFrom|hasTo || readings == 0:
		return fmt.Errorf("batch lacks members: %w", errCBOR)
	}
	sub, err := p.advance(at, i)
	if err != nil {
		return err
	}
	p.counters.Conflated += i.conflated
	if err := p.readingsCBOR(s, &cborScanner{buf: data, pos: readings}, at, sub, i); err != nil {
		return err
	}
	p.counters.Batches++
	return nil
}

// readingsCBOR records compact readings: offset less that of the one before, time likewise, topic,
// flags and payload.
func (p *plumbline) readingsCBOR(s *plumblineSession, scan *cborScanner, at int64, sub *subscription, i interval) error {
	offset, count := i.from, uint64(0)
	for n := scan.items(cborArray); n > 0 && !scan.bad; n-- {
		if scan.items(cborArray) != 5 {
			return fmt.Errorf("reading: %w", errCBOR)
		}
		step := scan.of(cborUint)
		scan.skip(0) // the server's own time decides nothing here
		topic, known := s.topic(scan)
		flags, payload := scan.of(cborUint), scan.slice(cborBytes)
		switch {
		case scan.bad:
			return fmt.Errorf("reading: %w", errCBOR)
		case !known:
			return fmt.Errorf("reading %d names a topic by a number that nobody announced", offset+step)
		case len(topic) == 0 || step > math.MaxInt64:
			return fmt.Errorf("reading %d on %q lacks its offset or topic", offset, topic)
		}
		if offset += step; step == 0 || offset > i.to {
			p.broken(at, sub, "reading lies outside of its interval or out of order", i.from+1, offset, i.to)
		}
		r := reading{offset: offset, topic: topic, payload: payload}
		if flags&compactRetained != 0 {
			r.flags |= record.FlagRetained
		}
		if offset <= sub.behind {
			r.flags |= record.FlagCatchUp
		}
		p.record(sub, at, record.Received, r)
		count++
	}
	if scan.bad {
		return fmt.Errorf("readings: %w", errCBOR)
	}
	p.countLocked(record.Received, count)
	sub.live += count
	return nil
}

// compactRetained is the flag of a retained message (PROTOCOL.md section 2.8).
const compactRetained = 4

// topic reads a topic: a number that was announced, or its name.
func (s *plumblineSession) topic(scan *cborScanner) (name []byte, known bool) {
	if scan.pos < len(scan.buf) && scan.buf[scan.pos]>>5 == cborText {
		return scan.text(), true
	}
	name, known = s.numbers[scan.of(cborUint)]
	return name, known
}

// say sends one message in the encoding of the viewer.
func (s *plumblineSession) say(message any) error {
	if s.p.cfg.Encoding != EncodingCBOR {
		return s.sendJSON(message)
	}
	data, err := cbor.Marshal(message) // it takes names from the tags of JSON
	if err != nil {
		return err
	}
	return s.send(websocket.BinaryMessage, data)
}
