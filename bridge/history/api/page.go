package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"plumbline/bridge/history"
	"plumbline/bridge/journal"
)

// page is where an answer goes on. It is given to the asker signed, and taken back only for the same query of the same subject.
type page struct {
	Until    journal.Cursor    // of the first answer, which holds for all
	Position *history.Position `json:",omitempty"` // of points and events
	Listed   *history.Listed   `json:",omitempty"` // of listings
	From, To time.Time         // as the first answer took them: now is not the same in the next
}

// macBytes is how much of the HMAC-SHA-256 is in a token (RFC 2104 section 5 asks for half at the least).
const macBytes = 16

// scope is what a token is bound to beside its own content: route, parameters and who asks.
func (q *request) scope(rt *route) string {
	var b strings.Builder
	names := make([]string, 0, len(rt.params))
	for _, p := range rt.params {
		if p.kind != pageParam {
			names = append(names, p.name)
		}
	}
	slices.Sort(names)
	parts := []string{rt.name, q.id.Subject, q.id.Tenant}
	for _, name := range names {
		text := q.p.text[name]
		if at, ok := q.p.time[name]; ok && text != "now" {
			text = at.String() // however it was spelled
		}
		parts = append(parts, name, text)
	}
	_ = json.NewEncoder(&b).Encode(parts) // strings only: it cannot fail
	return b.String()
}

func (q *request) sign(rt *route, body []byte) []byte {
	m := hmac.New(sha256.New, q.h.o.PageKey)
	_, _ = m.Write([]byte(q.scope(rt))) // it never fails
	_, _ = m.Write(body)
	return m.Sum(nil)[:macBytes]
}

// seal makes the token of the next page.
func (q *request) seal(rt *route, p page) string {
	p.From, p.To = q.p.time["from"], q.p.time["to"]
	body, _ := json.Marshal(p) // plain data: it cannot fail
	return base64.RawURLEncoding.EncodeToString(append(q.sign(rt, body), body...))
}

// openPage reads the parameter page, if there is one.
func (q *request) openPage(rt *route) error {
	text := q.p.text["page"]
	if !q.p.has["page"] {
		return nil
	}
	refused := bad("page", "this page was not given by this bridge for this query, or the bridge began anew: begin again without it")
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) <= macBytes || !hmac.Equal(raw[:macBytes], q.sign(rt, raw[macBytes:])) {
		return refused
	}
	q.page = new(page)
	if err := json.Unmarshal(raw[macBytes:], q.page); err != nil {
		return refused
	}
	if !q.page.To.IsZero() {
		q.p.time["from"], q.p.time["to"] = q.page.From, q.page.To
	}
	return nil
}

// until is the cursor that the first answer had; zero for the first.
func (q *request) until() journal.Cursor {
	if q.page == nil {
		return journal.Cursor{}
	}
	return q.page.Until
}

// settled returns the cursor that this answer names: that of the first of its pages.
func (q *request) settled(now journal.Cursor) journal.Cursor {
	if q.page != nil {
		return q.page.Until
	}
	return now
}
