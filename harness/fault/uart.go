package fault

// maxBaud is the fastest line that Misread computes.
const maxBaud = 10_000_000

// Misread returns what a UART set to read baud makes of bytes sent back to back
// at sent baud, 8N1, on a line that is idle before and after. A byte whose stop
// bit is not there (a framing error) reads as NUL, as a tty says it (termios(3),
// PARMRK off); a break reads as one NUL. Equal rates give the bytes back.
// Rates are within [1, 10,000,000].
func Misread(data []byte, sent, read int) []byte {
	s := signal{data: data, bit: 2 * int64(read)} // time runs in units that both bits are even multiples of
	bit := 2 * int64(sent)
	var out []byte
	for at := int64(0); ; {
		start, found := s.next(at, 0)
		if !found {
			return out
		}
		if s.level(start+bit/2) != 0 { // a spike, no start bit
			at = start + bit/2
			continue
		}
		var b byte
		for k := range int64(8) {
			b |= s.level(start+bit/2+(k+1)*bit) << k
		}
		at = start + bit/2 + 9*bit
		if s.level(at) != 0 {
			out = append(out, b)
			continue
		}
		out = append(out, 0)
		if b == 0 { // a break lasts until the line is idle again
			if at, found = s.next(at, 1); !found {
				return out
			}
		}
	}
}

// signal is a line that carries data: idle high, a start bit low, eight bits,
// the least significant first, a stop bit high.
type signal struct {
	data []byte
	bit  int64 // length of a bit
}

func (s signal) levelOf(bit int64) byte {
	n := bit / 10
	switch k := bit % 10; {
	case n >= int64(len(s.data)) || k == 9:
		return 1
	case k == 0:
		return 0
	default:
		return s.data[n] >> (k - 1) & 1
	}
}

func (s signal) level(at int64) byte { return s.levelOf(at / s.bit) }

// next returns when the line has that level, from a moment on.
func (s signal) next(from int64, level byte) (at int64, found bool) {
	for bit := from / s.bit; bit <= 10*int64(len(s.data)); bit++ {
		if s.levelOf(bit) == level {
			return max(from, bit*s.bit), true
		}
	}
	return 0, false
}
