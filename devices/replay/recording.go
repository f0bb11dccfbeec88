package replay

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"plumbline/devices/codec"
)

// MaxBytes bounds a recording, which is held in memory whole.
const MaxBytes = 256 << 20

// Format is what the first line of a timed recording says.
const Format = "plumbline.recording.v2"

// formatOne is the version that had frames only; it is read as before.
const formatOne = "plumbline.recording.v1"

// Entry is one piece of a recording: a line, or what one read brought.
type Entry struct {
	Offset   time.Duration // from the start of the recording
	Position int64         // where the entry begins in the file, in bytes
	Raw      []byte        // with its line end
	Message  *Message      // how it was published, when it is the payload of an MQTT message; else nil
}

// Recording is a recording in memory. It is not changed after it was loaded.
type Recording struct {
	Path    string
	Codec   codec.Codec
	Device  string // maker and model as the recording says, "" when it does not
	Note    string
	Header  Header // what a timed recording says of itself; else zero
	Entries []Entry
	Events  []Event       // of timed recordings
	Length  time.Duration // from the first entry to the end of the last group
	// Fault is what is wrong with the file, nil when it is whole. Entries then
	// hold what was good before it.
	Fault *CorruptError
}

// CorruptError says where a recording is damaged or cut. What came before it
// has been delivered.
type CorruptError struct {
	Path   string
	Offset int64 // bytes from the start of the file
	Reason string
}

// Error names file, offset and reason.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("replay: %q is damaged at byte %d: %s; what came before was delivered", e.Path, e.Offset, e.Reason)
}

// LoadOptions say how to read a file; the zero value reads NMEA 0183 by its own
// clock and timed recordings by their offsets.
type LoadOptions struct {
	Codec codec.Codec // of text recordings; nil = codec.NMEA0183{}
	// Rate sets lines per second for recordings without a clock, or, when they
	// have one, instead of it. 0 = by the clock; without one 1 line per second.
	Rate float64
	// Baud spaces the lines of a group, 10 bits a byte; 0 = 9600.
	Baud int
}

// Load reads the recording at path. A file that is missing, empty or too large
// is an error; one that is damaged loads up to the damage and says so in Fault.
func Load(path string, opts LoadOptions) (*Recording, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("replay: open recording: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	return LoadFrom(f, path, opts)
}

// LoadFrom reads a recording from r; path is its name in messages.
func LoadFrom(r io.Reader, path string, opts LoadOptions) (*Recording, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("replay: read %q: %w", path, err)
	case len(data) > MaxBytes:
		return nil, fmt.Errorf("replay: %q is larger than %d MiB: cut it into parts", path, MaxBytes>>20)
	case len(bytes.TrimSpace(data)) == 0:
		return nil, fmt.Errorf("replay: %q is empty", path)
	case opts.Rate < 0 || opts.Baud < 0:
		return nil, fmt.Errorf("replay: %q: rate %v and baud %d must not be negative", path, opts.Rate, opts.Baud)
	}
	if opts.Codec == nil {
		opts.Codec = codec.NMEA0183{}
	}
	if opts.Baud == 0 {
		opts.Baud = 9600
	}
	rec := &Recording{Path: path, Codec: opts.Codec}
	switch {
	case isTimed(data):
		if err := rec.loadTimed(data); err != nil {
			return nil, err
		}
	case cutsLines(opts.Codec):
		rec.loadText(data, opts)
	default:
		rec.loadFrames(data, opts)
	}
	if len(rec.Entries)+len(rec.Events) == 0 && rec.Fault == nil && !isTimed(data) {
		rec.Fault = &CorruptError{Path: path, Reason: "no lines in it"}
	}
	return rec, nil
}

// loadText cuts a text recording into lines. Lines that begin with # are
// comments of the recording, not of the device: they are left out, and the
// first ones may name the device.
func (rec *Recording) loadText(data []byte, opts LoadOptions) {
	position := int64(0)
	for line := range bytes.Lines(data) {
		if bytes.HasPrefix(line, []byte("#")) {
			rec.readComment(string(line[1:]))
		} else if len(bytes.TrimSpace(line)) > 0 {
			rec.Entries = append(rec.Entries, Entry{Position: position, Raw: line})
		}
		position += int64(len(line))
	}
	rec.Length = schedule(rec.Entries, opts)
	rec.Fault = rec.cutOrForeign(int64(len(data)))
}

// cutOrForeign tells a recording that ends within a frame, or holds none of the
// codec's frames at all, from a whole one.
func (rec *Recording) cutOrForeign(size int64) *CorruptError {
	if len(rec.Entries) == 0 {
		return nil
	}
	last := rec.Entries[len(rec.Entries)-1]
	if _, err := rec.Codec.Decode(last.Raw); err != nil && !bytes.HasSuffix(last.Raw, []byte("\n")) {
		return &CorruptError{Path: rec.Path, Offset: last.Position, Reason: "the file ends within a line"}
	}
	for _, e := range rec.Entries {
		_, err := rec.Codec.Decode(e.Raw)
		var reject *codec.Reject
		if err == nil || errors.As(err, &reject) && reject.Class != codec.Unchecked {
			return nil // a frame, if perhaps a damaged one
		}
	}
	return &CorruptError{Path: rec.Path, Offset: size,
		Reason: fmt.Sprintf("no %s frame in %d bytes: it is a recording of something else", rec.Codec.Name(), size)}
}

// readComment takes the device's name from headers like "# Name: GPS-320FW".
func (rec *Recording) readComment(comment string) {
	key, text, found := strings.Cut(comment, ":")
	if !found {
		key, text, found = strings.Cut(comment, "=")
	}
	if !found {
		return
	}
	text = strings.TrimSpace(text)
	switch strings.ToLower(strings.TrimSpace(key)) {
	case "name", "device":
		if rec.Device == "" {
			rec.Device = text
		}
	case "provenance":
		rec.Note = text
	}
}

//go:embed testdata/gps-twin.nmea
var embedded embed.FS

// embeddedName is the recording that is always there.
const embeddedName = "testdata/gps-twin.nmea"

// Embedded returns the recording that is built into the program, for runs
// without recordings of real devices. It was computed by the GPS twin of
// devices/simulated, and its Note says so.
func Embedded() (*Recording, error) {
	f, err := embedded.Open(embeddedName)
	if err != nil {
		return nil, fmt.Errorf("replay: embedded recording: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	return LoadFrom(f, "embedded:"+strings.TrimPrefix(embeddedName, "testdata/"), LoadOptions{})
}
