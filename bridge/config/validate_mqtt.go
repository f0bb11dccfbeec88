package config

import (
	"path"
	"strings"
	"time"
)

func (c Config) validateMQTT(say sayFunc) {
	m := c.MQTT
	if !m.Embedded() {
		if len(c.External) == 0 {
			say("mqtt.listen", "is empty and so are mqtt.tls.listen, mqtt.websocket.listen, mqtt.websocket.tlsListen and external: no message could come in; name at least one")
		}
		return
	}
	checkPair(say, "mqtt.tls", m.TLS.Pair())
	c.validateMQTTListeners(say)
	if !m.Anonymous && m.UsersFile == "" {
		say("mqtt.usersFile", "is empty and mqtt.anonymous is false, so nobody could connect: name a users file")
	}
	c.validateMQTTClients(say)
	checkPath(say, "mqtt.websocket.path", m.WebSocket.Path)
	for _, o := range m.WebSocket.Origins {
		if err := checkOrigin(o); err != nil {
			say("mqtt.websocket.origins", "%q: %v", o, err)
		}
	}
	inRange(say, "mqtt.maxPacketBytes", int64(m.MaxPacketBytes), 128, 16<<20)
	inRange(say, "mqtt.maxClients", int64(m.MaxClients), 1, 1_000_000)
	inRange(say, "mqtt.maxPerAddress", int64(m.MaxPerAddress), 0, 1_000_000)
	inRange(say, "mqtt.loginFailures", int64(m.LoginFailures), 1, 1_000_000)
	inRange(say, "mqtt.sessions.max", int64(m.Sessions.Max), 1, 1_000_000)
	within(say, "mqtt.sessions.maxExpiry", m.Sessions.MaxExpiry, time.Minute, 365*24*time.Hour)
	within(say, "mqtt.connectTimeout", m.ConnectTimeout, 50*time.Millisecond, time.Minute)
}

// validateMQTTListeners holds every listener to the same rule: beyond loopback nobody is anonymous, and TLS is the default.
func (c Config) validateMQTTListeners(say sayFunc) {
	m := c.MQTT
	for _, l := range []struct {
		key, addr string
		tls       bool
	}{
		{"mqtt.listen", m.Listen, m.TLS.Cert != "" && m.TLS.Listen == ""},
		{"mqtt.tls.listen", m.TLS.Listen, true},
		{"mqtt.websocket.listen", m.WebSocket.Listen, false},
		{"mqtt.websocket.tlsListen", m.WebSocket.TLSListen, true},
	} {
		if l.addr == "" {
			continue
		}
		loop := checkListen(say, l.key, l.addr)
		if !loop && m.Anonymous {
			say("mqtt.anonymous", "is allowed only when %s (%s) is a loopback address: set it to false and give mqtt.usersFile", l.key, l.addr)
		}
		if !loop && !l.tls && !m.Plaintext {
			say("mqtt.tls", "is missing and %s (%s) is not a loopback address: give cert and key, or allow it with mqtt.plaintext: true", l.key, l.addr)
		}
		if l.tls && m.TLS.Cert == "" {
			say("mqtt.tls", "lacks cert and key, which %s (%s) needs", l.key, l.addr)
		}
	}
}

// validateMQTTClients checks what is asked of the clients' certificates.
func (c Config) validateMQTTClients(say sayFunc) {
	t := c.MQTT.TLS
	oneOf(say, "mqtt.tls.clientAuth", t.ClientAuth)
	oneOf(say, "mqtt.tls.clientUser", t.ClientUser)
	switch asked := t.ClientAuth != "none"; {
	case asked && t.ClientCA == "":
		say("mqtt.tls.clientCA", "is empty: name the authorities (PEM) whose client certificates are good")
	case asked && t.Cert == "":
		say("mqtt.tls", "lacks cert and key, without which clientAuth has no effect")
	case !asked && (t.ClientCA != "" || t.ClientUser != "" || t.RevokedFile != ""):
		say("mqtt.tls.clientAuth", "is none, so that clientCA, clientUser and revokedFile have no effect: set it to optional or require, or leave them out")
	case t.ClientUser != "" && c.MQTT.UsersFile == "":
		say("mqtt.tls.clientUser", "names users, but mqtt.usersFile is empty: name the file that says what each may do")
	}
}

func checkPath(say sayFunc, key, p string) {
	if !strings.HasPrefix(p, "/") || strings.ContainsAny(p, "?#{}% \t") || path.Clean(p) != p { // net/http panics on some of these
		say(key, "%q: want a path such as /ws", p)
	}
}
