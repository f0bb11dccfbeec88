package viewer

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"plumbline/harness/record"
)

// requestLimit bounds one request of a viewer whose settings name no silence.
const requestLimit = time.Minute

// hand-over marks in an address: {{/pointer}} is what the JSON pointer finds in
// the last answer. A query parameter with one that finds nothing is left out.
var marks = regexp.MustCompile(`\{\{\s*(/[^{}]*?)\s*\}\}`)

// pollSource asks again and again. Where its address takes something over from
// the last answer, the server knows what is new and all of an answer is taken.
// Else an answer shows what there is, and what was in the one before is not new.
type pollSource struct {
	d       *webDialect
	address string
	hands   bool // the address takes something over

	token   string
	tag     string // ETag of the last answer
	last    []byte // the last answer, where the address needs it
	began   bool   // there was an answer
	first   arrival
	shown   map[shownKey]int // what the last answer held, and how often
	showing map[shownKey]int // what this answer holds
}

// shownKey tells two readings of one answer apart.
type shownKey struct {
	topic  string
	digest uint64
}

func newPoll(v *Viewer) (*webDialect, error) {
	return newWeb(v, func(d *webDialect, address string) (source, error) {
		path, _, _ := strings.Cut(address, "?")
		if marks.MatchString(path) {
			return nil, fmt.Errorf("address %q takes something over from the last answer outside of its query; the first request could not be made", path)
		}
		for _, mark := range marks.FindAllStringSubmatch(address, -1) {
			if _, err := parsePointer(mark[1]); err != nil {
				return nil, err
			}
		}
		return &pollSource{d: d, address: address, hands: marks.MatchString(address)}, nil
	})
}

func (p *pollSource) retry() time.Duration { return 0 }

func (p *pollSource) open(ctx context.Context, token string) (err error) {
	p.token, p.tag = token, ""
	if p.first, err = p.ask(ctx); err != nil {
		return err
	}
	if !p.d.finder.raw && !valid(p.first.data) {
		return &unusable{fmt.Sprintf("server answered with what is no JSON text: %q", p.d.tokens.excerpt(string(p.first.data[:min(len(p.first.data), excerptLimit)]), 100))}
	}
	return nil
}

// read hands over the first answer and asks for more when it is its turn. A server
// that puts a request off (RFC 6585 section 4) ends nothing.
func (p *pollSource) read(ctx context.Context, hand func(arrival) error) error {
	next := p.first
	for {
		if next.data != nil {
			if err := hand(next); err != nil {
				return err
			}
			p.took(next.data)
		}
		if !p.d.turns.take(ctx, p.d.interval()) {
			return context.Cause(ctx)
		}
		var err error
		if next, err = p.ask(ctx); putOff(err) > 0 {
			p.d.turns.rest(putOff(err))
			next = arrival{}
		} else if err != nil {
			return err
		}
	}
}

// took remembers an answer after it was handed over. One that is no JSON text
// holds nothing to go on from.
func (p *pollSource) took(answer []byte) {
	p.began = true
	if p.hands && valid(answer) {
		p.last = answer
	}
}

// ask makes one request. An answer that says that nothing has changed has no data.
func (p *pollSource) ask(ctx context.Context) (arrival, error) {
	limit := p.d.cfg.Silence
	if limit <= 0 {
		limit = requestLimit
	}
	p.d.turns.took(p.d.interval())
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	header := http.Header{"Accept": {"application/json"}}
	if p.tag != "" {
		header["If-None-Match"] = []string{p.tag}
	}
	response, err := p.d.get(ctx, p.next(), p.token, header)
	if err != nil {
		return arrival{}, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode == http.StatusNotModified && p.tag != "" {
		return arrival{}, nil
	}
	if response.StatusCode != http.StatusOK {
		return arrival{}, &unusable{fmt.Sprintf("server answered with status %d to a request without conditions", response.StatusCode)}
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, frameLimit+1))
	at := p.d.clock.Now()
	switch {
	case err != nil:
		return arrival{}, err
	case len(data) > frameLimit:
		return arrival{}, &unusable{fmt.Sprintf("server sent an answer of more than %d bytes", frameLimit)}
	}
	p.tag = response.Header.Get("ETag")
	a := arrival{at: at, data: data, kind: record.Received}
	if !p.began {
		a.kind = record.Restored // it was there before the viewer was
	}
	if !p.hands {
		a.against = p
	}
	return a, nil
}

// begin starts the comparison of one answer with the last. It, fresh and commit
// are called where answers are handled, with the viewer's lock held.
func (p *pollSource) begin() { p.showing = map[shownKey]int{} }

// fresh reports whether the last answer did not hold the reading.
func (p *pollSource) fresh(topic string, payload []byte) bool {
	key := shownKey{topic, record.Digest(payload)}
	p.showing[key]++
	return p.showing[key] > p.shown[key]
}

// commit makes the answer the last one, unless it could not be read.
func (p *pollSource) commit(err error) {
	if err == nil {
		p.shown = p.showing
	}
}

// next returns the address of the next request.
func (p *pollSource) next() string {
	path, query, has := strings.Cut(p.address, "?")
	if !has {
		return path
	}
	var parts []string
	for part := range strings.SplitSeq(query, "&") {
		missing := false
		part = marks.ReplaceAllStringFunc(part, func(mark string) string {
			value, ok := p.taken(marks.FindStringSubmatch(mark)[1])
			missing = missing || !ok
			return url.QueryEscape(value)
		})
		if !missing {
			parts = append(parts, part)
		}
	}
	return path + "?" + strings.Join(parts, "&")
}

// taken returns what a pointer finds in the last answer: a text, or the spelling
// of a number or boolean.
func (p *pollSource) taken(text string) (string, bool) {
	at, err := parsePointer(text)
	if err != nil || len(p.last) == 0 || !valid(p.last) {
		return "", false
	}
	var scratch []byte
	value, ok := at.find(p.last, &scratch)
	if !ok {
		return "", false
	}
	return spelled(value)
}
