package remoteport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"go.bug.st/serial"
)

// Errors that callers branch on.
var (
	// ErrNoControl is returned by what a tcp:// port cannot do: speed, framing
	// and modem lines are set at the server.
	ErrNoControl = errors.New("remoteport: a tcp:// port carries bytes alone; use rfc2217:// where the server speaks it")
	// ErrRefused is returned when the server does not speak RFC 2217.
	ErrRefused = errors.New("remoteport: the server does not speak RFC 2217; use tcp:// for the bytes alone")
	// ErrAddress marks an address that cannot be understood.
	ErrAddress = errors.New("remoteport: wrong address")
)

// Schemes of the addresses.
const (
	schemeTCP     = "tcp"
	schemeRFC2217 = "rfc2217"
)

// Is reports whether text is meant to be the address of a remote port.
func Is(text string) bool {
	return strings.HasPrefix(text, schemeTCP+"://") || strings.HasPrefix(text, schemeRFC2217+"://")
}

// Check returns what is wrong with an address: it is rfc2217://HOST:PORT or
// tcp://HOST:PORT and nothing more. The error wraps ErrAddress.
func Check(text string) error {
	_, _, err := parse(text)
	return err
}

func parse(text string) (scheme, address string, err error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "", "", fmt.Errorf("%w: it is rfc2217://HOST:PORT or tcp://HOST:PORT", ErrAddress) // the text may hold a secret
	case u.User != nil:
		return "", "", fmt.Errorf("%w for host %q: it takes no user or password; neither protocol has any", ErrAddress, u.Host)
	case u.Scheme != schemeTCP && u.Scheme != schemeRFC2217, u.Hostname() == "", u.Port() == "", u.Path != "", u.RawQuery != "", u.Fragment != "":
		return "", "", fmt.Errorf("%w %q: it is rfc2217://HOST:PORT or tcp://HOST:PORT and nothing more", ErrAddress, text)
	}
	return u.Scheme, u.Host, nil
}

// patience is how long a server may take for a connection or an answer.
const patience = 5 * time.Second

// Dial opens the port and sets the mode, as far as the protocol can. It blocks
// for at most 5 s for the connection and for each answer; ctx ends it earlier
// and does not concern the open port.
func Dial(ctx context.Context, text string, mode *serial.Mode) (serial.Port, error) {
	scheme, address, err := parse(text)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{Timeout: patience, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3}}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("remoteport: open %q: %w", text, err)
	}
	if scheme == schemeTCP {
		return &tcpPort{conn: conn, timeout: serial.NoTimeout}, nil
	}
	p := newTelnetPort(conn)
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // ends an answer that is waited for
	err = p.greet(mode)
	if !stop() {
		err = errors.Join(ctx.Err(), err)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("remoteport: open %q: %w", text, err), p.Close())
	}
	return p, nil
}
