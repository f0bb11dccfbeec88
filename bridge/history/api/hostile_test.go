package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"plumbline/bridge/audit"
	"plumbline/bridge/auth"
)

// N97: what is no filter, time, step, choice or count is refused by name with a mend, and what would be unbounded too.
func TestN97BadRequestsSayWhatAndHow(t *testing.T) {
	r := newRig(t, nil)
	r.fill()
	one := with([]string{"topic", "plant/1"}, span)
	at := func(from, to string) []string { return []string{"topic", "plant/1", "from", from, "to", to} }
	for _, c := range []struct {
		route, parameter, says string
		ask                    []string
	}{
		{"topics", "filter", "needed", nil},
		{"topics", "filter", "no MQTT filter", []string{"filter", ""}},
		{"topics", "filter", "no MQTT filter", []string{"filter", "a/#/b"}},
		{"topics", "filter", "no MQTT filter", []string{"filter", "a+"}},
		{"topics", "filter", "no MQTT filter", []string{"filter", "$share/g/#"}},
		{"topics", "filter", "no MQTT filter", []string{"filter", "a\x00b"}},
		{"topics", "filter", "no MQTT filter", []string{"filter", "\xff"}},
		{"topics", "filtr", "not known", []string{"filtr", "#"}},
		{"topics", "sql", "not known", []string{"filter", "#", "sql", "SELECT 1"}},
		{"topics", "filter", "twice", []string{"filter", "plant/#", "filter", "#"}},
		{"topics", "format", "json, csv", []string{"filter", "#", "format", "xml"}},
		{"topics", "limit", "whole number", []string{"filter", "#", "limit", "0"}},
		{"topics", "limit", "whole number", []string{"filter", "#", "limit", "-1"}},
		{"topics", "limit", "10000", []string{"filter", "#", "limit", "10001"}},
		{"topics", "limit", "whole number", []string{"filter", "#", "limit", "1; DROP TABLE points"}},
		{"topics", "limit", "whole number", []string{"filter", "#", "limit", "1e3"}},
		{"range", "topic", "needed", span},
		{"range", "topic", "no MQTT topic", with([]string{"topic", "plant/#"}, span)},
		{"range", "topic", "no MQTT topic", with([]string{"topic", "plant/+"}, span)},
		{"range", "field", "control characters", with(one, []string{"field", "a\nb"})},
		{"range", "unit", "control characters", with(one, []string{"unit", "\x1b[1m"})},
		{"range", "from", "needed", []string{"topic", "plant/1"}},
		{"range", "to", "needed", []string{"topic", "plant/1", "from", "0"}},
		{"range", "from", "RFC 3339", at("' OR 1=1 --", "now")},
		{"range", "from", "RFC 3339", at("", "now")},
		{"range", "from", "RFC 3339", at("yesterday", "now")},
		{"range", "from", "RFC 3339", at("2026-03-04", "now")},
		{"range", "from", "RFC 3339", at("now()", "now")},
		{"range", "from", "RFC 3339", at("1e12", "now")},
		{"range", "from", "RFC 3339", at("NaN", "now")},
		{"range", "from", "RFC 3339", at("1969-12-31T23:59:59Z", "now")},
		{"range", "from", "milliseconds", at("-1", "now")},
		{"range", "to", "milliseconds", at("0", "9223372036854775807")},
		{"range", "to", "RFC 3339", at("0", "9223372036854775808")},
		{"range", "to", "after from", at("now", "now")},
		{"range", "to", "after from", at("2026-03-04T12:00:00Z", "2026-03-04T11:00:00Z")},
		{"range", "order", "asc, desc", with(one, []string{"order", "value"})},
		{"aggregate", "step", "needed", one},
		{"aggregate", "step", "time span", with(one, []string{"step", "0s"})},
		{"aggregate", "step", "time span", with(one, []string{"step", "-1m"})},
		{"aggregate", "step", "time span", with(one, []string{"step", "1"})},
		{"aggregate", "step", "time span", with(one, []string{"step", "1us"})},
		{"aggregate", "step", "time span", with(one, []string{"step", "9999999d"})},
		{"aggregate", "step", "time span", with(one, []string{"step", "1m) GROUP BY 1"})},
		{"aggregate", "step", "at least", with(one, []string{"step", "10ms"})},
		{"aggregate", "step", "at least", []string{"topic", "plant/1", "from", "0", "to", "9999-12-31T23:59:59Z", "step", "1d"}},
		{"aggregate", "step", "266627 buckets", []string{"topic", "plant/1", "from", "0", "to", "9999-12-31T23:59:59Z", "step", "11d"}}, // more than a time.Duration holds
		{"aggregate", "functions", "count, min", with(one, []string{"step", "1m", "functions", "mean(value)"})},
		{"aggregate", "functions", "twice", with(one, []string{"step", "1m", "functions", "min,min"})},
		{"downsample", "points", "at least 10", with(one, []string{"points", "9"})},
		{"downsample", "points", "10000", with(one, []string{"points", "1000000000"})},
		{"downsample", "method", "minmax, lttb", with(one, []string{"method", "average"})},
		{"events", "from", "needed", []string{"filter", "#"}},
		{"range", "page", "begin again", with(one, []string{"page", ""})},
		{"range", "page", "begin again", with(one, []string{"page", "AAAA"})},
	} {
		b := r.read(r.get("anna", c.route, c.ask...), http.StatusBadRequest)
		if b.Param != c.parameter || !strings.Contains(b.Detail, c.says) {
			t.Errorf("%s %q: parameter %q, %q; want %q, %q", c.route, c.ask, b.Param, b.Detail, c.parameter, c.says)
		}
	}
	if b := r.ok("anna", "range", with(one, []string{"limit", "1"})...); len(b.Points) != 1 {
		t.Error("the store was harmed")
	}
}

// N97: a page token is good for the query and the subject that it was made for, and no bit of it may be changed.
func TestN97PageTokensCannotBeForged(t *testing.T) {
	r := newRig(t, nil)
	r.fill()
	ask := with([]string{"topic", "plant/1", "limit", "5"}, span)
	next := r.ok("ben", "range", ask...).Next
	refused := func(what, who, route string, ask ...string) {
		t.Helper()
		if w := r.get(who, route, ask...); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), `"page"`) {
			t.Errorf("%s: status %d, %.200s", what, w.Code, w.Body)
		}
	}
	r.ok("ben", "range", with(ask, []string{"page", next})...)
	refused("another's", "anna", "range", with(ask, []string{"page", next})...)
	r.who["ben of another tenant"] = auth.Identity{Subject: "ben", Tenant: "other", Grants: auth.Viewing("plant/#")}
	refused("another tenant's", "ben of another tenant", "range", with(ask, []string{"page", next})...)
	refused("another topic", "ben", "range", with([]string{"topic", "plant/2", "limit", "5", "page", next}, span)...)
	refused("another limit", "ben", "range", with([]string{"topic", "plant/1", "limit", "6", "page", next}, span)...)
	refused("another order", "ben", "range", with(ask, []string{"order", "desc", "page", next})...)
	refused("another route", "ben", "events", with([]string{"filter", "plant/#", "limit", "5", "page", next}, span)...)
	raw, err := base64.RawURLEncoding.DecodeString(next)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		changed := append([]byte{}, raw...)
		changed[i] ^= 1
		refused("a changed bit", "ben", "range", with(ask, []string{"page", base64.RawURLEncoding.EncodeToString(changed)})...)
		refused("cut short", "ben", "range", with(ask, []string{"page", base64.RawURLEncoding.EncodeToString(raw[:i])})...)
	}
	poor := r.who["live"]
	poor.Subject = "ben"
	r.who["ben"] = poor
	if w := r.get("ben", "range", with(ask, []string{"page", next})...); w.Code != http.StatusForbidden {
		t.Errorf("a page after the grant is gone: status %d", w.Code)
	}
}

func TestN97OnlyReading(t *testing.T) {
	var log bytes.Buffer
	r := newRig(t, func(o *Options) { o.Log = slog.New(slog.NewJSONHandler(&log, nil)) })
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch, "TRACE", "PROPFIND"} {
		req := httptest.NewRequestWithContext(t.Context(), method, Root+"history/topics?filter=%23", nil)
		req.Header.Set("Authorization", "Bearer anna")
		w := httptest.NewRecorder()
		r.h.ServeHTTP(w, req)
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") == "" {
			t.Errorf("%s: status %d", method, w.Code)
		}
		var refused struct{ Msg, Action, Reason, Subject string }
		want := refused
		want.Msg, want.Action, want.Reason, want.Subject = "refused", audit.Request(req), "method", "anna"
		if err := json.Unmarshal(log.Bytes(), &refused); err != nil || refused != want {
			t.Errorf("%s: %v, on record is %+v, want %+v", method, err, refused, want)
		}
		log.Reset()
	}
	for path, want := range map[string]int{Root + "history/": 404, Root + "history/drop": 404, Root + "history/topics/../range": 307, Root + "history/topics?%zz": 400, Root + "history/topics?filter=%23;x=1": 400, Root + "history/topics?filter=" + strings.Repeat("a", 9000): 414} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		req.Header.Set("Authorization", "Bearer anna")
		w := httptest.NewRecorder()
		r.h.ServeHTTP(w, req)
		if w.Code != want {
			t.Errorf("%.60s: status %d, want %d", path, w.Code, want)
		}
	}
}
