package mqttwire

var reasonNames = map[byte]string{
	0x00: "normal", 0x01: "protocol version refused", 0x02: "client identifier refused", 0x03: "server unavailable",
	0x04: "bad user name or password", 0x05: "not authorised", 0x10: "no matching subscribers", 0x80: "unspecified error",
	0x81: "malformed packet", 0x82: "protocol error", 0x83: "implementation specific error", 0x84: "protocol version refused",
	0x85: "client identifier refused", 0x86: "bad user name or password", 0x87: "not authorised", 0x88: "server unavailable",
	0x89: "server busy", 0x8A: "banned", 0x8B: "server shutting down", 0x8C: "bad authentication method", 0x8D: "keep alive timeout",
	0x8E: "session taken over", 0x8F: "filter invalid", 0x90: "topic name invalid", 0x91: "packet identifier in use",
	0x92: "packet identifier not found", 0x93: "receive maximum exceeded", 0x94: "topic alias invalid", 0x95: "packet too large",
	0x96: "message rate too high", 0x97: "quota exceeded", 0x98: "administrative action", 0x99: "payload format invalid",
	0x9A: "retained messages not supported", 0x9B: "QoS not supported", 0x9C: "use another server", 0x9D: "server moved",
	0x9E: "shared subscriptions not supported", 0x9F: "connection rate exceeded", 0xA0: "maximum connect time",
	0xA1: "subscription identifiers not supported", 0xA2: "wildcard subscriptions not supported",
}

// ReasonName puts reason codes into words (MQTT 5 section 2.4 and 3.1.1 section
// 3.2.2.3, whose numbers do not meet).
func ReasonName(code byte) string {
	if name := reasonNames[code]; name != "" {
		return name
	}
	return "reason code unknown"
}
