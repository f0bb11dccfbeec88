package remoteport

// Telnet bytes of RFC 854 and options of RFC 855.
const (
	iac  = 255
	dont = 254
	do   = 253
	wont = 252
	will = 251
	sb   = 250
	se   = 240

	optBinary  = 0  // RFC 856
	optSGA     = 3  // RFC 858
	optComPort = 44 // RFC 2217
)

// maxSub bounds a subnegotiation in bytes; longer ones are dropped whole. The
// longest of RFC 2217 is a signature text, which we do not ask for.
const maxSub = 256

// telnet takes a Telnet stream apart. The zero value is at its beginning.
type telnet struct {
	state func(*telnet, byte, *events)
	verb  byte
	sub   []byte
	over  bool // the subnegotiation is too long
}

// events are what a piece of the stream held.
type events struct {
	data []byte
	asks []ask
	subs [][]byte // without IAC SB and IAC SE
}

// ask is one of DO, DONT, WILL and WONT.
type ask struct{ verb, option byte }

// push takes the next piece; data is appended to dst.
func (t *telnet) push(p []byte, dst []byte) events {
	e := events{data: dst}
	if t.state == nil {
		t.state = inData
	}
	for _, c := range p {
		t.state(t, c, &e)
	}
	return e
}

func inData(t *telnet, c byte, e *events) {
	if c == iac {
		t.state = afterIAC
		return
	}
	e.data = append(e.data, c)
}

func afterIAC(t *telnet, c byte, e *events) {
	switch c {
	case iac: // escaped
		e.data = append(e.data, c)
		t.state = inData
	case do, dont, will, wont:
		t.verb, t.state = c, afterVerb
	case sb:
		t.sub, t.over, t.state = t.sub[:0], false, inSub
	default: // NOP, GA and the like
		t.state = inData
	}
}

func afterVerb(t *telnet, c byte, e *events) {
	e.asks = append(e.asks, ask{t.verb, c})
	t.state = inData
}

func inSub(t *telnet, c byte, _ *events) {
	if c == iac {
		t.state = iacInSub
		return
	}
	t.keep(c)
}

func iacInSub(t *telnet, c byte, e *events) {
	switch c {
	case iac: // escaped
		t.keep(c)
		t.state = inSub
	case se:
		if !t.over {
			e.subs = append(e.subs, append([]byte(nil), t.sub...))
		}
		t.state = inData
	default: // the end is missing: what follows is a command of its own
		t.state = afterIAC
		afterIAC(t, c, e)
	}
}

// keep appends to the subnegotiation, up to the bound.
func (t *telnet) keep(c byte) {
	if len(t.sub) >= maxSub {
		t.over = true
		return
	}
	t.sub = append(t.sub, c)
}

// appendEscaped appends p with every IAC doubled.
func appendEscaped(dst, p []byte) []byte {
	for _, c := range p {
		if c == iac {
			dst = append(dst, iac)
		}
		dst = append(dst, c)
	}
	return dst
}

// command is a subnegotiation of RFC 2217.
func command(code byte, value ...byte) []byte {
	return append(appendEscaped([]byte{iac, sb, optComPort, code}, value), iac, se)
}

// options answers what the server asks, each thing once: a server that asks
// without end gets no answers without end (RFC 1143 says why that matters).
type options struct {
	answered [4][256]bool // by verb−WILL and option
	agreed   bool         // DO COM-PORT-OPTION
	refusal  string       // why we cannot go on
}

// opening is what we ask for.
var opening = []byte{
	iac, will, optComPort,
	iac, will, optBinary, iac, do, optBinary,
	iac, will, optSGA, iac, do, optSGA,
}

// take notes what the server said and returns the answer, nil for none.
func (o *options) take(a ask) []byte {
	ours := a.option == optBinary || a.option == optSGA || a.option == optComPort && a.verb != will
	switch a {
	case ask{do, optComPort}:
		o.agreed = true
	case ask{dont, optComPort}:
		o.refusal = "it answered DONT COM-PORT-OPTION"
	case ask{dont, optBinary}, ask{wont, optBinary}:
		o.refusal = "it refuses binary transmission, which would change bytes on their way"
	}
	if a.verb == dont || a.verb == wont || ours {
		return nil // an answer to what we asked for
	}
	done := &o.answered[a.verb-will][a.option]
	if *done {
		return nil
	}
	*done = true
	if a.verb == do {
		return []byte{iac, wont, a.option}
	}
	return []byte{iac, dont, a.option}
}
