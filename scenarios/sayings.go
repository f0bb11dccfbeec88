package scenarios

import (
	"fmt"
	"math"
	"slices"
	"strings"

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
		if math.IsNaN(down) && math.IsNaN(up) {
			continue
		}
		c.Figure = listed(c.Figure, m.Name)
		and := ""
		for _, way := range []struct {
			name  string
			bytes float64
		}{{"to the viewer", down}, {"from the viewer", up}} {
			if math.IsNaN(way.bytes) {
				continue
			}
			c.Figure += fmt.Sprintf("%s %.1f B %s", and, way.bytes, way.name)
			and = " and"
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
	return against(c, all, yardstick{unit: "B a reading on the wire, of which less than half is taken for a fraction", share: fewer, whole: func(m measured) float64 { return float64(m.Bytes.Wire) }})
}

// cheapness: a WebSocket costs the server less processor time than polling.
func cheapness(all []measured) reports.Claim {
	c := reports.Claim{ID: "cpu", Text: "a WebSocket costs the server less processor time than polling"}
	return against(c, all, yardstick{
		unit: "µs a reading", share: 1, whole: func(m measured) float64 { return float64(m.Bridge.PerReading) }, rounds: func(m measured) map[int]float64 { return m.perBridge },
	})
}

// yardstick is a figure by which the WebSocket is held against ways of polling.
type yardstick struct {
	unit   string
	share  float64 // of the figure of another below which that of the WebSocket is less
	whole  func(measured) float64
	rounds func(measured) map[int]float64 // the same by round, where it differs by chance; nil where it does not
}

// less tells whether the WebSocket takes less than another way; told is false where one
// round says so and another does not, where one found no cost at all, and where there is one only.
func (y yardstick) less(ws, other measured) (less, told bool) {
	less = y.whole(ws) < y.share*y.whole(other)
	if y.rounds == nil {
		return less, true
	}
	of, agreed := y.rounds(other), 0
	for round, v := range y.rounds(ws) {
		w, there := of[round]
		switch {
		case !there:
		case v <= 0 || w <= 0 || (v < y.share*w) != less:
			return less, false
		default:
			agreed++
		}
	}
	return less, agreed > 1
}

// against holds a figure of the WebSocket against that of every way of polling: where it is less than all
// of them the claim holds, where it is less than some under conditions. What rounds do not agree about is said.
func against(c reports.Claim, all []measured, y yardstick) reports.Claim {
	ws, there := find(all, wayWS)
	if !there || math.IsNaN(y.whole(ws)) {
		return open(c)
	}
	c.Figure = fmt.Sprintf("%s: %s %s", y.unit, ws.Name, plainly(y.whole(ws)))
	var below, above, unsure []string // names
	late := true
	for _, id := range []string{wayPoll, wayPollH2, wayPollOften, wayOftenH2, wayLong, wayLongH2} {
		m, there := find(all, id)
		if !there || math.IsNaN(y.whole(m)) {
			continue
		}
		c.Figure += fmt.Sprintf(", %s %s", m.Name, plainly(y.whole(m)))
		switch less, told := y.less(ws, m); {
		case !told:
			unsure = append(unsure, m.Name)
		case less:
			below = append(below, m.Name)
		default:
			above, late = append(above, m.Name), late && id != wayLong && id != wayLongH2
		}
	}
	if len(below)+len(above)+len(unsure) == 0 {
		return open(c)
	}
	c = weighed(c, below, above, unsure, late)
	if batched, there := find(all, wayWSBatched); there && !math.IsNaN(y.whole(batched)) {
		c.Figure += fmt.Sprintf(". %s: %s", batched.Name, plainly(y.whole(batched)))
	}
	return c
}

// weighed says what becomes of a claim that holds beside some ways, not beside others, which are late or
// not, and about still others nobody knows.
func weighed(c reports.Claim, below, above, unsure []string, late bool) reports.Claim {
	switch {
	case len(below)+len(above) == 0:
		c.Standing = reports.HoldsOpen
	case len(above)+len(unsure) == 0:
		c.Standing = reports.Holds
	case len(below)+len(unsure) == 0:
		c.Standing = reports.HoldsNot
	default:
		c.Standing = reports.HoldsPartly
		if len(below) > 0 {
			c.Figure += ". It holds beside " + strings.Join(below, ", ")
		}
		if len(above) > 0 {
			c.Figure += ". It does not beside " + strings.Join(above, ", ")
		}
		if len(above) > 0 && late {
			c.Figure += ", which brings many readings in one answer, and late"
		}
	}
	if len(unsure) > 0 {
		c.Figure += ". Not told apart, for rounds do not agree: " + strings.Join(unsure, ", ")
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
