package scenarios

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"plumbline/harness"
	"plumbline/harness/sut"
	"plumbline/harness/viewer"
)

// approach is one way to bring readings to viewers.
type approach struct {
	id, name  string
	every     time.Duration // that a reading may wait for its turn by design: between two requests, or ticks
	conflates bool          // it may leave out what a newer one replaces
	secure    bool          // over TLS
	set       func(cfg *viewer.Config)
}

// Ids of approaches that claims are about.
const (
	wayPoll      = "poll"
	wayPollH2    = "poll-h2"
	wayPollOften = "poll-often"
	wayOftenH2   = "poll-often-h2"
	wayLong      = "long-poll"
	waySSE       = "sse"
	wayWS        = "ws"
	wayWSBatched = "ws-batched"
	wayWSCBOR    = "ws-cbor"
	wayMQTT      = "mqtt-ws"
)

// Times of the approaches.
const (
	pollEvery = time.Second            // as dashboards poll
	pollOften = 100 * time.Millisecond // as often as a device says something
	tickEvery = 50 * time.Millisecond  // of batches: half of that, so that no tick holds two of one device
	longWait  = 25 * time.Second
)

// approachesConfig is what bridged is told so that it serves all approaches at once, and
// where it serves MQTT over WebSocket. Paths are within its own folder.
func approachesConfig() (config map[string]any, mqtt string, err error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", fmt.Errorf("a port for MQTT over WebSocket: %w", err)
	}
	mqtt = l.Addr().String()
	return map[string]any{
		"viewers.http2": true, "viewers.compression": "on",
		"viewers.requestRate": 0,                                                                // long polling asks as often as something is said
		"mqtt.tls.cert":       "data/tls/server.pem", "mqtt.tls.key": "data/tls/server-key.pem", // that of the viewers' listener
		"mqtt.tls.listen":          "127.0.0.1:0", // of no use here, but with it devices go on without TLS
		"mqtt.websocket.tlsListen": mqtt, "mqtt.websocket.origins": []string{sut.Default().Viewer.Origin},
	}, mqtt, l.Close()
}

// approachesOf lists what the system is asked for.
func approachesOf(rig *harness.Rig, b *harness.Bench, mqtt string) []approach {
	of := b.SUT.Viewer()
	if !rig.Bundled() {
		return foreignApproaches(rig, of)
	}
	base := &url.URL{Scheme: "https"}
	if u, err := url.Parse(of.URL); err == nil {
		base.Host = u.Host
	}
	list := append(polled(base.String()),
		approach{id: wayWS, name: "WebSocket, one reading a frame", set: func(*viewer.Config) {}},
		approach{id: wayWSBatched, name: "WebSocket, batched every 50 ms", every: tickEvery, conflates: true, set: func(c *viewer.Config) { c.Tick = tickEvery }},
		approach{id: "ws-deflate", name: "WebSocket, batched, permessage-deflate", every: tickEvery, conflates: true,
			set: func(c *viewer.Config) { c.Tick, c.Compress = tickEvery, true }},
		approach{id: wayWSCBOR, name: "WebSocket, CBOR, one reading a frame", set: func(c *viewer.Config) { c.Encoding = viewer.EncodingCBOR }},
		approach{id: "ws-cbor-batched", name: "WebSocket, CBOR, batched every 50 ms", every: tickEvery, conflates: true,
			set: func(c *viewer.Config) { c.Encoding, c.Tick = viewer.EncodingCBOR, tickEvery }},
		approach{id: wayMQTT, name: "MQTT 5 over WebSocket, QoS 1", set: func(c *viewer.Config) {
			c.Protocol, c.URL, c.Subprotocol, c.Token, c.Place = viewer.MQTT, "wss://"+mqtt+"/mqtt", "mqtt", nil, viewer.TokenPlace{In: viewer.InNone}
		}})
	for i := range list {
		list[i].secure = true
	}
	return list
}

// polled are the approaches without a WebSocket.
func polled(base string) []approach {
	web := func(protocol, path string, every time.Duration, more func(*viewer.Config)) func(*viewer.Config) {
		return func(c *viewer.Config) {
			c.Protocol, c.URL, c.Subprotocol, c.Interval = protocol, base+path, "", every
			c.Place = viewer.TokenPlace{In: viewer.InHeader}
			c.Message = viewer.Pointers{List: "/readings", Topic: "/topic", Payload: "/payload"}
			if more != nil {
				more(c)
			}
		}
	}
	const poll = "/poll?filter={{filter}}&limit=10000&since={{/epoch}}:{{/to}}"
	over2 := func(c *viewer.Config) { c.HTTP2 = true }
	return []approach{
		{id: wayPoll, name: "polling every second, HTTP/1.1", every: pollEvery, set: web(viewer.Poll, poll, pollEvery, nil)},
		{id: wayPollH2, name: "polling every second, HTTP/2", every: pollEvery, set: web(viewer.Poll, poll, pollEvery, over2)},
		{id: wayPollOften, name: "polling every 100 ms, HTTP/1.1", every: pollOften, set: web(viewer.Poll, poll, pollOften, nil)},
		{id: wayOftenH2, name: "polling every 100 ms, HTTP/2", every: pollOften, set: web(viewer.Poll, poll, pollOften, over2)},
		{id: wayLong, name: "long polling, HTTP/1.1", set: web(viewer.Poll, poll+"&wait="+longWait.String(), time.Microsecond, nil)},
		{id: waySSE, name: "server-sent events, HTTP/1.1", set: web(viewer.SSE, "/sse?filter={{filter}}", 0, nil)},
	}
}

// foreignApproaches are those of a system whose descriptor names one: that one, compressed
// where it claims to compress, and over HTTP/2 where it chooses that.
func foreignApproaches(rig *harness.Rig, of sut.Viewer) []approach {
	secure := strings.HasPrefix(of.URL, "wss:") || strings.HasPrefix(of.URL, "https:")
	web := of.Protocol == viewer.SSE || of.Protocol == viewer.Poll
	own := approach{id: of.Protocol, name: "as its descriptor says: " + of.Protocol, secure: secure, set: func(*viewer.Config) {}}
	if of.Protocol == viewer.Poll {
		own.every = max(of.Interval, time.Millisecond)
	}
	list := []approach{own}
	if !web && rig.Has(sut.CapCompression) {
		squeezed := own
		squeezed.id, squeezed.name = own.id+"-deflate", own.name+", permessage-deflate"
		squeezed.set = func(c *viewer.Config) { c.Compress = true }
		list = append(list, squeezed)
	}
	if web && secure && choosesHTTP2(of.URL) {
		over2 := own
		over2.id, over2.name = own.id+"-h2", own.name+", HTTP/2"
		over2.set = func(c *viewer.Config) { c.HTTP2 = true }
		list = append(list, over2)
	}
	return list
}

// choosesHTTP2 reports whether the server at an address chooses HTTP/2 when it is offered.
// Who it is does not matter here: nothing is sent to it.
func choosesHTTP2(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	host := u.Host
	if u.Port() == "" {
		host = net.JoinHostPort(u.Hostname(), "443")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := (&tls.Dialer{Config: &tls.Config{NextProtos: []string{"h2", "http/1.1"}, InsecureSkipVerify: true, ServerName: u.Hostname()}}).DialContext(ctx, "tcp", host) //nolint:gosec // G402: it only asks which protocol would be spoken
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	secure, ok := conn.(*tls.Conn)
	return ok && secure.ConnectionState().NegotiatedProtocol == "h2"
}

// browserHeader is what Chromium sends with a fetch of a page of its own origin, beside what the
// request itself needs: a test asks the browser of this machine.
func browserHeader() http.Header {
	return http.Header{
		"Accept-Encoding":    {"gzip, deflate, br, zstd"},
		"Accept-Language":    {"en-US,en;q=0.9"},
		"Cache-Control":      {"no-cache"},
		"Pragma":             {"no-cache"},
		"Referer":            {"https://dashboard.test/"},
		"Sec-Ch-Ua":          {`"Not:A-Brand";v="8", "Chromium";v="156"`},
		"Sec-Ch-Ua-Mobile":   {"?0"},
		"Sec-Ch-Ua-Platform": {`"Linux"`},
		"Sec-Fetch-Dest":     {"empty"},
		"Sec-Fetch-Mode":     {"cors"},
		"Sec-Fetch-Site":     {"same-origin"},
		"User-Agent":         {"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"},
	}
}
