package otlp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"plumbline/reports"
	"plumbline/reports/events"
)

var start = time.Date(2026, 11, 26, 16, 0, 0, 0, time.UTC)

func number[T any](v T) *T { return &v }

// course is a run in the middle of a scenario.
func course() []events.Event {
	return []events.Event{
		{Kind: events.RunBegan, Time: start, Total: 3, Left: number(90.0), Run: &events.Run{
			Format: events.Format, ID: "0badcafe", SUT: "bridged v1", Profile: "smoke",
			Scenarios: []events.Planned{{ID: "load", Requirements: []string{"DEL-01"}}, {ID: "steady", Requirements: []string{"LAT-01", "LAT-02"}}},
		}},
		{Kind: events.ScenarioBegan, Time: start, Scenario: "load", Index: 1, Total: 3},
		{Kind: events.ScenarioFinished, Time: start.Add(time.Second), Scenario: "load", Total: 3, Results: []events.Result{{Requirement: "DEL-01", Verdict: reports.Fail, Attempt: 1}}},
		{Kind: events.ScenarioBegan, Time: start.Add(2 * time.Second), Scenario: "steady", Index: 2, Total: 3},
		{Kind: events.FaultBegan, Time: start.Add(3 * time.Second), Scenario: "steady", Fault: &events.Fault{Name: "kill"}},
		{Kind: events.FiguresTaken, Time: start.Add(4 * time.Second), Scenario: "steady", Left: number(60.0), Figures: &events.Figures{
			P50: 1.5, P99: 12, N: 100, Window: 10, Began: start.Add(2500 * time.Millisecond), Sent: 1 << 60, Acked: 99, Received: 198, Viewers: 3, Connected: 2, Devices: 50,
			Limits: []reports.Limit{{Requirement: "LAT-01", Q: 0.5, Value: 20}},
		}},
	}
}

// collector is a receiver of OTLP/HTTP that takes nothing that the specification
// does not allow.
type collector struct {
	t      *testing.T
	answer func(w http.ResponseWriter)

	mu       sync.Mutex
	requests []request
	headers  []http.Header
	came     chan struct{}
}

func newCollector(t *testing.T) (*collector, *httptest.Server) {
	t.Helper()
	c := &collector{t: t, came: make(chan struct{}, 100), answer: func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"partialSuccess":{}}`)
	}}
	s := httptest.NewServer(c)
	t.Cleanup(s.Close)
	return c, s
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Errorf("read a request: %v", err)
	}
	if r.Method != http.MethodPost || r.URL.Path != "/v1/metrics" || r.Header.Get("Content-Type") != "application/json" {
		c.t.Errorf("%s %s with %q", r.Method, r.URL.Path, r.Header.Get("Content-Type"))
	}
	var got request
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&got); err != nil {
		c.t.Errorf("%s: %v", body, err)
	}
	for _, problem := range check(body) {
		c.t.Error(problem)
	}
	c.mu.Lock()
	c.requests, c.headers = append(c.requests, got), append(c.headers, r.Header.Clone())
	c.mu.Unlock()
	c.answer(w)
	select {
	case c.came <- struct{}{}:
	default:
	}
}

// all returns the requests that came and their headers.
func (c *collector) all() ([]request, []http.Header) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.requests), slices.Clone(c.headers)
}

// check looks at the JSON as such, by the proto files and their JSON mapping, apart
// from the types that wrote it.
func check(body []byte) (problems []string) {
	var doc any
	if err := json.Unmarshal(body, &doc); err != nil {
		return []string{err.Error()}
	}
	complain := func(path, what string) { problems = append(problems, path+" "+what) }
	members := map[string][]string{ // by the last name of the path
		"":                {"resourceMetrics"},
		"resourceMetrics": {"resource", "scopeMetrics", "schemaUrl"},
		"resource":        {"attributes", "droppedAttributesCount"},
		"scopeMetrics":    {"scope", "metrics", "schemaUrl"},
		"scope":           {"name", "version", "attributes", "droppedAttributesCount"},
		"metrics":         {"name", "description", "unit", "gauge", "sum", "histogram", "exponentialHistogram", "summary", "metadata"},
		"gauge":           {"dataPoints"},
		"sum":             {"dataPoints", "aggregationTemporality", "isMonotonic"},
		"dataPoints":      {"attributes", "startTimeUnixNano", "timeUnixNano", "asDouble", "asInt", "exemplars", "flags"},
		"attributes":      {"key", "value"},
		"value":           {"stringValue", "boolValue", "intValue", "doubleValue", "arrayValue", "kvlistValue", "bytesValue"},
	}
	var walk func(path, name string, v any)
	walk = func(path, name string, v any) {
		switch v := v.(type) {
		case []any:
			for i, e := range v {
				walk(fmt.Sprintf("%s[%d]", path, i), name, e)
			}
		case map[string]any:
			for k, e := range v {
				if !slices.Contains(members[name], k) {
					complain(path, "has no member "+k)
				}
				walk(path+"."+k, k, e)
			}
			if name == "dataPoints" && (v["asDouble"] == nil) == (v["asInt"] == nil) {
				complain(path, "needs one of asDouble and asInt")
			}
			if name == "metrics" && (v["gauge"] == nil) == (v["sum"] == nil) {
				complain(path, "needs one of gauge and sum")
			}
			if name == "sum" && v["aggregationTemporality"] != 2.0 {
				complain(path, "is not cumulative by number")
			}
		default:
			text, isText := v.(string)
			switch name {
			case "startTimeUnixNano", "timeUnixNano", "asInt":
				if n, err := strconv.ParseUint(text, 10, 63); !isText || err != nil || n == 0 && name != "asInt" {
					complain(path, fmt.Sprintf("is no 64-bit integer as a string: %v", v))
				}
			case "asDouble", "aggregationTemporality":
				if _, is := v.(float64); !is {
					complain(path, "is no number")
				}
			}
		}
	}
	walk("", "", doc)
	return problems
}

// flat returns every data point as one line.
func flat(r request) []string {
	var out []string
	for _, m := range r.ResourceMetrics[0].ScopeMetrics[0].Metrics {
		var points []dataPoint
		if m.Gauge != nil {
			points = m.Gauge.DataPoints
		} else {
			points = m.Sum.DataPoints
		}
		for _, p := range points {
			line := m.Name
			for _, a := range p.Attributes {
				line += " " + a.Key + "=" + a.Value.String
			}
			if p.Int != nil {
				line += " " + *p.Int + " since " + p.Start[:13]
			} else {
				line += " " + strconv.FormatFloat(*p.Double, 'g', -1, 64)
			}
			out = append(out, line+" "+m.Unit)
		}
	}
	return out
}

func endpoint(t *testing.T, address string) *Endpoint {
	t.Helper()
	e, err := Find(address, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestFiguresReachACollector(t *testing.T) {
	c, s := newCollector(t)
	e := endpoint(t, s.URL)
	e.Header = http.Header{"Authorization": {"Bearer x"}}
	x := Start(Options{Endpoint: e, Version: "v9", Every: time.Hour, Timeout: time.Minute, Warn: func(text string) { t.Error(text) }})
	for _, ev := range course() {
		x.Apply(ev)
	}
	x.Close()
	x.Close()
	requests, headers := c.all()
	if len(requests) != 1 || headers[0].Get("Authorization") != "Bearer x" || headers[0].Get("User-Agent") != "plumbline/v9" {
		t.Fatalf("%d requests, headers %v", len(requests), headers)
	}
	want := []string{
		"plumbline.scenarios state=done 1 {scenario}",
		"plumbline.scenarios state=left 2 {scenario}",
		"plumbline.run.time 4 s",
		"plumbline.run.left 60 s",
		"plumbline.faults 1 since 1795708800000 {fault}",
		"plumbline.requirements verdict=FAIL 1 {requirement}",
		"plumbline.latency scenario=steady quantile=0.5 0.0015 s",
		"plumbline.latency scenario=steady quantile=0.99 0.012 s",
		"plumbline.latency.limit scenario=steady requirement=LAT-01 quantile=0.5 0.02 s",
		"plumbline.messages scenario=steady way=sent 1152921504606846976 since 1795708802500 {message}",
		"plumbline.messages scenario=steady way=acknowledged 99 since 1795708802500 {message}",
		"plumbline.messages scenario=steady way=received 198 since 1795708802500 {message}",
		"plumbline.viewers scenario=steady state=connected 2 {viewer}",
		"plumbline.viewers scenario=steady state=away 1 {viewer}",
		"plumbline.devices scenario=steady 50 {device}",
		"plumbline.faults.active scenario=steady 1 {fault}",
	}
	if got := flat(requests[0]); !slices.Equal(got, want) {
		t.Errorf("sent\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	about := requests[0].ResourceMetrics[0].Resource.Attributes
	if !slices.Contains(about, attribute{"service.name", value{"plumbline"}}) || !slices.Contains(about, attribute{"service.instance.id", value{"0badcafe"}}) {
		t.Errorf("the resource is %v", about)
	}
}

func TestFiguresAreSentWhileTheRunGoesOn(t *testing.T) {
	c, s := newCollector(t)
	x := Start(Options{Endpoint: endpoint(t, s.URL), Every: time.Millisecond, Timeout: time.Minute, Warn: func(text string) { t.Error(text) }})
	defer x.Close()
	for _, ev := range course() {
		x.Apply(ev)
	}
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	for range 3 {
		select {
		case <-c.came:
		case <-limit.C:
			t.Fatal("waited a minute for three requests")
		}
	}
}

func TestTheEndOfARunIsSent(t *testing.T) {
	c, s := newCollector(t)
	x := Start(Options{Endpoint: endpoint(t, s.URL), Every: time.Hour, Timeout: time.Minute, Warn: func(text string) { t.Error(text) }})
	for _, ev := range append(course(), events.Event{Kind: events.RunEnded, Time: start.Add(time.Minute), Verdict: number(reports.Fail), Exit: number(1)}) {
		x.Apply(ev)
	}
	x.Close()
	requests, _ := c.all()
	if got := flat(requests[0]); !slices.Contains(got, "plumbline.run.exit verdict=FAIL 1 1") || strings.Contains(strings.Join(got, " "), "plumbline.latency") {
		t.Errorf("sent %v", got)
	}
	never := Start(Options{Endpoint: endpoint(t, s.URL), Every: time.Hour, Warn: func(text string) { t.Error(text) }})
	never.Close()
	if requests, _ = c.all(); len(requests) != 1 {
		t.Errorf("%d requests: a run that never began was told", len(requests))
	}
}

// TestACollectorThatIsNoHelpIsOneWarning tries several that do not take figures.
func TestACollectorThatIsNoHelpIsOneWarning(t *testing.T) {
	const gone = "http://127.0.0.1:1" // where nobody listens
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter)
		want   string
	}{
		"gone":    {nil, "connection refused"},
		"refuses": {func(w http.ResponseWriter) { w.WriteHeader(http.StatusUnauthorized) }, "it answers 401 Unauthorized"},
		"elsewhere": {func(w http.ResponseWriter) {
			w.Header().Set("Location", "http://192.0.2.1/")
			w.WriteHeader(http.StatusTemporaryRedirect)
		}, "it answers 307"},
		"rejects a part": {func(w http.ResponseWriter) {
			_, _ = io.WriteString(w, `{"partialSuccess":{"rejectedDataPoints":"3","errorMessage":"too old"}}`)
		}, "it rejects 3 figures: too old"},
	} {
		t.Run(name, func(t *testing.T) {
			address := gone
			if c.answer != nil {
				receiver, s := newCollector(t)
				receiver.answer, address = c.answer, s.URL
			}
			warned := make(chan string, 10)
			x := Start(Options{Endpoint: endpoint(t, address), Every: time.Millisecond, Timeout: time.Minute, Warn: func(text string) { warned <- text }})
			for _, ev := range course() {
				x.Apply(ev)
			}
			first := <-warned
			x.Close()
			if !strings.Contains(first, c.want) || !strings.Contains(first, "the run goes on") || strings.Contains(first, "127.0.0.1") && strings.Contains(first, "http://") {
				t.Errorf("warned %q, want %q", first, c.want)
			}
			if len(warned) > 0 {
				t.Errorf("warned again: %q", <-warned)
			}
		})
	}
}

// TestACollectorThatStandsStillHoldsUpNobody never answers.
func TestACollectorThatStandsStillHoldsUpNobody(t *testing.T) {
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer s.Close()
	defer close(release)
	var warned []string
	x := Start(Options{Endpoint: endpoint(t, s.URL), Every: time.Millisecond, Timeout: 10 * time.Millisecond, Warn: func(text string) { warned = append(warned, text) }})
	for range 1000 {
		for _, ev := range course() {
			x.Apply(ev)
		}
	}
	x.Close()
	if len(warned) != 1 {
		t.Errorf("warned %q", warned)
	}
}

func TestFind(t *testing.T) {
	for _, c := range []struct {
		flag string
		env  map[string]string
		url  string // "" for none
		err  string
	}{
		{"", nil, "", ""},
		{"http://127.0.0.1:4318", nil, "http://127.0.0.1:4318/v1/metrics", ""},
		{"http://localhost:4318/", nil, "http://localhost:4318/v1/metrics", ""},
		{"http://[::1]:4318/v1/metrics", nil, "http://[::1]:4318/v1/metrics", ""},
		{"https://collector.example/otlp", nil, "https://collector.example/otlp/v1/metrics", ""},
		{"http://collector.example:4318", nil, "http://collector.example:4318/v1/metrics", ""},
		{"http://collector.example:4318", map[string]string{variableHeaders: "authorization=Bearer%20secret"}, "", "not encrypted"},
		{"127.0.0.1:4318", nil, "", "no address"},
		{"grpc://127.0.0.1:4317", nil, "", "no address"},
		{"http://user:secret@127.0.0.1:4318", nil, "", "user name"},
		{"http://127.0.0.1:4318?token=secret", nil, "", "no address"},
		{"", map[string]string{variableAll: "http://127.0.0.1:4318"}, "http://127.0.0.1:4318/v1/metrics", ""},
		{"", map[string]string{variableMetrics: "http://127.0.0.1:9090/api/v1/otlp/v1/metrics", variableAll: "http://192.0.2.1"}, "http://127.0.0.1:9090/api/v1/otlp/v1/metrics", ""},
		{"", map[string]string{variableAll: "https://collector.example"}, "", "not on this machine"},
		{"", map[string]string{variableAll: "http://127.0.0.1:4318", variableOff: "TRUE"}, "", ""},
		{"", map[string]string{variableAll: "http://127.0.0.1:4318", variableHeaders: "secret"}, "", "name=value"},
		{"", map[string]string{variableAll: "http://127.0.0.1:4318", variableHeaders: "a=secret%0d%0ab"}, "", "name=value"},
	} {
		e, err := Find(c.flag, func(name string) string { return c.env[name] })
		got := ""
		if e != nil {
			got = e.URL
		}
		if got != c.url || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q, %v: %q, %v; want %q, %q", c.flag, c.env, got, err, c.url, c.err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") && !strings.Contains(err.Error(), "may hold a secret") {
			t.Errorf("the error tells a secret: %v", err)
		}
	}
	e, err := Find("https://collector.example", func(name string) string {
		return map[string]string{variableHeaders: "x-tenant=a%3Db, authorization=Bearer%20t", metricHeaders: "X-Tenant=c"}[name]
	})
	if err != nil || e.Header.Get("Authorization") != "Bearer t" || e.Header.Get("X-Tenant") != "c" {
		t.Errorf("headers %v, %v", e, err)
	}
}
