package harness

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"plumbline/harness/browser"
	"plumbline/harness/sut"
)

// signIn returns the address of the page with what it needs filled in, and the cookies
// by which the browser is known.
func (b *Bench) signIn(ctx context.Context, plan PagePlan) (address string, cookies []*http.Cookie, err error) {
	of, token, ttl := b.SUT.Viewer().Page, "", plan.TTL
	if ttl == 0 {
		ttl = time.Hour
	}
	if b.SUT.Mints() {
		subject := plan.Subject
		if subject == "" {
			subject = plan.Name
		}
		if token, err = b.SUT.Token(sut.TokenSpec{Subject: subject, Grants: b.plan.Filters, TTL: ttl}); err != nil {
			return "", nil, err
		}
	}
	b.token, b.until = token, b.Clock.Now()+int64(ttl)
	if of.Ours {
		address, err = b.ours.address(plan.Name, token, b.SUT.Viewer(), b.plan.Filters)
		return address, nil, err
	}
	address = sut.FillPage(of.URL, strings.Join(b.plan.Filters, ","), token)
	switch {
	case of.SignIn.Post != "":
		cookies, err = b.post(ctx, of, sut.FillBody(of.SignIn.Body, token))
	case of.SignIn.Cookie != "":
		cookies = []*http.Cookie{{ //nolint:gosec // G124: Secure where the page is
			Name: of.SignIn.Cookie, Value: token, Path: "/", Secure: strings.HasPrefix(of.URL, "https:"), HttpOnly: true, SameSite: http.SameSiteStrictMode,
		}}
	}
	b.cookies = cookies
	return address, cookies, err
}

// SignInAnew makes the browser of a page known once more, for as long as plan says, and
// returns the address at which the page is opened with it, a secret where its token stands
// behind #. The page itself is not touched.
func (b *Bench) SignInAnew(ctx context.Context, p *browser.Page, plan PagePlan) (address string, err error) {
	limited, cancel := context.WithTimeoutCause(ctx, pageLimit, fmt.Errorf("not within %v", pageLimit))
	defer cancel()
	address, cookies, err := b.signIn(limited, plan)
	if err == nil {
		err = p.SetCookies(limited, cookies)
	}
	if err != nil {
		return "", b.dark(ctx, plan.Name, err)
	}
	return address, nil
}

// SessionEnds returns when, by the run clock, the token expires with which a page was last
// signed in; it may be a second sooner, for tokens count whole ones.
func (b *Bench) SessionEnds() int64 { return b.until }

// excerptLimit is how many characters of what a system says are told.
const excerptLimit = 200

// excerpt is the beginning of what a system said, without the token and the cookies that it
// may have echoed.
func (b *Bench) excerpt(said string) string {
	secrets := []string{b.token}
	for _, c := range b.cookies {
		secrets = append(secrets, c.Value)
	}
	for _, secret := range secrets {
		if len(secret) >= secretLeast { // a shorter one is a word like any other
			said = strings.ReplaceAll(said, secret, "[secret]")
		}
	}
	short := []rune(said)
	return string(short[:min(len(short), excerptLimit)])
}

// secretLeast is the least length of a secret: "1" is the value of many a cookie.
const secretLeast = 8

// post signs in and returns the cookies of the answer.
func (b *Bench) post(ctx context.Context, of sut.Page, body string) ([]*http.Cookie, error) {
	u, err := url.Parse(of.URL)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, of.SignIn.Post, bytes.NewReader([]byte(body)))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Origin", u.Scheme+"://"+u.Host)
	trade := &http.Transport{TLSClientConfig: b.SUT.PageTLS()}
	defer trade.CloseIdleConnections()
	client := &http.Client{Transport: trade, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("sign in: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()                // only read
	said, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<16)) // more than an excerpt: a secret that is cut through would not be known
	cookies := cookiesOf(answer)
	if answer.StatusCode < 200 || answer.StatusCode > 399 || len(cookies) == 0 {
		return nil, fmt.Errorf("sign in at %s: status %s and %d cookies: %q", of.SignIn.Post, answer.Status, len(cookies), b.excerpt(string(said)))
	}
	return cookies, nil
}

// cookiesOf returns the cookies of an answer, each with the path to which a browser sends
// it: one that names none, or none that begins with a slash, goes to what lies beside the
// address that was asked (RFC 6265 sections 5.1.4 and 5.2.4).
func cookiesOf(answer *http.Response) []*http.Cookie {
	beside := answer.Request.URL.EscapedPath()
	if beside = beside[:max(strings.LastIndexByte(beside, '/'), 0)]; beside == "" {
		beside = "/"
	}
	cookies := answer.Cookies()
	for _, c := range cookies {
		if !strings.HasPrefix(c.Path, "/") {
			c.Path = beside
		}
	}
	return cookies
}
