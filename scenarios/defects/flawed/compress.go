package main

import (
	"bytes"
	"compress/flate"
	"regexp"
)

// With --compress the relay takes the viewers' offer of permessage-deflate
// (RFC 7692) in place of the bridge, and refers to earlier messages.

// compression: messages that are compressed wrongly.
var compression = map[string]maker{"F66": forgetWindow}

var extensionLine = regexp.MustCompile(`(?i)\r\nsec-websocket-extensions:[^\r\n]*`)

// squeezeFrom is from how many bytes on a message is worth compressing.
const squeezeFrom = 512

// compressor compresses the messages of one session. The lock for writing to the
// viewer guards it.
type compressor struct {
	f       *front
	w       *flate.Writer
	out     bytes.Buffer
	carried uint64
}

// negotiate takes the offer out of a request; nil when there is none to take.
func (f *front) negotiate(request []byte) ([]byte, *compressor) {
	offer := extensionLine.Find(request)
	if !f.opts.compress || !bytes.Contains(offer, []byte("permessage-deflate")) {
		return request, nil
	}
	c := &compressor{f: f}
	c.w, _ = flate.NewWriter(&c.out, flate.DefaultCompression) // a level that there is
	return bytes.Replace(request, offer, nil, 1), c
}

// accept says so in the answer.
func (c *compressor) accept(answer []byte) []byte {
	head, ok := bytes.CutSuffix(answer, []byte("\r\n\r\n"))
	if !ok {
		return answer
	}
	return append(bytes.Clone(head), "\r\nSec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n\r\n"...)
}

// frame compresses one that is worth it.
func (c *compressor) frame(fr frame) frame {
	if c == nil || !fr.text() || len(fr.payload) < squeezeFrom {
		return fr
	}
	if lost := c.f.flaw.window; lost > 0 && c.carried > lost {
		c.f.count.fire()
		c.squeeze([]byte("lost")) // the viewer never gets it, and what follows is counted from behind it
	}
	c.carried += uint64(len(fr.payload))
	return frame{first: 0x80 | 0x40 | opText, payload: c.squeeze(fr.payload)}
}

// squeeze compresses a message as RFC 7692 section 7.2.1 wants it.
func (c *compressor) squeeze(payload []byte) []byte {
	c.out.Reset()
	_, _ = c.w.Write(payload) // into memory
	_ = c.w.Flush()
	return bytes.Clone(bytes.TrimSuffix(c.out.Bytes(), []byte{0, 0, 0xff, 0xff}))
}

// forgetWindow (F66) counts wrongly how far back a message refers, once so many
// bytes have gone before.
func forgetWindow(_ *front, p param) *flaw { return &flaw{window: p.count(0)} }
