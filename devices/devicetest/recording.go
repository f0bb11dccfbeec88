package devicetest

import (
	"os"
	"path/filepath"
	"testing"
)

// Recording returns the path of a recording of a real device, or without parts
// the folder of all, below the folder that the environment variable
// PLUMBLINE_DATA names. Without the variable the test is skipped by name.
func Recording(tb testing.TB, parts ...string) string {
	tb.Helper()
	dir := os.Getenv("PLUMBLINE_DATA")
	if dir == "" {
		tb.Skip("PLUMBLINE_DATA is not set: no recordings of real devices")
	}
	return filepath.Join(dir, filepath.Join(parts...))
}

// RecordingBytes returns what a recording holds, as Recording finds it.
func RecordingBytes(tb testing.TB, parts ...string) []byte {
	tb.Helper()
	data, err := os.ReadFile(Recording(tb, parts...))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}
