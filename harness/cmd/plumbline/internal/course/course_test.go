package course

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"plumbline/harness/spec"
	"plumbline/reports"
	"plumbline/reports/events"
)

var start = time.Date(2026, 11, 26, 16, 0, 0, 0, time.UTC)

// buffer is a file in memory.
type buffer struct {
	mu     sync.Mutex
	text   bytes.Buffer
	err    error
	closed int
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return 0, b.err
	}
	return b.text.Write(p)
}

func (b *buffer) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed++
	return nil
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// read decodes lines and checks each against the schema.
func read(t *testing.T, text string) []events.Event {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(events.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("event.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("event.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []events.Event
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(lines.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(doc); err != nil {
			t.Errorf("%s: %v", lines.Text(), err)
		}
		e, err := events.Decode(lines.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// folded is a listener that keeps the state.
type folded struct{ events.State }

// tellAll tells a small run as the engine does.
func tellAll(c *Course) {
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	c.Tell(spec.Event{Kind: spec.RunBegan, At: at(0), Total: 1, Left: 20 * time.Second, Plan: []events.Planned{
		{ID: "steady", Title: "t", Requirements: []string{"LAT-01"}, Expected: 20},
	}})
	c.Tell(spec.Event{Kind: spec.ScenarioBegan, At: at(1), Scenario: "steady", Title: "t", Index: 1, Total: 1})
	c.Tell(spec.Event{Kind: spec.StepBegan, At: at(2), Scenario: "steady", Title: "t", Step: "say " + strings.Repeat("much", 1000)})
	c.Tell(spec.Event{Kind: spec.FaultBegan, At: at(3), Scenario: "steady", Fault: &events.Fault{Name: "\x1b[2J"}})
	c.Tell(spec.Event{Kind: spec.FiguresTaken, At: at(4), Scenario: "steady", Figures: &events.Figures{Window: 10, N: 3}})
	c.Tell(spec.Event{Kind: spec.ScenarioFinished, At: at(5), Scenario: "steady", Title: "t", Index: 1, Total: 1, Verdict: reports.Fail, Elapsed: 4 * time.Second, Results: []reports.Result{
		{Requirement: "LAT-01", Verdict: reports.Fail, Attempt: 1},
	}})
}

func TestTheCourseIsWrittenAndToldAlike(t *testing.T) {
	file, out := &buffer{}, &buffer{}
	c := New(events.Run{SUT: "bridged", Profile: "smoke", Seed: 7}, func() time.Time { return start.Add(time.Minute) })
	outlet := NewOutlet(out, func(text string) { t.Error(text) })
	l := &folded{}
	c.Keep(file)
	c.Send(outlet)
	c.Listen(l)
	c.Identify("0badcafe")
	tellAll(c)
	run := &reports.Run{Partial: "interrupted", Requirements: []reports.Requirement{{ID: "LAT-01"}}, Results: []reports.Result{{Requirement: "LAT-01", Verdict: reports.Fail}}}
	if err := c.End(run, 1); err != nil {
		t.Fatal(err)
	}
	c.Reported("out/report.html")
	outlet.Close()
	outlet.Close()
	kept, sent := read(t, file.String()), read(t, out.String())
	if len(kept) != 7 || kept[6].Kind != events.RunEnded || file.closed != 1 {
		t.Errorf("%d events kept, file closed %d times", len(kept), file.closed)
	}
	if len(sent) != 8 || sent[7].Kind != events.Reported || !strings.HasPrefix(out.String(), file.String()) {
		t.Errorf("%d events sent:\n%s", len(sent), out.String())
	}
	for i, e := range sent {
		if e.Seq != uint64(i+1) || i < 6 && e.Elapsed != float64(i) {
			t.Errorf("event %d has number %d, %v s after the beginning", i, e.Seq, e.Elapsed)
		}
	}
	if r := kept[0].Run; r.ID != "0badcafe" || r.Expected != 20 || r.Format != events.Format || r.Seed != 7 {
		t.Errorf("the run is %+v", r)
	}
	if e := kept[6]; *e.Verdict != reports.Fail || *e.Exit != 1 || e.Partial != "interrupted" || e.Counts["FAIL"] != 1 {
		t.Errorf("ended as %+v", e)
	}
	if len(kept[2].Step) > 600 || kept[5].Took != 4 {
		t.Errorf("step of %d bytes, took %v s", len(kept[2].Step), kept[5].Took)
	}
	if strings.Contains(file.String(), "\x1b") {
		t.Error("a control sequence in the file")
	}
	if l.Done != 1 || l.Report == "" || l.Families[0].Worst != reports.Fail {
		t.Errorf("the listener knows %+v", l.State)
	}
}

func TestAFullDiskIsToldOnceAtTheEnd(t *testing.T) {
	full := errors.New("no space left")
	c := New(events.Run{}, time.Now)
	c.Keep(&buffer{err: full})
	tellAll(c)
	if err := c.End(nil, 0); !errors.Is(err, full) {
		t.Errorf("End = %v", err)
	}
}

// TestAReaderThatStandsStillHoldsUpNobody fills a pipe that nobody reads, reads it
// to the end afterwards and accounts for every event.
func TestAReaderThatStandsStillHoldsUpNobody(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c := New(events.Run{}, time.Now)
	outlet := NewOutlet(w, func(text string) { t.Error(text) })
	outlet.limit = time.Minute // the reader is only slow
	c.Send(outlet)
	const told = 5000
	for range told {
		c.Tell(spec.Event{Kind: spec.StepBegan, At: start, Scenario: "a", Step: strings.Repeat("x", 400)})
	}
	var text bytes.Buffer
	read1 := make(chan error, 1)
	go func() {
		_, err := io.Copy(&text, r)
		read1 <- err
	}()
	c.Tell(spec.Event{Kind: spec.StepBegan, At: start, Scenario: "a", Step: "last"})
	outlet.Close()
	w.Close()
	if err := <-read1; err != nil {
		t.Fatal(err)
	}
	all := read(t, text.String())
	var seq, dropped uint64
	for _, e := range all {
		if e.Kind == events.Dropped {
			dropped += e.Dropped
			seq += e.Dropped
		} else {
			seq++
		}
		if e.Seq != seq {
			t.Fatalf("event number %d, %d were told up to it", e.Seq, seq)
		}
	}
	if seq != told+1 || dropped == 0 {
		t.Errorf("%d of %d events are accounted for, %d dropped", seq, told+1, dropped)
	}
}

func TestAReaderThatGoesAwayIsWarnedOfOnce(t *testing.T) {
	var warned []string
	outlet := NewOutlet(&buffer{err: io.ErrClosedPipe}, func(text string) { warned = append(warned, text) })
	c := New(events.Run{}, time.Now)
	c.Send(outlet)
	tellAll(c)
	outlet.Close()
	if len(warned) != 1 || !strings.Contains(warned[0], "the run goes on") {
		t.Errorf("warned %q", warned)
	}
}

func TestCloseLeavesAReaderThatNeverReads(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	outlet := NewOutlet(w, func(string) {})
	outlet.limit = time.Millisecond
	c := New(events.Run{}, time.Now)
	c.Send(outlet)
	for range 400 {
		c.Tell(spec.Event{Kind: spec.StepBegan, At: start, Scenario: "a", Step: strings.Repeat("x", 400)})
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	closed := make(chan struct{})
	go func() { outlet.Close(); close(closed) }()
	select {
	case <-closed:
	case <-ctx.Done():
		t.Fatal("waited a minute for Close")
	}
}
