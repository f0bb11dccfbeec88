package harness

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
)

// A screen shows the values of devices, and keeps no more than its bounds of what
// a system makes up.
func TestAScreenKeepsNoMoreThanItsBounds(t *testing.T) {
	const own = `{"dev":"node-1","seq":%d,"v":{"temperature":%v}}`
	for name, made := range map[string]func(n int) string{
		"devices": func(n int) string { return fmt.Sprintf(`{"dev":"made up %d","seq":1,"v":{"t":1}}`, n) },
		"names":   func(n int) string { return fmt.Sprintf(`{"dev":"node-2","seq":1,"v":{"made up %d":1}}`, n) },
		"long devices": func(n int) string {
			return fmt.Sprintf(`{"dev":"%d %s","seq":1,"v":{"t":1}}`, n, strings.Repeat("x", screenName))
		},
		"long names": func(n int) string {
			return fmt.Sprintf(`{"dev":"node-2","seq":1,"v":{"%d %s":1}}`, n, strings.Repeat("x", screenName))
		},
		"nothing of a device": func(n int) string { return fmt.Sprintf(`{"dev":"made up %d","seq":1}`, n) },
	} {
		t.Run(name, func(t *testing.T) {
			var s Screen
			s.show("", fmt.Appendf(nil, own, 1, 20))
			s.kept += screenValues - 10 // as if so many had come
			for n := range 20 {
				s.show("", []byte(made(n)))
			}
			values := 0
			for _, have := range s.shown {
				values += len(have)
			}
			if s.kept > screenValues || values > 10 || len(s.shown) > 10 {
				t.Errorf("kept are %d devices, %d values", len(s.shown), values)
			}
			s.show("", fmt.Appendf(nil, own, 2, 21)) // what it knows goes on
			if at := s.shown["node-1"]["temperature"]; at != (sight{21, 2}) {
				t.Errorf("the screen shows %+v", at)
			}
		})
	}
	var s Screen
	s.show("", []byte(`{"dev":"node-1","seq":1,"v":{"t":1},"more":"`+strings.Repeat("x", screenPayload)+`"}`))
	if v := s.Value("node-1", "t"); !math.IsNaN(v) {
		t.Errorf("a message beyond the bound shows %v", v)
	}
}

// Who seeks a value before it can come is told of the first message that shows it,
// as near as he takes it, and of nothing that was shown before.
func TestAValueIsSought(t *testing.T) {
	var s Screen
	say := func(device string, seq int, value float64) {
		s.show("", fmt.Appendf(nil, `{"dev":%q,"seq":%d,"v":{"t":%v,"u":20}}`, device, seq, value))
	}
	say("a", 1, 20)
	ended, end := context.WithCancel(t.Context())
	end()
	exact, near, other := s.Seek("a", "t", 20, 0), s.Seek("a", "t", 20, 0.5), s.Seek("b", "t", 20, 1)
	never := s.Seek("a", "t", 99, 0)
	if exact.Found() || near.Found() {
		t.Error("what was shown before is found")
	}
	say("a", 2, 20.7)
	say("a", 3, 19.6)
	say("a", 4, 20.1)
	say("a", 5, 20)
	for name, c := range map[string]struct {
		sought *Sought
		seq    uint64
	}{"exact": {exact, 5}, "near": {near, 3}, "of another device": {other, 0}, "never shown": {never, 0}} {
		if seq, ok := c.sought.Wait(ended); seq != c.seq || ok != (seq != 0) {
			t.Errorf("%s: message %d, %v; want %d", name, seq, ok, c.seq)
		}
	}
	if n := len(s.sought["a"]) + len(s.sought["b"]); n != 0 {
		t.Errorf("%d are still sought", n)
	}
	late := s.Seek("a", "t", 30, 0)
	go say("a", 6, 30)
	if seq, ok := late.Wait(t.Context()); !ok || seq != 6 {
		t.Errorf("message %d, %v", seq, ok)
	}
}

// A numbered line is shown as one of the device that the topic names, whoever said it.
func TestALineIsShownAsThatOfItsTopic(t *testing.T) {
	var s Screen
	const line = `{"dev":"one","seq":%d,"v":{"id":"SN-1","seq":%d}}`
	s.show("bench/one", fmt.Appendf(nil, line, 1, 1))
	s.show("bench/two", fmt.Appendf(nil, line, 2, 2))
	s.show("", fmt.Appendf(nil, line, 3, 2)) // of a system that tells no topics
	s.show("bench/"+strings.Repeat("x", screenName+1), fmt.Appendf(nil, line, 4, 3))
	if one, two := s.Roll("one"), s.Roll("two"); one.Total != 3 || two.Total != 1 || len(two.Serials) != 1 || two.Serials[0] != "SN-1" {
		t.Errorf("of one %+v, of two %+v", one, two)
	}
}
