package config

import (
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"plumbline/bridge/topic"
)

// External is one broker of someone else's that the bridge subscribes to, MQTT 5 only.
type External struct {
	Name            string      `yaml:"-"` // the key in the file: label of its metrics and log lines
	URL             string      `yaml:"url"`
	ClientID        string      `yaml:"clientId"`        // "" = plumbline-NODE-NAME; it names the session, so it must stay the same and be this bridge's alone
	CredentialsFile string      `yaml:"credentialsFile"` // first line user, second line password; read anew at each connection
	Prefix          string      `yaml:"prefix"`          // put before every topic of this broker
	Filters         []string    `yaml:"filters"`
	Plaintext       bool        `yaml:"plaintext"` // allow mqtt:// to an address that is not loopback
	TLS             ExternalTLS `yaml:"tls"`
	SessionExpiry   Duration    `yaml:"sessionExpiry"` // how long the broker keeps what it has for an absent bridge
	ReceiveMaximum  int         `yaml:"receiveMaximum"`
	MaxPacketBytes  Bytes       `yaml:"maxPacketBytes"`
	Keepalive       Duration    `yaml:"keepalive"`
	ConnectTimeout  Duration    `yaml:"connectTimeout"`
	ReconnectMin    Duration    `yaml:"reconnectMin"`
	ReconnectMax    Duration    `yaml:"reconnectMax"`
}

// ExternalTLS says whom to believe and who we are, PEM files. They are read anew at each connection.
type ExternalTLS struct {
	CA         string `yaml:"ca"` // "" = the system's authorities
	Cert       string `yaml:"cert"`
	Key        string `yaml:"key"`
	ServerName string `yaml:"serverName"` // "" = the host in url
}

// DefaultExternal returns the settings of a broker of which only name and url are given.
func DefaultExternal(name string) External {
	return External{
		Name: name, Filters: []string{"#"}, SessionExpiry: Duration(24 * time.Hour), ReceiveMaximum: 1000, MaxPacketBytes: 262144,
		Keepalive: Duration(30 * time.Second), ConnectTimeout: Duration(10 * time.Second),
		ReconnectMin: Duration(500 * time.Millisecond), ReconnectMax: Duration(30 * time.Second),
	}
}

// TLSWanted reports whether the broker is spoken to by TLS only.
func (e External) TLSWanted() bool { return strings.HasPrefix(e.URL, "mqtts://") }

// Address returns host:port of the broker, the port by scheme when none is given; "" when the URL is bad.
func (e External) Address() string {
	u, err := url.Parse(e.URL)
	if err != nil || u.Hostname() == "" {
		return ""
	}
	port := u.Port()
	switch {
	case port != "":
	case e.TLSWanted():
		port = "8883"
	default:
		port = "1883"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

func (c Config) validateExternal(say sayFunc) {
	prefixes, names := map[string]string{}, map[string]bool{}
	for _, e := range c.External {
		key := "external." + e.Name
		if !validName(e.Name) {
			say("external", "%q: want a name of up to 32 lower case letters, digits and dashes, such as site-a", e.Name)
		}
		if names[e.Name] {
			say(key, "is given twice: keep one")
		}
		names[e.Name] = true
		if other, double := prefixes[e.Prefix]; double {
			say(key+".prefix", "%q is also that of %s: commands to devices could not be routed; give each broker its own", e.Prefix, other)
		}
		prefixes[e.Prefix] = e.Name
		if e.Prefix == "" && c.MQTT.Embedded() {
			say(key+".prefix", "is empty and the embedded broker is on, so topics could not be told apart: give a prefix such as %s/, or switch the embedded broker off with mqtt.listen: \"\"", e.Name)
		}
		e.validate(func(sub, format string, args ...any) { say(key+"."+sub, format, args...) })
	}
}

// validName keeps names fit for metric labels, paths and environment variables.
func validName(name string) bool {
	return name != "" && len(name) <= 32 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" && !strings.HasPrefix(name, "-")
}

func (e External) validate(say sayFunc) {
	e.validateURL(say)
	checkPair(say, "tls", TLS{e.TLS.Cert, e.TLS.Key})
	if e.ClientID != "" && (len(e.ClientID) > 200 || topic.ValidName(e.ClientID) != nil) {
		say("clientId", "want up to 200 bytes of UTF-8 without control characters, + and #")
	}
	if e.Prefix != "" {
		if err := topic.ValidName(e.Prefix); err != nil || topic.Reserved(e.Prefix) || !strings.HasSuffix(e.Prefix, "/") || len(e.Prefix) > 1024 {
			say("prefix", "%q: want a topic that ends in a slash, without wildcards and not beginning with $, such as site-a/", e.Prefix)
		}
	}
	if len(e.Filters) == 0 {
		say("filters", "is empty: name what to subscribe to, such as [\"#\"]")
	}
	for i, f := range e.Filters {
		switch err := topic.ValidFilter(f); {
		case err != nil:
			say("filters", "%v", err)
		case topic.Reserved(f):
			say("filters", "%q: topics that begin with $ belong to the broker; leave it out", f)
		case slices.ContainsFunc(e.Filters[:i], func(g string) bool { return topic.ValidFilter(g) == nil && topic.Overlaps(f, g) }):
			say("filters", "%q overlaps another filter of this broker, which may then send a message twice (MQTT 5.0 section 3.3.4): keep the wider one", f)
		}
	}
	within(say, "sessionExpiry", e.SessionExpiry, time.Hour, 365*24*time.Hour)
	inRange(say, "receiveMaximum", int64(e.ReceiveMaximum), 1, 4096)
	inRange(say, "maxPacketBytes", int64(e.MaxPacketBytes), 1<<10, 16<<20)
	within(say, "keepalive", e.Keepalive, time.Second, 10*time.Minute)
	within(say, "connectTimeout", e.ConnectTimeout, 100*time.Millisecond, time.Minute)
	within(say, "reconnectMin", e.ReconnectMin, 10*time.Millisecond, time.Minute)
	within(say, "reconnectMax", e.ReconnectMax, e.ReconnectMin.D(), 10*time.Minute)
}

// validateURL never repeats the URL: somebody may have put a password there.
func (e External) validateURL(say sayFunc) {
	u, err := url.Parse(e.URL)
	switch {
	case e.URL == "":
		say("url", "is missing: want mqtts://HOST:8883, or mqtt://HOST:1883")
		return
	case err != nil || u.Scheme != "mqtt" && u.Scheme != "mqtts" || u.Hostname() == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "":
		say("url", "want exactly mqtts://HOST:PORT or mqtt://HOST:PORT")
		return
	case u.User != nil:
		say("url", "holds a user or password: put them into a file and name it in credentialsFile")
		return
	}
	if n, err := strconv.Atoi(u.Port()); u.Port() != "" && (err != nil || n < 1 || n > 65535) {
		say("url", "the port is not a number from 1 to 65535")
	}
	loop := loopbackHost(u.Hostname())
	switch {
	case u.Scheme == "mqtt" && !loop && !e.Plaintext:
		say("url", "is mqtt:// to a host that is not loopback, so anyone on the way could read and change everything: use mqtts://, or allow it with plaintext: true")
	case u.Scheme == "mqtts" && e.Plaintext:
		say("plaintext", "and mqtts:// contradict each other: keep one")
	case u.Scheme == "mqtt" && e.TLS != ExternalTLS{}:
		say("tls", "is given and url is mqtt://, which does not use it: make it mqtts://")
	}
}
