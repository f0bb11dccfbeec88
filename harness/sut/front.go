package sut

import (
	"slices"
	"strings"
)

// Fronted returns the descriptor of bridged with another program before it:
// devices and viewers reach that program, and it reaches bridged. The command is
// started in place of bridged and gets, after its own arguments,
//
//	--viewers HOST:PORT    where it has to serve viewers, over TLS
//	--viewers-to HOST:PORT where bridged serves them, over TLS
//	--broker HOST:PORT     where it has to take devices, MQTT over TCP
//	--broker-to HOST:PORT  where bridged takes them
//	--tls DIR              folder with server.pem and server-key.pem, which bridged makes at its start, and with ca.pem
//	--secret FILE          key that signs tokens
//	--revoked FILE         list of revoked subjects and tokens
//	--issuer, --audience   that tokens must name
//	-- COMMAND…            of bridged
//
// It has to start that command in its own process group, so that a signal to the
// group reaches both, to pass SIGTERM on, and to end with its exit code. Edit the
// name and the description before use: both are printed.
func Fronted(front ...string) *Descriptor {
	d := Default()
	at := func(port string) string { return "127.0.0.1:{{port:" + port + "}}" }
	p := &d.Start[0]
	p.Command = slices.Concat(front, []string{
		"--viewers", at("front-viewers"), "--viewers-to", at("viewers"),
		"--broker", at("front-mqtt"), "--broker-to", at("mqtt"),
		"--tls", "{{dir}}/data/tls", "--secret", "{{dir}}/jwt.key", "--revoked", "{{dir}}/revoked",
		"--issuer", d.Auth.JWT.Issuer, "--audience", d.Auth.JWT.Audience, "--",
	}, p.Command)
	p.Ready.Addresses, p.Ready.TCP = "", at("front-viewers")
	d.Broker.URL = "mqtt://" + at("front-mqtt")
	d.Viewer.URL = "wss://" + at("front-viewers") + "/ws"
	for _, text := range []*string{&d.Viewer.Page.URL, &d.Viewer.Page.SignIn.Post} {
		*text = strings.ReplaceAll(*text, at("viewers"), at("front-viewers"))
	}
	return d
}
