package remoteport

import (
	"bytes"
	"slices"
	"testing"
)

func TestTelnetIsTakenApartAtEveryCut(t *testing.T) {
	stream := slices.Concat([]byte("a"), []byte{iac, iac}, []byte("b"), []byte{iac, do, optComPort}, command(101, 0, 255, 1, 255), []byte("c"),
		[]byte{iac, 241}, []byte("d"), []byte{iac, sb, optComPort, 107, 0x90, iac, will, 1}, []byte("e"))
	for cut := range len(stream) + 1 {
		var p telnet
		first := p.push(stream[:cut], nil)
		second := p.push(stream[cut:], first.data)
		asks := slices.Concat(first.asks, second.asks)
		subs := slices.Concat(first.subs, second.subs)
		if string(second.data) != "a\xffbcde" {
			t.Fatalf("cut at %d: data %q", cut, second.data)
		}
		if !slices.Equal(asks, []ask{{do, optComPort}, {will, 1}}) {
			t.Fatalf("cut at %d: asks %v", cut, asks)
		}
		if len(subs) != 1 || !bytes.Equal(subs[0], []byte{optComPort, 101, 0, 255, 1, 255}) {
			t.Fatalf("cut at %d: subnegotiations %v", cut, subs)
		}
	}
}

func TestSubnegotiationsAreBounded(t *testing.T) {
	var p telnet
	e := p.push(slices.Concat([]byte{iac, sb}, bytes.Repeat([]byte{7}, 1<<20), []byte{iac, se}, []byte("x")), nil)
	if len(e.subs) != 0 || len(p.sub) > maxSub || string(e.data) != "x" {
		t.Errorf("%d subnegotiations, %d bytes kept, data %q", len(e.subs), len(p.sub), e.data)
	}
}

func TestEachQuestionIsAnsweredOnce(t *testing.T) {
	var o options
	var answers []byte
	for range 1000 {
		for _, verb := range []byte{will, wont, do, dont} {
			for option := range 256 {
				answers = append(answers, o.take(ask{verb, byte(option)})...)
			}
		}
	}
	// WILL for all but binary and SGA, DO for all but those and the com port.
	if want := 3 * (254 + 253); len(answers) != want {
		t.Errorf("%d bytes of answers, want %d", len(answers), want)
	}
	if !o.agreed || o.refusal == "" {
		t.Errorf("options are %v, %q", o.agreed, o.refusal)
	}
}

func FuzzTelnet(f *testing.F) {
	f.Add([]byte("abc\xff\xff\xff\xfa,e\x01\xff\xf0"), 3)
	f.Add(opening, 1)
	f.Fuzz(func(t *testing.T, stream []byte, cut int) {
		var whole, pieces telnet
		want := whole.push(stream, nil)
		cut = min(max(cut, 0), len(stream))
		first := pieces.push(stream[:cut], nil)
		second := pieces.push(stream[cut:], first.data)
		if !bytes.Equal(want.data, second.data) || len(want.subs) != len(first.subs)+len(second.subs) || len(want.asks) != len(first.asks)+len(second.asks) {
			t.Errorf("whole %+v, in pieces %+v %+v", want, first, second)
		}
		if len(whole.sub) > maxSub || len(want.data) > len(stream) {
			t.Errorf("%d bytes kept, %d of data from %d", len(whole.sub), len(want.data), len(stream))
		}
	})
}

// FuzzEscape: whatever is written arrives as it was.
func FuzzEscape(f *testing.F) {
	f.Add([]byte{255, 250, 44, 255, 240, 0, 13})
	f.Fuzz(func(t *testing.T, data []byte) {
		var p telnet
		if e := p.push(appendEscaped(nil, data), nil); !bytes.Equal(e.data, data) || len(e.asks)+len(e.subs) > 0 {
			t.Errorf("%q arrives as %+v", data, e)
		}
	})
}
