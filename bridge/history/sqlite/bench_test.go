package sqlite

import (
	"os"
	"path/filepath"
	"testing"

	"plumbline/bridge/history/storetest"
)

// BenchmarkTenMillion is with all rollups.
func BenchmarkTenMillion(b *testing.B) {
	path := filepath.Join(b.TempDir(), "history.db")
	s, err := Open(b.Context(), Options{Path: path})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	storetest.TenMillion(b, s, func() (int64, error) {
		info, err := os.Stat(path)
		if err != nil {
			return 0, err
		}
		return info.Size(), nil
	})
}
