package virtual

import (
	"bytes"
	"io"
	"sync"
	"sync/atomic"
)

// Bounds of what is held between a UART and who takes its lines.
const (
	maxLine    = 4096 // bytes; what is longer is passed on in pieces
	maxWaiting = 256  // lines that a port has not taken yet
)

// drain reads from until its end and hands over its lines, each with its line
// end but perhaps the last, which the loss of power cut.
func drain(from io.Reader, pass func(line []byte)) {
	buf := make([]byte, maxLine)
	for held := 0; ; {
		n, err := from.Read(buf[held:])
		held += n
		rest := buf[:held]
		for {
			end := bytes.IndexByte(rest, '\n') + 1
			if end == 0 && len(rest) == len(buf) {
				end = len(rest)
			}
			if end == 0 {
				break
			}
			pass(bytes.Clone(rest[:end]))
			rest = rest[end:]
		}
		held = copy(buf, rest)
		if err != nil {
			if held > 0 {
				pass(bytes.Clone(buf[:held]))
			}
			return
		}
	}
}

// relay carries lines from a UART to a port. It reads on whatever the port does,
// because a UART that is not read stops the machine: lines that the port does not
// take are dropped and counted. It ends with the UART.
type relay struct {
	spoke   chan struct{} // closed at the first line
	dropped atomic.Uint64
	done    sync.WaitGroup
}

func newRelay(from io.Reader, to io.Writer) *relay {
	r := &relay{spoke: make(chan struct{})}
	first := sync.OnceFunc(func() { close(r.spoke) })
	lines := make(chan []byte, maxWaiting)
	r.done.Go(func() {
		defer close(lines)
		drain(from, func(line []byte) {
			first()
			select {
			case lines <- line:
			default:
				r.dropped.Add(1)
			}
		})
	})
	r.done.Go(func() {
		for line := range lines {
			if _, err := to.Write(line); err != nil {
				r.dropped.Add(1) // a port that is crowded
			}
		}
	})
	return r
}
