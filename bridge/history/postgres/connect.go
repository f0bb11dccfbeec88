package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	readers        = 4               // queries at a time
	connectTimeout = 5 * time.Second // unless the DSN has one
	idleTime       = 10 * time.Minute
	cancelWait     = 5 * time.Second // for the answer to a cancelled query, before its connection is given up
)

// ErrInsecure is returned by [Open] for a DSN that would let others on the way read or change what is stored.
var ErrInsecure = errors.New("the server is not on this machine, so the connection must be TLS with sslmode=verify-full (add sslrootcert=FILE when its certificate is not from a public authority)")

// ErrDSN is returned by [Open] for a DSN that cannot be read. It does not say more, since any part of it may be the password.
var ErrDSN = errors.New("the DSN is malformed, or a file that it names cannot be read: want postgres://USER:PASSWORD@HOST:5432/DATABASE?sslmode=verify-full&sslrootcert=FILE, with special characters of the password percent-encoded")

// dsnOf reads the DSN and refuses what is not safe.
func dsnOf(o Options) (*pgxpool.Config, error) {
	if o.DSN == nil {
		return nil, errors.New("no DSN given: set Options.DSN")
	}
	text, err := o.DSN()
	if err != nil {
		return nil, fmt.Errorf("DSN: %w", err)
	}
	if text = strings.TrimSpace(text); text == "" {
		return nil, fmt.Errorf("%w (it is empty)", ErrDSN)
	}
	cfg, err := pgxpool.ParseConfig(text)
	if err != nil {
		return nil, ErrDSN // the cause may quote it
	}
	return cfg, secure(&cfg.ConnConfig.Config)
}

// Check reads the DSN and the files that it names, and asks nobody. The error holds nothing of them.
func Check(o Options) error {
	_, err := dsnOf(o)
	return err
}

// secure checks every way that the driver would try: the first, and the fallbacks of several hosts or of a lax sslmode.
func secure(c *pgconn.Config) error {
	ways := append([]*pgconn.FallbackConfig{{Host: c.Host, Port: c.Port, TLSConfig: c.TLSConfig}}, c.Fallbacks...)
	for _, w := range ways {
		verified := w.TLSConfig != nil && !w.TLSConfig.InsecureSkipVerify && w.TLSConfig.ServerName != ""
		if !verified && !onThisMachine(w.Host) {
			return fmt.Errorf("host %q: %w", w.Host, ErrInsecure)
		}
	}
	return nil
}

// onThisMachine reports whether host is a socket in the file system or loopback.
func onThisMachine(host string) bool {
	ip := net.ParseIP(host)
	return strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") || host == "localhost" || ip != nil && ip.IsLoopback()
}

// dial makes a pool of at most n connections, each made ready by begin.
func dial(ctx context.Context, o Options, n int32, begin func(ctx context.Context, c *pgx.Conn) error) (*pgxpool.Pool, error) {
	cfg, err := dsnOf(o)
	if err != nil {
		return nil, err
	}
	cfg.MaxConns, cfg.MinConns, cfg.MaxConnIdleTime = n, 0, idleTime
	cfg.AfterConnect = begin
	c := cfg.ConnConfig
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectTimeout
	}
	c.RuntimeParams["search_path"] = pgx.Identifier{o.Schema}.Sanitize() // and nothing else: no name of ours is found elsewhere
	c.RuntimeParams["timezone"] = "UTC"
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "plumbline-bridged"
	}
	c.BuildContextWatcherHandler = func(pc *pgconn.PgConn) ctxwatch.Handler { // a question given up must not work on in the server
		return &pgconn.CancelRequestContextWatcherHandler{Conn: pc, DeadlineDelay: cancelWait}
	}
	cfg.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
		fresh, err := dsnOf(o)
		if err == nil {
			c.User, c.Password = fresh.ConnConfig.User, fresh.ConnConfig.Password
		}
		return err
	}
	return pgxpool.NewWithConfig(ctx, cfg)
}
