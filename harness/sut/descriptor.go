package sut

import (
	"slices"
	"time"
)

// APIVersion and Kind are the first two keys of every descriptor.
const (
	APIVersion = "plumbline/v1"
	Kind       = "SUT"
)

// Descriptor says what a system under test is, how it is started and reached,
// and what it claims to be able to do. The zero value is not valid: read one
// with Load or Parse, or take Default.
type Descriptor struct {
	APIVersion   string    `yaml:"apiVersion"`
	Kind         string    `yaml:"kind"`
	Name         string    `yaml:"name"`
	Version      string    `yaml:"version,omitempty"`
	Description  string    `yaml:"description,omitempty"`
	Start        []Process `yaml:"start,omitempty"` // in order; empty for a remote system
	Broker       Broker    `yaml:"broker"`
	Viewer       Viewer    `yaml:"viewer"`
	Auth         *Auth     `yaml:"auth,omitempty"`    // nil: requirements about tokens are N/A
	Cluster      *Cluster  `yaml:"cluster,omitempty"` // nil: one bridge
	Ops          Ops       `yaml:"ops,omitempty"`
	Capabilities []string  `yaml:"capabilities,omitempty"`
	Hooks        Hooks     `yaml:"hooks,omitempty"`
	Limits       Limits    `yaml:"limits,omitempty"`

	dir     string // folder that relative files are looked up in
	builtin bool   // Default(): bridged, configured by this package
}

// Process is one child process of the system, started in the order of the list
// and stopped in the reverse order.
type Process struct {
	Name    string   `yaml:"name"`
	Command []string `yaml:"command"` // program and arguments; templates allowed
	Dir     string   `yaml:"dir,omitempty"`
	Env     []string `yaml:"env,omitempty"`   // KEY=value, added to the harness's own environment
	Files   []File   `yaml:"files,omitempty"` // written before the start
	Ready   Ready    `yaml:"ready,omitempty"`
}

// File is a file of configuration, written into {{dir}} for whoever may not have
// free ports as arguments. It is part of the evidence: a secret belongs into a
// file of its own beside the descriptor, named by {{here}}.
type File struct {
	Name string `yaml:"name"` // plain, within {{dir}}
	Text string `yaml:"text"` // templates allowed
}

// Ready says when a process counts as started. Of TCP, HTTP, Addresses and Command
// those that are set must all hold; with none set the process is ready at once.
type Ready struct {
	TCP       string        `yaml:"tcp,omitempty"`       // host:port that accepts a connection
	HTTP      string        `yaml:"http,omitempty"`      // URL that answers 2xx
	Addresses string        `yaml:"addresses,omitempty"` // file that bridged writes when it serves
	Command   []string      `yaml:"command,omitempty"`   // program and arguments, run again and again until it ends with 0
	Timeout   time.Duration `yaml:"timeout,omitempty"`   // 0 means DefaultReadyTimeout
}

// Broker is where devices publish.
type Broker struct {
	URL          string `yaml:"url"`                   // mqtt:// or mqtts://
	MQTTVersion  string `yaml:"mqttVersion,omitempty"` // 5 or 3.1.1; left out: 5
	Username     string `yaml:"username,omitempty"`
	PasswordFile string `yaml:"passwordFile,omitempty"`
	CA           string `yaml:"ca,omitempty"` // PEM file
}

// Viewer is where dashboards connect.
type Viewer struct {
	Protocol    string   `yaml:"protocol"`       // plumbline, mqtt, json, sse or poll
	URL         string   `yaml:"url"`            // {{filter}} is filled in for sse and poll; in the query of poll {{/pointer}} is what that JSON pointer finds in the last answer
	Also        []string `yaml:"also,omitempty"` // further addresses of the same system, as of several bridges: the viewers of a load take url and these in turn
	Subprotocol string   `yaml:"subprotocol,omitempty"`
	MQTTVersion string   `yaml:"mqttVersion,omitempty"` // 5 or 3.1.1 (mqtt); left out: 5
	Hello       []string `yaml:"hello,omitempty"`       // frames sent after the handshake (json)
	// Reply says what is sent for a frame that says exactly this: the pings of protocols that have them as messages (json).
	Reply    map[string]string `yaml:"reply,omitempty"`
	Resume   []string          `yaml:"resume,omitempty"` // sent in place of hello by a viewer of one filter that comes back; {{/pointer}} is what that JSON pointer found last in a frame, {{/a | /b}} what either did (json)
	Message  Message           `yaml:"message,omitempty"`
	Interval time.Duration     `yaml:"interval,omitempty"` // between two requests (poll); left out: 1s
	Token    Token             `yaml:"token,omitempty"`
	Origin   string            `yaml:"origin,omitempty"` // an origin that the system accepts
	CA       string            `yaml:"ca,omitempty"`     // PEM file
	Page     Page              `yaml:"page,omitempty"`   // the system's own page; left out: requirements about it are N/A
}

// Message holds JSON pointers (RFC 6901) into each received frame (json), event
// (sse) or answer (poll). With all of them left out a frame is nothing but a payload.
type Message struct {
	Topic    string `yaml:"topic,omitempty"`    // to the topic; left out where frames do not tell it
	Payload  string `yaml:"payload,omitempty"`  // to a string, which holds the payload, or to any JSON; left out: the whole message
	List     string `yaml:"list,omitempty"`     // to an array of messages, within which the other pointers count; left out: one message a frame, or a frame that is an array
	Retained string `yaml:"retained,omitempty"` // to true in a message that was there before the viewer came
	Missed   string `yaml:"missed,omitempty"`   // as list, for what a resumption brings: another place of the same frames (json)
	Lines    bool   `yaml:"lines,omitempty"`    // a frame holds one JSON text a line (json); left out: a frame is one
}

// Token says where a viewer puts its token.
type Token struct {
	In   string `yaml:"in,omitempty"`   // header, query, subprotocol, cookie, first-message, mqtt-password or none; left out: the protocol's own place
	Name string `yaml:"name,omitempty"` // of the header, query parameter or cookie; user name beside an MQTT password; what stands before the token in a subprotocol
}

// Auth says how to mint tokens that the system accepts, and so how to mint bad ones.
type Auth struct {
	JWT            *JWT   `yaml:"jwt,omitempty"`
	RevocationFile string `yaml:"revocationFile,omitempty"` // one sub:NAME or jti:ID a line
}

// JWT describes the tokens (RFC 7519) that the system accepts.
type JWT struct {
	Alg            string `yaml:"alg"`                      // HS256 … HS512, RS256 … RS512, ES256 … ES512, EdDSA
	SecretFile     string `yaml:"secretFile,omitempty"`     // HS…: trimmed content is the key
	PrivateKeyFile string `yaml:"privateKeyFile,omitempty"` // the others: PEM
	Issuer         string `yaml:"issuer,omitempty"`
	Audience       string `yaml:"audience,omitempty"`
	SubjectClaim   string `yaml:"subjectClaim,omitempty"` // "" means sub
	GrantsClaim    string `yaml:"grantsClaim,omitempty"`  // "" means that tokens carry no grants
}

// Ops names the operational pages of the system, when it has them.
type Ops struct {
	Ready   string `yaml:"ready,omitempty"`
	Metrics string `yaml:"metrics,omitempty"` // Prometheus text format
}

// Hooks are commands that stand in for what the harness cannot do itself, for
// example with a remote system. Templates are allowed.
type Hooks struct {
	RestartBroker []string `yaml:"restartBroker,omitempty"`
	RestartBridge []string `yaml:"restartBridge,omitempty"`
	KillBridge    []string `yaml:"killBridge,omitempty"`
	StepClock     []string `yaml:"stepClock,omitempty"` // the seconds to step by, signed, are appended as its last argument
	// ReloadBalancer makes the balancer read its configuration and its certificate again, with no connection lost.
	ReloadBalancer []string `yaml:"reloadBalancer,omitempty"`
}

// all returns the commands.
func (h Hooks) all() [][]string {
	return [][]string{h.RestartBroker, h.RestartBridge, h.KillBridge, h.StepClock, h.ReloadBalancer}
}

// Limits are figures that the system promises about itself.
type Limits struct {
	Reconnect  time.Duration `yaml:"reconnect,omitempty"`  // downtime after which viewers are served again
	MaxPayload int64         `yaml:"maxPayload,omitempty"` // largest payload that reaches viewers, in bytes; 0 is what the broker takes
}

// DefaultReadyTimeout is how long a process may take to get ready when the
// descriptor does not say.
const DefaultReadyTimeout = 15 * time.Second

// The capabilities that a descriptor may claim. Names with the prefix "x-" are
// the author's own and mean nothing to the harness.
const (
	CapQoS1          = "qos1"              // QoS 1 publishes are acknowledged and delivered
	CapRetained      = "retained"          // retained messages reach new viewers
	CapResume        = "resume"            // a viewer continues where it was cut off
	CapSnapshot      = "snapshot"          // a new viewer gets the last value of each topic
	CapGapMarker     = "gap-marker"        // missing messages are declared to the viewer
	CapCrashSafe     = "crash-safe"        // acknowledged messages survive SIGKILL of the bridge
	CapExactlyOnce   = "exactly-once"      // a retransmission is not delivered a second time
	CapTLS           = "tls"               // viewers are served over TLS
	CapOriginCheck   = "origin-check"      // foreign origins are refused
	CapAuth          = "authentication"    // viewers without a token are refused
	CapTokenValidity = "token-validity"    // forged and foreign tokens are refused
	CapTokenExpiry   = "token-expiry"      //nolint:gosec // a session ends when its token does; this is no credential
	CapRevocation    = "revocation"        // a live session of a revoked subject is cut
	CapTenants       = "tenant-isolation"  // grants limit what a viewer may subscribe to
	CapCloseCodes    = "close-codes"       // a refusal says why by its close code
	CapHeartbeat     = "heartbeat"         // dead peers are noticed in silence
	CapTakeover      = "session-takeover"  // a second client with one identifier ends the first
	CapLimits        = "connection-limits" // connections that do not get on are closed
	CapDrain         = "drain"             // a planned stop tells viewers before it happens
	CapMetrics       = "metrics"           // figures in Prometheus text format
	CapBinary        = "binary"            // payloads that are no text reach viewers unchanged
	CapLastWill      = "last-will"         // the will of a device that dies reaches viewers
	CapMixedOrder    = "mixed-qos-order"   // a topic keeps its order over QoS 0 and QoS 1
	CapCompression   = "compression"       // viewers that offer permessage-deflate are sent compressed messages
	CapProperties    = "properties"        // content type, user properties and the like of a message reach viewers
	CapBrokerRestart = "broker-restart"    // nothing is lost over a restart of the broker, which is a part of its own
)

// Capabilities returns every name that a descriptor may claim.
func Capabilities() []string {
	return []string{CapQoS1, CapRetained, CapResume, CapSnapshot, CapGapMarker, CapCrashSafe, CapExactlyOnce,
		CapTLS, CapOriginCheck, CapAuth, CapTokenValidity, CapTokenExpiry, CapRevocation, CapTenants,
		CapCloseCodes, CapHeartbeat, CapTakeover, CapLimits, CapDrain, CapMetrics,
		CapBinary, CapLastWill, CapMixedOrder, CapProperties, CapCompression, CapBrokerRestart}
}

// Bridged reports whether the system is bridged as Default and Fronted describe
// it: this package writes its configuration, and takes Options.Config for it.
func (d *Descriptor) Bridged() bool { return d.builtin }

// Remote reports whether the harness starts nothing itself.
func (d *Descriptor) Remote() bool { return len(d.Start) == 0 }

// Has reports whether the system has the capability, claimed or derived.
func (d *Descriptor) Has(capability string) bool { return slices.Contains(d.All(), capability) }
