package hdr

import (
	"bytes"
	"math"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// TestTheFormatsOwnReaderReadsIt: the reader of logs that the HdrHistogram project
// publishes finds every count and, at each quantile, the value that was counted, to
// a thousandth.
func TestTheFormatsOwnReaderReadsIt(t *testing.T) {
	h, all := draw(20_000)
	h.Record(Highest) // one that never came
	all = append(all, Highest)
	var buf bytes.Buffer
	if err := (Log{Comments: []string{"a run"}, Start: time.Unix(1_795_683_600, 0), Length: time.Minute, Encoded: h.Encode()}).Write(&buf); err != nil {
		t.Fatal(err)
	}
	reader := hdrhistogram.NewHistogramLogReader(&buf)
	read, err := reader.NextIntervalHistogram()
	if err != nil || read == nil {
		t.Fatalf("%v, %v", read, err)
	}
	if read.TotalCount() != int64(len(all)) || read.SignificantFigures() != Digits || read.StartTimeMs() != 1_795_683_600_000 || read.EndTimeMs()-read.StartTimeMs() != 60_000 {
		t.Errorf("%d values with %d digits from %d to %d ms", read.TotalCount(), read.SignificantFigures(), read.StartTimeMs(), read.EndTimeMs())
	}
	for _, q := range []float64{0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 0.9999, 1} {
		rank := q * float64(len(all)) // it rounds the rank, which may be the one below
		low, high := float64(all[max(int(rank)-1, 0)]), float64(all[max(int(math.Ceil(rank)), 1)-1])
		if got := float64(read.ValueAtPercentile(100 * q)); got < low*0.999 || got > high*1.001 {
			t.Errorf("q %v = %.0f ns, counted was %.0f to %.0f", q, got, low, high)
		}
	}
	if more, err := reader.NextIntervalHistogram(); more != nil || err != nil {
		t.Errorf("there is more behind the only interval: %v, %v", more, err)
	}
	theirs, err := read.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := Decode(string(theirs)); err != nil || back.Count() != h.Count() || back.Max() != h.Max() {
		t.Errorf("what it writes is not read here: %v", err)
	}
}
