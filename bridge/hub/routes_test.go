package hub

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"plumbline/bridge/topic"
)

// randomTopic makes a name from few levels, so that filters often match.
func randomTopic(r *rand.Rand) string {
	levels := []string{"a", "b", "c", "", "$SYS"}
	parts := make([]string, 1+r.IntN(4))
	for i := range parts {
		parts[i] = levels[r.IntN(len(levels))]
	}
	if name := strings.Join(parts, "/"); name != "" {
		return name
	}
	return "a"
}

func randomFilter(r *rand.Rand) string {
	parts := strings.Split(randomTopic(r), "/")
	for i := range parts {
		if r.IntN(3) == 0 {
			parts[i] = "+"
		}
	}
	if r.IntN(3) == 0 {
		parts[len(parts)-1] = "#"
	}
	return strings.Join(parts, "/")
}

// The tree says what topic.Match says, while filters come and go.
func TestTreeEqualsMatch(t *testing.T) {
	const seed = 7
	r := rand.New(rand.NewPCG(seed, seed))
	var routes routes
	held := map[string]*group{}
	for step := range 20000 {
		filter := randomFilter(r)
		if g := held[filter]; g == nil && len(held) < 60 {
			held[filter] = &group{key: groupKey{filter: filter}}
			routes.add(filter, held[filter])
		} else if g != nil {
			routes.remove(filter, g)
			delete(held, filter)
		}
		name := randomTopic(r)
		var got, want []string
		for _, g := range routes.find(name).groups {
			got = append(got, g.key.filter)
		}
		for filter := range held {
			if topic.Match(filter, name) {
				want = append(want, filter)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d, step %d: topic %q reaches %q, want %q", seed, step, name, got, want)
		}
	}
	for filter, g := range held {
		routes.remove(filter, g)
	}
	if !routes.tree.Empty() {
		t.Fatalf("tree keeps levels without filters: %+v", routes.tree)
	}
}

func TestRemoveUnknownFilter(t *testing.T) {
	var tr topic.Tree[*group]
	g := &group{}
	tr.Add("a/+/b", g)
	for _, filter := range []string{"a/+", "a/#", "x/y", "+/+", "a/+/b/c"} {
		tr.Remove(filter, g)
	}
	if got := tr.Match(nil, "a/x/b"); len(got) != 1 {
		t.Fatalf("after removing others: %d groups", len(got))
	}
}

func TestRoutesAreBounded(t *testing.T) {
	var routes routes
	routes.add("#", &group{})
	long := strings.Repeat("x", 30000)
	for i := range 2000 {
		routes.find(fmt.Sprint(long, i))
	}
	if routes.bytes > routeBytes+100000 || len(routes.known) > 1000 {
		t.Fatalf("%d bytes for %d topics", routes.bytes, len(routes.known))
	}
}

func BenchmarkRoute(b *testing.B) {
	var routes routes
	for i := range 100 {
		routes.add(fmt.Sprintf("plant/line%d/#", i), &group{})
	}
	routes.add("plant/+/temp", &group{})
	b.Run("known", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			routes.find("plant/line7/temp")
		}
	})
	b.Run("after a change", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			routes.generation++
			routes.find("plant/line7/temp")
		}
	})
}
