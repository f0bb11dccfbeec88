package scenarios

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"plumbline/harness/browser"
)

// TestTheHeadersAreThoseOfABrowser holds them against what the Chromium of this machine sends with a request
// of a page: the same names, and about as many bytes.
func TestTheHeadersAreThoseOfABrowser(t *testing.T) {
	said := make(chan http.Header, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/poll":
			select {
			case said <- r.Header.Clone():
			default: // once is enough
			}
		case "/":
			_, _ = io.WriteString(w, `<script>fetch("/poll?filter=a", {headers: {Authorization: "Bearer x", Accept: "application/json"}, cache: "no-store"})</script>`)
		}
	}))
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	chromium, err := browser.Start(ctx, browser.Options{})
	if err != nil {
		t.Fatalf("%v: make deps-test installs it", err)
	}
	defer func() { _ = chromium.Close() }()
	if _, err := chromium.Evaluate(ctx, server.URL, "document.title"); err != nil {
		t.Fatal(err)
	}
	var got http.Header
	select {
	case got = <-said:
	case <-ctx.Done():
		t.Fatal("the browser asked for nothing within a minute")
	}
	for _, name := range []string{"Authorization", "Accept", "Connection"} { // those of the request itself
		got.Del(name)
	}
	want := browserHeader()
	if a, b := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)); !slices.Equal(a, b) {
		t.Errorf("the browser sends\n%s\nhere stand\n%s", lines(got), lines(want))
	}
	if a, b := len(lines(got)), len(lines(want)); a < b*4/5 || a > b*6/5 {
		t.Errorf("the browser sends %d bytes, here stand %d", a, b)
	}
}

// lines are header fields as HTTP/1.1 has them.
func lines(h http.Header) (text string) {
	for _, name := range slices.Sorted(maps.Keys(h)) {
		for _, value := range h[name] {
			text += fmt.Sprintf("%s: %s\r\n", name, value)
		}
	}
	return text
}
