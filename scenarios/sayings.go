package scenarios

import (
	"fmt"
	"math"
	"slices"

	"plumbline/harness/octets"
	"plumbline/reports"
)

// What is commonly said of WebSockets beside HTTP, held against what was measured. Each rule
// states its threshold; none decides a verdict of the run.

const (
	frameLeast, frameMost = 2, 14    // bytes of framing that are claimed for a message
	headsClaimed          = 800      // bytes of headers that are claimed for a request with its answer
	oneFrame              = 1e3 / 60 // ms that a screen takes for a picture: sooner is not to be seen
	fewer                 = 0.5      // a share of the bytes that is a saving worth a claim
	noClaim               = "nothing was measured that could tell"
)

// find returns the approach of that id.
func find(all []measured, id string) (measured, bool) {
	i := slices.IndexFunc(all, func(m measured) bool { return m.ID == id })
	if i < 0 || all[i].Readings == 0 {
		return measured{}, false
	}
	return all[i], true
}

// claimsOf holds what is said against the approaches that were measured.
func claimsOf(all []measured) []reports.Claim {
	return []reports.Claim{framing(all), headers(all), fewerBytes(all), promptness(all), cheapness(all)}
}

func open(c reports.Claim) reports.Claim {
	c.Standing, c.Figure = reports.HoldsOpen, noClaim
	return c
}

// framing: a message over a WebSocket has 2 to 14 bytes beside itself (RFC 6455 section 5.2).
func framing(all []measured) reports.Claim {
	c := reports.Claim{ID: "framing", Text: "WebSocket adds 2 to 14 bytes of framing to a message", Standing: reports.Holds}
	for _, id := range []string{wayWS, wayWSBatched, wayWSCBOR, wayMQTT} {
		m, there := find(all, id)
		if !there {
			continue
		}
		down, up := m.heads()
		for _, way := range []struct {
			name  string
			bytes float64
		}{{"to the viewer", down}, {"from the viewer", up}} {
			if math.IsNaN(way.bytes) {
				continue
			}
			c.Figure = listed(c.Figure, fmt.Sprintf("%s %.1f B %s", m.ID, way.bytes, way.name))
			if way.bytes < frameLeast || way.bytes > frameMost {
				c.Standing = reports.HoldsNot
			}
		}
	}
	if c.Figure == "" {
		return open(c)
	}
	if ws, there := find(all, wayWS); there && ws.wire.Down.Records > 0 {
		c.Figure += fmt.Sprintf(". TLS adds %.0f B a record, TCP/IP %d B a segment: of a reading on its own %.0f B in all",
			float64(ws.wire.Down.TCP-ws.wire.Down.Plain)/float64(ws.wire.Down.Records), octets.SegmentHeader, float64(ws.Bytes.TLS+ws.Bytes.TCPIP))
	}
	return c
}

// headers: a request of HTTP with its answer has 800 bytes of headers and more.
func headers(all []measured) reports.Claim {
	c := reports.Claim{ID: "headers", Text: "an HTTP request with its answer carries 800 bytes of headers and more"}
	one, there := find(all, wayPollOften)
	if !there {
		return open(c)
	}
	c.Standing, c.Figure = reports.HoldsNot, fmt.Sprintf("HTTP/1.1 %.0f B a request with its answer", float64(one.Overhead))
	if float64(one.Overhead) >= headsClaimed {
		c.Standing = reports.Holds
	}
	if two, there := find(all, wayOftenH2); there {
		c.Figure += fmt.Sprintf(", HTTP/2 %.0f B", float64(two.Overhead))
		if c.Standing == reports.Holds && float64(two.Overhead) < headsClaimed {
			c.Standing = reports.HoldsPartly
			c.Figure += ": of HTTP/1.1 only"
		}
	}
	return c
}

// fewerBytes: a WebSocket needs a fraction of the bytes of polling.
func fewerBytes(all []measured) reports.Claim {
	c := reports.Claim{ID: "bytes", Text: "a WebSocket moves a fraction of the bytes that polling moves"}
	return against(c, all, "B a reading on the wire", func(m measured) float64 { return float64(m.Bytes.Wire) }, fewer)
}

// cheapness: a WebSocket costs the server less processor time than polling.
func cheapness(all []measured) reports.Claim {
	c := reports.Claim{ID: "cpu", Text: "a WebSocket costs the server less processor time than polling"}
	return against(c, all, "µs a reading", func(m measured) float64 { return float64(m.Bridge.PerReading) }, 1)
}

// against holds a figure of the WebSocket against that of every way of polling: below the share of
// all it holds, of some it holds under conditions.
func against(c reports.Claim, all []measured, unit string, figure func(measured) float64, share float64) reports.Claim {
	ws, there := find(all, wayWS)
	if !there || math.IsNaN(figure(ws)) {
		return open(c)
	}
	c.Figure = fmt.Sprintf("%s: WebSocket %s", unit, plainly(figure(ws)))
	below, above := "", ""
	for _, id := range []string{wayPoll, wayPollH2, wayPollOften, wayOftenH2, wayLong} {
		m, there := find(all, id)
		if !there || math.IsNaN(figure(m)) {
			continue
		}
		c.Figure += fmt.Sprintf(", %s %s", m.ID, plainly(figure(m)))
		if figure(ws) < share*figure(m) {
			below = listed(below, m.ID)
		} else {
			above = listed(above, m.ID)
		}
	}
	switch {
	case below == "" && above == "":
		return open(c)
	case above == "":
		c.Standing = reports.Holds
	case below == "":
		c.Standing = reports.HoldsNot
	default:
		c.Standing = reports.HoldsPartly
		c.Figure += fmt.Sprintf(". It holds beside %s, not beside %s, which brings many readings in one answer, and late", below, above)
	}
	if batched, there := find(all, wayWSBatched); there && !math.IsNaN(figure(batched)) {
		c.Figure += fmt.Sprintf(". Batched as well, the WebSocket takes %s", plainly(figure(batched)))
	}
	return c
}

// promptness: what a WebSocket brings is there at once.
func promptness(all []measured) reports.Claim {
	c := reports.Claim{ID: "latency", Text: "over a WebSocket latency is near zero"}
	ws, there := find(all, wayWS)
	if !there {
		return open(c)
	}
	p50, p99 := float64(ws.LatencyP50), float64(ws.LatencyP99)
	c.Figure = fmt.Sprintf("from the intended instant: median %s ms, p99 %s ms; a screen takes %.1f ms for a picture", plainly(p50), plainly(p99), oneFrame)
	switch {
	case p99 <= oneFrame:
		c.Standing = reports.Holds
	case p50 <= oneFrame:
		c.Standing = reports.HoldsPartly
	default:
		c.Standing = reports.HoldsNot
	}
	if poll, there := find(all, wayPoll); there {
		c.Figure += fmt.Sprintf(". Polling every second: median %s ms, p99 %s ms", plainly(float64(poll.LatencyP50)), plainly(float64(poll.LatencyP99)))
	}
	c.Figure += ". On one machine, without a network; a network's own time comes on top of both"
	return c
}

// plainly writes a figure without an exponent: three digits, or all before the point.
func plainly(v float64) string {
	if math.Abs(v) >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// listed appends to a list in a sentence.
func listed(list, more string) string {
	if list == "" {
		return more
	}
	return list + ", " + more
}
