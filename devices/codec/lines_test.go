package codec_test

import (
	"strings"
	"testing"
	"time"

	"plumbline/devices/codec"
)

// push gives the framer chunks 1 ms apart and returns what came out.
func push(f codec.Framer, chunks ...string) []codec.Frame {
	var out []codec.Frame
	for i, c := range chunks {
		f.Push(time.Duration(i+1)*time.Millisecond, []byte(c), func(fr codec.Frame) { out = append(out, fr) })
	}
	return out
}

func texts(frames []codec.Frame) []string {
	var out []string
	for _, f := range frames {
		out = append(out, string(f.Raw))
	}
	return out
}

func TestLinesCut(t *testing.T) {
	for _, c := range []struct {
		name   string
		chunks []string
		want   []string
	}{
		{"one", []string{"abc\r\n"}, []string{"abc"}},
		{"LF only", []string{"abc\ndef\n"}, []string{"abc", "def"}},
		{"byte by byte", strings.Split("ab\r\nc\n", ""), []string{"ab", "c"}},
		{"blank lines", []string{"\r\n\n  \n\r\r\nx\n"}, []string{"x"}},
		{"no end", []string{"abc"}, nil},
		{"line over three reads", []string{"a", "b", "c\nd\n"}, []string{"abc", "d"}},
		{"all byte values", []string{"\x01\xff\x80\n"}, []string{"\x01\xff\x80"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := push(&codec.Lines{}, c.chunks...)
			if len(got) != len(c.want) {
				t.Fatalf("%d frames %q, want %d", len(got), texts(got), len(c.want))
			}
			for i, f := range got {
				if string(f.Raw) != c.want[i] || f.Fault != "" {
					t.Errorf("frame %d is %q fault %q, want %q", i, f.Raw, f.Fault, c.want[i])
				}
			}
		})
	}
}

func TestLinesStampFirstAndLastByte(t *testing.T) {
	got := push(&codec.Lines{}, "a", "b", "c\nd", "\n")
	if len(got) != 2 {
		t.Fatalf("%d frames, want 2", len(got))
	}
	if got[0].First != 1*time.Millisecond || got[0].Last != 3*time.Millisecond || got[0].Bytes != 4 {
		t.Errorf("first frame %v to %v, %d bytes; want 1ms to 3ms, 4 bytes", got[0].First, got[0].Last, got[0].Bytes)
	}
	if got[1].First != 3*time.Millisecond || got[1].Last != 4*time.Millisecond {
		t.Errorf("second frame %v to %v, want 3ms to 4ms", got[1].First, got[1].Last)
	}
}

func TestLinesBoundLongLines(t *testing.T) {
	l := &codec.Lines{Max: 8}
	got := push(l, "12345", "67890", "still", "\nok\n")
	if len(got) != 2 || got[0].Fault == "" || string(got[0].Raw) != "12345678" || string(got[1].Raw) != "ok" {
		t.Fatalf("frames %q, want the first 8 bytes with a fault, then ok", texts(got))
	}
	if !strings.Contains(got[0].Fault, "longer than 8 bytes") {
		t.Errorf("fault %q does not name the bound", got[0].Fault)
	}
}

func TestLinesCutNULsOff(t *testing.T) {
	got := push(&codec.Lines{}, strings.Repeat("\x00", 21), "ab\n", "c\x00d\n", "\x00\n")
	if len(got) != 3 {
		t.Fatalf("%d frames %q, want 3", len(got), texts(got))
	}
	if f := got[0]; string(f.Raw) != "ab" || f.NULs != 21 || f.Bytes != 24 || f.Fault != "" || f.First != 2*time.Millisecond {
		t.Errorf("the line behind 21 NULs: %+v", f)
	}
	if f := got[1]; string(f.Raw) != "c\x00d" || f.NULs != 0 {
		t.Errorf("a NUL inside a line must stay for the check to fail, got %+v", f)
	}
	if f := got[2]; len(f.Raw) != 0 || f.NULs != 1 {
		t.Errorf("a NUL alone: %+v, want an empty frame", f)
	}
}

func TestLinesRest(t *testing.T) {
	l := &codec.Lines{}
	if _, held := l.Rest(); held {
		t.Error("a fresh framer holds a frame")
	}
	push(l, "partial")
	f, held := l.Rest()
	if !held || string(f.Raw) != "partial" || f.Fault == "" {
		t.Errorf("rest %q held %v fault %q", f.Raw, held, f.Fault)
	}
	if got := push(l, "x\n"); len(got) != 1 || string(got[0].Raw) != "x" {
		t.Errorf("after Rest: %q, want x alone", texts(got))
	}
	push(l, "\x00\x00")
	if f, held := l.Rest(); !held || f.NULs != 2 {
		t.Errorf("NULs at the end: %+v held %v", f, held)
	}
}

// FuzzLines checks that no bytes are lost, whatever the cutting.
func FuzzLines(f *testing.F) {
	f.Add([]byte("$GPHDT,1,T*00\r\n\x00\x00abc\n\n\n"), 3)
	f.Add([]byte(strings.Repeat("x", 100)), 7)
	f.Add([]byte("\n\r\n\x00\n"), 1)
	f.Fuzz(func(t *testing.T, data []byte, step int) {
		if step <= 0 || step > 64 {
			step = 1
		}
		cut := func(step int) []codec.Frame {
			l := &codec.Lines{Max: 32}
			var out []codec.Frame
			for rest := data; len(rest) > 0; {
				n := min(step, len(rest))
				l.Push(0, rest[:n], func(fr codec.Frame) { out = append(out, fr) })
				rest = rest[n:]
			}
			if fr, ok := l.Rest(); ok {
				out = append(out, fr)
			}
			return out
		}
		whole, pieces := cut(len(data)+1), cut(step)
		if len(whole) != len(pieces) {
			t.Fatalf("%d frames at once, %d in steps of %d", len(whole), len(pieces), step)
		}
		for i := range whole {
			if string(whole[i].Raw) != string(pieces[i].Raw) || whole[i].NULs != pieces[i].NULs {
				t.Fatalf("frame %d is %q at once, %q in steps of %d", i, whole[i].Raw, pieces[i].Raw, step)
			}
			if len(whole[i].Raw) > 32 {
				t.Fatalf("frame of %d bytes, bound 32", len(whole[i].Raw))
			}
		}
	})
}

// TestLongLinesCountAlike: how much of the stream an over-long line took does not hang on how the reads cut it. (FuzzStreams found
// 5930 bytes at once and 4106 in pieces.)
func TestLongLinesCountAlike(t *testing.T) {
	const text = "\x00\x000123456789abcdef\nok\n"
	for _, chunks := range [][]string{{text}, strings.Split(text, ""), {text[:9], text[9:]}, {text[:10], text[10:]}, {text[:11], text[11:]}} {
		got := push(&codec.Lines{Max: 8}, chunks...)
		if len(got) != 2 || got[0].Bytes != 10 || got[0].NULs != 2 || got[1].Bytes != 3 || got[1].Offset != int64(len(text))-3 {
			t.Errorf("in %d pieces: %+v, want a frame of 2 NULs and 8 bytes, and one of 3", len(chunks), got)
		}
	}
}
