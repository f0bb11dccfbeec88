package httpwire

import (
	"fmt"
	"strings"
	"testing"

	"plumbline/bridge/hub"
	"plumbline/bridge/journal"
)

// TestAnswerIsCutAtTheLimit: within a batch too, and its end is then the last reading's offset.
func TestAnswerIsCutAtTheLimit(t *testing.T) {
	var list []string
	for o := 11; o <= 15; o++ {
		list = append(list, string(hub.AppendReading(nil, journal.Entry{Offset: uint64(o), Message: journal.Message{Topic: "a", Payload: []byte(`]},"readings":[{"o":99}`)}})))
	}
	b := hub.Batch{From: 10, To: 20, Count: 5, Body: []byte(`"epoch":"e","from":10,"to":20,"readings":[` + strings.Join(list, ",") + `]}`)}
	for limit, to := range map[int]uint64{1: 11, 4: 14, 5: 20, 6: 20} {
		a := &answer{from: 10, to: 10}
		a.add(&b, limit)
		want := min(limit, 5)
		if a.to != to || a.count != want || string(a.readings) != strings.Join(list[:want], ",") {
			t.Errorf("limit %d: %d readings to %d: %s", limit, a.count, a.to, a.readings)
		}
	}
	a := &answer{to: 10}
	a.add(&b, 7)
	a.add(&hub.Batch{From: 20, To: 30}, 7)
	b.From, b.To = 30, 40
	a.add(&b, 7)
	if a.count != 7 || a.to != 12 || string(a.readings) != strings.Join(append(list, list[:2]...), ",") {
		t.Errorf("%d readings to %d", a.count, a.to)
	}
}

func TestParts(t *testing.T) {
	entry := func(size int) journal.Entry {
		return journal.Entry{Message: journal.Message{Topic: "a", Payload: make([]byte, size)}}
	}
	for _, tc := range []struct {
		sizes []int
		want  string
	}{
		{nil, "[0]"},
		{[]int{1}, "[1]"},
		{[]int{partBytes, 1, 1}, "[1 3]"},
		{[]int{1, 2 * partBytes, 1}, "[1 2 3]"},
	} {
		var entries []journal.Entry
		for _, n := range tc.sizes {
			entries = append(entries, entry(n))
		}
		if got := fmt.Sprint(parts(entries)); got != tc.want {
			t.Errorf("%v: parts end at %s, want %s", tc.sizes, got, tc.want)
		}
	}
}

// FuzzCursor: what is taken is spelled exactly as eventID spells it, so that no two texts mean one place.
func FuzzCursor(f *testing.F) {
	for _, seed := range []string{"", "c1f0:12", ":1", "a:", "a:-1", "a:01", "a:b:3", "a:9007199254740993", "a:1e3"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if at := cursor(text); at != nil && eventID(at.Epoch, at.Offset) != text {
			t.Errorf("%q was read as %+v", text, at)
		}
	})
}
