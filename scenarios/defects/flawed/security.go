package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// security: who gets in, and sees what, that should not.
var security = map[string]maker{
	"F39": leakByFilter, "F40": leakAtReturn,
	"F41": acceptIf("exp"), "F42": acceptUnsigned, "F43": acceptConfused, "F44": acceptIf("aud"), "F45": acceptIf("iss"), "F46": acceptIf("nbf", "iat"), "F46s": acceptIf("signature"),
	"F47": neverRecheck, "F48": ignoreRevocation, "F49": admitWithout, "F50": keepOldGrants, "F51": anyOrigin, "F52": plain, "F52t": oldTLS,
	"F53": logToken, "F54": letPublish, "F70": patient,
}

// patient (F70) waits for viewers that do not get on with the handshake of TLS.
func patient(_ *front, p param) *flaw { return &flaw{patience: p.time(0)} }

// swapToken is a flaw that shows the bridge another token than the viewer did.
// swap returns "" to leave it as it is. It is called for auth as well.
func swapToken(f *front, swap func(s *session, t token, kind string) string) *flaw {
	return &flaw{viewerText: func(s *session, text []byte) []byte {
		kind := typeOf(text)
		if kind != "hello" && kind != "auth" {
			return text
		}
		var m map[string]json.RawMessage
		var shown string
		if json.Unmarshal(text, &m) != nil || json.Unmarshal(m["token"], &shown) != nil {
			return text
		}
		t, ok := split(shown)
		if !ok {
			return text
		}
		other := swap(s, t, kind)
		if other == "" {
			return text
		}
		m["token"] = encode(other)
		return encode(m)
	}}
}

// acceptIf (F41, F44, F45, F46) makes a flaw that does not look at something: it
// accepts tokens that are wrong in nothing else.
func acceptIf(ignored ...string) maker {
	return func(f *front, _ param) *flaw {
		return swapToken(f, func(_ *session, t token, _ string) string {
			wrong := f.keys.wrong(t)
			others := slices.DeleteFunc(slices.Clone(wrong), func(w string) bool { return slices.Contains(ignored, w) })
			if len(wrong) == 0 || len(others) > 0 {
				return ""
			}
			f.count.fire()
			return f.keys.remint(t, nil)
		})
	}
}

// acceptUnsigned (F42) takes the header's word for it that there is no signature.
func acceptUnsigned(f *front, _ param) *flaw {
	return swapToken(f, func(_ *session, t token, _ string) string {
		if !strings.EqualFold(t.alg(), "none") {
			return ""
		}
		f.count.fire()
		return f.keys.remint(t, nil)
	})
}

// translate is no flaw: it takes viewers' tokens as RS256, checks them, and shows
// the bridge the same in the algorithm that it knows.
func translate(f *front) *flaw {
	return swapToken(f, func(_ *session, t token, _ string) string {
		if len(f.keys.wrong(t)) > 0 {
			return ""
		}
		return f.keys.remint(t, nil)
	})
}

// acceptConfused (F43) takes viewers' tokens as RS256 and, when the header says
// HS256, the text of the public key for a secret (RFC 8725 section 2.1).
func acceptConfused(f *front, _ param) *flaw {
	return swapToken(f, func(_ *session, t token, _ string) string {
		wrong := f.keys.wrong(t)
		if len(wrong) == 0 {
			return f.keys.remint(t, nil)
		}
		der, err := x509.MarshalPKIXPublicKey(&f.keys.pair.PublicKey)
		if err != nil || len(wrong) > 1 || t.alg() != "HS256" {
			return ""
		}
		public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		if !bytes.Equal(mac(public, t.signed), t.signature) && !bytes.Equal(mac(bytes.TrimSpace(public), t.signed), t.signature) {
			return ""
		}
		f.count.fire()
		return f.keys.remint(t, nil)
	})
}

// neverRecheck (F47) looks at the expiry of a token once, at the begin.
func neverRecheck(f *front, _ param) *flaw {
	return outliving(f, "exp", later)
}

// later has a token expire an hour later.
func later(t token) map[string]any {
	exp, _ := t.number("exp")
	return map[string]any{"exp": int64(exp) + 3600}
}

// ignoreRevocation (F48) looks at the list of revoked subjects once, at the begin.
func ignoreRevocation(f *front, _ param) *flaw {
	return outliving(f, "sub", func(t token) map[string]any {
		return map[string]any{"sub": "alias of " + t.subject(), "jti": nil}
	})
}

// outliving is a flaw that shows the bridge another token, good for longer, in
// place of each good one. It counts what a viewer is sent when its own token is
// no longer good for the one reason.
func outliving(f *front, reason string, set func(token) map[string]any) *flaw {
	made := swapToken(f, func(s *session, t token, _ string) string {
		if len(f.keys.wrong(t)) > 0 {
			return ""
		}
		s.mu.Lock()
		s.shown = t
		s.mu.Unlock()
		return f.keys.remint(t, set(t))
	})
	made.bridgeFrame = func(s *session, fr frame) bool {
		s.mu.Lock()
		t := s.shown
		s.mu.Unlock()
		if fr.text() && t.claims != nil && slices.Contains(f.keys.wrong(t), reason) {
			f.count.fire()
		}
		return true
	}
	return made
}

// admitWithout (F49) asks for a token at hello and forgets to ask who has said
// hello: a subscription right away is served.
func admitWithout(f *front, _ param) *flaw {
	return &flaw{viewerText: func(s *session, text []byte) []byte {
		s.mu.Lock()
		defer s.mu.Unlock()
		switch typeOf(text) {
		case "hello":
			s.state = 1
		case "sub":
			if s.state == 1 {
				break
			}
			s.state = 1
			f.count.fire()
			somebody := token{claims: map[string]any{"sub": "somebody", "grants": []string{"#"}}}
			_ = s.toBridge(textFrame(encode(hello{Type: "hello", Token: f.keys.remint(somebody, nil)}))) // the sub right after it fails too
		}
		return text
	}}
}

// keepOldGrants (F50) answers a new token in a live session and lets the old
// grants stand.
func keepOldGrants(f *front, _ param) *flaw {
	return &flaw{viewerText: func(s *session, text []byte) []byte {
		if typeOf(text) != "auth" {
			return text
		}
		f.count.fire()
		_ = s.toViewer(textFrame([]byte(`{"type":"authok","expires":"2099-01-01T00:00:00Z"}`))) // a viewer that is gone needs none
		return nil
	}}
}

// widen is a flaw that has the bridge allow everything and checks grants by
// itself: with a hole.
func widen(f *front, hole func(s *session, sub *subscribe) bool) *flaw {
	made := swapToken(f, func(s *session, t token, kind string) string {
		if len(f.keys.wrong(t)) > 0 || kind == "auth" { // a narrower token ends what it does not cover
			return ""
		}
		s.mu.Lock()
		s.grants = grantsOf(t)
		s.mu.Unlock()
		return f.keys.remint(t, map[string]any{"grants": []string{"#"}})
	})
	tokens := made.viewerText
	made.viewerText = func(s *session, text []byte) []byte {
		var sub subscribe
		if typeOf(text) != "sub" || json.Unmarshal(text, &sub) != nil {
			return tokens(s, text)
		}
		s.mu.Lock()
		allowed := s.grants == nil || coveredByAny(s.grants, sub.Filter)
		s.mu.Unlock()
		if allowed {
			return text
		}
		if hole(s, &sub) {
			f.count.fire()
			return encode(sub)
		}
		_ = s.toViewer(textFrame(encode(map[string]any{"type": "suberr", "id": sub.ID, "reason": "forbidden", "detail": "not covered by the grants"}))) // as above
		return nil
	}
	return made
}

// leakByFilter (F39) lets a filter pass that ends in some way.
func leakByFilter(f *front, p param) *flaw {
	return widen(f, func(_ *session, sub *subscribe) bool { return strings.HasSuffix(sub.Filter, p[0]) })
}

// leakAtReturn (F40) restores, for a share of the viewers that come back with a
// cursor, everything in place of their own filter.
func leakAtReturn(f *front, p param) *flaw {
	share, draw := p.number(0), f.random()
	var mu sync.Mutex
	hit := func() bool { mu.Lock(); defer mu.Unlock(); return draw.Float64() < share }
	made := widen(f, func(*session, *subscribe) bool { return false })
	checked := made.viewerText
	made.viewerText = func(s *session, text []byte) []byte {
		text = checked(s, text)
		var sub subscribe
		if text == nil || typeOf(text) != "sub" || json.Unmarshal(text, &sub) != nil || sub.Since == nil || sub.Since.Epoch == "" {
			return text
		}
		if !hit() {
			return text
		}
		root, _, _ := strings.Cut(sub.Filter, "/")
		f.count.fire()
		sub.Filter = root + "/#"
		return encode(sub)
	}
	return made
}

var originLine = regexp.MustCompile(`(?i)\r\norigin:[^\r\n]*`)

// anyOrigin (F51) does not look at Origin; the param is the one that is right.
func anyOrigin(f *front, p param) *flaw {
	right := []byte("\r\norigin: " + strings.Join(p, "/"))
	return &flaw{request: func(_ *session, head []byte) []byte {
		lines := originLine.FindAll(head, -1)
		if len(lines) == 0 || !upgrades(head) {
			return head
		}
		if len(lines) > 1 || !bytes.EqualFold(lines[0], right) {
			f.count.fire()
		}
		return originLine.ReplaceAll(head, nil) // clients without one may connect
	}}
}

// plain (F52) serves what is not TLS as well.
func plain(*front, param) *flaw { return &flaw{plaintext: true} }

// oldTLS (F52) serves versions that RFC 8996 has ended.
func oldTLS(*front, param) *flaw {
	return &flaw{tls: func(c *tls.Config) {
		c.MinVersion = tls.VersionTLS10
		for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
			c.CipherSuites = append(c.CipherSuites, suite.ID)
		}
	}}
}

// logToken (F53) writes tokens into its log, and into the answer to a handshake
// that carries one in its address.
func logToken(f *front, _ param) *flaw {
	made := swapToken(f, func(*session, token, string) string { return "" })
	inner := made.viewerText
	made.viewerText = func(s *session, text []byte) []byte {
		var h hello
		if json.Unmarshal(text, &h) == nil && h.Token != "" {
			f.count.fire()
			fmt.Fprintf(os.Stderr, "flawed: access token=%s client=%s\n", h.Token, url.QueryEscape(h.Client))
		}
		return inner(s, text)
	}
	return made
}

// letPublish (F54) lets every viewer write to every topic.
func letPublish(f *front, _ param) *flaw {
	made := swapToken(f, func(_ *session, t token, _ string) string {
		if len(f.keys.wrong(t)) > 0 {
			return ""
		}
		grants := grantsOf(t)
		return f.keys.remint(t, map[string]any{"grants": map[string]any{"live": grants, "snapshot": grants, "history": grants, "publish": []string{"#"}}})
	})
	made.bridgeFrame = func(_ *session, fr frame) bool {
		if fr.text() && typeOf(fr.payload) == "pubok" {
			f.count.fire()
		}
		return true
	}
	return made
}
