package record

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
)

// Load reads the recording in dir. A recording that was not closed is read as
// far as its whole records go and has Partial set. Damage gives a *CorruptError
// together with everything before the damage, Partial set.
func Load(dir string) (*Log, error) {
	log := &Log{}
	disk, err := loadIndex(filepath.Join(dir, indexFile))
	if err != nil {
		return nil, err
	}
	log.Index = disk.Index
	recordsErr := loadRecords(filepath.Join(dir, recordsFile), disk.Records, log)
	eventsErr := loadEvents(filepath.Join(dir, eventsFile), log)
	whole := disk.Whole && int64(len(log.Records)) == disk.Records && int64(len(log.Events)) == disk.Events
	err = errors.Join(recordsErr, eventsErr)
	log.Partial = log.Partial || !whole || err != nil
	return log, err
}

// LoadEvents reads the events of the recording in dir, without its records: as
// far as whole lines go, and with damage up to a *CorruptError.
func LoadEvents(dir string) ([]Event, error) {
	log := &Log{}
	err := loadEvents(filepath.Join(dir, eventsFile), log)
	return log.Events, err
}

func loadIndex(path string) (indexOnDisk, error) {
	var disk indexOnDisk
	data, err := ReadPlain(path, maxIndex)
	if errors.Is(err, ErrCorrupt) {
		return disk, err
	}
	if err != nil {
		return disk, fmt.Errorf("record: no recording in %q: %w", filepath.Dir(path), err)
	}
	if err := json.Unmarshal(data, &disk); err != nil {
		var syntax *json.SyntaxError
		offset := int64(0)
		if errors.As(err, &syntax) {
			offset = syntax.Offset
		}
		return disk, &CorruptError{Path: path, Offset: offset, Reason: err.Error()}
	}
	if disk.Format != indexFormat {
		return disk, &CorruptError{Path: path, Reason: fmt.Sprintf("format %q, this program reads %q", disk.Format, indexFormat)}
	}
	return disk, nil
}

// What is read of one file at most. A run of hours writes a tenth of it.
const (
	maxRecords = 16 << 30
	maxEvents  = 1 << 30
	maxIndex   = 256 << 20
)

// plain returns the size of a file. What is no plain file, which may lead anywhere
// and never end, or is larger than most, is damage.
func plain(path string, most int64) (int64, error) {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return 0, err
	case !info.Mode().IsRegular():
		return 0, &CorruptError{Path: path, Reason: "it is no plain file but " + info.Mode().Type().String()}
	case info.Size() > most:
		return 0, &CorruptError{Path: path, Offset: most, Reason: fmt.Sprintf("it has %d bytes, more than any recorder writes", info.Size())}
	}
	return info.Size(), nil
}

// ReadPlain reads a file of a run directory whole. What is no plain file, for a link or
// a pipe may lead anywhere and never end, or has more than most bytes, is a
// *CorruptError.
func ReadPlain(path string, most int64) ([]byte, error) {
	if _, err := plain(path, most); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// ReadEvidence reads a JSON object that somebody left in a run directory beside a recording, as ReadPlain
// reads files, into v. Its member "format" must be the one that is asked for, and every other one known.
func ReadEvidence(path string, most int64, format string, v any) error {
	text, err := ReadPlain(path, most)
	if err != nil {
		return err
	}
	var head struct {
		Format string `json:"format"`
	}
	// The format first: a newer one may have members that this program does not know.
	if json.Unmarshal(text, &head) == nil && head.Format != format {
		return fmt.Errorf("record: %q has format %.100q, this program reads %q", path, head.Format, format)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("record: %q is damaged: %w", path, err)
	}
	return nil
}

// loadRecords reads the records of a file that is said to hold so many. Room is
// made for as many as both the index and the file say: neither alone is believed.
func loadRecords(path string, said int64, log *Log) error {
	size, err := plain(path, maxRecords)
	if errors.Is(err, ErrCorrupt) {
		return err
	}
	if err != nil {
		return fmt.Errorf("record: open %q: %w", path, err)
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("record: open %q: %w", path, err)
	}
	defer func() { _ = f.Close() }() // only read
	in := bufio.NewReaderSize(f, 1<<20)
	header := make([]byte, headerSize)
	if _, err := io.ReadFull(in, header); err != nil {
		return &CorruptError{Path: path, Reason: "header cut short"}
	}
	if reason := checkFileHeader(header); reason != "" {
		return &CorruptError{Path: path, Reason: reason}
	}
	log.Records = make([]Record, 0, min(size/Size, max(said, 0)))
	offset := int64(headerSize)
	buf := make([]byte, chunkMaxBytes)
	for number := uint32(0); ; number++ {
		n, err := loadChunk(in, buf, number, path, offset, log)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		offset += n
	}
}

// loadChunk appends the records of the next chunk and returns its size. It
// returns io.EOF at the end, also when the end cuts a chunk short.
func loadChunk(in io.Reader, buf []byte, number uint32, path string, offset int64, log *Log) (int64, error) {
	le := binary.LittleEndian
	head, err := io.ReadFull(in, buf[:chunkHeader])
	if err != nil {
		log.Partial = log.Partial || head > 0
		return 0, endOf(err, path)
	}
	count := le.Uint32(buf[4:])
	if string(buf[:4]) != chunkMagic || count == 0 || count > chunkRecords || le.Uint32(buf[12:]) != number {
		return 0, &CorruptError{Path: path, Offset: offset, Reason: "no chunk begins here"}
	}
	body := buf[chunkHeader : chunkHeader+int(count)*Size]
	got, err := io.ReadFull(in, body)
	if err != nil {
		keepWhole(body[:got], log)
		log.Partial = true
		return 0, endOf(err, path)
	}
	if crc32.Checksum(body, castagnoli) != le.Uint32(buf[8:]) {
		return 0, &CorruptError{Path: path, Offset: offset, Reason: "checksum of the chunk does not hold"}
	}
	for ; len(body) > 0; body = body[Size:] {
		rec := decodeRecord(body)
		if !rec.Kind.valid() {
			return 0, &CorruptError{Path: path, Offset: offset, Reason: fmt.Sprintf("record of unknown kind %d", rec.Kind)}
		}
		log.Records = append(log.Records, rec)
	}
	return chunkHeader + int64(count)*Size, nil
}

// keepWhole appends the whole records of a chunk that was cut short.
func keepWhole(body []byte, log *Log) {
	for ; len(body) >= Size; body = body[Size:] {
		rec := decodeRecord(body)
		if !rec.Kind.valid() {
			return
		}
		log.Records = append(log.Records, rec)
	}
}

func endOf(err error, path string) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return io.EOF
	}
	return fmt.Errorf("record: read %q: %w", path, err)
}

func loadEvents(path string, log *Log) error {
	data, err := ReadPlain(path, maxEvents)
	if errors.Is(err, ErrCorrupt) {
		return err
	}
	if err != nil {
		return fmt.Errorf("record: open %q: %w", path, err)
	}
	offset := int64(0)
	for len(data) > 0 {
		line, rest, whole := bytes.Cut(data, []byte("\n"))
		if !whole {
			log.Partial = true // the run was killed while it wrote this line
			return nil
		}
		var e Event
		if err := json.Unmarshal(line, &e); err != nil {
			return &CorruptError{Path: path, Offset: offset, Reason: err.Error()}
		}
		log.Events = append(log.Events, e)
		offset += int64(len(line)) + 1
		data = rest
	}
	return nil
}
