package journal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"
)

// A record on disk, all integers little endian:
//
//	 0 u32 length of the body
//	 4 u32 CRC-32C of bytes 0–3 and 8–15
//	 8 u64 offset
//	16 u32 CRC-32C of the body
//	20 body: u8 flags, i64 Unix µs, u64 producer sequence,
//	         u16 length of topic, u16 length of producer, topic, producer,
//	         with flagMeta u32 length of meta, above 0, and meta; payload
//
// The header has its own checksum so that a record cut short by a crash can be
// told from one whose length was damaged: the first is harmless, the second not.
const (
	headBytes = 20
	bodyBytes = 21 // of a body with nothing in it

	flagQoS    = 0x03
	flagRetain = 0x04
	flagMeta   = 0x08
)

// MaxPayload and MaxMeta are the largest payload and metadata in bytes.
const (
	MaxPayload = 64 << 20
	MaxMeta    = 1 << 20
)

const maxBody = bodyBytes + 2*65535 + 4 + MaxMeta + MaxPayload

// castagnoli is the polynomial that processors compute by themselves.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checkMessage returns why m cannot be recorded.
func checkMessage(m *Message) error {
	switch {
	case m.Topic == "":
		return fmt.Errorf("journal: append: message without a topic")
	case len(m.Topic) > 65535 || len(m.Producer) > 65535 || len(m.Payload) > MaxPayload || len(m.Meta) > MaxMeta:
		return fmt.Errorf("%w: topic %d, producer %d, metadata %d, payload %d bytes",
			ErrTooLarge, len(m.Topic), len(m.Producer), len(m.Meta), len(m.Payload))
	case m.QoS > 2:
		return fmt.Errorf("journal: append: QoS %d, must be 0 to 2 [MQTT-3.3.1-4]", m.QoS)
	}
	return nil
}

// appendRecord appends e as a record to dst.
func appendRecord(dst []byte, e *Entry) []byte {
	start := len(dst)
	var head [headBytes]byte
	dst = append(dst, head[:]...)
	flags := e.QoS & flagQoS
	if e.Retain {
		flags |= flagRetain
	}
	if len(e.Meta) > 0 {
		flags |= flagMeta
	}
	dst = append(dst, flags)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(e.Time.UnixMicro()))
	dst = binary.LittleEndian.AppendUint64(dst, e.ProducerSeq)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(e.Topic)))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(e.Producer)))
	dst = append(dst, e.Topic...)
	dst = append(dst, e.Producer...)
	if len(e.Meta) > 0 {
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(e.Meta)))
		dst = append(dst, e.Meta...)
	}
	dst = append(dst, e.Payload...)
	h := dst[start : start+headBytes]
	body := dst[start+headBytes:]
	binary.LittleEndian.PutUint32(h[0:], uint32(len(body)))
	binary.LittleEndian.PutUint64(h[8:], e.Offset)
	binary.LittleEndian.PutUint32(h[4:], headSum(h))
	binary.LittleEndian.PutUint32(h[16:], crc32.Checksum(body, castagnoli))
	return dst
}

func headSum(h []byte) uint32 {
	return crc32.Update(crc32.Checksum(h[0:4], castagnoli), castagnoli, h[8:16])
}

// condition is what became of the bytes of a record.
type condition int

const (
	whole condition = iota
	short           // it begins well and the bytes end before it does
	bad             // these bytes are not what was written
)

// headOf reads a record header: the size of the record and its offset.
func headOf(p []byte) (size int, offset uint64, c condition) {
	if len(p) < headBytes {
		return 0, 0, short
	}
	length := binary.LittleEndian.Uint32(p)
	if binary.LittleEndian.Uint32(p[4:]) != headSum(p) || length < bodyBytes || length > maxBody {
		return 0, 0, bad
	}
	return headBytes + int(length), binary.LittleEndian.Uint64(p[8:]), whole
}

// parseRecord reads the record at the start of p. Payload and metadata refer to
// p; topic and producer are copies.
func parseRecord(p []byte, e *Entry) (size int, c condition) {
	size, offset, c := headOf(p)
	if c != whole {
		return 0, c
	}
	if len(p) < size {
		return size, short
	}
	body := p[headBytes:size]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(p[16:]) {
		return size, bad
	}
	topic := int(binary.LittleEndian.Uint16(body[17:]))
	producer := int(binary.LittleEndian.Uint16(body[19:]))
	if bodyBytes+topic+producer > len(body) || body[0]&^(flagQoS|flagRetain|flagMeta) != 0 || body[0]&flagQoS == flagQoS {
		return size, bad
	}
	names := body[bodyBytes : bodyBytes+topic+producer]
	meta, payload, ok := splitMeta(body[bodyBytes+topic+producer:], body[0]&flagMeta != 0)
	if !ok {
		return size, bad
	}
	*e = Entry{Offset: offset, Message: Message{
		Topic:       string(names[:topic]),
		Payload:     payload,
		QoS:         body[0] & flagQoS,
		Retain:      body[0]&flagRetain != 0,
		Producer:    string(names[topic:]),
		ProducerSeq: binary.LittleEndian.Uint64(body[9:]),
		Meta:        meta,
		Time:        time.UnixMicro(int64(binary.LittleEndian.Uint64(body[1:]))).UTC(),
	}}
	return size, whole
}

// splitMeta parts the metadata from the payload after it.
func splitMeta(p []byte, there bool) (meta, payload []byte, ok bool) {
	if !there {
		return nil, p[:len(p):len(p)], true
	}
	if len(p) < 4 {
		return nil, nil, false
	}
	n := binary.LittleEndian.Uint32(p)
	if p = p[4:]; n == 0 || n > MaxMeta || int(n) > len(p) {
		return nil, nil, false
	}
	return p[:n:n], p[n:len(p):len(p)], true
}
