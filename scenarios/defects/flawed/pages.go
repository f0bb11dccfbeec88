package main

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	plainpage "plumbline/harness/browser/plain"
)

// pages: what is wrong for browsers and for nobody else.
var pages = map[string]maker{"F80": holdPages, "F81": writeMarkup, "F82": trustCookies, "F83": keepWaiting, "F84": storm, "F85": dropForPages, "F86": keepCookies}

var (
	hostLine = regexp.MustCompile(`(?im)^Host: ([^\r\n]*)`)
	careless = `<script>addEventListener("DOMContentLoaded",()=>{const box=document.body.appendChild(document.createElement("div"));` +
		`globalThis.plumblineBox=(t)=>{box.innerHTML=t}});globalThis.WebSocket=class extends WebSocket{constructor(...a){super(...a);` +
		`this.addEventListener("message",(e)=>globalThis.plumblineBox?.(e.data))}}</script></head>`
	restless = `<script>addEventListener("offline",()=>{const again=setInterval(()=>fetch("/").catch(()=>0),5);addEventListener("online",()=>clearInterval(again))})</script></head>`
)

// holdPages (F80) stands still for so long in every period, in the WebSockets of
// browsers only.
func holdPages(f *front, p param) *flaw {
	long, period := p.time(0), p.time(1)
	began := time.Now()
	return &flaw{hold: func(s *session) {
		if !s.browser {
			return
		}
		at := time.Since(began) % period
		if at < period-long {
			return
		}
		f.count.fire()
		select {
		case <-time.After(period - at):
		case <-s.done:
		}
	}}
}

// trustCookies (F82) takes whoever has a cookie for a page of the bridge's own.
func trustCookies(f *front, _ param) *flaw {
	return &flaw{request: func(_ *session, head []byte) []byte {
		host := hostLine.FindSubmatch(head)
		if host == nil || !bytes.Contains(head, []byte("\r\nCookie: ")) || !originLine.Match(head) {
			return head
		}
		own := []byte("\r\nOrigin: https://" + string(host[1]))
		if !bytes.EqualFold(originLine.Find(head), own) {
			f.count.fire()
		}
		return bytes.Replace(head, originLine.Find(head), own, 1)
	}}
}

// writeMarkup (F81) has its page write what it is sent into itself as it comes.
func writeMarkup(f *front, _ param) *flaw { return inject(f, careless) }

// storm (F84) has the page ask again as fast as it can while it has no network.
func storm(f *front, _ param) *flaw { return inject(f, restless) }

// keepWaiting (F83) says nothing for so long to a browser that is back.
func keepWaiting(f *front, p param) *flaw {
	long := p.time(0)
	var mu sync.Mutex
	came := 0
	made := &flaw{}
	made.request = func(s *session, head []byte) []byte {
		if mu.Lock(); s.browser && upgrades(head) {
			came++
			s.returns = came > 1
		}
		mu.Unlock()
		return head
	}
	made.hold = func(s *session) {
		if !s.returns {
			return
		}
		s.returns = false
		f.count.fire()
		select {
		case <-time.After(long):
		case <-s.done:
		}
	}
	return made
}

// dropForPages (F85) drops each message to a browser with probability 1/N.
func dropForPages(f *front, p param) *flaw {
	n := p.number(0)
	return &flaw{arrive: func(s *session, _ *stream, rs []reading) []reading {
		return slices.DeleteFunc(rs, func(reading) bool { return s.browser && s.random.Float64()*n < 1 && fired(f) })
	}}
}

// cookieToken is a token that stands in a cookie.
var cookieToken = regexp.MustCompile(`(?im)(^Cookie: [^\r\n]*?=)([\w-]+\.[\w-]+\.[\w-]+)`)

// keepCookies (F86) looks at the expiry of a browser's cookie once, when it connects.
func keepCookies(f *front, _ param) *flaw {
	made := outliving(f, "exp", nil)
	made.viewerText = nil
	made.request = func(s *session, head []byte) []byte {
		found := cookieToken.FindSubmatchIndex(head)
		if !s.browser || found == nil || !upgrades(head) {
			return head
		}
		t, ok := split(string(head[found[4]:found[5]]))
		if !ok || len(f.keys.wrong(t)) > 0 {
			return head
		}
		s.mu.Lock()
		s.shown = t
		s.mu.Unlock()
		return slices.Concat(head[:found[4]], []byte(f.keys.remint(t, later(t))), head[found[5]:])
	}
	return made
}

// inject puts a script into the page.
func inject(f *front, script string) *flaw {
	return &flaw{page: func(page string) string {
		f.count.fire()
		return strings.Replace(page, "</head>", script, 1)
	}}
}

// plainPath is where flawed has a page of its own, for the bridge has none that could be
// wrong.
var plainPath = []byte("GET /plain ")

// present answers with that page.
func (s *session) present() {
	page := plainpage.Page()
	if s.f.flaw.page != nil {
		page = s.f.flaw.page(page)
	}
	_, _ = fmt.Fprintf(s.client, "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nCross-Origin-Opener-Policy: same-origin\r\n"+
		"Cross-Origin-Embedder-Policy: require-corp\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(page), page) // a browser that has gone reads no page
}
