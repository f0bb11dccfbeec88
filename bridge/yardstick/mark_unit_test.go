//go:build linux

package yardstick

import (
	"slices"
	"testing"
)

// Marks are found whole, however the stream is cut, and nothing else is taken for one.
func TestScannerFindsMarksInAnyPieces(t *testing.T) {
	var stream []byte
	var want []uint32
	for n := range uint32(5) {
		stream = append(stream, "xx@@T"...)
		stream = append(stream, "@Tnothex, {\"a\":1}"...)
		stream = appendMark(stream, int64(n)<<40, n)
		want = append(want, n)
	}
	stream = append(stream, '@')
	for size := 1; size <= len(stream); size++ {
		var got []uint32
		s := &scanner{found: func(intended int64, number uint32) {
			if intended != int64(number)<<40 {
				t.Errorf("size %d: instant %d of message %d", size, intended, number)
			}
			got = append(got, number)
		}}
		for piece := range slices.Chunk(stream, size) {
			s.write(piece)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("size %d: got %v, want %v", size, got, want)
		}
	}
}
