// Package scpi asks instruments that speak SCPI over a line of text: power
// supplies, meters, loads (SCPI-99, volume 1; IEEE 488.2). An Instrument says
// what to ask; a Twin is an instrument that answers.
//
// Answers carry no mark of what they answer. One that comes too late is told
// from the next only by time: after an answer that did not come the line is
// listened to for as long again before the next question.
package scpi

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"plumbline/devices"
	"plumbline/devices/polled"
)

// Query is one question and the name of its answer.
type Query struct {
	Name string // of the value; several numbers in one answer become "name.0", "name.1" …
	Unit string // UCUM symbol; optional
	Ask  string // for example "MEAS:VOLT?"
}

// Instrument says what to ask.
type Instrument struct {
	Label   string   // for reports; "" = "scpi"
	Start   []string // commands sent once, before the first question; none may ask
	Queries []Query
	// CheckErrors asks SYSTem:ERRor? after each round and counts what the
	// instrument complains about as readings that did not come.
	CheckErrors bool
	Period      time.Duration // 0 = 1 s
	Timeout     time.Duration // 0 = 500 ms
}

// ErrInstrument is what the errors of Check wrap.
var ErrInstrument = errors.New("scpi: instrument")

// Check says what is wrong: which key, why, what would be right.
func (i Instrument) Check() (key string, err error) {
	wrong := func(key, format string, args ...any) (string, error) {
		return key, fmt.Errorf("%w: %s", ErrInstrument, fmt.Sprintf(format, args...))
	}
	switch {
	case len(i.Queries) == 0 || len(i.Queries) > maxQueries:
		return wrong("queries", "needs 1 to %d questions", maxQueries)
	case i.Period < 0 || i.Period > time.Hour || i.Timeout < 0 || i.Timeout > time.Minute:
		return wrong("period", "a period up to 1h and a timeout up to 1m are possible")
	}
	seen, asked := map[string]bool{}, map[string]string{}
	if i.CheckErrors {
		asked[askErrors] = "checkErrors"
	}
	for n, q := range i.Queries {
		switch {
		case q.Name == "" || len(q.Name) > 256 || seen[q.Name]:
			return wrong("queries", "question %d: name %q is missing, too long or there already", n+1, q.Name)
		case !isLine(q.Ask) || !strings.Contains(q.Ask, "?"):
			return wrong("queries", "question %d: %q asks nothing; a question has a ?, as in \"MEAS:VOLT?\"", n+1, q.Ask)
		}
		if first, twice := asked[strings.ToUpper(q.Ask)]; twice {
			return wrong("queries", "question %d: %q is asked as %q already; an answer can have one name", n+1, q.Ask, first)
		}
		seen[q.Name], asked[strings.ToUpper(q.Ask)] = true, q.Name
	}
	for n, command := range i.Start {
		if !isLine(command) || strings.Contains(command, "?") {
			return wrong("start", "command %d: %q must be one line without a question", n+1, command)
		}
	}
	return "", nil
}

const maxQueries = 256

// askErrors asks for the oldest error (SCPI-99, 21.8.8).
const askErrors = "SYST:ERR?"

func isLine(s string) bool {
	return s != "" && len(s) <= 1024 && !strings.ContainsAny(s, "\r\n\x00")
}

// Options returns how the instrument wants to be polled.
func (i Instrument) Options() polled.Options {
	return polled.Options{Period: i.Period, Timeout: i.Timeout, Turnaround: 10 * time.Millisecond}
}

// Client asks an Instrument. It implements polled.Protocol.
type Client struct {
	name         string
	start, round []polled.Request
	queries      []Query // parallel to round; one more request asks for errors
}

var _ polled.Protocol = (*Client)(nil)

// NewClient returns the client of an instrument that Check accepts.
func NewClient(i Instrument) (*Client, error) {
	if _, err := i.Check(); err != nil {
		return nil, err
	}
	c := &Client{name: i.Label, queries: i.Queries}
	if c.name == "" {
		c.name = "scpi"
	}
	for _, command := range i.Start {
		c.start = append(c.start, polled.Request{Name: command, Bytes: []byte(command + "\n"), Silent: true})
	}
	for _, q := range i.Queries {
		c.round = append(c.round, polled.Request{Name: q.Ask, Bytes: []byte(q.Ask + "\n")})
	}
	if i.CheckErrors {
		c.round = append(c.round, polled.Request{Name: askErrors, Bytes: []byte(askErrors + "\n")})
	}
	return c, nil
}

// Name implements polled.Protocol.
func (c *Client) Name() string { return c.name }

// Start implements polled.Protocol.
func (c *Client) Start() []polled.Request { return c.start }

// Round implements polled.Protocol.
func (c *Client) Round() []polled.Request { return c.round }

// Answer implements polled.Protocol: an answer is one line.
func (c *Client) Answer(r polled.Request, p []byte, quiet bool) polled.Answer {
	end := bytes.IndexByte(p, '\n')
	if end < 0 {
		return polled.Answer{} // more; cut, when the line has fallen silent
	}
	line := strings.TrimSpace(string(p[:end]))
	answer := polled.Answer{Verdict: polled.Damaged, Used: end + 1}
	switch {
	case line == "":
		answer.Reason = "an empty answer"
	case strings.HasPrefix(line, "#"):
		answer.Reason = "a block of binary data, which is not read"
	case strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }):
		answer.Reason = "an answer with bytes that are no text: noise, or another baud rate or parity"
	default:
		return c.read(r, line, answer)
	}
	return answer
}

// read reads an answer that is text.
func (c *Client) read(r polled.Request, line string, answer polled.Answer) polled.Answer {
	for i, q := range c.queries {
		if c.round[i].Name != r.Name {
			continue
		}
		values, reason := q.values(line)
		if answer.Reason = reason; reason == "" {
			answer.Verdict, answer.Values = polled.Good, values
		}
		return answer
	}
	code, text, _ := strings.Cut(line, ",")
	n, err := strconv.Atoi(code)
	switch {
	case err != nil:
		answer.Reason = fmt.Sprintf("%q is no number of an error", code)
	case n != 0:
		answer.Verdict, answer.Reason = polled.Refused, fmt.Sprintf("the instrument reports error %d, %s", n, strings.Trim(text, `"`))
	default:
		answer.Verdict = polled.Done
	}
	return answer
}

// values reads numbers apart by commas (IEEE 488.2, 8.7.2 to 8.7.4), or a text.
// What stands for "not a number" and "infinity" (SCPI-99, 7.2.1.4 and 7.2.1.5)
// is left out.
func (q Query) values(line string) ([]devices.Value, string) {
	fields := strings.Split(line, ",")
	if len(fields) > maxQueries {
		return nil, fmt.Sprintf("more than %d numbers", maxQueries)
	}
	values := make([]devices.Value, 0, len(fields))
	for i, field := range fields {
		field = strings.TrimSpace(field)
		n, err := strconv.ParseFloat(field, 64)
		if err != nil || strings.Trim(field, "+-.0123456789eE") != "" {
			return []devices.Value{{Name: q.Name, Text: strings.Trim(line, `"`), IsText: true}}, ""
		}
		name := q.Name
		if len(fields) > 1 {
			name += "." + strconv.Itoa(i)
		}
		if math.Abs(n) < 9.9e37 {
			values = append(values, devices.Value{Name: name, Unit: q.Unit, Number: n})
		}
	}
	return values, ""
}
