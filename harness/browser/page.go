package browser

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/css"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"plumbline/harness/clocks"
	"plumbline/harness/record"
)

//go:embed instrument.js
var instrument string

// binding is how the instrument reports.
const binding = "plumblineTell"

// Config configures a page. All but Cookies, Frames, Floor and Log is required.
type Config struct {
	Name    string // of the viewer that it is in the recording; its frames are the viewer "NAME frame"
	URL     string
	Cookies []*http.Cookie // the browser has when it opens the page
	Filters []string       // what the page is to show
	Frames  bool           // stamp frames, too
	Dir     string         // of its recording, which must not hold one
	Clock   *record.Clock  // of the harness
	Run     string         // run id of own payloads
	Floor   *Floor         // of this browser, for the evidence; nil where it was not measured
	Log     *slog.Logger   // nil discards
}

// FrameName returns the name of the viewer that stands for the frames of a page.
func FrameName(page string) string { return page + " frame" }

// Page is a page that is open in a tab of its own. Its methods may be called from
// any goroutine.
type Page struct {
	cfg      Config
	browser  *Browser
	log      *slog.Logger
	ctx      context.Context // of chromedp: the tab
	end      func()
	recorder *record.Recorder
	node     uint16
	frame    uint16
	tasks    sync.WaitGroup
	stop     context.CancelFunc // of the exchanges
	once     sync.Once
	closed   error

	mu        sync.Mutex // guards what follows
	state     state
	changed   chan struct{} // closed and renewed when something came
	exchanges []clocks.Exchange
	fault     error // of the instrument: nothing is recorded rightly any more
}

// Open opens a page in a new window of the browser and waits until it has loaded, at
// most as long as ctx. The page goes on until Close, whatever becomes of ctx.
func (b *Browser) Open(ctx context.Context, cfg Config) (*Page, error) {
	p := &Page{cfg: cfg, browser: b, log: cfg.Log, changed: make(chan struct{}), state: newState()}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if p.recorder, err = record.NewRecorder(cfg.Dir, cfg.Clock); err != nil {
		return nil, err
	}
	p.node = p.recorder.Node(record.Node{Name: cfg.Name, Role: "viewer", Filters: cfg.Filters})
	if cfg.Frames {
		p.frame = p.recorder.Node(record.Node{Name: FrameName(cfg.Name), Role: "viewer", Filters: cfg.Filters})
	}
	p.ctx, p.end = chromedp.NewContext(b.ctx)
	if err := p.open(ctx); err != nil {
		p.end()
		p.tasks.Wait()
		return nil, errors.Join(fmt.Errorf("browser: page %q: %w", cfg.Name, err), p.recorder.Close())
	}
	return p, nil
}

func (p *Page) open(ctx context.Context) error {
	target, err := p.attach(ctx)
	if err != nil {
		return err
	}
	reports := cdp.Events(p.ctx, target, runtime.BindingCalled)
	p.tasks.Go(func() {
		for said, err := range reports {
			if err != nil {
				return // the tab is gone
			}
			if said.Name == binding {
				p.took(said.Payload)
			}
		}
	})
	settings, err := json.Marshal(map[string]bool{"frames": p.cfg.Frames})
	if err != nil {
		return err
	}
	script := fmt.Sprintf("%s(%s);", strings.TrimSpace(instrument), settings)
	for _, step := range []func() error{
		func() error { return call(ctx, target, runtime.AddBinding, runtime.AddBindingParams{Name: binding}) },
		func() error {
			return call(ctx, target, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
		},
		func() error { return call(ctx, target, performance.Enable, performance.EnableParams{}) },
		func() error { return p.SetCookies(ctx, p.cfg.Cookies) },
		func() error { return p.navigate(ctx, p.cfg.URL) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	exchanging, stop := context.WithCancel(p.ctx)
	p.stop = stop
	p.tasks.Go(func() { p.exchange(exchanging) })
	return p.wait(ctx, "the instrument to report", func() bool { return len(p.state.documents) > 0 })
}

// attach makes the tab, and has the browser tell nothing that is not asked for: what
// DevTools listen to costs the page time.
func (p *Page) attach(ctx context.Context) (*chromedp.Target, error) {
	limited, cancel := within(p.ctx, ctx)
	defer cancel()
	if err := chromedp.Do(p.ctx); err != nil { // with a context that lives as long as the tab
		return nil, err
	}
	target := chromedp.FromContext(p.ctx).Target
	for _, method := range []string{css.Disable.Method, dom.Disable.Method, network.Disable.Method, log.Disable.Method} {
		if err := target.Call(limited, method, cdp.Empty{}, nil); err != nil {
			return nil, err
		}
	}
	return target, nil
}

// within returns a context of a tab that ends with another one as well.
func within(tab, ctx context.Context) (context.Context, context.CancelFunc) {
	limited, cancel := context.WithCancelCause(tab)
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	return limited, func() { stop(); cancel(nil) }
}

// call makes a call whose result is not wanted.
func call[P, R any](ctx context.Context, s cdp.Session, c cdp.Command[P, R], params P) error {
	_, err := cdp.Call(ctx, s, c, params)
	return err
}

// SetCookies gives the browser cookies, as an answer to the page would have.
func (p *Page) SetCookies(ctx context.Context, cookies []*http.Cookie) error {
	limited, cancel := within(p.ctx, ctx)
	defer cancel()
	for _, c := range cookies {
		params := network.SetCookieParams{Name: c.Name, Value: c.Value, URL: p.cfg.URL, Path: c.Path, Secure: &c.Secure, HTTPOnly: &c.HttpOnly}
		switch c.SameSite {
		case http.SameSiteStrictMode:
			params.SameSite = network.CookieSameSiteStrict
		case http.SameSiteLaxMode:
			params.SameSite = network.CookieSameSiteLax
		case http.SameSiteNoneMode:
			params.SameSite = network.CookieSameSiteNone
		default:
		}
		if err := call(limited, p.session(), network.SetCookie, params); err != nil {
			return fmt.Errorf("cookie %q: %w", c.Name, cause(limited, err))
		}
	}
	return nil
}

// nowhere is loaded between two addresses that differ behind # only, of which a
// browser would load nothing anew.
const nowhere = "about:blank"

// Visit opens another address in the tab and waits until it has loaded. What the page
// had noted before is taken first, and its clock is known.
func (p *Page) Visit(ctx context.Context, address string) error {
	if err := errors.Join(p.mapped(ctx), p.Flush(ctx)); err != nil {
		return err
	}
	if err := errors.Join(p.navigate(ctx, nowhere), p.navigate(ctx, address)); err != nil {
		return fmt.Errorf("browser: page %q: %w", p.cfg.Name, err)
	}
	return nil
}

// navigate opens the address and waits until the page has loaded. An address that
// cannot be had is an error; whatever the page says itself is none.
func (p *Page) navigate(ctx context.Context, address string) error {
	limited, cancel := within(p.ctx, ctx)
	defer cancel()
	loaded := cdp.Events(limited, p.session(), page.LoadEventFired)
	went, err := cdp.Call(limited, p.session(), page.Navigate, page.NavigateParams{URL: address})
	switch {
	case err != nil:
		return fmt.Errorf("open %s: %w", p.address(), cause(limited, err))
	case went.ErrorText != "":
		return fmt.Errorf("open %s: %s", p.address(), went.ErrorText)
	}
	return p.loaded(limited, loaded)
}

// loaded waits for the first of the events.
func (p *Page) loaded(ctx context.Context, events func(func(page.EventLoadEventFired, error) bool)) error {
	err := errors.New("the tab was closed")
	for _, err = range events {
		break
	}
	if err != nil {
		return fmt.Errorf("load %s: %w", p.address(), cause(ctx, err))
	}
	return nil
}

func cause(ctx context.Context, err error) error {
	if why := context.Cause(ctx); why != nil {
		return why
	}
	return err
}

// address is that of the page without what may be a secret.
func (p *Page) address() string {
	short, _, _ := strings.Cut(p.cfg.URL, "?")
	short, _, _ = strings.Cut(short, "#")
	return short
}

func (p *Page) session() *chromedp.Target { return chromedp.FromContext(p.ctx).Target }

// eval evaluates an expression whose value is a text; "" for undefined.
func (p *Page) eval(ctx context.Context, expression string) (string, error) {
	limited, cancel := within(p.ctx, ctx)
	defer cancel()
	yes := true
	res, err := cdp.Call(limited, p.session(), runtime.Evaluate, runtime.EvaluateParams{Expression: expression, ReturnByValue: &yes, AwaitPromise: &yes})
	switch {
	case err != nil:
		return "", cause(limited, err)
	case res.ExceptionDetails != nil:
		return "", fmt.Errorf("browser: the page throws: %s", res.ExceptionDetails.Text)
	case res.Result == nil || len(res.Result.Value) == 0:
		return "", nil
	}
	var text string
	if err := json.Unmarshal([]byte(res.Result.Value), &text); err != nil {
		return "", fmt.Errorf("browser: the page answers %.100s: %w", res.Result.Value, err)
	}
	return text, nil
}

// Text evaluates an expression in the page and returns its value as text.
func (p *Page) Text(ctx context.Context, expression string) (string, error) {
	return p.eval(ctx, "(async () => String(await ("+expression+")))()")
}

// Close takes what the instrument still has, closes the tab and ends the recording.
// It is idempotent. Its error says that the recording is not whole.
func (p *Page) Close() error {
	p.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
		defer cancel()
		err := p.last(ctx)
		p.stop()
		p.end()
		p.tasks.Wait()
		p.mu.Lock()
		if err = errors.Join(p.fault, err); err != nil {
			p.recorder.Torn(err)
		}
		exchanges, evidence := p.exchanges, p.evidence(err)
		p.mu.Unlock()
		p.closed = errors.Join(err, p.recorder.Close(), keep(p.cfg.Dir, exchanges, evidence))
	})
	return p.closed
}

// closeLimit bounds the last words of a page.
const closeLimit = 10 * time.Second

// Peek takes what the instrument has noted and writes what stands beside the recording
// as far as it has got, so that Load can read a page that is still open. Close writes it
// anew.
func (p *Page) Peek(ctx context.Context) error {
	if err := errors.Join(p.mapped(ctx), p.Flush(ctx)); err != nil {
		return err
	}
	p.mu.Lock()
	exchanges, evidence := slices.Clone(p.exchanges), p.evidence(p.fault)
	p.mu.Unlock()
	return keep(p.cfg.Dir, exchanges, evidence)
}

// keep writes what stands beside the recording, in the place of what stood there.
func keep(dir string, exchanges []clocks.Exchange, e Evidence) error {
	var lines bytes.Buffer
	if err := clocks.Write(&lines, exchanges); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, clockFile), lines.Bytes(), 0o644); err != nil { //nolint:gosec // G306: evidence is for others to read
		return err
	}
	text, err := json.MarshalIndent(e, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, evidenceFile), append(text, '\n'), 0o644) //nolint:gosec // G306: likewise
}
