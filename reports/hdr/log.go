package hdr

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Log is one interval in the log format of HdrHistogram, version 1.3.
type Log struct {
	Comments []string // say what is counted, a line each
	Start    time.Time
	Length   time.Duration
	Encoded  string // the histogram, as Encode gives it
}

// Write writes the log. What stands in Encoded is checked first: ErrDamaged. The
// unit of the values is the nanosecond, that of the column of maxima, as in every
// such log, the millisecond.
func (l Log) Write(w io.Writer) error {
	h, err := Decode(l.Encoded)
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, c := range l.Comments {
		fmt.Fprintf(&b, "#[%s]\n", strings.Map(oneLine, c))
	}
	b.WriteString("#[Histogram log format version 1.3]\n")
	fmt.Fprintf(&b, "#[StartTime: %s (seconds since epoch), %s]\n", seconds(l.Start), l.Start.UTC().Format(time.RFC3339))
	b.WriteString(`"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"` + "\n")
	fmt.Fprintf(&b, "%s,%.3f,%.3f,%s\n", seconds(l.Start), max(l.Length, 0).Seconds(), float64(h.Max())/1e6, l.Encoded)
	_, err = io.WriteString(w, b.String())
	return err
}

// seconds prints an instant in seconds since 1970, to the millisecond. One before
// that, which only a clock that was never set gives, is 1970.
func seconds(t time.Time) string {
	ms := max(t.UnixMilli(), 0)
	return fmt.Sprintf("%d.%03d", ms/1000, ms%1000)
}

func oneLine(r rune) rune {
	if r < ' ' {
		return ' '
	}
	return r
}
