package sqlite

import (
	"path/filepath"
	"testing"

	"plumbline/bridge/history"
	"plumbline/bridge/history/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T, o storetest.Options) func() history.Store {
		t.Helper()
		path := filepath.Join(t.TempDir(), "history.db")
		return func() history.Store {
			s, err := Open(t.Context(), Options{Path: path, Retain: o.Retain, MaxSeries: o.MaxSeries})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
	}, storetest.Traits{})
}
