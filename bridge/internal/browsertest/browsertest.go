// Package browsertest starts the real Chromium that the bridge's tests ask, and opens tabs in it. What certifies has a starter of its
// own in harness/browser, the tests of reports have theirs: no arrow leads from one of the three to another (harness/layering_test.go).
package browsertest

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
)

// Browser is a Chromium without a window, for one test or for all of a package. It starts with its first tab.
type Browser struct {
	profile, certificate string

	once sync.Once
	ctx  context.Context //nolint:containedctx // the browser lives in it, as chromedp has it
	end  func()
	err  error
}

// New returns a browser that keeps its profile in a folder. It believes the certificate in a file of PEM, beside those that are signed as
// they should be; "" = none.
func New(profile, certificate string) *Browser {
	return &Browser{profile: profile, certificate: certificate}
}

// Tab returns the context of a fresh tab with cookies of its own. It is closed when the test ends.
func (b *Browser) Tab(tb testing.TB) context.Context {
	tb.Helper()
	b.once.Do(func() { b.err = b.start() })
	if b.err != nil {
		tb.Fatal(b.err)
	}
	ctx, closeTab := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	tb.Cleanup(closeTab)
	if err := chromedp.Do(ctx); err != nil { // the tab lives as long as the context of its first action: not one with a deadline
		tb.Fatalf("open a tab: %v", err)
	}
	return ctx
}

// Close ends the browser, and waits for it. One that was never asked for a tab has not begun.
func (b *Browser) Close() {
	if b.end != nil {
		b.end()
	}
}

func (b *Browser) start() error {
	path, err := exec.LookPath("chromium")
	if err != nil {
		return fmt.Errorf("%w: a real browser is needed: make deps-test installs it", err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(b.profile), chromedp.DisableGPU, chromedp.NoSandbox,
		chromedp.Flag("disable-component-update", true)) // no sandbox: it opens pages of tests alone, and some machines have none
	if b.certificate != "" {
		pin, err := pinOf(b.certificate)
		if err != nil {
			return err
		}
		options = append(options, chromedp.Flag("ignore-certificate-errors-spki-list", pin))
	}
	allocator, end := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, closeTab := chromedp.NewContext(allocator)
	b.ctx, b.end = ctx, func() { closeTab(); end() }
	return chromedp.Do(ctx)
}

// pinOf names the public key of a certificate as Chromium wants it.
func pinOf(path string) (string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return "", errors.New(path + " holds no certificate")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", err
	}
	key := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(key[:]), nil
}
