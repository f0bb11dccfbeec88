package fault

import (
	"log/slog"
	"time"
)

// Direction says which way data flows through a Proxy.
type Direction uint8

// The directions.
const (
	Both       Direction = iota
	Upstream             // from the client to the server
	Downstream           // from the server to the client
)

// ProxyOptions configure a Proxy. The zero value is useful.
type ProxyOptions struct {
	Listen string // "" means 127.0.0.1:0
	Log    *slog.Logger
}

// Proxy is a TCP relay that can cut, hold, delay and slow what goes through it.
type Proxy struct{}

// NewProxy listens and relays every connection to target (host:port).
func NewProxy(target string, opts ProxyOptions) (*Proxy, error) { return nil, nil }

// Addr returns host:port to connect to in place of the target.
func (p *Proxy) Addr() string { return "" }

// Connections returns how many connections are open.
func (p *Proxy) Connections() int { return 0 }

// Cut closes every connection, by RST when rst is set and by FIN otherwise, and returns how many.
func (p *Proxy) Cut(rst bool) int { return 0 }

// Close closes everything and waits. It is idempotent.
func (p *Proxy) Close() error { return nil }

// CutFault cuts every connection and refuses new ones until it is reverted.
func (p *Proxy) CutFault(rst bool) Fault { return nil }

// BlackHoleFault lets nothing through and closes nothing: the peers see silence.
func (p *Proxy) BlackHoleFault(dir Direction) Fault { return nil }

// LatencyFault delays data by delay plus a draw from [0, jitter], keeping its order.
func (p *Proxy) LatencyFault(dir Direction, delay, jitter time.Duration, seed uint64) Fault {
	return nil
}

// ThrottleFault limits the rate to bytes per second.
func (p *Proxy) ThrottleFault(dir Direction, bytesPerSecond int) Fault { return nil }
