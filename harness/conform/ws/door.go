package ws

import (
	"net/http"
	"net/url"
	"time"

	"plumbline/harness/conform"
)

// Upgrade performs an opening handshake with these fields added, for suites of
// protocols that run over WebSocket. It returns the status, 0 without an
// answer, and the subprotocol that the server chose.
func Upgrade(c *conform.Conn, u *url.URL, until time.Time, fields http.Header) (status int, subprotocol string) {
	s := &suite{url: u, o: Options{Header: fields}}
	c.Send(s.request().bytes())
	a := read(c, until)
	return a.status, a.header.Get("Sec-WebSocket-Protocol")
}

// Next returns the server's next frame; false when none came until then, the
// connection is over, or its bytes are no frame.
func Next(c *conform.Conn, until time.Time) (Frame, bool) {
	for {
		f, n, err := parse(c.Buffered())
		if err != nil {
			return Frame{}, false
		}
		if n > 0 {
			c.Discard(n)
			return f.Frame, true
		}
		if c.More(until) != nil {
			return Frame{}, false
		}
	}
}
