package agent

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"time"

	"plumbline/harness/load"
	"plumbline/harness/record"
	"plumbline/harness/viewer"
)

// Target says where an agent is and by what it is known.
type Target struct {
	Address     string // host:port
	Fingerprint Fingerprint
}

// ParseTarget reads HOST:PORT#FINGERPRINT, as an agent prints it.
func ParseTarget(text string) (Target, error) {
	address, digits, found := strings.Cut(text, "#")
	if !found {
		return Target{}, fmt.Errorf("agent: %q names no fingerprint; it is HOST:PORT#SHA256, as plumbline agent prints it", text)
	}
	if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" {
		return Target{}, fmt.Errorf("agent: %q is no HOST:PORT", address)
	}
	t := Target{Address: address}
	sum, err := hex.DecodeString(digits)
	if err != nil || len(sum) != len(t.Fingerprint) {
		return Target{}, fmt.Errorf("agent: %q is no SHA-256 fingerprint of 64 hexadecimal digits", digits)
	}
	copy(t.Fingerprint[:], sum)
	return t, nil
}

// String returns what ParseTarget reads.
func (t Target) String() string { return t.Address + "#" + t.Fingerprint.String() }

// Loopback reports whether the agent is on this host: only then can it reach
// what listens on loopback here.
func (t Target) Loopback() bool {
	host, _, _ := net.SplitHostPort(t.Address)
	return IsLoopback(host)
}

// IsLoopback reports whether a host name or address is that of loopback.
func IsLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// The calls that an agent answers.
const (
	callAbout  = "about"
	callOpen   = "open"
	callView   = "view"
	callStatus = "status"
	callWait   = "wait"
	callRead   = "read"
	callFinish = "finish"
	callDrop   = "drop"
)

// Codes of failures.
const (
	codeUnknown = "unknown-session" // ended, or never was
	codeSystem  = "system"          // the system under test does not let the viewer in
)

// About describes an agent and its host. Neither host name nor user is in it.
type About struct {
	Version     string `json:"version"` // of plumbline
	OS          string `json:"os"`
	Arch        string `json:"arch"`
	Cores       int    `json:"cores"`
	ClockSource string `json:"clock_source"`
	ClockRead   int64  `json:"clock_read_ns"` // what a reading costs
}

type openArgs struct {
	Run       string `json:"run"`
	ByMeaning bool   `json:"by_meaning"`
	// Of an agent on this host: where it records, and by which clock.
	Dir    string         `json:"dir,omitempty"`
	Origin *record.Origin `json:"origin,omitempty"`
}

type openAnswer struct {
	Session string `json:"session"`
}

// view says what a viewer.Config does, as far as it can be sent.
type view struct {
	Name        string            `json:"name"`
	Protocol    string            `json:"protocol"`
	URL         string            `json:"url"`
	Origin      string            `json:"origin"`
	TLS         bool              `json:"tls"`
	CA          []byte            `json:"ca"` // PEM; none means the authorities of the agent's host
	Subprotocol string            `json:"subprotocol"`
	MQTTVersion string            `json:"mqtt_version"`
	Hello       []string          `json:"hello"`
	Reply       map[string]string `json:"reply,omitempty"`
	Again       []string          `json:"again,omitempty"`
	Message     viewer.Pointers   `json:"message"`
	Interval    time.Duration     `json:"interval_ns"`
	Place       viewer.TokenPlace `json:"place"`
	Local       string            `json:"local,omitempty"`
	Filters     []string          `json:"filters"`
	Snapshot    bool              `json:"snapshot"`
	Resume      bool              `json:"resume"`
	QoS         byte              `json:"qos"`
	Silence     time.Duration     `json:"silence_ns"`
	KeepAlive   time.Duration     `json:"keep_alive_ns"`
	Mints       bool              `json:"mints"` // it shows tokens
}

func viewOf(cfg viewer.Config, ca []byte) view {
	return view{
		Name: cfg.Name, Protocol: cfg.Protocol, URL: cfg.URL, Origin: cfg.Origin, TLS: cfg.TLS != nil, CA: ca,
		Subprotocol: cfg.Subprotocol, MQTTVersion: cfg.MQTTVersion, Hello: cfg.Hello, Reply: cfg.Reply, Again: cfg.Again, Message: cfg.Message, Interval: cfg.Interval, Place: cfg.Place, Local: cfg.Local,
		Filters: cfg.Filters, Snapshot: cfg.Snapshot, Resume: cfg.Resume, QoS: cfg.QoS, Silence: cfg.Silence, KeepAlive: cfg.KeepAlive, Mints: cfg.Token != nil,
	}
}

// config is the reverse of viewOf; what belongs to the session is for it to add. pool
// makes authorities out of PEM.
func (v view) config(pool func(pem []byte) (*x509.CertPool, error)) (viewer.Config, error) {
	cfg := viewer.Config{
		Name: v.Name, Protocol: v.Protocol, URL: v.URL, Origin: v.Origin,
		Subprotocol: v.Subprotocol, MQTTVersion: v.MQTTVersion, Hello: v.Hello, Reply: v.Reply, Again: v.Again, Message: v.Message, Interval: v.Interval, Place: v.Place, Local: v.Local,
		Filters: v.Filters, Snapshot: v.Snapshot, Resume: v.Resume, QoS: v.QoS, Silence: v.Silence, KeepAlive: v.KeepAlive,
	}
	if v.TLS {
		cfg.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		if len(v.CA) > 0 {
			var err error
			if cfg.TLS.RootCAs, err = pool(v.CA); err != nil {
				return cfg, err
			}
		}
	}
	return cfg, nil
}

type viewArgs struct {
	Session string `json:"session"`
	View    view   `json:"view"`
	Token   string `json:"token,omitempty"`
}

type statusArgs struct {
	Session   string            `json:"session"`
	Plausible uint64            `json:"plausible"`
	Tokens    map[string]string `json:"tokens,omitempty"`  // new ones, by viewer
	Viewers   []string          `json:"viewers,omitempty"` // that are asked for
}

// waitArgs ask to be answered when each viewer has got so many different messages, and
// then nothing has come to any of them for Quiet, unless that is 0.
type waitArgs struct {
	Session  string            `json:"session"`
	Distinct map[string]uint64 `json:"distinct"`
	Quiet    time.Duration     `json:"quiet_ns"`
}

// viewerStatus is a viewer as the agent sees it.
type viewerStatus struct {
	Counters  viewer.Counters `json:"counters"`
	Connected bool            `json:"connected"`
	Err       string          `json:"err,omitempty"` // why it ended
}

type statusAnswer struct {
	Viewers map[string]viewerStatus `json:"viewers"`
	Err     string                  `json:"err,omitempty"` // why the recording ended
}

type readArgs struct {
	Session string `json:"session"`
	File    string `json:"file"`
	Offset  int64  `json:"offset"`
}

type readAnswer struct {
	Data []byte `json:"data"`
	Size int64  `json:"size"` // of the file at this moment
}

type sessionArgs struct {
	Session string `json:"session"`
}

type finishAnswer struct {
	Err       string        `json:"err,omitempty"`
	HiccupP99 time.Duration `json:"hiccup_p99_ns"`
	HiccupMax time.Duration `json:"hiccup_max_ns"`
	Gaps      []load.Gap    `json:"gaps"`
	GapsFrom  time.Duration `json:"gaps_from_ns,omitempty"`
}
