package virtual

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"plumbline/devices/devicetest"
)

func TestDrainCutsIntoLinesWhateverThePiecesAre(t *testing.T) {
	text := "one\r\n\ntwo\n" + strings.Repeat("x", maxLine+10) + "\ncut"
	want := []string{"one\r\n", "\n", "two\n", strings.Repeat("x", maxLine), strings.Repeat("x", 10) + "\n", "cut"}
	for name, from := range map[string]io.Reader{
		"whole": strings.NewReader(text), "byte by byte": iotest.OneByteReader(strings.NewReader(text)), "halves": iotest.HalfReader(strings.NewReader(text)),
	} {
		var got []string
		drain(from, func(line []byte) { got = append(got, string(line)) })
		if !slices.Equal(got, want) {
			t.Errorf("%s: %d lines, want %d", name, len(got), len(want))
		}
	}
}

// stuck is a port that takes nothing until it is released.
type stuck struct{ release chan struct{} }

func (s stuck) Write(p []byte) (int, error) { <-s.release; return len(p), nil }

// A UART that is not read stops its machine: the relay reads on when the port is stuck.
func TestARelayReadsOnWhenThePortIsStuck(t *testing.T) {
	const lines = 3 * maxWaiting
	read, write := io.Pipe()
	port := stuck{make(chan struct{})}
	r := newRelay(read, port)
	if _, err := write.Write(bytes.Repeat([]byte("line\n"), lines)); err != nil {
		t.Fatal(err)
	}
	_ = write.Close()
	devicetest.Eventually(t, "what has no room to be dropped", func() bool { return r.dropped.Load() >= lines-maxWaiting-1 })
	close(port.release)
	r.done.Wait()
	if n := r.dropped.Load(); n > lines-maxWaiting {
		t.Errorf("%d of %d lines dropped, %d had room", n, lines, maxWaiting)
	}
}
