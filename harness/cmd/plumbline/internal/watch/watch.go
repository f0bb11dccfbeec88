// Package watch prints what a device says while it says it.
package watch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"plumbline/devices"
	"plumbline/harness/cmd/plumbline/internal/console"
)

// Options bound what is printed. The zero value prints text until the end.
type Options struct {
	Count uint64 // stop after so many samples; 0 means no bound
	JSON  bool   // one JSON object a line
}

// line is the JSON form of a sample or of a rejected frame.
type line struct {
	At       float64        `json:"at_s"` // since the device was opened
	Device   string         `json:"device"`
	Seq      uint64         `json:"seq,omitempty"`
	Topic    string         `json:"topic,omitempty"`
	Values   map[string]any `json:"values,omitempty"`
	Rejected string         `json:"rejected,omitempty"` // why the frame was refused
	Offset   int64          `json:"offset,omitempty"`   // where a refused frame begins, in bytes since the device was opened
	Raw      string         `json:"raw,omitempty"`      // of a refused frame, quoted
}

// Watch prints every sample of dev and every frame that it refused, until the
// source ends, ctx ends, or the count is reached; all three are no errors. At
// the end it prints the totals.
func Watch(ctx context.Context, w io.Writer, dev devices.Device, opts Options) error {
	v := &viewer{out: w, json: opts.JSON, info: dev.Info()}
	v.head()
	var seen uint64
	for opts.Count == 0 || seen < opts.Count {
		sample, err := dev.Read(ctx)
		v.rejected(dev.Damages(), dev.Counters().Rejected())
		if errors.Is(err, io.EOF) || errors.Is(err, devices.ErrClosed) || (err != nil && ctx.Err() != nil) {
			break
		}
		if err != nil {
			v.totals(dev.Counters())
			return fmt.Errorf("watch %q: %w", v.info.ID, err)
		}
		seen++
		v.sample(sample)
		if v.err != nil {
			return fmt.Errorf("watch %q: %w", v.info.ID, v.err)
		}
	}
	v.totals(dev.Counters())
	return v.err
}

// viewer writes lines and keeps the first error of the writer.
type viewer struct {
	out   io.Writer
	json  bool
	info  devices.Info
	shown uint64 // refused frames printed or counted so far
	err   error
}

func (v *viewer) printf(format string, args ...any) {
	if v.err == nil {
		_, v.err = fmt.Fprintf(v.out, format, args...)
	}
}

func (v *viewer) encode(l line) {
	if v.err == nil {
		v.err = json.NewEncoder(v.out).Encode(l)
	}
}

func (v *viewer) head() {
	if v.json {
		return
	}
	v.printf("watching %s  %s  mode %s", console.Clean(v.info.ID), console.Clean(v.info.Kind), v.info.Mode)
	for _, detail := range []string{v.info.Model, v.info.Path, v.info.Note} {
		if detail != "" {
			v.printf("  %s", console.Clean(detail))
		}
	}
	v.printf("\n")
}

func (v *viewer) sample(s devices.Sample) {
	if v.json {
		l := line{At: s.Last.Seconds(), Device: v.info.ID, Seq: s.Seq, Topic: s.Topic, Values: map[string]any{}}
		for _, value := range s.Values {
			if value.IsText {
				l.Values[value.Name] = value.Text
			} else {
				l.Values[value.Name] = finite(value.Number)
			}
		}
		v.encode(l)
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%10.3f  #%d", s.Last.Seconds(), s.Seq)
	if s.Topic != "" {
		b.WriteString("  " + console.Clean(s.Topic))
	}
	for _, value := range s.Values {
		fmt.Fprintf(&b, "  %s=%s", console.Clean(value.Name), text(value))
	}
	v.printf("%s\n", b.String())
}

// finite keeps what JSON numbers cannot hold as text.
func finite(n float64) any {
	if n-n != 0 { // NaN or an infinity
		return strconv.FormatFloat(n, 'g', -1, 64)
	}
	return n
}

func text(value devices.Value) string {
	if value.IsText {
		return strconv.Quote(console.Clean(value.Text))
	}
	out := strconv.FormatFloat(value.Number, 'g', 8, 64)
	if value.Unit != "" {
		out += " " + console.Clean(value.Unit)
	}
	return out
}

// rejected prints the frames that were refused since the last call; total is
// how many there were altogether, since only the latest are kept.
func (v *viewer) rejected(kept []devices.Damage, total uint64) {
	fresh := total - v.shown
	v.shown = total
	if n := uint64(len(kept)); fresh > n {
		if !v.json {
			v.printf("            %d refused frames are not shown\n", fresh-n)
		}
		fresh = n
	}
	for _, d := range kept[uint64(len(kept))-fresh:] {
		if v.json {
			v.encode(line{At: d.At.Seconds(), Device: v.info.ID, Rejected: d.Reason, Offset: d.Offset, Raw: strconv.QuoteToASCII(string(d.Raw))})
			continue
		}
		place := ""
		if d.Offset > 0 {
			place = fmt.Sprintf(", at byte %d", d.Offset)
		}
		v.printf("%10.3f  refused: %s%s: %s\n", d.At.Seconds(), console.Clean(d.Reason), place, strconv.QuoteToASCII(string(d.Raw)))
	}
}

func (v *viewer) totals(c devices.Counters) {
	if v.json {
		return
	}
	v.printf("%d samples, %d damaged, %d without check, %d cut, %d dropped unread", c.Good, c.Damaged, c.Unchecked, c.Partial, c.Dropped)
	if c.Control > 0 {
		v.printf(", %d without a reading", c.Control)
	}
	if c.Missing > 0 {
		v.printf(", %d not answered", c.Missing)
	}
	v.printf("\n")
}

// Limit returns ctx with a time limit; 0 means none.
func Limit(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	if limit <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, limit)
}
