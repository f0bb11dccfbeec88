package browser

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/chromedp"

	"plumbline/reports/pdf"
)

// ErrNone says that this machine has no browser that could be started.
var ErrNone = errors.New("no browser")

// Advice is how to get what ErrNone misses.
const Advice = "install Chromium (Debian and Ubuntu: apt-get install chromium)"

// startLimit bounds the start of a browser: a cold one on a busy machine takes its time.
const startLimit = 60 * time.Second

// Options configure Start. The zero value is useful.
type Options struct {
	Path  string            // program; "" means the first Chromium on the PATH
	Trust []string          // public keys whose certificates count as good whatever the browser thinks of them, see Pins
	Via   map[string]string // host:port that all pages reach in place of another one, which stays what they and certificates call it
	Log   *slog.Logger      // nil discards
}

// Browser is a browser without a window, with a profile of its own that is thrown
// away. Close ends it. Its methods may be called from any goroutine.
type Browser struct {
	ctx     context.Context // of chromedp
	end     func()
	once    sync.Once
	version string
	log     *slog.Logger
}

// Available returns the program that Start would run. The error wraps ErrNone and
// says how to get one.
func Available(path string) (string, error) {
	found, err := pdf.Find(path)
	if err != nil {
		return "", fmt.Errorf("browser: %w: no Chromium is on the PATH; %s", ErrNone, Advice)
	}
	return found, nil
}

// Start starts a browser, within a minute. Errors wrap ErrNone when there is none or
// when this machine gives it no sandbox, which only root goes without.
func Start(ctx context.Context, o Options) (*Browser, error) {
	path, err := Available(o.Path)
	if err != nil {
		return nil, err
	}
	b := &Browser{log: o.Log}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	allocator, endAllocator := chromedp.NewExecAllocator(context.Background(), flags(path, o)...)
	said := func(format string, args ...any) { b.log.Debug("browser", "says", fmt.Sprintf(format, args...)) }
	var endContext context.CancelFunc
	b.ctx, endContext = chromedp.NewContext(allocator, chromedp.WithErrorf(said), chromedp.WithLogf(said))
	b.end = func() { endContext(); endAllocator() }
	started := make(chan error, 1)
	go func() {
		v, err := chromedp.CallBrowser(b.ctx, cdpbrowser.GetVersion, cdp.Empty{})
		b.version = v.Product
		started <- err
	}()
	timer := time.NewTimer(startLimit)
	defer timer.Stop()
	select {
	case err = <-started:
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-timer.C:
		err = fmt.Errorf("it did not answer within %v", startLimit)
	}
	if err != nil {
		b.end()
		if sandboxless(err.Error()) {
			return nil, fmt.Errorf("browser: %w: %s finds no sandbox on this machine: allow Chromium user namespaces, or run as root", ErrNone, path)
		}
		return nil, fmt.Errorf("browser: start %s: %w", path, err)
	}
	return b, nil
}

// sandboxless reports whether Chromium said that it has no sandbox.
func sandboxless(said string) bool {
	return strings.Contains(said, "No usable sandbox") || strings.Contains(said, "Failed to move to new namespace")
}

// flags let Chromium run without a window, a network of its own and a memory. Tabs
// that are hidden are throttled as they are for everybody. Only root, which can have
// no sandbox, goes without one (chromedp adds that flag).
func flags(path string, o Options) []chromedp.ExecAllocatorOption {
	all := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.Headless, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.DisableGPU,
		chromedp.WindowSize(1280, 900), chromedp.Env("TZ=UTC"),
	}
	for _, flag := range []string{
		"disable-background-networking", "disable-breakpad", "disable-component-update", "disable-default-apps",
		"disable-dev-shm-usage", "disable-extensions", "disable-hang-monitor", "disable-sync", "metrics-recording-only", "no-pings",
	} {
		all = append(all, chromedp.Flag(flag, true))
	}
	all = append(all, chromedp.Flag("password-store", "basic"))
	if len(o.Trust) > 0 {
		all = append(all, chromedp.Flag("ignore-certificate-errors-spki-list", strings.Join(o.Trust, ",")))
	}
	var rules []string
	for _, from := range slices.Sorted(maps.Keys(o.Via)) {
		rules = append(rules, "MAP "+from+" "+o.Via[from])
	}
	if len(rules) > 0 {
		all = append(all, chromedp.Flag("host-resolver-rules", strings.Join(rules, ", ")))
	}
	return all
}

// Version names the browser, for example "Chrome/156.0.8078.108".
func (b *Browser) Version() string { return b.version }

// Close ends the browser with all of its pages and processes and removes its
// profile. It is idempotent and returns when they are gone.
func (b *Browser) Close() error {
	b.once.Do(b.end)
	return nil
}

// Pins returns the public keys of the certificates that the server at an address
// shows, once they were checked as config says: a browser that is given them trusts
// what the harness trusts, and nothing else beside what it trusts anyway.
func Pins(ctx context.Context, address string, config *tls.Config) ([]string, error) {
	dialer := tls.Dialer{Config: config}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("browser: certificate of %s: %w", address, err)
	}
	defer func() { _ = conn.Close() }() // nothing was said
	var pins []string
	if secure, ok := conn.(*tls.Conn); ok {
		for _, certificate := range secure.ConnectionState().PeerCertificates {
			sum := sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
			pins = append(pins, base64.StdEncoding.EncodeToString(sum[:]))
		}
	}
	return pins, nil
}

// Evaluate opens an address in a tab of its own, evaluates an expression there, which
// may be a promise, and returns its value as text.
func (b *Browser) Evaluate(ctx context.Context, address, expression string) (string, error) {
	tab, end := chromedp.NewContext(b.ctx)
	defer end()
	if err := chromedp.Do(tab); err != nil {
		return "", fmt.Errorf("browser: a tab: %w", err)
	}
	p := &Page{cfg: Config{Name: "tab", URL: address}, browser: b, ctx: tab}
	if err := p.navigate(ctx, address); err != nil {
		return "", fmt.Errorf("browser: %w", err)
	}
	return p.Text(ctx, expression)
}
