package scenarios

import (
	"context"
	"crypto/tls"
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
	wayLongH2    = "long-poll-h2"
	waySSE       = "sse"
	waySSEH2     = "sse-h2"
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

// approachesConfig is what bridged is told so that it serves all approaches at once. Paths are within its own folder.
func approachesConfig() map[string]any {
	return map[string]any{
		"viewers.http2": true, "viewers.compression": "on",
		"viewers.requestRate": 0,                                                                // long polling asks as often as something is said
		"mqtt.tls.cert":       "data/tls/server.pem", "mqtt.tls.key": "data/tls/server-key.pem", // that of the viewers' listener
		"mqtt.tls.listen":          "127.0.0.1:0", // of no use here, but with it devices go on without TLS
		"mqtt.websocket.tlsListen": "127.0.0.1:0", "mqtt.websocket.origins": []string{sut.Default().Viewer.Origin},
	}
}

// approachesOf lists what the system is asked for, and why what else might be asked of its like is left out, by
// the id of the approach.
func approachesOf(rig *harness.Rig, b *harness.Bench) (list []approach, leftOut map[string]string, err error) {
	of := b.SUT.Viewer()
	if !rig.Bundled() {
		list, leftOut = foreignApproaches(rig, of)
		return list, leftOut, nil
	}
	mqtt, err := b.SUT.Told("mqtt_wss")
	if err != nil {
		return nil, nil, err
	}
	base := &url.URL{Scheme: "https"}
	if u, err := url.Parse(of.URL); err == nil {
		base.Host = u.Host
	}
	return ownApproaches(base.String(), mqtt), nil, nil
}

// ownApproaches are those of bridged, at base and, for MQTT over WebSocket, at mqtt.
func ownApproaches(base, mqtt string) []approach {
	list := append(polled(base),
		approach{id: wayWS, name: "WebSocket with one reading a frame", set: func(*viewer.Config) {}},
		approach{id: wayWSBatched, name: "WebSocket batched every 50 ms", every: tickEvery, conflates: true, set: func(c *viewer.Config) { c.Tick = tickEvery }},
		approach{id: "ws-deflate", name: "WebSocket batched with permessage-deflate", every: tickEvery, conflates: true,
			set: func(c *viewer.Config) { c.Tick, c.Compress = tickEvery, true }},
		approach{id: wayWSCBOR, name: "WebSocket in CBOR with one reading a frame", set: func(c *viewer.Config) { c.Encoding = viewer.EncodingCBOR }},
		approach{id: "ws-cbor-batched", name: "WebSocket in CBOR batched every 50 ms", every: tickEvery, conflates: true,
			set: func(c *viewer.Config) { c.Encoding, c.Tick = viewer.EncodingCBOR, tickEvery }},
		approach{id: wayMQTT, name: "MQTT 5 over WebSocket with QoS 1", set: func(c *viewer.Config) {
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
	const poll, events = "/poll?filter={{filter}}&limit=10000&since={{/epoch}}:{{/to}}", "/sse?filter={{filter}}"
	long := poll + "&wait=" + longWait.String()
	over2 := func(c *viewer.Config) { c.HTTP2 = true }
	return []approach{
		{id: wayPoll, name: "polling every second over HTTP/1.1", every: pollEvery, set: web(viewer.Poll, poll, pollEvery, nil)},
		{id: wayPollH2, name: "polling every second over HTTP/2", every: pollEvery, set: web(viewer.Poll, poll, pollEvery, over2)},
		{id: wayPollOften, name: "polling every 100 ms over HTTP/1.1", every: pollOften, set: web(viewer.Poll, poll, pollOften, nil)},
		{id: wayOftenH2, name: "polling every 100 ms over HTTP/2", every: pollOften, set: web(viewer.Poll, poll, pollOften, over2)},
		{id: wayLong, name: "long polling over HTTP/1.1", set: web(viewer.Poll, long, time.Microsecond, nil)},
		{id: wayLongH2, name: "long polling over HTTP/2", set: web(viewer.Poll, long, time.Microsecond, over2)},
		{id: waySSE, name: "server-sent events over HTTP/1.1", set: web(viewer.SSE, events, 0, nil)},
		{id: waySSEH2, name: "server-sent events over HTTP/2", set: web(viewer.SSE, events, 0, over2)},
	}
}

// foreignApproaches are those of a system whose descriptor names one: that one, compressed
// where it claims to compress, and over HTTP/2 where it chooses that; else it says why not.
func foreignApproaches(rig *harness.Rig, of sut.Viewer) (list []approach, leftOut map[string]string) {
	secure := strings.HasPrefix(of.URL, "wss:") || strings.HasPrefix(of.URL, "https:")
	web := of.Protocol == viewer.SSE || of.Protocol == viewer.Poll
	own := approach{id: of.Protocol, name: "as its descriptor says: " + of.Protocol, secure: secure, set: func(*viewer.Config) {}}
	if of.Protocol == viewer.Poll {
		own.every = max(of.Interval, time.Millisecond)
	}
	more, why := own, ""
	if web {
		more.id, more.name = own.id+"-h2", own.name+" over HTTP/2"
		more.set = func(c *viewer.Config) { c.HTTP2 = true }
		why = noHTTP2(of.URL)
	} else {
		more.id, more.name = own.id+"-deflate", own.name+" with permessage-deflate"
		more.set = func(c *viewer.Config) { c.Compress = true }
		if !rig.Has(sut.CapCompression) {
			why = "its descriptor does not claim " + sut.CapCompression
		}
	}
	if why != "" {
		return []approach{own}, map[string]string{more.id: why}
	}
	return []approach{own, more}, nil
}

// noHTTP2 says why HTTP/2 cannot be spoken to the server at an address, "" when it chooses that.
// Who it is does not matter here: nothing is sent to it.
func noHTTP2(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" {
		return "its viewers come without TLS, by which HTTP/2 is chosen"
	}
	host := u.Host
	if u.Port() == "" {
		host = net.JoinHostPort(u.Hostname(), "443")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := (&tls.Dialer{Config: &tls.Config{NextProtos: []string{"h2", "http/1.1"}, InsecureSkipVerify: true, ServerName: u.Hostname()}}).DialContext(ctx, "tcp", host) //nolint:gosec // G402: it only asks which protocol would be spoken
	if err != nil {
		return "its server could not be asked: " + err.Error()
	}
	defer func() { _ = conn.Close() }()
	if secure, ok := conn.(*tls.Conn); !ok || secure.ConnectionState().NegotiatedProtocol != "h2" {
		return "its server does not choose HTTP/2"
	}
	return ""
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
