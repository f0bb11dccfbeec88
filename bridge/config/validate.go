package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"plumbline/bridge/auth"
	"plumbline/bridge/internal/peer"
)

// Validate reports every setting that cannot work, each with its mend. The error wraps ErrConfig.
func (c Config) Validate() error { return places{}.join(c.problems()) }

func (c Config) problems() (bad []problem) {
	say := func(key, format string, args ...any) {
		bad = append(bad, problem{key, fmt.Sprintf(format, args...)})
	}
	if c.APIVersion != Version {
		say("apiVersion", "%q: this program reads %s", c.APIVersion, Version)
	}
	if c.Kind != Kind {
		say("kind", "%q: want %s", c.Kind, Kind)
	}
	if len(c.Node) > 128 || strings.ContainsFunc(c.Node, func(r rune) bool { return r < ' ' || r == utf8.RuneError || strings.ContainsRune("+#/\x7f", r) }) {
		say("node", "%q: want up to 128 bytes without control characters, +, # and /, such as gw-1: it is part of client ids", c.Node)
	}
	if c.Data == "" {
		say("data", "is empty: name the folder that holds the journal and keys")
	}
	c.validateMQTT(say)
	c.validateExternal(say)
	c.validateViewers(say)
	c.validateAuth(say)
	c.validateRest(say)
	return bad
}

type sayFunc func(key, format string, args ...any)

func (c Config) validateViewers(say sayFunc) {
	v := c.Viewers
	loop := checkListen(say, "viewers.listen", v.Listen)
	checkPair(say, "viewers.tls", v.TLS)
	if v.Plaintext && !loop {
		say("viewers.plaintext", "is allowed only when viewers.listen (%s) is a loopback address: leave it out", v.Listen)
	}
	if v.Plaintext && v.TLS.Cert != "" {
		say("viewers.plaintext", "and viewers.tls contradict each other: keep one")
	}
	if v.Plaintext && v.HTTP2 {
		say("viewers.http2", "takes TLS, by which clients choose it, and viewers.plaintext is set: keep one")
	}
	if !loop && v.TLS.Cert == "" {
		say("viewers.tls", "is missing and viewers.listen (%s) is not a loopback address: the development certificate is for this machine only; give cert and key", v.Listen)
	}
	checkPath(say, "viewers.path", v.Path)
	for _, o := range v.Origins {
		if err := checkOrigin(o); err != nil {
			say("viewers.origins", "%q: %v", o, err)
		}
	}
	within(say, "viewers.heartbeat", v.Heartbeat, 50*time.Millisecond, 10*time.Minute)
	within(say, "viewers.authTimeout", v.AuthTimeout, 50*time.Millisecond, time.Minute)
	within(say, "viewers.writeTimeout", v.WriteTimeout, 50*time.Millisecond, time.Minute)
	inRange(say, "viewers.maxConnections", int64(v.MaxConnections), 1, 1_000_000)
	inRange(say, "viewers.maxPerAddress", int64(v.MaxPerAddress), 0, 1_000_000)
	inRange(say, "viewers.maxPerSubject", int64(v.MaxPerSubject), 0, 1_000_000)
	inRange(say, "viewers.handshakeRate", int64(v.HandshakeRate), 0, 1_000_000)
	inRange(say, "viewers.requestRate", int64(v.RequestRate), 0, 1_000_000)
	if _, err := peer.ParseProxies(v.TrustedProxies); err != nil {
		say("viewers.trustedProxies", "%v", err)
	}
	oneOf(say, "viewers.proxyHeader", v.ProxyHeader)
	if v.ProxyHeader == string(peer.ProxyProtocol) && len(v.TrustedProxies) == 0 {
		say("viewers.proxyHeader", "is %s and viewers.trustedProxies is empty: name the proxies that shall be believed", v.ProxyHeader)
	}
	oneOf(say, "viewers.compression", v.Compression)
	inRange(say, "viewers.maxFrameBytes", int64(v.MaxFrameBytes), 1<<10, 16<<20)
	inRange(say, "viewers.maxSubscriptions", int64(v.MaxSubscriptions), 1, 10_000)
	inRange(say, "viewers.maxStreams", int64(v.MaxStreams), 1, 1_000_000)
	inRange(say, "viewers.commands.rate", int64(v.Commands.Rate), 0, 100_000)
	inRange(say, "viewers.commands.burst", int64(v.Commands.Burst), 1, 100_000)
	if takenPath(v) {
		say("viewers.path", "%q is the path of another endpoint: choose another, as /ws", v.Path)
	}
}

// takenPath reports whether the path of WebSocket is that of something else.
func takenPath(v Viewers) bool {
	switch v.Path {
	case "/sse", "/poll", "/publish", "/session", "/session/code", "/ticket":
		return true
	case "/", "/assets":
		return v.Dashboard
	}
	return strings.HasPrefix(v.Path+"/", APIPath) || v.Dashboard && strings.HasPrefix(v.Path, "/assets/")
}

func (c Config) validateRest(say sayFunc) {
	oneOf(say, "journal.sync", c.Journal.Sync)
	inRange(say, "journal.segmentBytes", int64(c.Journal.SegmentBytes), 64<<10, 1<<30)
	inRange(say, "journal.retainBytes", int64(c.Journal.RetainBytes), int64(c.Journal.SegmentBytes), 1<<50)
	inRange(say, "journal.tailBytes", int64(c.Journal.TailBytes), 64<<10, 1<<40)
	within(say, "journal.retainAge", c.Journal.RetainAge, time.Second, 10*365*24*time.Hour)
	c.Relay.validate(say)
	c.validateHistory(say)
	c.validateOps(say)
	within(say, "drain.delay", c.Drain.Delay, 0, 10*time.Minute)
	within(say, "drain.spread", c.Drain.Spread, 0, 10*time.Minute)
	oneOf(say, "log.level", c.Log.Level)
	oneOf(say, "log.format", c.Log.Format)
}

func (c Config) validateOps(say sayFunc) {
	if c.Ops.Listen == "" {
		if c.Ops.Pprof {
			say("ops.pprof", "is on and ops.listen is empty: name the listener that shall serve the profiles")
		}
		return
	}
	checkPair(say, "ops.tls", c.Ops.TLS)
	if loop := checkListen(say, "ops.listen", c.Ops.Listen); !loop && c.Ops.Pprof {
		say("ops.pprof", "is allowed only when ops.listen (%s) is a loopback address: profiles show memory, and taking them costs time", c.Ops.Listen)
	}
}

func inRange(say sayFunc, key string, got, lo, hi int64) {
	if got < lo || got > hi {
		say(key, "%d: allowed is %d to %d", got, lo, hi)
	}
}

func within(say sayFunc, key string, got Duration, lo, hi time.Duration) {
	if got.D() < lo || got.D() > hi {
		say(key, "%s: allowed is %s to %s", got.D(), lo, hi)
	}
}

// choices are the settings that take one of a few words.
func choices() map[string][]string {
	return map[string][]string{
		"mqtt.tls.clientAuth": {"none", "optional", "require"},
		"mqtt.tls.clientUser": {"", "cn", "san"},
		"viewers.compression": {"off", "on"},
		"viewers.proxyHeader": {string(peer.XForwardedFor), string(peer.Forwarded), string(peer.ProxyProtocol)},
		"auth.jwt.alg":        auth.Algorithms(),
		"journal.sync":        {"memory", "os", "durable"},
		"history.store":       {"sqlite", "postgres", "influx", "off"},
		"log.level":           {"debug", "info", "warn", "error"},
		"log.format":          {"json", "text"},
	}
}

func oneOf(say sayFunc, key, got string) {
	if allowed := choices()[key]; !slices.Contains(allowed, got) {
		say(key, "%q: want one of %s", got, strings.TrimPrefix(strings.Join(allowed, ", "), ", ")) // an empty one comes first
	}
}

func checkPair(say sayFunc, key string, t TLS) {
	if (t.Cert == "") != (t.Key == "") {
		say(key, "has only one of cert and key: give both")
	}
}

// checkListen reports whether the address is loopback; a malformed one is said and counts as loopback.
func checkListen(say sayFunc, key, addr string) (loopback bool) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		say(key, "%q: want host:port, such as 127.0.0.1:8443", addr)
		return true
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		say(key, "%q: the port is not a number from 0 to 65535", addr)
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// checkOrigin wants an origin as a browser spells it (RFC 6454 section 6.2).
func checkOrigin(o string) error {
	u, err := url.Parse(o)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Scheme+"://"+u.Host != o || strings.ToLower(o) != o || strings.Contains(o, "*") {
		return errors.New("want exactly scheme://host or scheme://host:port in lower case, without path or wildcard")
	}
	if p := u.Port(); p == "443" && u.Scheme == "https" || p == "80" && u.Scheme == "http" {
		return errors.New("browsers leave the default port out: so must this")
	}
	return nil
}
