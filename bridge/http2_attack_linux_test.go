package bridge

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"plumbline/bridge/internal/eventually"
)

// waitingRequests is how many requests net/http keeps waiting for one of those that may be at work at a time.
const waitingRequests = 4 * http2Streams

// TestN111RapidReset: requests that are reset as soon as they are made (CVE-2023-44487), also by the bridge itself for a frame that is
// wrong (CVE-2025-8671), make no more work at a time than requests that are not.
func TestN111RapidReset(t *testing.T) {
	t.Run("of requests that end with it", func(t *testing.T) {
		r, work := runH2(t, false, nil)
		h, token := r.h2(t, false), "Bearer "+r.token(nil)
		const flood = 10_000
		made := 0
		for ; made < flood; made++ {
			h.ask("/poll?filter=%23&wait=25s", "authorization", token)
			h.say(h.WriteRSTStream(h.id, http2.ErrCodeCancel))
			if made%100 == 99 && h.flush() != nil {
				break
			}
		}
		r.served(t)
		eventually.Must(t, "all of them to be over", func() bool { now, _, _ := work.counts(); return now == 0 && r.openHTTP("poll") == 0 })
		_, most, all := work.counts()
		h.mu.Lock()
		calm := h.heard.ended[http2.ErrCodeEnhanceYourCalm]
		h.mu.Unlock()
		t.Logf("%d requests made, %d handled, %d at most at a time, told to be calm: %v", made, all, most, calm)
		if most > http2Streams+1 {
			t.Errorf("%d requests were at work at a time", most)
		}
	})
	for name, reset := range map[string]func(h *h2){
		"of requests that go on":           func(h *h2) { h.say(h.WriteRSTStream(h.id, http2.ErrCodeCancel)) },
		"of requests that the bridge ends": resetByBridge,
	} {
		t.Run(name, func(t *testing.T) {
			slow := make(chan struct{})
			r, work := runH2(t, false, slow)
			h := r.h2(t, false)
			for range http2Streams + waitingRequests + 2 {
				h.ask("/poll")
				reset(h)
			}
			_ = h.flush() // it may be told to be calm already
			h.wait("ENHANCE_YOUR_CALM", func(s heard) bool { return s.ended[http2.ErrCodeEnhanceYourCalm] })
			r.served(t)
			if now, _, _ := work.counts(); now != http2Streams {
				t.Errorf("%d requests are at work, not %d", now, http2Streams)
			}
			close(slow)
			eventually.Must(t, "all to be over", func() bool { now, _, _ := work.counts(); return now == 0 })
			if _, most, all := work.counts(); most > http2Streams+1 || all > http2Streams+1 {
				t.Errorf("%d requests were handled, %d at a time: those that waited were reset", all, most)
			}
		})
	}
}

// resetByBridge has the bridge end the latest stream, by a window that grows by nothing (RFC 9113 section 6.9).
func resetByBridge(h *h2) {
	id := h.id
	h.say(h.WriteWindowUpdate(id, 0))
	if h.flush() == nil {
		h.wait(fmt.Sprintf("stream %d to be ended", id), func(s heard) bool { _, ended := s.reset[id]; return ended || len(s.ended) > 0 || s.closed })
	}
}

// TestN112StreamFlood: what is asked for beyond the streams of a connection is refused, what nobody reads holds little memory and no
// place for long, and others are served meanwhile.
func TestN112StreamFlood(t *testing.T) {
	t.Run("streams of events", func(t *testing.T) {
		r, _ := runH2(t, false, nil)
		h, token := r.h2(t, false), "Bearer "+r.token(nil)
		const asked = 100
		for range asked {
			h.ask("/sse?filter=%23", "authorization", token)
		}
		h.say(h.flush())
		h.wait("the rest to be refused", func(s heard) bool { return len(s.reset) == asked-http2Streams && len(s.status) == http2Streams })
		if n := r.openHTTP("sse"); n != http2Streams {
			t.Errorf("%v streams of events are open", n)
		}
		r.served(t)
		_ = h.conn.Close()
		eventually.Must(t, "the streams to end", func() bool { return r.openHTTP("sse") == 0 })
	})
	t.Run("answers that nobody reads", func(t *testing.T) {
		r, work := runH2(t, false, nil)
		token := "Bearer " + r.token(nil)
		const connections = 10
		base := held(0)
		for range connections {
			h := r.h2(t, true, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
			for range http2Streams {
				h.ask("/api/v1/dashboard/openapi.json", "authorization", token)
			}
			h.say(h.flush())
		}
		eventually.Must(t, "all to be asked", func() bool { _, _, all := work.counts(); return all == connections*http2Streams })
		each := held(base) / connections
		t.Logf("%d KiB for a connection with %d answers that nobody reads", each>>10, http2Streams)
		if each > 4<<20 {
			t.Errorf("%d bytes for a connection", each)
		}
		r.served(t)
		eventually.Must(t, "those who read nothing to be cut", func() bool { now, _, _ := work.counts(); return now == 0 })
	})
}

// TestN113ContinuationFlood: a header that never ends (CVE-2023-45288) is not gathered, and ends with the connection.
func TestN113ContinuationFlood(t *testing.T) {
	begin := func(t *testing.T, r *running) *h2 {
		t.Helper()
		h := r.h2(t, true)
		h.ask("/api/v1/me") // what is limited for the first request alone is not what is tried here
		h.open(http2.HeadersFrameParam{EndStream: true, BlockFragment: h.block("/")})
		h.say(h.flush())
		return h
	}
	for name, piece := range map[string]string{"of fields": "x-a: ", "of nothing": ""} {
		t.Run(name, func(t *testing.T) {
			r, _ := runH2(t, true, nil)
			h := begin(t, r)
			base := held(0)
			var field []byte
			if piece != "" {
				h.fields.Reset()
				h.say(h.enc.WriteField(hpack.HeaderField{Name: "x-a", Value: strings.Repeat("a", 1000), Sensitive: true})) // in no table
				field = h.fields.Bytes()
			}
			for range 100 {
				h.say(h.WriteContinuation(h.id, false, field))
			}
			began := time.Now()
			sent, ended := h.flood(0)
			grown := held(base)
			t.Logf("ended after %v and %d KiB, with %d KiB held", time.Since(began).Round(10*time.Millisecond), sent>>10, grown>>10)
			if !ended || grown > 4<<20 {
				t.Errorf("after %d bytes the bridge ended it: %v; %d are held", sent, ended, grown)
			}
			r.served(t)
		})
	}
	t.Run("that stops", func(t *testing.T) {
		r, _ := runH2(t, true, nil)
		begin(t, r)
		eventually.Must(t, "the connection to be ended", func() bool { return r.connections() == 0 })
	})
}

// TestN114HeaderLists: headers beyond the limit are refused, however few bytes they took on the wire, and the connection goes on.
func TestN114HeaderLists(t *testing.T) {
	r, work := runH2(t, false, nil)
	h := r.h2(t, false)
	base := held(0)
	var many []string
	for i := range 200 {
		many = append(many, fmt.Sprintf("x-%d", i), strings.Repeat("a", 100))
	}
	h.ask("/api/v1/me", many...)
	list := h.id
	h.block("/api/v1/me")
	h.say(h.enc.WriteField(hpack.HeaderField{Name: "x-bomb", Value: strings.Repeat("a", 3900)})) // into the table
	bomb := append([]byte(nil), h.fields.Bytes()...)
	for range 10_000 { // that entry, the latest, at a byte each: 39 MB
		bomb = append(bomb, 0x80|62)
	}
	h.open(http2.HeadersFrameParam{EndStream: true, EndHeaders: true, BlockFragment: bomb})
	h.ask("/api/v1/me")
	h.say(h.flush())
	h.wait("three answers", func(s heard) bool { return len(s.status) == 3 || s.closed })
	h.mu.Lock()
	got := strings.Join([]string{h.heard.status[list], h.heard.status[list+2], h.heard.status[list+4]}, " ")
	h.mu.Unlock()
	if _, _, all := work.counts(); got != "431 431 401" || all != 1 {
		t.Errorf("answered with %s, %d of them handled", got, all)
	}
	if grown := held(base); grown > 4<<20 {
		t.Errorf("%d bytes are held", grown)
	}
}

// TestN115FloodsOfControlFrames: frames by the hundred thousand from a client that reads nothing: those that are to be answered one by one
// end with its connection, the others leave nothing behind.
func TestN115FloodsOfControlFrames(t *testing.T) {
	for name, c := range map[string]struct {
		frame func(h *h2) error
		most  int64 // bytes of them; 0 where the bridge is to end the connection
	}{
		"pings":          {func(h *h2) error { return h.WritePing(false, [8]byte{1}) }, 0},
		"wrong windows":  {func(h *h2) error { return h.WriteWindowUpdate(1, 0) }, 0},
		"late data":      {func(h *h2) error { return h.WriteData(1, false, nil) }, 0},
		"settings":       {func(h *h2) error { return h.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1}) }, 1 << 20}, // one answer for many
		"priorities":     {func(h *h2) error { return h.WritePriority(3, http2.PriorityParam{StreamDep: 1}) }, 4 << 20},
		"unknown frames": {func(h *h2) error { return h.WriteRawFrame(0xbb, 0, 0, nil) }, 4 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := runH2(t, true, nil)
			h := r.h2(t, true)
			h.ask("/api/v1/me")
			h.say(h.flush())
			base := held(0)
			for range 500 {
				h.say(c.frame(h))
			}
			began := time.Now()
			sent, ended := h.flood(c.most)
			grown := held(base)
			t.Logf("%d KiB in %v, ended by the bridge: %v, %d KiB held", sent>>10, time.Since(began).Round(10*time.Millisecond), ended, grown>>10)
			if c.most == 0 && !ended || grown > 8<<20 {
				t.Errorf("ended by the bridge: %v, %d bytes are held", ended, grown)
			}
			r.served(t)
		})
	}
}

// TestN116WhatNobodyReads: before anybody has looked at it, a connection makes the bridge hold no more than one short frame and one short body.
func TestN116WhatNobodyReads(t *testing.T) {
	slow := make(chan struct{})
	defer close(slow)
	r, work := runH2(t, false, slow)
	base := held(0)
	const connections = 20
	for range connections {
		h := r.h2(t, false)
		h.mu.Lock()
		limits := fmt.Sprint(h.heard.settings[http2.SettingMaxFrameSize], h.heard.settings[http2.SettingInitialWindowSize], h.heard.window)
		h.mu.Unlock()
		if limits != fmt.Sprint(http2Frame, http2Unread, 0) {
			t.Fatalf("limits of frame, body and bodies are %s", limits)
		}
		h.open(http2.HeadersFrameParam{EndHeaders: true, BlockFragment: h.block("/poll")})
		for range http2Unread / http2Frame {
			h.say(h.WriteData(h.id, false, make([]byte, http2Frame)))
		}
		h.say(h.flush())
	}
	eventually.Must(t, "all to be asked", func() bool { now, _, _ := work.counts(); return now == connections })
	each := held(base) / connections
	t.Logf("%d KiB for a connection with a body that nobody reads", each>>10)
	if each > 512<<10 { // the client's half of it among them
		t.Errorf("%d bytes for a connection", each)
	}
	over := r.h2(t, false)
	over.say(over.WriteRawFrame(http2.FrameData, 0, 1, make([]byte, http2Frame+1)))
	_ = over.flush()
	over.wait("a frame that is too long to be refused", func(s heard) bool { return s.ended[http2.ErrCodeFrameSize] || s.closed })
	r.served(t)
}
