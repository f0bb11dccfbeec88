package hub

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
)

// inflate reads a message as RFC 7692 section 7.2.2 has it.
func inflate(t *testing.T, packed []byte) string {
	t.Helper()
	r := flate.NewReader(io.MultiReader(bytes.NewReader(packed), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff")))
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestPack: what is packed reads the same, also behind a stored block, and what does not pay is not packed.
func TestPack(t *testing.T) {
	p := NewPacker()
	noise := make([]byte, 4096)
	r := rand.New(rand.NewPCG(1, 1))
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	for _, c := range []struct {
		name string
		body string
		pays bool
	}{
		{"small", strings.Repeat("a", PackFrom-1), false},
		{"from the bound on", strings.Repeat("a", PackFrom), true},
		{"noise", string(noise), false},
		{"a batch", strings.Repeat(`{"o":1,"t":2,"topic":"plant/7/temperature","qos":1,"payload":"21.5"},`, 200), true},
	} {
		packed := p.Pack([]byte(c.body))
		if (packed != nil) != c.pays {
			t.Fatalf("%s: %d bytes from %d", c.name, len(packed), len(c.body))
		}
		if !c.pays {
			continue
		}
		if got := inflate(t, packed); got != c.body {
			t.Errorf("%s reads as %.60q", c.name, got)
		}
		if got := inflate(t, append([]byte{0, 2, 0, 0xFD, 0xFF, 'i', 'd'}, packed...)); got != "id"+c.body {
			t.Errorf("%s behind a stored block reads as %.60q", c.name, got)
		}
	}
}

// TestPackedOnce: however many want it, a batch is compressed once.
func TestPackedOnce(t *testing.T) {
	p := NewPacker()
	b := Batch{Body: []byte(strings.Repeat("text ", 1000))}
	p.offer(&b)
	first := b.Packed.Get(b.Body)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if got := b.Packed.Get(b.Body); &got[0] != &first[0] {
				t.Errorf("viewer %d has a copy", i)
			}
		})
	}
	wg.Wait()
	var none *Packer
	small := Batch{Body: []byte("x")}
	p.offer(&small)
	none.offer(&b)
	if small.Packed.Get(small.Body) != nil {
		t.Error("a small body is packed")
	}
}

func BenchmarkPack(b *testing.B) {
	p := NewPacker()
	var body []byte
	for i := range 50 {
		body = fmt.Appendf(body, `{"o":%d,"t":1767323045%06d,"topic":"plant/%d/temperature","qos":1,"payload":"%d.%d"},`, 980+i, i*1577, i%7, 20+i%5, i%10)
	}
	b.ReportAllocs()
	var n int
	for b.Loop() {
		n = len(p.Pack(body))
	}
	b.ReportMetric(float64(n)/float64(len(body)), "ratio")
}
