package mqttdev

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Versions are the versions of MQTT that this package speaks, as Config.Version
// names them.
func Versions() []string { return []string{"5", "3.1.1"} }

// What both versions have in common.
const (
	keepAlive    = 20 * time.Second // what the broker is told
	connectLimit = 5 * time.Second  // of one attempt, from dialling to CONNACK
)

// errDown says that there is no connection at the moment, or no more.
var errDown = errors.New("the connection to the broker is down")

// link is a connection to a broker that comes back by itself. Its methods may be
// called by any goroutine.
type link interface {
	// subscribe asks for a filter and returns when the broker has granted it. The
	// error wraps errDown when there is no connection.
	subscribe(ctx context.Context, filter string, qos byte) error
	// publish hands a message to the network and, with QoS 1 or 2, waits for its
	// acknowledgement. The error wraps errDown when it did not come because of the
	// network; any other is ctx's or for good.
	publish(ctx context.Context, m message) error
	// close disconnects and waits for the goroutines of the link.
	close()
}

// message is one message on its way out or in.
type message struct {
	topic   string
	payload []byte
	qos     byte
	retain  bool
}

// linkConfig describes a link.
type linkConfig struct {
	broker   *url.URL
	tls      *tls.Config
	version  string
	username string // with "" those of the URL count, if any
	password []byte
	clientID string
	keep     bool          // the session outlives the connection
	retry    time.Duration // between attempts to connect
	// asPublished keeps the retained flag of the publisher (MQTT 5 section 3.8.3.1).
	asPublished bool
	will        *message // published by the broker when the link ends in whatever way; nil for none

	// Of the following none may block, and up and down are called one after another.
	// All are required but down and receive.
	up      func(present bool) // connected; present: the broker has kept the session
	down    func()             // a connection that was up is lost
	failed  func(err error)    // an attempt to connect has failed, or a connection that was up
	receive func(m message)    // on the reading goroutine; keeps nothing of m
}

// newLink starts a link, which lives until close.
func newLink(cfg linkConfig) (link, error) {
	if cfg.username == "" && cfg.broker.User != nil {
		cfg.username = cfg.broker.User.Username()
		p, _ := cfg.broker.User.Password()
		cfg.password = []byte(p)
	}
	if cfg.down == nil { // of interest to few
		cfg.down = func() {}
	}
	if cfg.version == "3.1.1" {
		return newOlder(cfg), nil
	}
	return newNewer(cfg)
}

// checkTexts finds what MQTT cannot carry: no text has more than 65,535 bytes
// (section 1.5.3).
func checkTexts(named map[string]int) error {
	for name, size := range named {
		if size > math.MaxUint16 {
			return fmt.Errorf("mqttdev: the %s has %d bytes; MQTT can carry %d", name, size, math.MaxUint16)
		}
	}
	return nil
}

// checkVersion finds a version that is not spoken.
func checkVersion(version string) error {
	if version == "" || slices.Contains(Versions(), version) {
		return nil
	}
	return fmt.Errorf("mqttdev: MQTT %q is not spoken; known are %s", version, strings.Join(Versions(), ", "))
}

// address is how reports, errors and logs name the broker: the user name is left
// out with the password, because some brokers take a token there.
func address(broker *url.URL) string { return broker.Scheme + "://" + broker.Host }

func randomID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return hex.EncodeToString(b[:])
}
