package agent

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"plumbline/harness/clocks"
	"plumbline/harness/record"
)

const (
	// probeEvery is the time between two exchanges: the uncertainty grows by 25 µs
	// on half of that way.
	probeEvery = 50 * time.Millisecond
	// probesAround is how many exchanges there are, without a pause, before anything
	// is recorded and after everything was.
	probesAround = 20
	// probeLimit is how long an answer may take.
	probeLimit = 2 * time.Second
	// maxProbes bounds the exchanges of one session: a day of them.
	maxProbes = 24 * 3600 * int(time.Second/probeEvery)
)

// prober exchanges stamps with an agent until it is stopped.
type prober struct {
	host   *Host
	clock  *record.Clock
	cancel context.CancelFunc
	first  chan struct{} // closed after probesAround exchanges, or when there will be none
	last   chan struct{} // closed when it is to make the last ones
	group  sync.WaitGroup

	mu        sync.Mutex
	exchanges []clocks.Exchange
	err       error // why there are no more
}

func startProber(h *Host, clock *record.Clock) *prober {
	ctx, cancel := context.WithCancel(context.Background())
	p := &prober{host: h, clock: clock, cancel: cancel, first: make(chan struct{}), last: make(chan struct{})}
	p.group.Go(func() { p.run(ctx) })
	return p
}

// ready waits for the first exchanges.
func (p *prober) ready(ctx context.Context) error {
	select {
	case <-p.first:
	case <-ctx.Done():
		return ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// stop makes the last exchanges and ends. It blocks for probeLimit at most.
func (p *prober) stop() ([]clocks.Exchange, error) {
	close(p.last)
	timer := time.AfterFunc(probeLimit, p.cancel)
	p.group.Wait()
	timer.Stop()
	p.cancel()
	return p.taken(), p.err
}

// taken returns the exchanges so far.
func (p *prober) taken() []clocks.Exchange {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exchanges[:len(p.exchanges):len(p.exchanges)]
}

// run probes over connection after connection.
func (p *prober) run(ctx context.Context) {
	var begun sync.Once
	begin := func() { begun.Do(func() { close(p.first) }) }
	defer begin()
	for since := time.Now(); ; {
		n := len(p.taken())
		err := p.over(ctx, begin)
		if err == nil || ctx.Err() != nil {
			return
		}
		if len(p.taken()) > n {
			since = time.Now() // it had been back
		}
		if time.Since(since) > p.host.patience || errors.Is(err, ErrCertificate) || errors.Is(err, ErrRefused) || errors.Is(err, errProbes) {
			p.mu.Lock()
			p.err = fmt.Errorf("%w: agent %s: clock: %w", ErrLost, p.host.target.Address, err)
			p.mu.Unlock()
			return
		}
		pause(ctx, 100*time.Millisecond)
	}
}

// over probes over one connection; nil means that all was done.
func (p *prober) over(ctx context.Context, begin func()) error {
	conn, err := connect(ctx, p.host.target, p.host.secret, forTime)
	if err != nil {
		return err
	}
	defer func() { _ = conn.NetConn().Close() }() // without waiting for a peer that is gone
	stop := context.AfterFunc(ctx, func() { _ = conn.NetConn().Close() })
	defer stop()
	if err := p.several(conn); err != nil {
		return err
	}
	begin()
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		select {
		case <-p.last:
			return p.several(conn)
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := p.exchange(conn); err != nil {
			return err
		}
	}
}

func (p *prober) several(conn net.Conn) error {
	for range probesAround {
		if err := p.exchange(conn); err != nil {
			return err
		}
	}
	return nil
}

var errProbes = fmt.Errorf("more than %d exchanges in one session; end the scenario earlier", maxProbes)

// exchange makes one exchange.
func (p *prober) exchange(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(probeLimit)); err != nil {
		return err
	}
	var probe [8]byte
	var answer [16]byte
	e := clocks.Exchange{Sent: p.clock.Now()}
	if _, err := conn.Write(probe[:]); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return err
	}
	e.Returned = p.clock.Now()
	e.Got, e.Answered = int64(binary.BigEndian.Uint64(answer[:])), int64(binary.BigEndian.Uint64(answer[8:]))
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.exchanges) >= maxProbes {
		return errProbes
	}
	p.exchanges = append(p.exchanges, e)
	return nil
}
