package remote

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// limit bounds every wait of these tests: it is long because it only matters
// when something is broken.
const limit = time.Minute

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

// pair opens both sides of a link over pipes of the kernel.
func pair(t *testing.T, near, far Config) (*Link, *Link) {
	t.Helper()
	ctx := within(t)
	toFar, fromNear := pipe(t)
	toNear, fromFar := pipe(t)
	var other *Link
	var failed error
	var group sync.WaitGroup
	group.Go(func() { other, failed = Open(ctx, toFar, fromFar, far) })
	link, err := Open(ctx, toNear, fromNear, near)
	group.Wait()
	if err := errors.Join(err, failed); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = link.Close(); _ = other.Close() })
	return link, other
}

func pipe(t *testing.T) (*os.File, *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close(); _ = w.Close() })
	return r, w
}

func echo(_ context.Context, verb string, argument []byte) (any, error) {
	if verb == "fail" {
		return nil, fmt.Errorf("outer: %w", &Error{Code: "bench", Text: "no such port"})
	}
	return map[string]string{"verb": verb, "argument": string(argument)}, nil
}

func TestCallsAreAnswered(t *testing.T) {
	near, _ := pair(t, Config{}, Config{Handle: echo})
	var group sync.WaitGroup
	for i := range 50 {
		group.Go(func() {
			var got map[string]string
			if err := near.Call(t.Context(), "echo", i, &got); err != nil || got["verb"] != "echo" || got["argument"] != fmt.Sprint(i) {
				t.Errorf("call %d gave %v, %v", i, got, err)
			}
		})
	}
	group.Wait()
	if err := near.Call(t.Context(), "echo", nil, nil); err != nil {
		t.Errorf("an answer that nobody wants gives %v", err)
	}
	err := near.Call(t.Context(), "fail", nil, nil)
	var failure *Error
	if !errors.As(err, &failure) || failure.Code != "bench" || failure.Text != "outer: no such port" {
		t.Errorf("the failure is %v", err)
	}
	if err := near.Err(); err != nil {
		t.Errorf("the link ended with %v", err)
	}
}

func TestBothSidesMayCall(t *testing.T) {
	near, far := pair(t, Config{Handle: echo}, Config{})
	if err := near.Call(t.Context(), "echo", nil, nil); err == nil || !strings.Contains(err.Error(), "serves none") {
		t.Errorf("a side that serves nothing answers %v", err)
	}
	if err := far.Call(t.Context(), "echo", nil, nil); err != nil {
		t.Error(err)
	}
}

// What was cast before an answer has been handled when the answer is seen.
func TestCastsComeBeforeTheAnswer(t *testing.T) {
	const casts = 500
	var far *Link
	seen := []string{}
	opened := make(chan struct{})
	near, far := pair(t, Config{Cast: func(name string, body []byte) error {
		seen = append(seen, name+string(body))
		return nil
	}}, Config{Handle: func(context.Context, string, []byte) (any, error) {
		<-opened
		for i := range casts {
			if err := far.Cast("n", fmt.Append(nil, i)); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}})
	close(opened)
	if err := near.Call(within(t), "go", nil, nil); err != nil {
		t.Fatal(err)
	}
	if len(seen) != casts || seen[0] != "n0" || seen[casts-1] != fmt.Sprintf("n%d", casts-1) {
		t.Errorf("%d casts were handled before the answer", len(seen))
	}
}

func TestCancelReachesTheOtherSide(t *testing.T) {
	begun := make(chan struct{})
	near, _ := pair(t, Config{}, Config{Handle: func(ctx context.Context, verb string, _ []byte) (any, error) {
		close(begun)
		<-ctx.Done()
		if verb == "done anyway" {
			return "yes", nil
		}
		return nil, ctx.Err()
	}})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-begun; cancel() }()
	if err := near.Call(ctx, "wait", nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled call gives %v", err)
	}
	begun = make(chan struct{})
	ctx, cancel = context.WithCancel(t.Context())
	go func(b chan struct{}) { <-b; cancel() }(begun)
	var got string
	if err := near.Call(ctx, "done anyway", nil, &got); err != nil || got != "yes" {
		t.Errorf("a call that was done all the same gives %q, %v", got, err)
	}
	if err := near.Err(); err != nil {
		t.Errorf("the link ended with %v", err)
	}
}

// Who does not stop when told to costs the caller Patience, and the link.
func TestSilenceEndsTheLink(t *testing.T) {
	release := make(chan struct{})
	begun := make(chan struct{})
	near, _ := pair(t, Config{Patience: time.Millisecond}, Config{Handle: func(context.Context, string, []byte) (any, error) {
		close(begun)
		<-release
		return nil, nil
	}})
	defer close(release)
	ctx, cancel := context.WithCancel(within(t))
	go func() { <-begun; cancel() }()
	if err := near.Call(ctx, "wait", nil, nil); !errors.Is(err, ErrSilent) {
		t.Errorf("a silent side gives %v", err)
	}
	if err := near.Call(t.Context(), "wait", nil, nil); !errors.Is(err, ErrSilent) {
		t.Errorf("a call over a dead link gives %v", err)
	}
}

func TestEndOfTheOtherSideEndsCalls(t *testing.T) {
	begun := make(chan struct{})
	near, far := pair(t, Config{}, Config{Handle: func(ctx context.Context, _ string, _ []byte) (any, error) {
		close(begun)
		<-ctx.Done() // the link ends, so this does
		return nil, ctx.Err()
	}})
	go func() { <-begun; _ = far.Close() }()
	if err := near.Call(within(t), "wait", nil, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("a call that the end of the other side cut off gives %v", err)
	}
	if err := near.Cast("x", nil); !errors.Is(err, ErrClosed) {
		t.Errorf("a cast over a closed link gives %v", err)
	}
	if err := errors.Join(near.Close(), near.Close(), far.Close()); err != nil {
		t.Errorf("closing again gives %v", err)
	}
}

// raw opens a link whose other side is the test itself.
func raw(t *testing.T, cfg Config) (*Link, *os.File) {
	t.Helper()
	in, theirs := pipe(t)
	drained, out := pipe(t)
	go func() { _, _ = io.Copy(io.Discard, drained) }()
	if _, err := theirs.Write(appendGreeting(nil)); err != nil {
		t.Fatal(err)
	}
	link, err := Open(within(t), in, out, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = link.Close() })
	return link, theirs
}

func TestProtocolErrorsEndTheLink(t *testing.T) {
	failing := errors.New("cast refused")
	for name, c := range map[string]struct {
		sent []byte
		cfg  Config
		want error
		says string
	}{
		"too long":        {sent: []byte{0x80, 0, 0, 0, kindCall, 0, 0, 0, 1}, want: ErrProtocol, says: "at most"},
		"too short":       {sent: []byte{0, 0, 0, 4, kindCall, 0, 0, 0, 1}, want: ErrProtocol},
		"unknown kind":    {sent: appendFrame(nil, frame{kind: 9}), want: ErrProtocol, says: "kind 9"},
		"no verb":         {sent: appendFrame(nil, frame{kind: kindCall, number: 1}), want: ErrProtocol},
		"verb cut short":  {sent: appendFrame(nil, frame{kindCast, 0, []byte{5, 'a'}}), want: ErrProtocol},
		"unasked answer":  {sent: appendFrame(nil, frame{kindResult, 7, []byte("1")}), want: ErrProtocol, says: "call 7"},
		"cast to nobody":  {sent: appendFrame(nil, frame{kindCast, 0, []byte{1, 'a'}}), want: ErrProtocol},
		"cast refused":    {sent: appendFrame(nil, frame{kindCast, 0, []byte{1, 'a'}}), cfg: Config{Cast: func(string, []byte) error { return failing }}, want: failing},
		"cut in a frame":  {sent: appendFrame(nil, frame{kindCall, 1, []byte{1, 'a', '1'}})[:10], want: io.ErrUnexpectedEOF},
		"cut in its head": {sent: []byte{0, 0}, want: io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			link, theirs := raw(t, c.cfg)
			if _, err := theirs.Write(c.sent); err != nil {
				t.Fatal(err)
			}
			if err := theirs.Close(); err != nil {
				t.Fatal(err)
			}
			select {
			case <-link.Done():
			case <-time.After(limit):
				t.Fatal("the link still stands")
			}
			if err := link.Err(); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("the link ended with %v", err)
			}
		})
	}
}

// What the other side sent before it went is read, though nothing can be written
// to it any more.
func TestWhatWasSentBeforeTheEndIsRead(t *testing.T) {
	for range 50 {
		in, theirs := pipe(t)
		gone, out := pipe(t)
		seen := 0
		text := appendFrame(appendGreeting(nil), frame{kindCast, 0, []byte{1, 'a'}})
		if _, err := theirs.Write(text); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(gone.Close(), theirs.Close()); err != nil {
			t.Fatal(err)
		}
		link, err := Open(within(t), in, out, Config{Cast: func(string, []byte) error { seen++; return nil }})
		if err != nil {
			t.Fatal(err)
		}
		<-link.Done()
		if err := link.Err(); !errors.Is(err, ErrClosed) || seen != 1 {
			t.Fatalf("%d casts were read, the link ended with %v", seen, err)
		}
		_ = link.Close()
	}
}

func TestTooManyCallsEndTheLink(t *testing.T) {
	link, theirs := raw(t, Config{Handle: func(ctx context.Context, _ string, _ []byte) (any, error) {
		<-ctx.Done()
		return nil, nil
	}})
	var text []byte
	for i := range uint32(maxServed + 1) {
		text = appendFrame(text, frame{kindCall, i + 1, []byte{1, 'a', '1'}})
	}
	if _, err := theirs.Write(text); err != nil {
		t.Fatal(err)
	}
	select {
	case <-link.Done():
	case <-time.After(limit):
		t.Fatal("the link still stands")
	}
	if err := link.Err(); !errors.Is(err, ErrProtocol) {
		t.Errorf("the link ended with %v", err)
	}
}

func TestGreetings(t *testing.T) {
	later := binary.BigEndian.AppendUint32([]byte(greetingMagic), Version+1)
	for name, c := range map[string]struct {
		greeting []byte
		says     string
	}{
		"another version": {later, "same build"},
		"another program": {[]byte("usage: something else"), "is it a plumbline"},
		"nothing":         {nil, "greeting"},
	} {
		t.Run(name, func(t *testing.T) {
			in, theirs := pipe(t)
			_, out := pipe(t)
			if _, err := theirs.Write(c.greeting); err != nil {
				t.Fatal(err)
			}
			_ = theirs.Close()
			if _, err := Open(within(t), in, out, Config{}); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("opening gives %v", err)
			}
		})
	}
	t.Run("never", func(t *testing.T) {
		in, _ := pipe(t)
		_, out := pipe(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := Open(ctx, in, out, Config{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("opening gives %v", err)
		}
	})
}

func TestFramesThatAreTooLongAreNotSent(t *testing.T) {
	near, _ := pair(t, Config{MaxFrame: 1}, Config{Handle: echo}) // becomes the least there is
	if err := near.Call(t.Context(), "echo", strings.Repeat("x", leastFrame), nil); err == nil || !strings.Contains(err.Error(), "more than a frame takes") {
		t.Errorf("a call that is too long gives %v", err)
	}
	if err := near.Cast(strings.Repeat("n", 256), nil); err == nil {
		t.Error("a name that is too long was sent")
	}
	if err := near.Call(t.Context(), "echo", func() {}, nil); err == nil {
		t.Error("what is no JSON was sent")
	}
	var number int
	if err := near.Call(t.Context(), "echo", 1, &number); !errors.Is(err, ErrProtocol) {
		t.Errorf("an answer of another shape gives %v", err)
	}
}

// Whatever comes over the streams, a frame is within its bound and comes apart
// into what it was made of.
func FuzzReadFrame(f *testing.F) {
	f.Add(appendFrame(nil, frame{kindCall, 1, []byte{1, 'a', '{', '}'}}))
	f.Add([]byte{0, 0, 0, 4, 1, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := readFrame(bytes.NewReader(text), 1<<10)
		if err != nil {
			return
		}
		if len(got.body) > 1<<10 || !bytes.HasPrefix(text, appendFrame(nil, got)) {
			t.Errorf("%d bytes of kind %d do not come apart", len(got.body), got.kind)
		}
		if name, rest, err := unnamed(got.body); err == nil {
			if again, err := named(name, rest); err != nil || !bytes.Equal(again, got.body) {
				t.Errorf("name %q and rest do not make the body again: %v", name, err)
			}
		}
	})
}

// BenchmarkCall is what one call costs over pipes of the kernel.
func BenchmarkCall(b *testing.B) {
	ctx := b.Context()
	toFar, fromNear, err1 := os.Pipe()
	toNear, fromFar, err2 := os.Pipe()
	if err := errors.Join(err1, err2); err != nil {
		b.Fatal(err)
	}
	opened := make(chan *Link, 1)
	go func() {
		far, err := Open(ctx, toFar, fromFar, Config{Handle: func(context.Context, string, []byte) (any, error) { return nil, nil }})
		if err != nil {
			panic(err)
		}
		opened <- far
	}()
	near, err := Open(ctx, toNear, fromNear, Config{})
	if err != nil {
		b.Fatal(err)
	}
	far := <-opened
	defer func() { _ = near.Close(); _ = far.Close() }()
	for b.Loop() {
		if err := near.Call(ctx, "x", json.RawMessage("1"), nil); err != nil {
			b.Fatal(err)
		}
	}
}
