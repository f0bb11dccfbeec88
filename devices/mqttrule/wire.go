package mqttrule

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"plumbline/devices/codec"
)

// payloadB and metricB are messages of sparkplug_b.proto (6.4.1) as far as they
// are read. The value of a metric is bits or bytes, by the field it came in.
type payloadB struct {
	seq     *uint64
	metrics []metricB
}

type metricB struct {
	name       string
	alias      *uint64
	datatype   uint32
	null       bool
	historical bool
	set        bool
	field      protowire.Number
	bits       uint64
	bytes      []byte
}

// Field numbers of sparkplug_b.proto.
const (
	fieldMetrics = 2
	fieldSeq     = 3

	fieldName       = 1
	fieldAlias      = 2
	fieldDatatype   = 4
	fieldHistorical = 5
	fieldNull       = 7
	fieldInt        = 10
	fieldFloat      = 12
	fieldDouble     = 13
	fieldString     = 15
	fieldLast       = 19
)

// birthNumber is the metric bdSeq.
func (p payloadB) birthNumber() (uint64, bool) {
	for _, m := range p.metrics {
		if m.name == "bdSeq" {
			return m.bits, m.set
		}
	}
	return 0, false
}

// readPayload reads a Payload. It is not kept.
func readPayload(p []byte) (payloadB, error) {
	var out payloadB
	err := eachField(p, func(f field) error {
		switch {
		case f.number == fieldSeq && f.kind == protowire.VarintType:
			seq := f.bits
			out.seq = &seq
		case f.number == fieldMetrics && f.kind == protowire.BytesType:
			if len(out.metrics) >= maxMetrics {
				return fmt.Errorf("more than %d metrics", maxMetrics)
			}
			m, err := readMetric(f.bytes)
			if err != nil {
				return err
			}
			out.metrics = append(out.metrics, m)
		case f.number == fieldSeq || f.number == fieldMetrics:
			return errWire
		}
		return nil
	})
	if err != nil {
		return out, reject(codec.Damaged, "not a payload of Sparkplug B: %v", err)
	}
	return out, nil
}

var errWire = errors.New("a field of the wrong kind")

func readMetric(p []byte) (metricB, error) {
	var m metricB
	err := eachField(p, func(f field) error {
		varint := f.kind == protowire.VarintType
		switch {
		case f.number == fieldName && f.kind == protowire.BytesType:
			if len(f.bytes) > 256 {
				return errors.New("a name of more than 256 bytes")
			}
			m.name = strings.ToValidUTF8(string(f.bytes), "\uFFFD")
		case f.number == fieldAlias && varint:
			alias := f.bits
			m.alias = &alias
		case f.number == fieldDatatype && varint:
			m.datatype = uint32(f.bits)
		case f.number == fieldNull && varint:
			m.null = f.bits != 0
		case f.number == fieldHistorical && varint:
			m.historical = f.bits != 0
		case f.number >= fieldInt && f.number <= fieldLast:
			if !rightKind(f) {
				return errWire
			}
			m.set, m.field, m.bits, m.bytes = true, f.number, f.bits, f.bytes
		}
		return nil
	})
	return m, err
}

// rightKind holds the wire type of a value against its field.
func rightKind(f field) bool {
	switch {
	case f.number == fieldFloat:
		return f.kind == protowire.Fixed32Type
	case f.number == fieldDouble:
		return f.kind == protowire.Fixed64Type
	case f.number >= fieldString:
		return f.kind == protowire.BytesType
	}
	return f.kind == protowire.VarintType
}

// field is one field of a message.
type field struct {
	number protowire.Number
	kind   protowire.Type
	bits   uint64 // of numbers
	bytes  []byte // of texts, bytes and messages
}

// eachField walks the fields of a message.
func eachField(p []byte, take func(field) error) error {
	for len(p) > 0 {
		number, kind, n := protowire.ConsumeTag(p)
		if n < 0 {
			return protowire.ParseError(n)
		}
		p = p[n:]
		f := field{number: number, kind: kind}
		switch kind {
		case protowire.VarintType:
			f.bits, n = protowire.ConsumeVarint(p)
		case protowire.Fixed32Type:
			var bits uint32
			bits, n = protowire.ConsumeFixed32(p)
			f.bits = uint64(bits)
		case protowire.Fixed64Type:
			f.bits, n = protowire.ConsumeFixed64(p)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(p)
		default:
			n = protowire.ConsumeFieldValue(number, kind, p)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		if err := take(f); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}
