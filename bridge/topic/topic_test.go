package topic

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestValid(t *testing.T) {
	long := strings.Repeat("x", MaxBytes)
	for _, c := range []struct {
		text         string
		name, filter error
	}{
		{"a", nil, nil},
		{"/", nil, nil},
		{"a//b/", nil, nil},
		{"plant/línea 1/°C", nil, nil},
		{"$SYS/broker", nil, nil},
		{"$shared/x", nil, nil},
		{long, nil, nil},
		{"", ErrEmpty, ErrEmpty},
		{long + "x", ErrTooLong, ErrTooLong},
		{"a\xffb", ErrText, ErrText},
		{"a\xed\xa0\x80b", ErrText, ErrText}, // a surrogate, U+D800
		{"a\x00b", ErrCharacter, ErrCharacter},
		{"a\nb", ErrCharacter, ErrCharacter},
		{"a\u0085b", ErrCharacter, ErrCharacter},
		{"a\uffffb", ErrCharacter, ErrCharacter},
		{"a\U0001fffeb", ErrCharacter, ErrCharacter},
		{"a\ufdd0b", ErrCharacter, ErrCharacter},
		{"#", ErrWildcard, nil},
		{"+", ErrWildcard, nil},
		{"a/+/b", ErrWildcard, nil},
		{"+/+/#", ErrWildcard, nil},
		{"/+", ErrWildcard, nil},
		{"a/#/b", ErrWildcard, ErrHash},
		{"a#", ErrWildcard, ErrHash},
		{"##", ErrWildcard, ErrHash},
		{"#/", ErrWildcard, ErrHash},
		{"a+", ErrWildcard, ErrPlus},
		{"+a/b", ErrWildcard, ErrPlus},
		{"a/++", ErrWildcard, ErrPlus},
		{"$share/group/a", nil, ErrShared},
		{"$share", nil, ErrShared},
	} {
		if err := ValidName(c.text); !errors.Is(err, c.name) {
			t.Errorf("ValidName(%.40q): %v, want %v", c.text, err, c.name)
		}
		if err := ValidFilter(c.text); !errors.Is(err, c.filter) {
			t.Errorf("ValidFilter(%.40q): %v, want %v", c.text, err, c.filter)
		}
	}
	if err := ValidName(long + "\n"); len(err.Error()) > 500 {
		t.Errorf("an error of %d bytes", len(err.Error()))
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		filter, topic string
		want          bool
	}{
		// The examples of MQTT 5.0 sections 4.7.1.2, 4.7.1.3 and 4.7.2.
		{"sport/tennis/player1/#", "sport/tennis/player1", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
		{"sport/#", "sport", true},
		{"#", "anything/at/all", true},
		{"sport/tennis/+", "sport/tennis/player1", true},
		{"sport/tennis/+", "sport/tennis/player1/ranking", false},
		{"sport/+", "sport", false},
		{"sport/+", "sport/", true},
		{"+/+", "/finance", true},
		{"/+", "/finance", true},
		{"+", "/finance", false},
		{"#", "$SYS/monitor", false},
		{"+/monitor/Clients", "$SYS/monitor/Clients", false},
		{"$SYS/#", "$SYS/monitor/Clients", true},
		{"$SYS/monitor/+", "$SYS/monitor/Clients", true},
		// And more.
		{"+/#", "a", true},
		{"+/#", "$a/b", false},
		{"a/+/#", "a", false},
		{"a/b", "a/b", true},
		{"a/b", "a/b/c", false},
		{"a/b", "a", false},
		{"a/b", "A/b", false},
		{"a/#", "ab", false},
		{"a//#", "a/", true},
		{"a/$x/+", "a/$x/y", true},
		{"+/b", "a/$b", false},
	} {
		if got := Match(c.filter, c.topic); got != c.want {
			t.Errorf("Match(%q, %q) = %v", c.filter, c.topic, got)
		}
	}
}

func TestContainsAndOverlaps(t *testing.T) {
	for _, c := range []struct {
		grant, filter      string
		contains, overlaps bool
	}{
		{"#", "#", true, true},
		{"#", "+/#", true, true},
		{"+/#", "#", true, true},
		{"a/#", "a", true, true},
		{"a/#", "a/#", true, true},
		{"a/#", "a/+/b/#", true, true},
		{"a/#", "#", false, true},
		{"a/b/#", "a/#", false, true},
		{"a/b/#", "a/+", false, true},
		{"a/+", "a/#", false, true},
		{"a/+/#", "a/#", false, true},
		{"a/+/#", "a/b", true, true},
		{"a/+", "a", false, false},
		{"a/+", "+/b", false, true},
		{"+/b", "a/b", true, true},
		{"+/b", "a/c", false, false},
		{"#", "$SYS/#", false, false},
		{"+/x", "$SYS/x", false, false},
		{"$SYS/#", "$SYS/a", true, true},
		{"$SYS/#", "#", false, false},
		{"+", "+", true, true},
		{"+", "#", false, true},
	} {
		if got := Contains(c.grant, c.filter); got != c.contains {
			t.Errorf("Contains(%q, %q) = %v", c.grant, c.filter, got)
		}
		if got := Overlaps(c.grant, c.filter); got != c.overlaps || Overlaps(c.filter, c.grant) != got {
			t.Errorf("Overlaps(%q, %q) = %v", c.grant, c.filter, got)
		}
	}
}

// universe is every topic of up to four levels from an alphabet with a letter
// that no filter names, an empty level and a reserved one. The empty name is
// among them: nobody can publish to it, but "/#" and "+" both match it.
func universe() (topics []string) {
	levels := []string{"a", "b", "z", "", "$s"}
	grown := levels
	for range 4 {
		topics = append(topics, grown...)
		var next []string
		for _, name := range grown {
			for _, l := range levels {
				next = append(next, name+"/"+l)
			}
		}
		grown = next
	}
	return topics
}

// Contains and Overlaps agree with what Match says about every topic.
func TestContainsByEnumeration(t *testing.T) {
	const seed = 1
	r := rand.New(rand.NewPCG(seed, seed))
	topics := universe()
	filter := func() string {
		for {
			parts := make([]string, 1+r.IntN(3))
			for i := range parts {
				parts[i] = []string{"a", "b", "", "+", "+", "$s"}[r.IntN(6)]
			}
			if r.IntN(3) == 0 {
				parts[len(parts)-1] = "#"
			}
			if f := strings.Join(parts, "/"); ValidFilter(f) == nil {
				return f
			}
		}
	}
	for range 1500 {
		grant, asked := filter(), filter()
		contains, overlaps := true, false
		for _, name := range topics {
			if Match(asked, name) {
				granted := Match(grant, name)
				contains = contains && granted
				overlaps = overlaps || granted
			}
		}
		if got := Contains(grant, asked); got != contains {
			t.Fatalf("seed %d: Contains(%q, %q) = %v, the topics say %v", seed, grant, asked, got, contains)
		}
		if got := Overlaps(grant, asked); got != overlaps {
			t.Fatalf("seed %d: Overlaps(%q, %q) = %v, the topics say %v", seed, grant, asked, got, overlaps)
		}
	}
}

// slowMatch is the definition, level by level.
func slowMatch(filter, topic string) bool {
	f, n := strings.Split(filter, "/"), strings.Split(topic, "/")
	if topic[0] == '$' && (f[0] == "+" || f[0] == "#") {
		return false
	}
	for i, level := range f {
		if level == "#" {
			return i <= len(n)
		}
		if i >= len(n) || (level != "+" && level != n[i]) {
			return false
		}
	}
	return len(f) == len(n)
}

func FuzzMatch(f *testing.F) {
	f.Add("a/+/#", "a/b", "a/#")
	f.Add("#", "$SYS/x", "+/x")
	f.Add("+//", "///", "/#")
	f.Fuzz(func(t *testing.T, filter, name, grant string) {
		if ValidFilter(filter) != nil || ValidName(name) != nil {
			return
		}
		got := Match(filter, name)
		if got != slowMatch(filter, name) {
			t.Fatalf("Match(%q, %q) = %v", filter, name, got)
		}
		if ValidFilter(name) == nil && Contains(filter, name) != got { // a name is a filter for itself
			t.Fatalf("Contains(%q, %q) = %v, Match %v", filter, name, !got, got)
		}
		if ValidFilter(grant) == nil && got && Contains(grant, filter) && !Match(grant, name) {
			t.Fatalf("%q contains %q but does not match %q", grant, filter, name)
		}
	})
}

func ExampleContains() {
	fmt.Println(Contains("plant/line1/#", "plant/line1/+/temp"), Contains("plant/+/temp", "plant/#"))
	// Output: true false
}

func BenchmarkMatch(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Match("plant/+/machine7/#", "plant/line1/machine7/temperature")
	}
}
