package console

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"plumbline/reports"
	"plumbline/reports/events"
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
// goroutine and never wait for whoever reads: one goroutine writes. Errors of the
// writer are kept and returned by Close: a closed pipe must not stop a measurement.
type Progress struct {
	out   io.Writer
	style Style
	now   func() time.Time

	mu      sync.Mutex
	total   int
	done    int
	state   events.State
	leaving bool
	lines   []string // not yet written
	closed  bool
	err     error

	wake chan struct{}
	idle chan struct{} // closed when the goroutine has ended
}

// refresh is how often the block is redrawn: often enough to look alive, seldom
// enough to cost the measurement nothing.
const refresh = 250 * time.Millisecond

// NewProgress starts showing to out; now is the clock of elapsed times. The
// caller must Close it.
func NewProgress(out io.Writer, style Style, now func() time.Time) *Progress {
	p := &Progress{out: out, style: style, now: now, wake: make(chan struct{}, 1), idle: make(chan struct{})}
	go p.loop()
	return p
}

// loop is the goroutine that writes.
func (p *Progress) loop() {
	defer close(p.idle)
	var tick <-chan time.Time
	var window *terminal
	var signals <-chan os.Signal
	if p.style.Live {
		t := time.NewTicker(refresh)
		defer t.Stop()
		window = watchTerminal(p.out)
		defer window.close()
		tick, signals = t.C, window.signals()
	}
	s := &screen{style: p.style}
	for p.turn(s, window) {
		select {
		case <-p.wake:
		case <-tick:
		case sig := <-signals:
			if resumed(sig) { // the shell wrote to the terminal meanwhile
				s.forget()
			}
		}
	}
}

// turn writes what is new; false says that there will be no more.
func (p *Progress) turn(s *screen, window *terminal) bool {
	foreground := p.style.Live && window.foreground()
	width, height := window.size(p.style)
	p.mu.Lock()
	lines, closed, failed := p.lines, p.closed, p.err != nil
	p.lines = nil
	var block []row
	if foreground && !closed {
		block = frame(view{state: &p.state, width: width, height: height, now: p.now(), leaving: p.leaving})
	}
	p.mu.Unlock()
	if p.style.Live && !foreground {
		s.forget() // the terminal is another job's; nothing of it is erased
	}
	if text := s.compose(lines, block, width); text != "" && !failed {
		if _, err := io.WriteString(p.out, text); err != nil {
			p.mu.Lock()
			p.err = err
			p.mu.Unlock()
		}
	}
	return !closed
}

// Head prints the first line of the run.
func (p *Progress) Head(h Head) {
	modes := strings.Join(h.Modes, "+")
	if modes == "" {
		modes = "none"
	}
	amount := plural(h.Scenarios, "scenario")
	if h.Devices > 0 {
		amount += ", " + plural(h.Devices, "device")
	}
	p.mu.Lock()
	p.total = h.Scenarios
	p.mu.Unlock()
	p.print(fmt.Sprintf("%s %s  profile %s  mode %s  seed %d  (%s)", p.style.paint(bold, "plumbline:"),
		Clean(h.SUT), Clean(h.Profile), Clean(modes), h.Seed, amount))
}

// Apply takes an event of the run into the block. It prints no line.
func (p *Progress) Apply(e events.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state.Apply(e)
}

// Interrupted says in the block that the user wants the run to end.
func (p *Progress) Interrupted() {
	p.mu.Lock()
	p.leaving = true
	p.mu.Unlock()
	p.kick()
}

// Done prints a finished scenario and one line per requirement that it judged.
func (p *Progress) Done(scenario string, took time.Duration, results []reports.Result) {
	p.mu.Lock()
	p.done++
	count := fmt.Sprintf("[%*d/%d]", len(fmt.Sprint(p.total)), p.done, p.total)
	p.mu.Unlock()
	lines := []string{fmt.Sprintf("%s %s  %s", count, p.style.paint(bold, Clean(scenario)), p.style.paint(dim, span(took)))}
	judged := reports.Run{Results: results}
	for _, j := range judged.Judgements() {
		line := "  " + resultLine(p.style, *j.Deciding)
		if n := len(j.Superseded); n > 0 {
			line += p.style.paint(dim, fmt.Sprintf("  (after %s)", plural(n, "voided attempt")))
		}
		lines = append(lines, line)
	}
	if len(results) == 0 {
		lines = append(lines, fmt.Sprintf("  %s judged nothing", p.style.verdict(reports.NotRun)))
	}
	p.print(lines...)
}

// Note prints a line of its own, for example a warning, also when all else is
// quiet.
func (p *Progress) Note(text string) {
	p.mu.Lock()
	p.lines = append(p.lines, Clean(text))
	p.mu.Unlock()
	p.kick()
}

// print queues lines.
func (p *Progress) print(lines ...string) {
	if p.style.Quiet {
		return
	}
	p.mu.Lock()
	p.lines = append(p.lines, lines...)
	p.mu.Unlock()
	p.kick()
}

// kick lets the goroutine write.
func (p *Progress) kick() {
	select {
	case p.wake <- struct{}{}:
	default: // awake already
	}
}

// Close writes what waits, removes the block, ends the writing and returns the
// first error of the writer. It may be called again. It waits for whoever reads.
func (p *Progress) Close() error {
	p.end()
	<-p.idle
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Leave is Close for a program that is about to exit: it waits no longer than
// limit for a reader that stands still.
func (p *Progress) Leave(limit time.Duration) {
	p.end()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.idle:
	case <-timer.C:
	}
}

func (p *Progress) end() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.kick()
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

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
