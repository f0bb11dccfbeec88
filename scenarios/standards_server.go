package scenarios

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"

	"plumbline/harness"
	"plumbline/harness/conform/ws"
	"plumbline/harness/sut"
)

// webServer says how the descriptor's viewers come in; absent is not "" when
// they do not use WebSocket.
func webServer(b *harness.Bench) (target ws.Target, o ws.Options, absent string) {
	v := b.SUT.Viewer()
	target = ws.Target{URL: v.URL, TLS: b.SUT.TLS()}
	var serial atomic.Int64
	// A subject of its own for each session: sins of one are not held against others.
	token := func() (string, error) {
		if !b.SUT.Mints() {
			return "", nil
		}
		return b.SUT.Token(sut.TokenSpec{Subject: fmt.Sprintf("conform-%d", serial.Add(1)), Grants: []string{harness.AllTopics}})
	}
	secret, err := token()
	if err != nil {
		return target, o, "" // Start has minted tokens already; the suite says what is wrong
	}
	switch v.Protocol {
	case "plumbline":
		o = ws.Plumbline(token)
	case "mqtt":
		o = ws.MQTT(v.Token.Name, secret)
	case "json":
		o = ws.Options{Hello: func() ([]ws.Frame, error) {
			var frames []ws.Frame
			for _, h := range v.Hello {
				frames = append(frames, ws.Text([]byte(strings.NewReplacer("{{filter}}", harness.AllTopics, "{{token}}", secret).Replace(h))))
			}
			return frames, err
		}}
	default:
		return target, o, fmt.Sprintf("viewers of the protocol %s do not use WebSocket", v.Protocol)
	}
	if o.Subprotocol == "" {
		o.Subprotocol = v.Subprotocol
	}
	o.Header = http.Header{}
	if v.Origin != "" {
		o.Header.Set("Origin", v.Origin)
	}
	place(&target, &o, v.Token, secret)
	return target, o, ""
}

// place shows the token where the descriptor says, in the handshake.
func place(target *ws.Target, o *ws.Options, at sut.Token, secret string) {
	name := at.Name
	or := func(fallback string) string {
		if name == "" {
			return fallback
		}
		return name
	}
	switch {
	case secret == "":
	case at.In == "header" && (name == "" || strings.EqualFold(name, "Authorization")):
		o.Header.Set("Authorization", "Bearer "+secret)
	case at.In == "header":
		o.Header.Set(name, secret)
	case at.In == "cookie":
		o.Header.Set("Cookie", or("token")+"="+secret)
	case at.In == "query":
		mark := "?"
		if strings.Contains(target.URL, "?") {
			mark = "&"
		}
		target.URL += mark + or("access_token") + "=" + secret
	}
}
