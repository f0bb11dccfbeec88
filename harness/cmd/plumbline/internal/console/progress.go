package console

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"plumbline/reports"
)

// Head is what the first line of a run names.
type Head struct {
	SUT       string // name and version
	Profile   string
	Modes     []string // what the devices are: sim, replay, real
	Seed      uint64
	Scenarios int
	Devices   int // declared ones that take part; 0 leaves them out
}

// Progress shows a run while it goes on. Its methods may be called by any
// goroutine and do not block beyond one write. Errors of the writer are kept
// and returned by Close: a closed pipe must not stop a measurement.
type Progress struct {
	mu      sync.Mutex
	out     io.Writer
	style   Style
	now     func() time.Time
	total   int
	done    int
	running []running // scenarios under way, in order of start
	drawn   bool      // a status line stands at the cursor
	err     error

	stop chan struct{}
	idle chan struct{}
}

type running struct {
	name  string
	phase string
	since time.Time
}

// refresh is how often the status line is redrawn: often enough to look alive,
// seldom enough to cost the measurement nothing.
const refresh = 250 * time.Millisecond

// NewProgress starts showing to out; now is the clock of elapsed times. The
// caller must Close it.
func NewProgress(out io.Writer, style Style, now func() time.Time) *Progress {
	p := &Progress{out: out, style: style, now: now, stop: make(chan struct{}), idle: make(chan struct{})}
	go p.loop()
	return p
}

func (p *Progress) loop() {
	defer close(p.idle)
	if !p.style.Live {
		return
	}
	tick := time.NewTicker(refresh)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-tick.C:
			p.mu.Lock()
			p.draw()
			p.mu.Unlock()
		}
	}
}

// Head prints the first line of the run.
func (p *Progress) Head(h Head) {
	modes := strings.Join(h.Modes, "+")
	if modes == "" {
		modes = "none"
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total = h.Scenarios
	amount := plural(h.Scenarios, "scenario")
	if h.Devices > 0 {
		amount += ", " + plural(h.Devices, "device")
	}
	p.line(fmt.Sprintf("%s %s  profile %s  mode %s  seed %d  (%s)", p.style.paint(bold, "plumbline:"),
		Clean(h.SUT), Clean(h.Profile), Clean(modes), h.Seed, amount))
}

// Begin says that a scenario started.
func (p *Progress) Begin(scenario string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = append(p.running, running{name: scenario, since: p.now()})
	p.draw()
}

// Phase says what a scenario is doing; it is shown live only, because a log
// file gains nothing from it.
func (p *Progress) Phase(scenario, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.running {
		if p.running[i].name == scenario {
			p.running[i].phase = text
		}
	}
	p.draw()
}

// Done prints a finished scenario and one line per requirement that it judged.
func (p *Progress) Done(scenario string, took time.Duration, results []reports.Result) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.running {
		if p.running[i].name == scenario {
			p.running = append(p.running[:i], p.running[i+1:]...)
			break
		}
	}
	p.done++
	count := fmt.Sprintf("[%*d/%d]", len(fmt.Sprint(p.total)), p.done, p.total)
	p.line(fmt.Sprintf("%s %s  %s", count, p.style.paint(bold, Clean(scenario)), p.style.paint(dim, span(took))))
	judged := reports.Run{Results: results}
	for _, j := range judged.Judgements() {
		line := "  " + resultLine(p.style, *j.Deciding)
		if n := len(j.Superseded); n > 0 {
			line += p.style.paint(dim, fmt.Sprintf("  (after %s)", plural(n, "voided attempt")))
		}
		p.line(line)
	}
	if len(results) == 0 {
		p.line(fmt.Sprintf("  %s judged nothing", p.style.verdict(reports.NotRun)))
	}
	p.draw()
}

// Note prints a line of its own, for example a warning.
func (p *Progress) Note(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line(Clean(text))
	p.draw()
}

// Close removes the status line, ends the redrawing and returns the first
// error of the writer. It may be called again.
func (p *Progress) Close() error {
	p.mu.Lock()
	select {
	case <-p.stop:
	default:
		close(p.stop)
	}
	p.running = nil
	p.erase()
	err := p.err
	p.mu.Unlock()
	<-p.idle
	return err
}

// maxHeadline bounds a headline in columns: it is a figure against a limit, or
// the first words of an error that is repeated in full at the end.
const maxHeadline = 160

func resultLine(s Style, r reports.Result) string {
	head := First(r.Headline)
	if head == "" {
		head = First(r.Sentence)
	}
	head = fit(head, maxHeadline)
	if r.Reason != "" {
		head = "(" + string(r.Reason) + ") " + head
	}
	return strings.TrimRight(fmt.Sprintf("%s %-7s %s", s.verdict(r.Verdict), Clean(r.Requirement), head), " ")
}

// line prints text above the status line. The caller holds mu.
func (p *Progress) line(text string) {
	p.erase()
	p.write(text + "\n")
}

// draw replaces the status line. The caller holds mu.
func (p *Progress) draw() {
	if !p.style.Live || len(p.running) == 0 {
		return
	}
	r := p.running[0]
	text := fmt.Sprintf("%d/%d %s", p.done+1, p.total, Clean(r.name))
	if len(p.running) > 1 {
		text += fmt.Sprintf(" and %d more", len(p.running)-1)
	}
	if r.phase != "" {
		text += ": " + Clean(r.phase)
	}
	text = fit(text+"  "+span(p.now().Sub(r.since)), p.style.Width-1)
	p.write("\r\x1b[K" + p.style.paint(dim, text))
	p.drawn = true
}

func (p *Progress) erase() {
	if p.drawn {
		p.write("\r\x1b[K")
		p.drawn = false
	}
}

func (p *Progress) write(text string) {
	if p.err == nil {
		_, p.err = io.WriteString(p.out, text)
	}
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
