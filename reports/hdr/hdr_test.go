package hdr

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// draw counts n latencies with a body and a long tail, from 10 µs to minutes.
func draw(n int) (*Histogram, []time.Duration) {
	h, rng := &Histogram{}, rand.New(rand.NewPCG(1, 2))
	all := make([]time.Duration, n)
	for i := range all {
		all[i] = time.Duration(math.Exp(rng.NormFloat64()*1.5) * 1e6)
		h.Record(all[i])
	}
	slices.Sort(all)
	return h, all
}

func TestQuantilesAreWithinAThousandth(t *testing.T) {
	h, all := draw(20_000)
	if h.Count() != 20_000 {
		t.Fatalf("%d were counted", h.Count())
	}
	for _, q := range []float64{0, 0.001, 0.5, 0.9, 0.99, 0.999, 0.99999, 1} {
		exact := all[min(max(int(math.Ceil(q*float64(len(all)))), 1), len(all))-1]
		if got := h.Quantile(q); got < exact || float64(got) > float64(exact)*1.001 {
			t.Errorf("q %v = %s, want %s to a thousandth above", q, got, exact)
		}
	}
}

func TestEveryValueFallsIntoItsSlot(t *testing.T) {
	last := -1
	for _, v := range []int64{0, 1, 2, 1023, 1024, 2047, 2048, 2049, 2050, 4095, 4096, 1e6, 1e9, int64(Highest) - 1, int64(Highest)} {
		slot := slotOf(v)
		if slot < last || highestIn(slot) < v || slot > 0 && highestIn(slot-1) >= v {
			t.Errorf("%d is counted in slot %d, which ends at %d", v, slot, highestIn(slot))
		}
		last = slot
	}
	if last != maxSlots-1 {
		t.Errorf("the last slot is %d of %d", last, maxSlots)
	}
}

func TestOutOfRange(t *testing.T) {
	h := &Histogram{}
	for _, d := range []time.Duration{-1, math.MinInt64, 0, Highest, Highest + 1, math.MaxInt64} {
		h.Record(d)
	}
	if h.Count() != 6 || h.Quantile(0.5) != 0 || h.Quantile(0.51) < Highest || h.Max() > Highest+Highest/1000 {
		t.Errorf("%d, median %s, max %s", h.Count(), h.Quantile(0.5), h.Max())
	}
	if empty := new(Histogram); empty.Max() != 0 || empty.Count() != 0 {
		t.Error("nothing counted is something")
	}
}

func TestEncodingComesBack(t *testing.T) {
	h, _ := draw(5_000)
	edges := &Histogram{}
	for _, d := range []time.Duration{0, 2, 2, 3, 5, 2048, Highest} {
		edges.Record(d)
	}
	edges.counts[5] = math.MaxInt64 / 2 // nine bytes
	edges.n += math.MaxInt64/2 - 1
	for name, h := range map[string]*Histogram{"drawn": h, "empty": {}, "edges": edges} {
		text := h.Encode()
		if !strings.HasPrefix(text, "HISTFAAA") {
			t.Errorf("%s: it begins with %.8s", name, text)
		}
		back, err := Decode(text)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !slices.Equal(back.counts, h.counts) || back.n != h.n {
			t.Errorf("%s: comes back as another", name)
		}
	}
}

func TestNumbers(t *testing.T) {
	for _, v := range []int64{0, 1, -1, 63, 64, -64, -65, 1 << 20, 1<<55 - 1, 1 << 55, 1 << 62, math.MaxInt64, math.MinInt64} {
		b := appendNumber(nil, v)
		if got, size := number(append(b, 0xff)); got != v || size != len(b) || len(b) > longestNumber {
			t.Errorf("%d comes back as %d, %d of %d bytes", v, got, size, len(b))
		}
		if _, size := number(b[:len(b)-1]); size != 0 {
			t.Errorf("%d is read although it is cut short", v)
		}
	}
}

// packedAs wraps a histogram as a compressor does, and as a forger may.
func packedAs(t *testing.T, body []byte) string {
	t.Helper()
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	out := binary.BigEndian.AppendUint32(nil, compressedCookie)
	out = binary.BigEndian.AppendUint32(out, uint32(z.Len()))
	return base64.StdEncoding.EncodeToString(append(out, z.Bytes()...))
}

func TestDecodeRefuses(t *testing.T) {
	h, _ := draw(1000)
	packed, err := base64.StdEncoding.DecodeString(h.Encode())
	if err != nil {
		t.Fatal(err)
	}
	body, err := unpack(packed)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := Decode(packedAs(t, body)); err != nil || back.n != 1000 {
		t.Fatalf("one that a compressor packed: %v", err)
	}
	forged := func(change func(b []byte) []byte) string {
		b := change(slices.Clone(body))
		if len(b) >= headerSize {
			binary.BigEndian.PutUint32(b[4:], uint32(len(b)-headerSize))
		}
		return packedAs(t, b)
	}
	for name, text := range map[string]string{
		"nothing":               "",
		"no base64":             "HISTFAAA!",
		"a line end":            h.Encode()[:100] + "\n" + h.Encode()[100:],
		"cut short":             h.Encode()[:100],
		"a changed byte":        base64.StdEncoding.EncodeToString(append(slices.Clone(packed[:20]), append([]byte{packed[20] ^ 1}, packed[21:]...)...)),
		"no header":             forged(func(b []byte) []byte { return b[:10] }),
		"other digits":          forged(func(b []byte) []byte { b[15] = 2; return b }),
		"another range":         forged(func(b []byte) []byte { b[31]++; return b }),
		"a cut number":          forged(func(b []byte) []byte { return append(b, 0x80) }),
		"slots beyond the last": forged(func(b []byte) []byte { return appendNumber(b, -int64(maxSlots)) }),
		"endless empty slots":   forged(func(b []byte) []byte { return appendNumber(b, math.MinInt64) }),
		"more than numbers":     forged(func(b []byte) []byte { return appendNumber(appendNumber(b, math.MaxInt64), math.MaxInt64) }),
		"a bomb":                packedAs(t, make([]byte, 1<<20)),
	} {
		if _, err := Decode(text); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	h, _ := draw(100)
	f.Add(h.Encode())
	f.Add("HISTFAAAAC14nJNpmSzMwMAA")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := Decode(text)
		if err != nil {
			return
		}
		again, err := Decode(h.Encode())
		if err != nil || again.n != h.n || again.Max() != h.Max() {
			t.Errorf("what was read is not read again: %v", err)
		}
	})
}

func TestLog(t *testing.T) {
	h := &Histogram{}
	h.Record(1500 * time.Microsecond)
	var buf bytes.Buffer
	l := Log{Comments: []string{"run x\n#[StartTime: 0"}, Start: time.Date(2026, 11, 26, 9, 0, 0, 5e8, time.UTC), Length: 90 * time.Second, Encoded: h.Encode()}
	if err := l.Write(&buf); err != nil {
		t.Fatal(err)
	}
	want := "#[run x #[StartTime: 0]\n#[Histogram log format version 1.3]\n#[StartTime: 1795683600.500 (seconds since epoch), 2026-11-26T09:00:00Z]\n" +
		"\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n1795683600.500,90.000,1.500," + h.Encode() + "\n"
	if buf.String() != want {
		t.Errorf("got\n%s want\n%s", &buf, want)
	}
	l.Encoded = "x\ny"
	if err := l.Write(&buf); !errors.Is(err, ErrDamaged) {
		t.Errorf("a log of no histogram: %v", err)
	}
}
