package guest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Teller writes to a port of a guest that a Sensor has open elsewhere, in another
// process perhaps: what it says goes through the guest's own driver.
type Teller struct {
	sel     string
	asking  sync.Mutex // one at a time
	conn    net.Conn
	in      *bufio.Reader
	closing func() error
}

// Tell connects to the agent. The port need not be open yet. ctx bounds the
// connecting only.
func Tell(ctx context.Context, dial Dialer, sel string) (*Teller, error) {
	conn, release, err := dial.begin(ctx, request{Op: opTell, Tell: sel})
	if err != nil {
		return nil, err
	}
	if !release() {
		return nil, errors.Join(fmt.Errorf("guest: tell %q: %w", sel, context.Cause(ctx)), conn.Close())
	}
	return &Teller{sel: sel, conn: conn, in: bufio.NewReader(conn), closing: sync.OnceValue(conn.Close)}, nil
}

// Write sends bytes to the device. It returns when the guest's kernel has them, and
// fails while nobody has the port open or the device is away. One that the agent
// does not answer in half a minute ends the Teller: the next answer would be taken for it.
func (t *Teller) Write(p []byte) (int, error) {
	t.asking.Lock()
	defer t.asking.Unlock()
	if len(p) > maxRecord {
		return 0, fmt.Errorf("guest: %d bytes to %q at once; at most %d", len(p), t.sel, maxRecord)
	}
	r, err := t.exchange(p)
	switch {
	case err != nil:
		return 0, errors.Join(fmt.Errorf("guest: tell %q: %w", t.sel, err), t.closing())
	case r.Error != "":
		return 0, fmt.Errorf("guest: tell %q: %s", t.sel, r.Error)
	}
	return len(p), nil
}

func (t *Teller) exchange(p []byte) (r result, err error) {
	if err := t.conn.SetDeadline(time.Now().Add(commandLimit)); err != nil {
		return r, err
	}
	if _, err := t.conn.Write(appendRecord(nil, kindWrite, p)); err != nil {
		return r, err
	}
	kind, text, err := readRecord(t.in)
	switch {
	case err != nil:
		return r, cutShort(err)
	case kind != kindResult:
		return r, fmt.Errorf("%w: record %q", ErrProtocol, kind)
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	return r, nil
}

// Close hangs up. It is idempotent and ends a Write.
func (t *Teller) Close() error { return t.closing() }
