package harness

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"slices"
	"time"

	"plumbline/harness/agent"
	"plumbline/harness/browser"
	"plumbline/harness/record"
)

var _ Viewer = (*browser.Page)(nil)

// PagePlan says what a page is opened for.
type PagePlan struct {
	Name    string // of the viewer that it is; its folder
	Subject string // of its token; "" means Name
	TTL     time.Duration
	Frames  bool // stamp frames, too
	Floor   bool // measure first what harness and browser add themselves
}

// pageLimit bounds how long the page of a system may take to load, and to show the
// first message that is published then.
const pageLimit = 30 * time.Second

// ErrDark says that the page of a system that is there cannot be opened, lets nobody in
// or shows nothing of what is published.
var ErrDark = errors.New("the page of the system under test shows nothing")

// ErrMute is ErrDark of a page that was opened and asked for connections: nothing comes
// over them. It is there, and what is published it is infinitely late with.
var ErrMute = errors.New("nothing that is published comes to it")

// dark marks what kept a page from showing something, unless the system is gone.
func (b *Bench) dark(ctx context.Context, name string, err error) error {
	if err == nil || ctx.Err() != nil || b.SUT.Err() != nil {
		return b.blame(err)
	}
	return fmt.Errorf("harness: page %q: %w: %w", name, ErrDark, err)
}

// OpenPage opens the page of the system under test in a browser, signed in as its
// descriptor says, and publishes until it has shown something: from then on it is live.
// It belongs to the bench like any viewer. Errors wrap browser.ErrNone when there is
// no browser, and ErrDark when the page lets nobody in or shows nothing; with ErrMute the
// page is returned all the same, and counts as live.
func (b *Bench) OpenPage(ctx context.Context, plan PagePlan) (*browser.Page, error) {
	of := b.SUT.Viewer().Page
	if of.URL == "" && !of.Ours {
		return nil, fmt.Errorf("harness: page %q: the descriptor names no page (viewer.page)", plan.Name)
	}
	if err := b.startBrowser(ctx); err != nil {
		return nil, err
	}
	if of.Ours && b.ours == nil {
		var err error
		if b.ours, err = openOwn(ctx, b.SUT.Origin()); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBench, err)
		}
	}
	cfg := browser.Config{
		Name: plan.Name, Filters: b.plan.Filters, Frames: plan.Frames, Dir: filepath.Join(b.dir, plan.Name), Clock: b.Clock, Run: b.run, Log: b.log,
	}
	var err error
	if plan.Floor {
		if cfg.Floor, err = b.browser.MeasureFloor(ctx, b.Clock); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBench, err)
		}
	}
	limited, cancel := context.WithTimeoutCause(ctx, pageLimit, fmt.Errorf("not within %v", pageLimit))
	defer cancel()
	if cfg.URL, cfg.Cookies, err = b.signIn(limited, plan); err != nil {
		return nil, b.dark(ctx, plan.Name, err)
	}
	p, err := b.browser.Open(limited, cfg)
	if err != nil {
		return nil, b.dark(ctx, plan.Name, err)
	}
	b.pages = append(b.pages, plan.Name)
	b.Viewers = append(b.Viewers, p)
	b.before = append(b.before, accepted{})
	err = b.enliven(ctx, p)
	if err != nil && !errors.Is(err, ErrMute) {
		return nil, b.dark(ctx, plan.Name, err)
	}
	if settled := b.Settle(ctx, p); settled != nil {
		return nil, settled
	}
	return p, b.dark(ctx, plan.Name, err)
}

// startBrowser starts the browser of the bench, once.
func (b *Bench) startBrowser(ctx context.Context) error {
	if b.browser != nil {
		return nil
	}
	var pins []string
	for _, address := range []string{b.SUT.ViewerURL(), b.SUT.Viewer().Page.URL} {
		u, err := url.Parse(address)
		if err != nil || (u.Scheme != "https" && u.Scheme != "wss") {
			continue // nothing to trust
		}
		host, err := hostOf(u)
		if err != nil {
			return err
		}
		found, err := browser.Pins(ctx, host, b.SUT.PageTLS())
		if err != nil {
			return b.unreachable(ctx, err)
		}
		pins = append(pins, found...)
	}
	u, err := url.Parse(b.SUT.Viewer().Page.URL)
	if err != nil {
		return fmt.Errorf("harness: address of the page: %w", err)
	}
	if agent.IsLoopback(u.Hostname()) { // elsewhere nobody could reach it
		if b.foreign, err = openForeign(u); err != nil {
			return fmt.Errorf("%w: %w", ErrBench, err)
		}
		if b.foreign.pin != "" {
			pins = append(pins, b.foreign.pin)
		}
	}
	via, err := b.startPageProxies()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBench, err)
	}
	b.browser, err = browser.Start(ctx, browser.Options{Trust: pins, Via: via, Log: b.log})
	return err
}

// enliven publishes until the page has shown a message. One that shows none is told of
// by what stands on it.
func (b *Bench) enliven(ctx context.Context, p *browser.Page) error {
	if p.Counters().Received > 0 {
		return nil
	}
	return b.Drive(ctx, 0, func(ctx context.Context) error {
		limited, cancel := context.WithTimeoutCause(ctx, pageLimit, fmt.Errorf("nothing within %v", pageLimit))
		defer cancel()
		err := p.WaitReceived(limited, 1)
		if err == nil || ctx.Err() != nil {
			return err
		}
		asking, done := context.WithTimeout(ctx, time.Second)
		defer done()
		text, _ := p.Text(asking, "document.title + ': ' + document.body.innerText.slice(0, 20000)")
		err = fmt.Errorf("%w; the page says %q", err, b.excerpt(text))
		if asked := p.Connections(); asked > 0 && p.MarkLive(asking) == nil {
			return fmt.Errorf("%w (it asked for %d connections and requests): %w", ErrMute, asked, err)
		}
		return fmt.Errorf("%w; it asked for no connection on its main thread, and others are not seen", err)
	})
}

// Settle waits until everything on its way has reached the page, and lets it be waited
// for from here on only: what came before it was live is nobody's loss.
func (b *Bench) Settle(ctx context.Context, p *browser.Page) error {
	limited, cancel := context.WithTimeoutCause(ctx, pageLimit, fmt.Errorf("not idle within %v", pageLimit))
	defer cancel()
	if err := b.Generator.WaitAcked(limited); err != nil {
		return b.blame(err)
	}
	if err := p.WaitIdle(limited, 200*time.Millisecond); err != nil {
		return b.blame(err)
	}
	p.Rebase()
	for i, v := range b.Viewers {
		if v == Viewer(p) {
			b.before[i] = b.accepted(ctx)
		}
	}
	return p.Measure(ctx)
}

// closeBrowser ends the browser, when the pages have been closed.
func (b *Bench) closeBrowser() error {
	if b.browser == nil {
		return errors.Join(b.foreign.close(), b.ours.close())
	}
	return errors.Join(b.browser.Close(), b.foreign.close(), b.ours.close())
}

// Page reads what a page of the bench left beside its recording.
func (r *Recorded) Page(name string) (browser.Evidence, error) {
	if !slices.Contains(r.Pages, name) {
		return browser.Evidence{}, fmt.Errorf("harness: bench %q had no page %q", r.folder, name)
	}
	return browser.ReadEvidence(filepath.Join(r.dir, name))
}

// loadPages adds what pages recorded to the recording of their bench.
func loadPages(dir string, pages []string, log *record.Log) error {
	for _, name := range pages {
		if _, err := browser.Load(filepath.Join(dir, name), log); err != nil {
			return clockFault(name, err)
		}
	}
	return nil
}

// Pages describes the pages that took part in a run, for the report: one line for each
// bench and page, by its folder. What cannot be read is said in place of it.
func Pages(runDir string) (map[string]string, error) {
	files, err := filepath.Glob(filepath.Join(runDir, RecordsFolder, "*", "*", browser.EvidenceFile))
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, file := range files {
		dir := filepath.Dir(file)
		all[filepath.Base(filepath.Dir(dir))+"_"+filepath.Base(dir)] = describePage(dir)
	}
	return all, nil
}

func describePage(dir string) string {
	e, err := browser.ReadEvidence(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "left no evidence"
	}
	if err != nil {
		return "left no evidence: " + err.Error()
	}
	text := e.Browser + ", crossOriginIsolated, clock in steps of 5 µs"
	if !e.Isolated {
		text = fmt.Sprintf("%s, NOT crossOriginIsolated (the page lacks COOP and COEP): clock in steps of %v", e.Browser, e.Step)
	}
	text += fmt.Sprintf("; main thread: instrument %.1f %%, all tasks %.0f %%", 100*e.Instrument, 100*e.Tasks)
	if f := e.Floor; f != nil {
		text += fmt.Sprintf("; harness floor (message to page, to frame): p50 %v, %v, p99 %v, %v, n %d",
			round(f.Seen50), round(f.Framed50), round(f.Seen99), round(f.Framed99), f.N)
	}
	if e.Lost != "" {
		return text + ": " + e.Lost
	}
	log := &record.Log{}
	m, err := browser.Load(dir, log)
	if err != nil {
		return text + ": " + err.Error()
	}
	a, u := m.Account(), time.Duration(0)
	for _, n := range log.Index.Nodes {
		u = max(u, n.Uncertainty)
	}
	return text + fmt.Sprintf("; clock mapped by %d exchanges, least round trip %v, drift %+.1f to %+.1f ppm, uncertainty ±%v",
		a.Exchanges, round(a.RoundTrip), a.Low*1e6, a.High*1e6, round(u))
}

func round(d time.Duration) time.Duration { return d.Round(time.Microsecond) }
