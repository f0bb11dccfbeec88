package main

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// notifier tells systemd how the service is, by datagrams to the socket that NOTIFY_SOCKET names (sd_notify(3)). Without that
// variable it tells nobody.
type notifier struct {
	addr  string
	every time.Duration // of the sign of life that WatchdogSec= asks for, 0 = none
}

// newNotifier reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID (sd_watchdog_enabled(3)).
func newNotifier(environ []string, pid int) notifier {
	var n notifier
	var usec, of string
	for _, kv := range environ {
		switch name, value, _ := strings.Cut(kv, "="); name {
		case "NOTIFY_SOCKET":
			n.addr = value
		case "WATCHDOG_USEC":
			usec = value
		case "WATCHDOG_PID":
			of = value
		}
	}
	limit, err := strconv.ParseInt(usec, 10, 64)
	if n.addr == "" || err != nil || limit <= 0 || of != "" && of != strconv.Itoa(pid) {
		return n
	}
	n.every = time.Duration(limit) * time.Microsecond / 3 // half is what sd_watchdog_enabled(3) asks for at least
	return n
}

// tell sends one state, or nothing when nobody listens. It does not block for long: a datagram either fits or fails.
func (n notifier) tell(state string) error {
	if n.addr == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.addr, Net: "unixgram"}) // a leading @ is an abstract name
	if err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	if _, err := conn.Write([]byte(state)); err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	return nil
}

// prober is asked before each sign of life; where it hangs, none is sent and systemd starts the service anew.
type prober interface{ Alive() }

// watch sends signs of life until the returned function is called. That waits for the last one, unless the prober hangs.
func (n notifier) watch(p prober) (stop func()) {
	if n.every <= 0 {
		return func() {}
	}
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(n.every)
		defer tick.Stop()
		for {
			p.Alive()
			_ = n.tell("WATCHDOG=1") // one may be missed; that none comes is what the watchdog is for
			select {
			case <-tick.C:
			case <-quit:
				return
			}
		}
	}()
	return func() {
		close(quit)
		select {
		case <-ended:
		case <-time.After(time.Second):
		}
	}
}
