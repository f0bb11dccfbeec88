package httpwire

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"plumbline/bridge/auth"
	"plumbline/bridge/journal"
)

// Bounds of what a request may ask for.
const (
	maxLevels    = 128 // of a filter: each costs a node of the hub's trie
	maxWait      = 30 * time.Second
	defaultLimit = 1000
	maxLimit     = 10_000
)

// query is what a request asks for.
type query struct {
	filter   string
	since    *journal.Cursor
	resumes  bool // a cursor was given, good or not
	snapshot bool
	wait     time.Duration
	limit    int // readings
}

// parameters of each endpoint; ticket is the door's.
var (
	eventParameters = []string{"filter", "since", "snapshot", "ticket"}                  //nolint:gochecknoglobals // a constant list
	pollParameters  = []string{"filter", "since", "snapshot", "wait", "limit", "ticket"} //nolint:gochecknoglobals // a constant list
)

// ask reads the query and checks it against the rate and the grants; a problem is answered. The rate is the subject's, so a ticket, which
// says who that is, is used up by then.
func (c *client) ask(known []string) (*query, bool) {
	_ = c.rc.SetReadDeadline(time.Time{})              // that of the request, which is read; it would end the connection meanwhile
	if !c.srv.rates.Take(c.id.Account(), time.Now()) { // each costs a look at the token and a subscription
		c.w.Header().Set("Retry-After", "1")
		c.srv.refuse(c.w, c.r, c.id, problem{http.StatusTooManyRequests, "rate", "too many requests of this subject a second: wait longer in between, or use wait or a stream"})
		return nil, false
	}
	q, no := parse(c.r, known)
	if no == nil {
		no = c.may(q)
	}
	if no != nil {
		c.srv.refuse(c.w, c.r, c.id, *no)
		return nil, false
	}
	c.lift()
	return q, true
}

// may says why the token does not allow the query, or nil.
func (c *client) may(q *query) *problem {
	actions := []auth.Action{auth.Live}
	if q.snapshot {
		actions = append(actions, auth.Snapshot)
	}
	for _, action := range actions {
		if err := c.id.May(action, q.filter); errors.Is(err, auth.ErrForbidden) {
			c.srv.m.Denied.WithLabelValues(action.String()).Inc()
			return &problem{http.StatusForbidden, "forbidden", "the token does not cover this filter (" + action.String() + ")"}
		} else if err != nil {
			return invalid("filter", "%v", err)
		}
	}
	return nil
}

func invalid(name, format string, args ...any) *problem {
	return &problem{http.StatusBadRequest, name, "parameter " + name + ": " + fmt.Sprintf(format, args...)}
}

// parse reads the parameters of a request.
func parse(r *http.Request, known []string) (*query, *problem) {
	if r.ContentLength != 0 || len(r.TransferEncoding) > 0 {
		return nil, &problem{http.StatusBadRequest, "body", "this request takes no body: leave it out"}
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, &problem{http.StatusBadRequest, "query", "the query is malformed: join name=value by &, with % before two hexadecimal digits for what is special (RFC 3986)"}
	}
	for name, given := range values {
		if !slices.Contains(known, name) {
			return nil, &problem{http.StatusBadRequest, "query", fmt.Sprintf("unknown parameter %.40q: known are %s", name, strings.Join(known, ", "))}
		}
		if len(given) > 1 {
			return nil, invalid(name, "is given %d times: give it once", len(given))
		}
	}
	q := &query{limit: defaultLimit, filter: values.Get("filter")}
	if q.filter == "" {
		return nil, invalid("filter", "is missing: give an MQTT topic filter, with + as %%2B and # as %%23")
	}
	if n := 1 + strings.Count(q.filter, "/"); n > maxLevels {
		return nil, invalid("filter", "has %d levels: at most %d are taken", n, maxLevels)
	}
	if no := q.read(values); no != nil {
		return nil, no
	}
	at := values.Get("since")
	if last := r.Header.Get("Last-Event-ID"); last != "" && !slices.Contains(known, "limit") {
		at = last // of a stream that comes back to its first URL
	}
	q.since, q.resumes = cursor(at), at != ""
	return q, nil
}

// read reads what is not text.
func (q *query) read(values url.Values) *problem {
	if text := values.Get("snapshot"); text != "" {
		if text != "true" && text != "false" {
			return invalid("snapshot", "%.40q: want true or false", text)
		}
		q.snapshot = text == "true"
	}
	if text := values.Get("wait"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 || d > maxWait {
			return invalid("wait", "%.40q: want a time from 0s to %s with its unit, as 25s", text, maxWait)
		}
		q.wait = d
	}
	if text := values.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxLimit {
			return invalid("limit", "%.40q: want a whole number from 1 to %d", text, maxLimit)
		}
		q.limit = n
	}
	return nil
}

// cursor reads epoch:offset. A broken one is none: the answer then says that nothing was recovered, never a guess.
func cursor(text string) *journal.Cursor {
	epoch, number, ok := strings.Cut(text, ":")
	offset, err := strconv.ParseUint(number, 10, 64)
	if !ok || epoch == "" || err != nil || offset > 1<<53 || strconv.FormatUint(offset, 10) != number {
		return nil
	}
	return &journal.Cursor{Epoch: epoch, Offset: offset}
}

// eventID spells a cursor as cursor reads it.
func eventID(epoch string, offset uint64) string {
	return epoch + ":" + strconv.FormatUint(offset, 10)
}
