package intake_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"plumbline/devices/codec"
	"plumbline/devices/internal/intake"
)

func frame(s string) codec.Frame {
	return codec.Frame{Raw: []byte(s), First: 1, Last: 2, Bytes: len(s)}
}

func TestAcceptCountsByClass(t *testing.T) {
	in := intake.New(codec.NMEA0183{}, intake.Options{})
	for _, c := range []struct {
		line string
		good bool
	}{{"$GPHDT,274.07,T*03", true}, {"$GPHDT,274.07,T*04", false}, {"hello", false}} {
		if got := in.Accept(frame(c.line), ""); got != c.good {
			t.Errorf("Accept(%q) = %v", c.line, got)
		}
	}
	in.Accept(codec.Frame{Raw: []byte("long"), Fault: "longer than 3 bytes"}, "")
	in.Cut(frame("$GP"), "cut by the end")
	in.Drop()
	c := in.Counters()
	if c.Good != 1 || c.Damaged != 2 || c.Unchecked != 1 || c.Partial != 1 || c.Dropped != 1 || c.Bytes != 18+18+5+3 {
		t.Errorf("%+v", c)
	}
	var reasons []string
	for _, d := range in.Damages() {
		reasons = append(reasons, d.Reason)
	}
	want := "checksum 04, computed 03|does not begin with $ or !|longer than 3 bytes|cut by the end"
	if got := strings.Join(reasons, "|"); got != want {
		t.Errorf("reasons %q, want %q", got, want)
	}
}

func TestNULsBeforeAGoodFrameAreDamageOfTheirOwn(t *testing.T) {
	in := intake.New(codec.NMEA0183{}, intake.Options{})
	good, bad := frame("$GPHDT,274.07,T*03"), frame("junk")
	good.NULs, bad.NULs = 5, 7
	good.Bytes += 5
	bad.Bytes += 7
	in.Accept(good, "")
	in.Accept(bad, "")
	if c := in.Counters(); c.Good != 1 || c.Damaged != 1 || c.Unchecked != 1 || c.Bytes != 18+5+4+7 {
		t.Errorf("%+v, want the NULs before a good frame counted once, those before a bad one with it", c)
	}
}

func TestEvidenceIsBoundedAndCopied(t *testing.T) {
	in := intake.New(codec.NMEA0183{}, intake.Options{Damages: 2})
	for _, s := range []string{"first", "second", strings.Repeat("z", 5000)} {
		in.Accept(frame(s), "")
	}
	got := in.Damages()
	if len(got) != 2 || string(got[0].Raw) != "second" || len(got[1].Raw) != 512 || !strings.Contains(got[1].Reason, "512 bytes") {
		t.Fatalf("%d pieces of evidence, the last of %d bytes", len(got), len(got[1].Raw))
	}
	got[0].Raw[0] = 'X'
	if string(in.Damages()[0].Raw) != "second" {
		t.Error("a caller can change the evidence")
	}
}

func TestFullQueueDropsTheOldest(t *testing.T) {
	in := intake.New(codec.Payload{}, intake.Options{Queue: 3})
	for _, s := range []string{"1", "2", "3", "4", "5"} {
		in.Accept(frame(s), "t")
	}
	s, err := in.Read(t.Context())
	if err != nil || string(s.Raw) != "3" || s.Seq != 3 || s.Topic != "t" {
		t.Errorf("first sample read: %+v, %v; want the third", s, err)
	}
	if c := in.Counters(); c.Dropped != 2 || c.Good != 5 {
		t.Errorf("%+v, want 5 good of which 2 dropped", c)
	}
}

func TestEndComesAfterTheQueue(t *testing.T) {
	in := intake.New(codec.Payload{}, intake.Options{})
	in.Accept(frame("1"), "")
	in.End(io.EOF)
	in.End(errors.New("later"))
	if in.Accept(frame("2"), "") {
		t.Error("a frame was taken after the end")
	}
	if s, err := in.Read(t.Context()); err != nil || string(s.Raw) != "1" {
		t.Errorf("%+v, %v", s, err)
	}
	for range 2 {
		if _, err := in.Read(t.Context()); !errors.Is(err, io.EOF) {
			t.Errorf("read at the end: %v, want the first end", err)
		}
	}
}

func TestDiscardWakesABlockedReader(t *testing.T) {
	in := intake.New(codec.Payload{}, intake.Options{})
	closed := errors.New("closed")
	ended := make(chan error, 1)
	go func() {
		_, err := in.Read(context.Background())
		ended <- err
	}()
	in.Discard(closed)
	select {
	case err := <-ended:
		if !errors.Is(err, closed) {
			t.Errorf("read ended with %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("waited a minute for Discard to end Read")
	}
}

func TestReadHonoursItsContext(t *testing.T) {
	in := intake.New(codec.Payload{}, intake.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := in.Read(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("read: %v, want the context's end", err)
	}
}
