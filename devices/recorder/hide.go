package recorder

import (
	"bytes"
	"errors"

	"plumbline/devices/anonymise"
	"plumbline/devices/codec"
	"plumbline/devices/replay"
)

// Bounds of what waits for the end of a frame.
const (
	maxHeld   = 256 << 10 // bytes
	maxPieced = 4096      // pieces and events
)

// hider anonymises pieces before they are written. Those of a stream wait until
// the frame that they belong to is whole: what is in it is known then.
type hider struct {
	key     *anonymise.Key
	codec   codec.Codec
	framer  codec.Framer
	decoder codec.Decoder
	held    []piece // as they came
	bytes   []byte  // of held, one behind the other
	base    int64   // where bytes begins in the stream
	done    int     // of bytes, from the front: anonymised
}

// newHider errs when the codec is not covered; it takes identities out of the header.
func newHider(key *anonymise.Key, c codec.Codec, h *replay.Header) (*hider, error) {
	if err := anonymise.Check(c); err != nil {
		return nil, err
	}
	h.Anonymised = true
	if h.Serial != "" {
		h.Serial = key.Text(h.Serial)
	}
	if h.Settings.MQTT == "" {
		h.Source = "" // a selector holds the serial number, an address the place
	} else if _, filter, found := bytes.Cut([]byte(h.Source), []byte("#")); found {
		h.Source = key.Topic(string(filter))
	}
	return &hider{key: key, codec: c, framer: c.NewFramer(), decoder: codec.NewDecoder(c)}, nil
}

// take returns what can be written now.
func (h *hider) take(p piece) []piece {
	if p.msg != nil {
		return []piece{h.message(p)}
	}
	h.held = append(h.held, p)
	if p.event == nil {
		h.bytes = append(h.bytes, p.raw...)
		h.framer.Push(p.at, p.raw, h.frame)
	}
	if len(h.bytes)-h.done > maxHeld || len(h.held) > maxPieced {
		h.scrub(len(h.bytes))
	}
	return h.ready()
}

// message anonymises one that came whole.
func (h *hider) message(p piece) piece {
	topic := p.msg.Topic
	payload, ok := h.key.Payload(topic, p.raw)
	if !ok {
		return piece{at: p.at, event: &replay.Event{Withheld: 1}}
	}
	m := *p.msg
	m.Topic = h.key.Topic(topic)
	return piece{at: p.at, raw: payload, msg: &m}
}

// frame anonymises one, and what lay before it.
func (h *hider) frame(f codec.Frame) {
	from := max(int(f.Offset-h.base), h.done)
	to := min(int(f.Offset-h.base)+f.Bytes, len(h.bytes))
	if to <= from {
		return
	}
	h.scrub(from)
	region := h.bytes[from:to]
	at := bytes.LastIndex(region, f.Raw) // what stands before and behind it is no frame, and may look like one
	if f.Fault != "" || at < 0 || !h.good(f.Raw) {
		h.scrub(to)
		return
	}
	anonymise.Scrub(h.codec, region[:at])
	h.key.Frame(h.codec, region[at:at+len(f.Raw)])
	anonymise.Scrub(h.codec, region[at+len(f.Raw):])
	h.done = to
}

func (h *hider) good(raw []byte) bool {
	_, err := h.decoder.Decode(raw)
	var reject *codec.Reject
	return err == nil || errors.As(err, &reject) && reject.Class == codec.Control
}

// scrub empties what belongs to no good frame, up to there.
func (h *hider) scrub(to int) {
	if to > h.done {
		anonymise.Scrub(h.codec, h.bytes[h.done:to])
		h.done = to
	}
}

// ready takes the pieces from the front whose bytes are all anonymised.
func (h *hider) ready() []piece {
	var out []piece
	at := 0
	for len(h.held) > 0 {
		p := h.held[0]
		if at+len(p.raw) > h.done {
			break
		}
		p.raw = bytes.Clone(h.bytes[at : at+len(p.raw)])
		at += len(p.raw)
		out = append(out, p)
		h.held = h.held[1:]
	}
	h.bytes = append(h.bytes[:0], h.bytes[at:]...)
	h.base += int64(at)
	h.done -= at
	return out
}

// rest returns what is left when nothing more comes.
func (h *hider) rest() []piece {
	if f, held := h.framer.Rest(); held {
		f.Fault = cutShort
		h.frame(f)
	}
	h.scrub(len(h.bytes))
	return h.ready()
}

// cutShort is the fault of a frame in which the recording ends.
const cutShort = "cut by the end of the recording"
