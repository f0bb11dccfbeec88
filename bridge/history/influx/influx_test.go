package influx

import (
	"context"
	"fmt"
	"testing"

	"plumbline/bridge/history"
	"plumbline/bridge/history/storetest"
	"plumbline/bridge/internal/dbtest"
)

var traits = storetest.Traits{NoTimesOfExtremes: true, ExpiresByItself: true}

func open(t *testing.T, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	server := dbtest.NewInflux(t, false)
	databases := 0
	storetest.Run(t, func(t *testing.T, o storetest.Options) func() history.Store {
		t.Helper()
		databases++
		database := fmt.Sprintf("check_%d", databases)
		return func() history.Store {
			return open(t, Options{URL: server.URL(), Version: 1, Database: database, MaxSeries: o.MaxSeries})
		}
	}, traits)
}

func TestServerKilledUnderLoadStoresEachMessageOnce(t *testing.T) {
	server := dbtest.NewInflux(t, false)
	storetest.Outage(t, server, func(ctx context.Context) (history.Store, error) {
		s, err := Open(ctx, Options{URL: server.URL(), Version: 1, Database: "plumbline"})
		if err != nil {
			return nil, err
		}
		return s, nil
	})
}
