package viewer

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// seen is one handshake as a server got it. Every one is refused.
func seen(t *testing.T, place TokenPlace) *http.Request {
	t.Helper()
	requests := make(chan *http.Request, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests <- r
		http.Error(w, "no", http.StatusUnauthorized)
	}))
	defer server.Close()
	_, err := Open(limit(t), Config{
		Name: "v", URL: "ws" + strings.TrimPrefix(server.URL, "http") + "/live?a=b", Filters: []string{"a/#"}, Recorder: newRecording(t).Recorder,
		Token: func(context.Context) (string, error) { return "aa.bb.cc", nil }, Place: place,
	})
	if err == nil || strings.Contains(err.Error(), "aa.bb.cc") {
		t.Fatalf("Open gave %v", err)
	}
	return <-requests
}

func TestTokenIsShownInItsPlaceOnly(t *testing.T) {
	for _, c := range []struct {
		place TokenPlace
		want  string
		got   func(r *http.Request) string
	}{
		{TokenPlace{In: InHeader}, "Bearer aa.bb.cc", func(r *http.Request) string { return r.Header.Get("Authorization") }},
		{TokenPlace{In: InHeader, Name: "X-Api-Key"}, "aa.bb.cc", func(r *http.Request) string { return r.Header.Get("X-Api-Key") }},
		{TokenPlace{In: InQuery}, "a=b&access_token=aa.bb.cc", func(r *http.Request) string { return r.URL.RawQuery }},
		{TokenPlace{In: InQuery, Name: "jwt"}, "a=b&jwt=aa.bb.cc", func(r *http.Request) string { return r.URL.RawQuery }},
		{TokenPlace{In: InSubprotocol, Name: "bearer."}, Subprotocol + ", bearer.aa.bb.cc", func(r *http.Request) string { return r.Header.Get("Sec-WebSocket-Protocol") }},
		{TokenPlace{In: InCookie, Name: "sid"}, "sid=aa.bb.cc", func(r *http.Request) string { return r.Header.Get("Cookie") }},
		{TokenPlace{In: InNone}, "", func(*http.Request) string { return "" }},
		{TokenPlace{}, "", func(*http.Request) string { return "" }}, // plumbline shows it in its first message
	} {
		r := seen(t, c.place)
		if got := c.got(r); got != c.want {
			t.Errorf("%+v: %q, want %q", c.place, got, c.want)
		}
		shown := 0
		for _, values := range r.Header {
			shown += strings.Count(strings.Join(values, ","), "aa.bb.cc")
		}
		shown += strings.Count(r.URL.RawQuery, "aa.bb.cc")
		if (c.want == "" && shown != 0) || (c.want != "" && shown != 1) {
			t.Errorf("%+v: the token was shown %d times: %v %s", c.place, shown, r.Header, r.URL)
		}
	}
}

func TestTokenInAnAddressStaysOutOfErrors(t *testing.T) {
	const token = "aa/bb+cc="
	v := &Viewer{}
	v.tokens.add(token)
	for _, address := range []string{"https://h/?t=aa%2Fbb%2Bcc%3D", "https://h/?t=" + token} {
		err := v.tokens.conceal(&RefusedError{Reason: address})
		if strings.Contains(err.Error(), "bb") {
			t.Errorf("error is %v", err)
		}
	}
}

func TestPlaceIsChecked(t *testing.T) {
	for _, place := range []TokenPlace{{In: InMQTTPassword}, {In: "pocket"}, {In: InHeader, Name: "a b"}} {
		_, err := Open(limit(t), Config{Name: "v", URL: "ws://127.0.0.1:1", Filters: []string{"a"}, Recorder: newRecording(t).Recorder, Place: place})
		if err == nil {
			t.Errorf("%+v was accepted", place)
		}
	}
}
