package bridge

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"plumbline/bridge/internal/eventually"
)

// TestPollRate: a subject that asks without pause is told to wait, for streams too; others are not.
func TestPollRate(t *testing.T) {
	r := run(t, func(c *Config) { c.Viewers.RequestRate = 1 })
	f, other := r.follower(nil), r.follower(map[string]any{"sub": "ben"})
	f.poll(filter("a")) // one of the burst of two
	refused := 0
	for range 50 { // many more than a slow machine refills meanwhile
		resp := f.get("/poll", filter("a"))
		if resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") == "1" {
			refused++
		}
		_ = resp.Body.Close()
	}
	if refused == 0 {
		t.Error("50 polls at once are all answered")
	}
	other.poll(filter("a"))
	eventually.Must(t, "its next turn", func() bool {
		resp := f.get("/sse", filter("a"))
		defer func() { _ = resp.Body.Close() }()
		return resp.StatusCode == http.StatusOK
	})
	eventually.Must(t, "a stream to be refused", func() bool {
		resp := f.get("/sse", filter("a"))
		defer func() { _ = resp.Body.Close() }()
		return resp.StatusCode == http.StatusTooManyRequests
	})
}

// TestRateUsesATicketUp: only the ticket says whose request it is, so one that comes too soon costs it (PROTOCOL.md section 5.1).
func TestRateUsesATicketUp(t *testing.T) {
	r := run(t, func(c *Config) { c.Viewers.RequestRate, c.Auth.Tickets = 1, true })
	f := r.follower(nil)
	once := ""
	eventually.Must(t, "a ticket's request to come too soon", func() bool {
		once = "/poll?filter=a&ticket=" + r.ticket(f.token)
		for range 5 {
			_ = f.get("/poll", filter("a")).Body.Close()
		}
		return r.ask(http.MethodGet, once, "").StatusCode == http.StatusTooManyRequests
	})
	if resp := r.ask(http.MethodGet, once, ""); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("the ticket again: %d, want 401", resp.StatusCode)
	}
}

// stuck is the connection of a viewer that takes nothing any more.
type stuck struct{ httptest.ResponseRecorder }

func (*stuck) Write([]byte) (int, error)         { return 0, errors.New("stuck") }
func (*stuck) FlushError() error                 { return errors.New("stuck") }
func (*stuck) SetWriteDeadline(time.Time) error  { return nil }
func (*stuck) SetReadDeadline(t time.Time) error { return nil }

// TestStalledStreamIsClosedAtOnce: net/http is told to close the connection, not to end it in order, which takes its time.
func TestStalledStreamIsClosedAtOnce(t *testing.T) {
	r := run(t, nil)
	req := httptest.NewRequest(http.MethodGet, "/sse?"+filter("a").Encode(), nil)
	req.Header.Set("Authorization", "Bearer "+r.token(nil))
	defer func() {
		if p := recover(); p != http.ErrAbortHandler { //nolint:errorlint // the very value
			t.Errorf("recovered %v, want http.ErrAbortHandler", p)
		}
		if n := r.openHTTP("sse"); n != 0 {
			t.Errorf("%v streams are open", n)
		}
	}()
	r.b.httpwire.Events().ServeHTTP(&stuck{}, req)
}

// TestSnapshotNeedsItsGrantOverHTTP: who may follow live may not therefore see the last values.
func TestSnapshotNeedsItsGrantOverHTTP(t *testing.T) {
	r := run(t, nil)
	r.publish(r.publisher("dev"), "a", "hidden")
	f := r.follower(map[string]any{"grants": map[string]any{"live": []string{"#"}, "snapshot": []string{"b"}}})
	f.poll(filter("a"))
	f.refused(http.StatusForbidden, "forbidden", "/poll", filter("a", "snapshot", "true"))
	f.refused(http.StatusForbidden, "forbidden", "/sse", filter("a", "snapshot", "true"))
	f.poll(filter("b", "snapshot", "true"))
}

// TestCommandIsNoLargerThanAPublish: what MQTT clients could not get is not taken for them.
func TestCommandIsNoLargerThanAPublish(t *testing.T) {
	r := run(t, func(c *Config) { c.MQTT.MaxPacketBytes = 1024 })
	f := r.follower(operator())
	for size, want := range map[int]int{1024: http.StatusOK, 1025: http.StatusServiceUnavailable} {
		if status, got := f.command(map[string]any{"topic": "command/1", "payload": strings.Repeat("x", size)}); status != want {
			t.Errorf("%d bytes: %d %+v, want %d", size, status, got, want)
		}
	}
}
