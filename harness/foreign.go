package harness

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"plumbline/harness/browser"
	"plumbline/harness/fault"
)

// foreignSite is a site of somebody else on the host of the system under test: another
// port is another origin, and yet the same site, so that a browser hands over every
// cookie, SameSite=Strict ones too. The scheme is part of a site: it serves with that
// of the page. Whether cookies do come its second port tells, to which its page is as
// foreign as to the system's.
type foreignSite struct {
	server *http.Server
	served sync.WaitGroup
	origin string
	told   string // origin of the second port
	pin    string // of its certificate's key; "" without TLS

	mu      sync.Mutex // guards what follows
	cookies []string   // names that came to the second port
}

// openForeign serves a foreign site beside a page.
func openForeign(page *url.URL) (*foreignSite, error) {
	f := &foreignSite{}
	f.server = &http.Server{Handler: f, ReadHeaderTimeout: 10 * time.Second}
	serve := f.server.Serve
	if page.Scheme == "https" {
		pair, pin, err := certifyForeign(page.Hostname())
		if err != nil {
			return nil, err
		}
		f.pin, f.server.TLSConfig = pin, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
		serve = func(l net.Listener) error { return f.server.ServeTLS(l, "", "") }
	}
	for _, origin := range []*string{&f.origin, &f.told} {
		listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", net.JoinHostPort(page.Hostname(), "0"))
		if err != nil {
			return nil, errors.Join(err, f.close())
		}
		_, port, err := net.SplitHostPort(listener.Addr().String())
		if err != nil {
			return nil, errors.Join(err, listener.Close(), f.close())
		}
		*origin = page.Scheme + "://" + net.JoinHostPort(page.Hostname(), port)
		f.served.Go(func() { _ = serve(listener) }) // it ends with close
	}
	return f, nil
}

// certifyForeign makes a certificate for a host and says by which pin to trust it.
func certifyForeign(host string) (pair tls.Certificate, pin string, err error) {
	authority, err := fault.NewAuthority()
	if err != nil {
		return pair, "", err
	}
	if pair, err = authority.Certify(host, fault.Flawless); err != nil {
		return pair, "", err
	}
	certificate, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return pair, "", err
	}
	sum := sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
	return pair, base64.StdEncoding.EncodeToString(sum[:]), nil
}

// ServeHTTP serves the page of the first port, and keeps which cookies come to the second.
func (f *foreignSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(f.told, "://"+r.Host) {
		f.mu.Lock()
		for _, c := range r.Cookies() {
			f.cookies = append(f.cookies, c.Name)
		}
		f.mu.Unlock()
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = fmt.Fprint(w, `<!doctype html><html lang="en"><title>Somebody else's page</title><p>Free kittens.</p></html>`)
}

func (f *foreignSite) close() error {
	if f == nil {
		return nil
	}
	err := f.server.Close()
	f.served.Wait()
	return err
}

// withheld returns the names of cookies that go to a path and did not come.
func (f *foreignSite) withheld(cookies []*http.Cookie, path string) (names []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range cookies {
		if c.MaxAge >= 0 && goesTo(c.Path, path) && !slices.Contains(f.cookies, c.Name) {
			names = append(names, c.Name)
		}
	}
	return names
}

// goesTo reports whether a cookie of that path is sent to another (RFC 6265 section 5.1.4).
func goesTo(of, path string) bool {
	return strings.HasPrefix(path, of) && (len(path) == len(of) || strings.HasSuffix(of, "/") || path[len(of)] == '/')
}

// Elsewhere evaluates an expression in a page of another origin on the host of the
// system under test, in the browser in which its own page is open and signed in.
// withheld names the cookies of that page that the browser did not hand over when the
// other page asked a third origin of the host for the viewers' path: without them the
// expression was nobody's.
func (b *Bench) Elsewhere(ctx context.Context, expression string) (got string, withheld []string, err error) {
	switch {
	case b.browser == nil:
		return "", nil, errors.New("harness: no page of the system under test is open")
	case b.foreign == nil:
		return "", nil, errors.New("harness: " + b.SUT.Viewer().NoIntrusion())
	}
	u, err := url.Parse(b.SUT.ViewerURL())
	if err != nil {
		return "", nil, fmt.Errorf("harness: address of the viewers: %w", err)
	}
	path := "/" + strings.TrimPrefix(u.EscapedPath(), "/")
	return b.foreign.evaluate(ctx, b.browser, path, b.cookies, expression)
}

func (f *foreignSite) evaluate(ctx context.Context, in *browser.Browser, path string, cookies []*http.Cookie, expression string) (got string, withheld []string, err error) {
	told, err := json.Marshal(f.told + path)
	if err != nil {
		return "", nil, err
	}
	// A cookie that did not come tells of a request that failed, too.
	got, err = in.Evaluate(ctx, f.origin+"/", fmt.Sprintf(`(async () => {
  await fetch(%s, {mode: 'no-cors', credentials: 'include', cache: 'no-store'}).catch(() => {});
  return await (%s);
})()`, told, expression))
	return got, f.withheld(cookies, path), err
}
