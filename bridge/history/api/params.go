package api

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"plumbline/bridge/history"
	"plumbline/bridge/topic"
)

// kind is how a parameter is read.
type kind int

const (
	filterParam kind = iota
	topicParam
	textParam // a field or a unit
	timeParam
	stepParam
	countParam
	choiceParam
	choicesParam // several, separated by commas
	pageParam
)

// param describes one parameter of a route.
type param struct {
	name     string
	kind     kind
	required bool
	def      string   // when left out
	choices  []string // of choiceParam and choicesParam
}

// The parameters that several routes have.
var (
	formatParam = param{name: "format", kind: choiceParam, def: "json", choices: []string{"json", "csv"}}
	limitParam  = param{name: "limit", kind: countParam, def: "1000"}
	orderParam  = param{name: "order", kind: choiceParam, def: "asc", choices: []string{"asc", "desc"}}
	nextParam   = param{name: "page", kind: pageParam}
	seriesParam = []param{{name: "topic", kind: topicParam, required: true}, {name: "field", kind: textParam, def: "value"}, {name: "unit", kind: textParam}}
	spanParam   = []param{{name: "from", kind: timeParam, required: true}, {name: "to", kind: timeParam, required: true}}
)

// params are the parameters of a request, read and checked.
type params struct {
	text   map[string]string
	has    map[string]bool
	count  map[string]int
	time   map[string]time.Time
	step   time.Duration
	chosen map[string][]string
}

// maxQuery bounds the text of all parameters.
const maxQuery = 8 << 10

// parse reads the query of the request. What is unknown, given twice or malformed is refused by name.
func (q *request) parse(rt *route) error {
	if len(q.URL.RawQuery) > maxQuery {
		return &problem{status: 414, detail: fmt.Sprintf("the query is longer than %d bytes", maxQuery)}
	}
	given, err := url.ParseQuery(q.URL.RawQuery)
	if err != nil {
		return bad("", "the query is malformed: separate parameters by &, and escape what has a meaning in URLs")
	}
	names := make([]string, 0, len(rt.params))
	for _, p := range rt.params {
		names = append(names, p.name)
	}
	for name, values := range given {
		switch {
		case !slices.Contains(names, name):
			return bad(shorten(name), "this parameter is not known here: known are "+strings.Join(names, ", "))
		case len(values) > 1:
			return bad(name, "this parameter is given twice: give it once")
		}
	}
	q.p = params{text: map[string]string{}, has: map[string]bool{}, count: map[string]int{}, time: map[string]time.Time{}, chosen: map[string][]string{}}
	for _, p := range rt.params {
		text, ok := given.Get(p.name), given.Has(p.name)
		if !ok && p.required {
			return bad(p.name, "this parameter is needed")
		}
		if !ok {
			text = p.def
		}
		q.p.has[p.name] = ok
		if err := q.read(p, text, ok); err != nil {
			return err
		}
	}
	if from, ok := q.p.time["from"]; ok && !q.p.time["to"].After(from) {
		return bad("to", "must be after from")
	}
	return q.openPage(rt)
}

// shorten keeps a stranger's text in an answer short.
func shorten(s string) string {
	if len(s) > 64 {
		s = s[:64]
	}
	return strings.ToValidUTF8(s, "�")
}

// read reads one parameter.
func (q *request) read(p param, text string, given bool) error {
	q.p.text[p.name] = text
	switch p.kind {
	case filterParam:
		if err := topic.ValidFilter(text); err != nil {
			return bad(p.name, "is no MQTT filter: "+err.Error())
		}
	case topicParam:
		if err := topic.ValidName(text); err != nil {
			return bad(p.name, "is no MQTT topic: "+err.Error())
		}
	case textParam:
		if given && text != "" && !history.ValidText(text) {
			return bad(p.name, fmt.Sprintf("want at most %d bytes of UTF-8 without control characters", history.MaxFieldBytes))
		}
	case countParam:
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > q.h.o.MaxPoints || text[0] == '+' {
			return bad(p.name, fmt.Sprintf("want a whole number from 1 to %d", q.h.o.MaxPoints))
		}
		q.p.count[p.name] = n
	case timeParam:
		at, err := q.readTime(text)
		if err != nil {
			return bad(p.name, err.Error())
		}
		q.p.time[p.name] = at
	case stepParam:
		d, err := readStep(text)
		if err != nil {
			return bad(p.name, err.Error())
		}
		q.p.step = d
	case choiceParam, choicesParam:
		return q.choose(p, text)
	}
	return nil
}

func (q *request) choose(p param, text string) error {
	items := []string{text}
	if p.kind == choicesParam {
		items = strings.Split(text, ",")
	}
	for i, item := range items {
		if !slices.Contains(p.choices, item) {
			return bad(p.name, "want one of "+strings.Join(p.choices, ", "))
		}
		if slices.Contains(items[:i], item) {
			return bad(p.name, "names one twice")
		}
	}
	q.p.chosen[p.name] = items
	return nil
}

// lastSecond ends the year 9999, the last that RFC 3339 can name.
const lastSecond = 253402300799

// readTime reads RFC 3339, whole milliseconds since 1970, or now.
func (q *request) readTime(text string) (time.Time, error) {
	if text == "now" {
		return q.h.o.Now().UTC().Truncate(time.Microsecond), nil
	}
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil && text[0] != '+' {
		if ms < 0 || ms > lastSecond*1000 {
			return time.Time{}, fmt.Errorf("milliseconds since 1970 go from 0 to %d", int64(lastSecond*1000))
		}
		return time.UnixMilli(ms).UTC(), nil
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || at.Unix() < 0 || at.Unix() > lastSecond {
		return time.Time{}, fmt.Errorf("want RFC 3339 such as 2026-03-04T12:00:00Z (write + as %%2B), milliseconds since 1970, or now")
	}
	return at.UTC().Truncate(time.Microsecond), nil
}

// The bounds of a step.
const (
	minStep = time.Millisecond
	maxStep = 366 * 24 * time.Hour
)

// readStep reads a time span such as 10s, 5m, 1h or 7d.
func readStep(text string) (time.Duration, error) {
	days, isDays := strings.CutSuffix(text, "d")
	d, err := time.ParseDuration(text)
	if isDays {
		var n int
		n, err = strconv.Atoi(days)
		d = time.Duration(min(max(n, 0), 1000)) * 24 * time.Hour
	}
	if err != nil || d < minStep || d > maxStep || d%minStep != 0 {
		return 0, fmt.Errorf("want a time span from 1ms to 366d in whole milliseconds, such as 10s, 5m, 1h or 7d")
	}
	return d, nil
}
