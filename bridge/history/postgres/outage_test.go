package postgres

import (
	"context"
	"testing"

	"plumbline/bridge/history"
	"plumbline/bridge/history/storetest"
	"plumbline/bridge/internal/dbtest"
)

func TestServerKilledUnderLoadStoresEachMessageOnce(t *testing.T) {
	server := dbtest.NewPostgres(t, fast)
	storetest.Outage(t, server, func(ctx context.Context) (history.Store, error) {
		s, err := Open(ctx, Options{DSN: fixed(server.DSN("127.0.0.1", "")), NoTimescale: true})
		if err != nil {
			return nil, err
		}
		return s, nil
	})
}
