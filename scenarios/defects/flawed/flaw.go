package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// flaw is one way to be wrong: hooks into the relays. A hook that is nil leaves
// everything as it is. Those that return a bool return false to swallow.
type flaw struct {
	accept      func(net.Conn)                               // a viewer connects
	tls         func(*tls.Config)                            // how viewers are served
	plaintext   bool                                         // serve what is not TLS
	patience    time.Duration                                // with a viewer in the handshake of TLS; 0 means handshakeLimit
	request     func(*session, []byte) []byte                // the head of a handshake
	viewerText  func(*session, []byte) []byte                // a message of the viewer; nil swallows
	viewerFrame func(*session, frame) bool                   // any frame of the viewer
	resume      func(*session, *subscribe) bool              // a sub with a cursor; true when it was changed
	subscribed  func(*session, *stream)                      // the bridge confirmed a subscription
	arrive      func(*session, *stream, []reading) []reading // readings on their way to a viewer
	snapshot    func(*session, *snapshot) bool               // last values on their way
	page        func(string) string                          // the page on its way to a browser
	hold        func(*session)                               // before any frame of the bridge, whatever it speaks
	bridgeFrame func(*session, frame) bool                   // any frame of the bridge
	ended       func(*session)                               // the session is over
	dropsAtEnd  bool                                         // what waits at the end is not sent
	fromDevice  func(*link, packet) bool                     // a packet to the broker
	fromBroker  func(*link, packet) bool                     // a packet to the device
	cutOff      func(*link, packet)                          // what came of a packet whose connection ended within it
	deviceLost  func(*link)                                  // the connection of a device is over
	window      uint64                                       // bytes after which compressed messages refer to what is not there; 0 means never
	toMQTT      func(*link, packet) bool                     // a packet to a viewer that speaks MQTT
}

// param is what a flaw is given: numbers and times with their units, separated
// by slashes.
type param []string

func (p param) number(i int) float64 {
	n, err := strconv.ParseFloat(p[i], 64)
	if err != nil {
		panic(err)
	}
	return n
}

func (p param) count(i int) uint64 { return uint64(p.number(i)) }

func (p param) time(i int) time.Duration {
	d, err := time.ParseDuration(p[i])
	if err != nil {
		panic(err)
	}
	return d
}

// maker makes a flaw; what it panics with is what is wrong with the param.
type maker func(f *front, p param) *flaw

// flawOf returns the flaw of that id; none is the flaw without hooks.
func flawOf(id, text string, f *front) (made *flaw, err error) {
	if len(id) == 4 && id != "none" && makerOf(id) == nil {
		id = id[:3] // the same with another param
	}
	if mk := makerOf(id); mk != nil {
		defer func() {
			if e := recover(); e != nil {
				err = fmt.Errorf("--param %q of %s: %v", text, id, e)
			}
		}()
		return mk(f, strings.Split(text, "/")), nil
	}
	switch {
	case id != "none":
		return nil, fmt.Errorf("--defect %q is not known; known are none, %s", id, strings.Join(known(), ", "))
	case f.opts.rsa != "":
		return translate(f), nil
	}
	return &flaw{}, nil
}

var groups = []map[string]maker{delivery, order, latency, content, properties, compression, security, devices, lines, wired, resources, pages, clustered}

func makerOf(id string) maker {
	for _, group := range groups {
		if mk, ok := group[id]; ok {
			return mk
		}
	}
	return nil
}

// known lists the ids of all flaws.
func known() (ids []string) {
	for _, group := range groups {
		for id := range group {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}
