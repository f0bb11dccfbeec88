package sqlite

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"plumbline/bridge/history"
	"plumbline/bridge/journal"
)

// TestN101HistoryDiskFull: a batch that finds no room leaves nothing behind, not even in memory, and the store goes on where it was as
// soon as there is room.
func TestN101HistoryDiskFull(t *testing.T) {
	s := openAt(t, Options{})
	batch := func(from journal.Cursor, series, n int) *history.Batch {
		b := &history.Batch{From: from, To: journal.Cursor{Epoch: "e", Offset: from.Offset + uint64(n)}}
		for i := range n {
			b.Points = append(b.Points, history.Point{Series: history.Series{Topic: fmt.Sprint("t/", series, "/", i%50)}, Time: noon.Add(time.Duration(i) * time.Second), Offset: from.Offset + uint64(i+1), Value: 1})
		}
		return b
	}
	first := batch(journal.Cursor{}, 0, 1000)
	if _, err := s.Write(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	limit := func(pages string) {
		t.Helper()
		if _, err := s.writer.ExecContext(t.Context(), "PRAGMA max_page_count = "+pages); err != nil {
			t.Fatal(err)
		}
	}
	limit("60")
	next := batch(first.To, 1, 20_000)
	for range 2 {
		if _, err := s.Write(t.Context(), next); err == nil || errors.Is(err, history.ErrConflict) || !strings.Contains(err.Error(), "full") {
			t.Fatalf("written to a full disk: %v", err)
		}
		if at, err := s.Cursor(t.Context()); err != nil || at != first.To {
			t.Errorf("cursor %v, %v; want that of the first batch", at, err)
		}
	}
	if n := rows(t, s, "series"); n != 50 {
		t.Errorf("%d series, want the 50 of the first batch", n)
	}
	limit("1000000")
	if _, err := s.Write(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if points, sum := rows(t, s, "points"), rows(t, s, "rollup_1s"); points != 21_000 || sum != 21_000 {
		t.Errorf("%d points and %d rows of seconds, want 21000 of each", points, sum)
	}
}
