// Package config reads the bridge's configuration: one strict YAML file, then the environment, then key=value settings, each
// overriding the one before. An unknown key or a bad value is one error that says where it stands and how to mend it.
package config

import (
	"time"
)

// Version and Kind are what the file must say of itself.
const (
	Version = "plumbline/v1"
	Kind    = "Bridge"
)

// EnvPrefix starts the environment variables that override the file: viewers.maxFrameBytes is
// PLUMBLINE_BRIDGE_VIEWERS_MAX_FRAME_BYTES. A list is given comma separated.
const EnvPrefix = "PLUMBLINE_BRIDGE_"

// Bytes is a size. In YAML a whole number with an optional unit: B, KiB, MiB, GiB, KB, MB, GB.
type Bytes int64

// Duration is a time span. In YAML as time.ParseDuration reads it, as 250ms or 1h30m; a bare number is refused, save 0.
type Duration time.Duration

// D returns it as a time.Duration.
func (d Duration) D() time.Duration { return time.Duration(d) }

// Config is the whole configuration. Default returns one that runs; the zero value does not.
type Config struct {
	APIVersion string     `yaml:"apiVersion"`
	Kind       string     `yaml:"kind"`
	Node       string     `yaml:"node"` // name in welcome messages and logs; "" = host name
	Data       string     `yaml:"data"` // folder of all state
	MQTT       MQTT       `yaml:"mqtt"`
	External   []External `yaml:"external"` // in the file: a mapping from name to settings
	Viewers    Viewers    `yaml:"viewers"`
	Auth       Auth       `yaml:"auth"`
	Journal    Journal    `yaml:"journal"`
	Relay      Relay      `yaml:"relay"`
	History    History    `yaml:"history"`
	Ops        Ops        `yaml:"ops"`
	Drain      Drain      `yaml:"drain"`
	Log        Log        `yaml:"log"`
}

// MQTT configures the embedded broker.
type MQTT struct {
	Listen         string       `yaml:"listen"`    // "" = none; without any listener there is no embedded broker
	Anonymous      bool         `yaml:"anonymous"` // only allowed when every listener is on a loopback address
	UsersFile      string       `yaml:"usersFile"` // followed while running
	MaxPacketBytes Bytes        `yaml:"maxPacketBytes"`
	MaxClients     int          `yaml:"maxClients"`
	MaxPerAddress  int          `yaml:"maxPerAddress"` // of one address (IPv6: of one /64); 0 = no limit
	ConnectTimeout Duration     `yaml:"connectTimeout"`
	LoginFailures  int          `yaml:"loginFailures"` // per minute, of an address and at an account; eight times as many of an IPv6 /64
	Plaintext      bool         `yaml:"plaintext"`     // allow MQTT without TLS on an address that is not loopback
	TLS            MQTTTLS      `yaml:"tls"`
	WebSocket      MQTTSocket   `yaml:"websocket"`
	Sessions       MQTTSessions `yaml:"sessions"`
}

// Embedded reports whether there is an embedded broker: one of its listeners is given.
func (m MQTT) Embedded() bool {
	return m.Listen != "" || m.TLS.Listen != "" || m.WebSocket.Listen != "" || m.WebSocket.TLSListen != ""
}

// MQTTTLS configures MQTT over TLS.
type MQTTTLS struct {
	Listen      string `yaml:"listen"` // "" = mqtt.listen itself has TLS when a certificate is given
	Cert        string `yaml:"cert"`
	Key         string `yaml:"key"`
	ClientAuth  string `yaml:"clientAuth"`  // none, optional or require: the clients' certificates
	ClientCA    string `yaml:"clientCA"`    // PEM, the authorities of the clients' certificates
	ClientUser  string `yaml:"clientUser"`  // cn or san: the certificate names the user, and no password is asked; "" = it does not
	RevokedFile string `yaml:"revokedFile"` // serial numbers or CRLs, followed while running
}

// Pair returns the certificate and its key.
func (t MQTTTLS) Pair() TLS { return TLS{Cert: t.Cert, Key: t.Key} }

// MQTTSocket configures MQTT over WebSocket.
type MQTTSocket struct {
	Listen    string   `yaml:"listen"`    // ws://; "" = none
	TLSListen string   `yaml:"tlsListen"` // wss://, with the certificate of mqtt.tls; "" = none
	Path      string   `yaml:"path"`
	Origins   []string `yaml:"origins"` // exact scheme://host[:port] of the pages that may connect
}

// MQTTSessions bounds what is kept for MQTT clients that are away.
type MQTTSessions struct {
	MaxExpiry Duration `yaml:"maxExpiry"` // a session ends at the latest so long after its connection
	Max       int      `yaml:"max"`       // sessions in all
}

// TLS names a certificate and its key, PEM. Both or none.
type TLS struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
}

// Viewers configures the WebSocket listener.
type Viewers struct {
	Listen           string   `yaml:"listen"`
	Path             string   `yaml:"path"`
	Plaintext        bool     `yaml:"plaintext"` // ws:// instead of wss://; only on loopback
	TLS              TLS      `yaml:"tls"`       // none = a development certificate
	HTTP2            bool     `yaml:"http2"`     // serve requests over HTTP/2, too, for clients that choose it; WebSockets stay with HTTP/1.1
	Origins          []string `yaml:"origins"`   // exact scheme://host[:port] of the pages that may connect
	Heartbeat        Duration `yaml:"heartbeat"`
	AuthTimeout      Duration `yaml:"authTimeout"`
	WriteTimeout     Duration `yaml:"writeTimeout"`
	MaxConnections   int      `yaml:"maxConnections"`
	MaxPerAddress    int      `yaml:"maxPerAddress"`  // of one address (IPv6: of one /64); 0 = no limit
	MaxPerSubject    int      `yaml:"maxPerSubject"`  // sessions of one token subject; 0 = no limit
	HandshakeRate    int      `yaml:"handshakeRate"`  // new connections a second; 0 = no limit
	RequestRate      int      `yaml:"requestRate"`    // requests for events and polls a second of one token subject; 0 = no limit
	TrustedProxies   []string `yaml:"trustedProxies"` // addresses and networks of proxies whose word about the viewer counts
	ProxyHeader      string   `yaml:"proxyHeader"`    // by which header they give it: x-forwarded-for, forwarded or proxy-protocol
	Compression      string   `yaml:"compression"`    // off or on: permessage-deflate for viewers that offer it
	MaxFrameBytes    Bytes    `yaml:"maxFrameBytes"`  // largest message a viewer may send
	MaxSubscriptions int      `yaml:"maxSubscriptions"`
	MaxStreams       int      `yaml:"maxStreams"` // requests for events and polls under way
	Commands         Commands `yaml:"commands"`
	Dashboard        bool     `yaml:"dashboard"` // serve the page at /, take its own origin, and have a session cookie
}

// Commands configures what viewers may send upstream; who may is in their tokens.
type Commands struct {
	Rate  int `yaml:"rate"` // a second, of one subject; 0 = none are taken
	Burst int `yaml:"burst"`
}

// Journal configures the log on disk.
type Journal struct {
	Sync         string   `yaml:"sync"` // memory, os or durable: what must hold before a publisher gets its acknowledgement
	SegmentBytes Bytes    `yaml:"segmentBytes"`
	RetainBytes  Bytes    `yaml:"retainBytes"`
	RetainAge    Duration `yaml:"retainAge"`
	TailBytes    Bytes    `yaml:"tailBytes"`
}

// Ops configures the listener for health and metrics.
type Ops struct {
	Listen string `yaml:"listen"` // "" = none
	Pprof  bool   `yaml:"pprof"`  // Go's profiles under /debug/pprof/ of this listener, which must be loopback then
	TLS    TLS    `yaml:"tls"`    // none = plain HTTP
}

// Drain configures the way out.
type Drain struct {
	Delay  Duration `yaml:"delay"`  // /readyz says no for so long before the drain begins, while everything is served: for balancers to look
	Spread Duration `yaml:"spread"` // viewers are closed at random moments within it
}

// Log configures what is written to standard error.
type Log struct {
	Level  string `yaml:"level"`  // debug, info, warn, error
	Format string `yaml:"format"` // json or text
}

// Default returns the configuration that an empty file gives.
func Default() Config {
	return Config{
		APIVersion: Version, Kind: Kind, Data: "./data",
		MQTT: MQTT{
			Listen: "127.0.0.1:1883", Anonymous: true, MaxPacketBytes: 262144, MaxClients: 10000, ConnectTimeout: Duration(5 * time.Second),
			LoginFailures: 20, TLS: MQTTTLS{ClientAuth: "none"}, WebSocket: MQTTSocket{Path: "/mqtt"},
			Sessions: MQTTSessions{MaxExpiry: Duration(24 * time.Hour), Max: 10000},
		},
		Viewers: Viewers{
			Listen: "127.0.0.1:8443", Path: "/ws", Heartbeat: Duration(25 * time.Second), AuthTimeout: Duration(5 * time.Second),
			WriteTimeout: Duration(5 * time.Second), MaxConnections: 10000, HandshakeRate: 1000, RequestRate: 100,
			ProxyHeader: "x-forwarded-for", Compression: "off", MaxFrameBytes: 65536, MaxSubscriptions: 100, MaxStreams: 1000, Commands: Commands{Rate: 10, Burst: 20},
			Dashboard: true,
		},
		Auth:    defaultAuth(),
		Journal: Journal{Sync: "os", SegmentBytes: 64 << 20, RetainBytes: 1 << 30, RetainAge: Duration(24 * time.Hour), TailBytes: 64 << 20},
		Relay:   defaultRelay(),
		History: defaultHistory(),
		Ops:     Ops{Listen: "127.0.0.1:9464"},
		Drain:   Drain{Spread: Duration(2 * time.Second)},
		Log:     Log{Level: "info", Format: "json"},
	}
}
