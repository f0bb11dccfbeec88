package wire

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"plumbline/bridge/hub"
	"plumbline/bridge/strictjson"
)

// The subprotocols, of which a handshake must offer one. The first that the viewer names and the bridge speaks is chosen.
const (
	Subprotocol     = "plumbline.v1.json"
	SubprotocolCBOR = "plumbline.v1.cbor"
)

// maxDepth bounds the nesting of a command; the deepest one needs 2.
const maxDepth = 8

// dialect is how a session's messages are written.
type dialect struct {
	binary bool       // CBOR in binary messages, else JSON in text messages
	format hub.Format // of readings
}

// frame returns the first byte of a message's frame.
func (d dialect) frame() byte {
	if d.binary {
		return frameBinary
	}
	return frameText
}

// encode returns a message other than batch and snapshot, which are built by hand. The message types always encode.
func (d dialect) encode(msg any) []byte {
	if d.binary {
		b, _ := cborOut.Marshal(msg)
		return b
	}
	b, _ := json.Marshal(msg) // strings, integers and maps of them cannot fail
	return b
}

// batchPrefix is what stands between the head and the shared body of a batch.
func (d dialect) batchPrefix(id int64) []byte {
	if d.binary {
		return appendCBORHead(make([]byte, 0, 24), "batch", id)
	}
	return fmt.Appendf(make([]byte, 0, 32), `{"type":"batch","id":%d,`, id)
}

// appendCBORHead appends the members type and id.
func appendCBORHead(dst []byte, kind string, id int64) []byte {
	dst = hub.AppendCBORText(dst, "type")
	dst = hub.AppendCBORText(dst, kind)
	dst = hub.AppendCBORText(dst, "id")
	return hub.AppendCBORInt(dst, id)
}

// decode reads the members of a command to the pointers given by their names: *string, *bool or *raw. Errors wrap
// strictjson.ErrType when a member has another type.
func (d dialect) decode(data []byte, members map[string]any) error {
	if d.binary {
		return decodeCBOR(data, members)
	}
	for name, to := range members {
		if r, ok := to.(*raw); ok {
			members[name] = &r.json
		}
	}
	return strictjson.Decode(data, maxDepth, members)
}

var (
	cborOut = must(cbor.EncOptions{}.EncMode()) //nolint:gochecknoglobals // settings, no state
	cborIn  = must(cbor.DecOptions{             //nolint:gochecknoglobals // settings, no state
		DupMapKey: cbor.DupMapKeyEnforcedAPF, MaxNestedLevels: maxDepth, MaxArrayElements: 1024, MaxMapPairs: 64,
		IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden, UTF8: cbor.UTF8RejectInvalid,
	}.DecMode())
)

// must returns what fixed settings give.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // a mistake in the lines above
	}
	return v
}

// decodeCBOR is strictjson.Decode for CBOR: one map with text keys, nothing after it, no key twice in any map, no tags, no
// indefinite lengths, few levels (RFC 8949 sections 5.3 and 5.6).
func decodeCBOR(data []byte, members map[string]any) error {
	var whole any
	if err := cborIn.Unmarshal(data, &whole); err != nil {
		return fmt.Errorf("wire: malformed CBOR: %w", err)
	}
	var object map[string]cbor.RawMessage
	if err := cborIn.Unmarshal(data, &object); err != nil || object == nil {
		return fmt.Errorf("wire: %w: want a map with text keys", strictjson.ErrType)
	}
	for name, to := range members {
		item, ok := object[name]
		if !ok {
			continue
		}
		if r, ok := to.(*raw); ok {
			r.cbor = item
			continue
		}
		if err := cborIn.Unmarshal(item, to); err != nil {
			return fmt.Errorf("wire: %w: member %q", strictjson.ErrType, name)
		}
	}
	return nil
}

// raw is a member that is looked at later. The zero value is absent.
type raw struct {
	json json.RawMessage
	cbor cbor.RawMessage
}

// there reports whether the member was given and is not null.
func (r *raw) there() bool {
	return len(r.json) > 0 && string(r.json) != "null" || len(r.cbor) > 0 && r.cbor[0] != 0xF6 // RFC 8949 section 3.3
}

// read reads the member's value to a pointer.
func (r *raw) read(to any) error {
	switch {
	case !r.there():
		return errors.New("wire: the member is missing")
	case len(r.cbor) > 0:
		return cborIn.Unmarshal(r.cbor, to)
	}
	return json.Unmarshal(r.json, to)
}

// maxWhole is the largest whole number that JavaScript holds exactly.
const maxWhole = 1 << 53

// whole returns a whole number from 0 to maxWhole.
func (r *raw) whole() (n int64, ok bool) {
	err := r.read(&n)
	return n, err == nil && n >= 0 && n <= maxWhole
}

// object reads the member as an object.
func (r *raw) object(members map[string]any) error {
	if len(r.cbor) > 0 {
		return dialect{binary: true}.decode(r.cbor, members)
	}
	return dialect{}.decode(r.json, members)
}
