package relay

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"plumbline/bridge/journal"
)

// A batch as nodes send it to each other, integers little endian or as varints:
//
//	"PLR2", u8 flags, process (16), u64 number, u64 from, u64 to, epoch, name of the line, the entries of (from, to], HMAC-SHA256 of all before (32)
//
// A text or a payload is its length as uvarint and its bytes. An entry: u8 flags, i64 Unix µs, topic, producer, uvarint
// producer sequence, meta, payload; in a batch of values its offset before it.
const (
	batchMagic   = "PLR2"
	batchHead    = len(batchMagic) + 1 + processBytes + 3*8
	processBytes = 16
	sumBytes     = sha256.Size

	flagLeased    = 0x01 // stored by the holder of the lease
	flagValues    = 0x02 // values, not entries: with their offsets, and no interval
	flagProducers = 0x04 // of these, producers only
	flagEnd       = 0x08 // the end of an answer: to is the head of the giver's journal

	entryQoS    = 0x03
	entryRetain = 0x04
)

// batch is a piece of the log.
type batch struct {
	flags   byte
	process string // who put it into the log
	number  uint64 // counted by that process from 1
	from    uint64 // the interval (from, to]
	to      uint64
	epoch   string
	name    string // under which it was stored, see line; of a piece of a journal, that under which the journal is in the log
	entries []journal.Entry
}

// The reasons for which a batch is rejected, as the metrics name them.
var (
	errForged    = errors.New("signature")
	errMalformed = errors.New("malformed")
	errVersion   = errors.New("version")
)

// appendBatch appends b in its form on the wire, signed with key.
func appendBatch(dst []byte, b *batch, key []byte) []byte {
	start := len(dst)
	dst = append(append(dst, batchMagic...), b.flags)
	dst = append(dst, b.process[:processBytes]...)
	for _, v := range []uint64{b.number, b.from, b.to} {
		dst = binary.LittleEndian.AppendUint64(dst, v)
	}
	dst = appendText(appendText(dst, b.epoch), b.name)
	for i := range b.entries {
		dst = appendEntry(dst, &b.entries[i], b.flags&flagValues != 0)
	}
	return append(dst, sum(key, dst[start:])...)
}

func sum(key, text []byte) []byte {
	h := hmac.New(sha256.New, key)
	_, _ = h.Write(text)
	return h.Sum(nil)
}

func appendText[T string | []byte](dst []byte, text T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
}

func appendEntry(dst []byte, e *journal.Entry, offset bool) []byte {
	if offset {
		dst = binary.AppendUvarint(dst, e.Offset)
	}
	flags := e.QoS & entryQoS
	if e.Retain {
		flags |= entryRetain
	}
	dst = binary.LittleEndian.AppendUint64(append(dst, flags), uint64(e.Time.UnixMicro()))
	dst = appendText(dst, e.Topic)
	dst = appendText(dst, e.Producer)
	dst = binary.AppendUvarint(dst, e.ProducerSeq)
	dst = appendText(dst, e.Meta)
	return appendText(dst, e.Payload)
}

// anyVersion is what batches begin with in every version of their form; the character behind it is the version.
const anyVersion = "PLR"

// parseBatch reads what appendBatch wrote. Payloads refer to p. Errors: errForged, errMalformed, errVersion; nothing of b counts then.
func parseBatch(p []byte, key []byte) (*batch, error) {
	if len(p) > len(batchMagic) && string(p[:len(anyVersion)]) == anyVersion && p[len(anyVersion)] != batchMagic[len(anyVersion)] {
		return nil, errVersion
	}
	if len(p) < batchHead+sumBytes || string(p[:len(batchMagic)]) != batchMagic {
		return nil, errMalformed
	}
	text := p[:len(p)-sumBytes]
	if !hmac.Equal(p[len(text):], sum(key, text)) {
		return nil, errForged
	}
	b := &batch{flags: text[4], process: string(text[5 : 5+processBytes])}
	r := reader{p: text[5+processBytes:]}
	b.number, b.from, b.to = r.uint64(), r.uint64(), r.uint64()
	b.epoch, b.name = string(r.text()), string(r.text())
	for next := b.from + 1; len(r.p) > 0 && !r.bad; next++ {
		e := journal.Entry{Offset: next}
		r.entry(&e, b.flags&flagValues != 0)
		b.entries = append(b.entries, e)
	}
	if r.bad || b.flags&(flagValues|flagEnd) == 0 && b.to-b.from != uint64(len(b.entries)) {
		return nil, errMalformed
	}
	for i := range b.entries {
		if b.flags&flagProducers == 0 && journal.Check(b.entries[i].Message) != nil {
			return nil, errMalformed
		}
	}
	return b, nil
}

// reader takes fields off p; after the first that is not there all are empty.
type reader struct {
	p   []byte
	bad bool
}

func (r *reader) take(n uint64) []byte {
	if r.bad || n > uint64(len(r.p)) {
		r.p, r.bad = nil, true
		return nil
	}
	head := r.p[:n:n]
	r.p = r.p[n:]
	return head
}

func (r *reader) uint64() uint64 {
	if p := r.take(8); p != nil {
		return binary.LittleEndian.Uint64(p)
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.p)
	if n <= 0 {
		r.p, r.bad = nil, true
		return 0
	}
	r.p = r.p[n:]
	return v
}

func (r *reader) text() []byte { return r.take(r.uvarint()) }

func (r *reader) entry(e *journal.Entry, offset bool) {
	if offset {
		e.Offset = r.uvarint()
	}
	flags := r.take(1)
	if r.bad {
		return
	}
	e.QoS, e.Retain = flags[0]&entryQoS, flags[0]&entryRetain != 0
	r.bad = r.bad || flags[0]&^(entryQoS|entryRetain) != 0
	e.Time = time.UnixMicro(int64(r.uint64())).UTC()
	e.Topic, e.Producer = string(r.text()), string(r.text())
	e.ProducerSeq = r.uvarint()
	e.Meta, e.Payload = r.text(), r.text()
}

// signText signs a message between nodes that is no batch: the sum in hexadecimal, a space, the text.
func signText(key, text []byte) string { return fmt.Sprintf("%x %s", sum(key, text), text) }

// openText returns the text of what signText made, and whether its signature holds.
func openText(key []byte, signed string) (text []byte, ok bool) {
	const digits = 2 * sumBytes
	if len(signed) <= digits || signed[digits] != ' ' {
		return nil, false
	}
	text = []byte(signed[digits+1:])
	return text, hmac.Equal([]byte(signed[:digits]), fmt.Appendf(nil, "%x", sum(key, text)))
}
