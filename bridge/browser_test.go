package bridge

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"plumbline/bridge/internal/browsertest"
	"plumbline/bridge/wire"
)

// TestN08CrossSitePage: a page of another site in a real browser, with whatever cookies the browser has, opens no socket; the
// same page of a site on the list does.
func TestN08CrossSitePage(t *testing.T) {
	chromium := browsertest.New(t.TempDir(), "")
	t.Cleanup(chromium.Close)
	var target atomic.Value
	said := make(chan string, 8)
	site := func() *httptest.Server {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/said" {
				said <- r.Host + " " + r.URL.RawQuery
				return
			}
			http.SetCookie(w, &http.Cookie{Name: "token", Value: "of-the-victim"})
			_, _ = fmt.Fprintf(w, `<script>
const s = new WebSocket(%q, %q);
s.onopen = () => fetch("/said?open");
s.onmessage = () => fetch("/said?data");
s.onerror = () => fetch("/said?error");
</script>`, target.Load(), wire.Subprotocol)
		}))
		t.Cleanup(s.Close)
		return s
	}
	good, evil := site(), site()
	r := run(t, func(c *Config) {
		c.Viewers.Plaintext = true // the browser does not know the development authority
		c.Viewers.Origins = []string{good.URL}
	})
	target.Store("ws://" + r.b.Addresses().Viewers + "/ws")
	for _, tc := range []struct{ site, want string }{{good.URL, "open"}, {evil.URL, "error"}} {
		ctx, cancel := context.WithTimeout(chromium.Tab(t), time.Minute)
		if err := chromedp.Do(ctx, chromedp.Navigate(tc.site)); err != nil {
			t.Errorf("open the page of %s: %v", tc.site, err)
		}
		select {
		case got := <-said:
			if got != strings.TrimPrefix(tc.site, "http://")+" "+tc.want {
				t.Errorf("the page of %s says %q, want %s", tc.site, got, tc.want)
			}
		case <-ctx.Done():
			t.Errorf("the page of %s says nothing", tc.site)
		}
		cancel()
	}
}
