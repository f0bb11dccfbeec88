package console

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"plumbline/harness/cmd/plumbline/internal/terminaltest"
)

func block(texts ...string) []row {
	var rows []row
	for _, t := range texts {
		rows = append(rows, row{{bold, t}})
	}
	return rows
}

// TestTheBlockStaysBelowTheLines draws blocks of any height and prints lines of any
// length: what a terminal shows is always all lines in order and the latest block.
func TestTheBlockStaysBelowTheLines(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 0))
		width, height := 20+rng.IntN(60), 10+rng.IntN(20)
		term, s := terminaltest.New(width, height), &screen{style: Style{Color: seed%2 == 0}}
		var printed []string
		for step := range 30 {
			var lines []string
			for range rng.IntN(3) {
				lines = append(lines, fmt.Sprintf("line %d %s", len(printed)+len(lines), strings.Repeat("日x", rng.IntN(40))))
			}
			printed = append(printed, lines...)
			var rows []string
			for i := range rng.IntN(8) {
				rows = append(rows, fmt.Sprintf("row %d of step %d %s", i, step, strings.Repeat("ü語", rng.IntN(50))))
			}
			term.Print(s.compose(lines, block(rows...), width))
			want := terminaltest.New(width, 10_000)
			for _, l := range printed {
				want.Print(l + "\n")
			}
			for _, r := range rows {
				want.Print(fit(r, width-1) + "\n")
			}
			if got := term.Text(); got != want.Text() {
				t.Fatalf("seed %d, step %d: the terminal of %d × %d shows\n%s\nwant\n%s", seed, step, width, height, got, want.Text())
			}
			if term.Column() != 0 {
				t.Fatalf("seed %d, step %d: the cursor stands in column %d", seed, step, term.Column())
			}
		}
		if len(term.Refused()) > 0 {
			t.Fatalf("seed %d: sent %v", seed, term.Refused())
		}
	}
}

func TestNothingIsSentWhenNothingChanges(t *testing.T) {
	s := &screen{}
	if s.compose(nil, nil, 80) != "" {
		t.Error("sent something for nothing")
	}
	if s.compose(nil, block("a", "b"), 80) == "" || s.compose(nil, block("a", "b"), 80) != "" {
		t.Error("sent a block twice or never")
	}
}

func TestAForgottenBlockStays(t *testing.T) {
	term, s := terminaltest.New(40, 10), &screen{}
	term.Print(s.compose(nil, block("before"), 40))
	s.forget()
	term.Print("$ fg\n")
	term.Print(s.compose([]string{"a line"}, block("after"), 40))
	term.Print(s.compose(nil, nil, 40))
	if got, want := term.Text(), "before\n$ fg\na line"; got != want {
		t.Errorf("shows\n%s\nwant\n%s", got, want)
	}
}

// TestANarrowerWindowBreaksTheBlock counts the rows that a block takes in a terminal
// that breaks its lines anew.
func TestANarrowerWindowBreaksTheBlock(t *testing.T) {
	s := &screen{}
	s.compose(nil, block(strings.Repeat("x", 60), "short"), 80)
	if got := s.height(80); got != 2 {
		t.Errorf("height %d, want 2", got)
	}
	if got := s.height(30); got != 3 {
		t.Errorf("height %d in half the width, want 3", got)
	}
	if text := s.compose(nil, block("new"), 30); !strings.HasPrefix(text, "\r\x1b[3A\x1b[J") {
		t.Errorf("sent %q", text)
	}
}
