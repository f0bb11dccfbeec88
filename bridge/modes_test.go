package bridge

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"plumbline/bridge/config"
)

// TestEveryTongueSaysTheSame: live, snapshot and backlog give the same readings however they are written.
func TestEveryTongueSaysTheSame(t *testing.T) {
	r := run(t, func(c *Config) { c.Viewers.Compression = "on" })
	p := r.publisher("dev")
	payloads := []string{"21.5", `{"a":"\u20ac"}`, "", "\xff\x00\x80", strings.Repeat("long and dull ", 100)}
	for i, payload := range payloads {
		r.publish(p, fmt.Sprintf("plant/%d", i), payload)
	}
	for _, as := range tongues {
		t.Run(as.name, func(t *testing.T) {
			s := (&running{t: t, b: r.b, cfg: r.cfg}).speak(as)
			s.send(map[string]any{"type": "sub", "id": 1, "filter": "plant/#", "snapshot": true})
			ok := s.want("subok")
			var got []reading
			for part, parts := 0, 1; part < parts; {
				m := s.want("snapshot")
				part, parts = m.Part, m.Parts
				got = append(got, m.Readings...)
			}
			s.check(got, payloads)
			s.send(map[string]any{"type": "sub", "id": 2, "filter": "plant/#", "since": map[string]any{"epoch": ok.Epoch, "offset": 0}})
			if back := s.want("subok"); !back.Recovered {
				t.Fatalf("%+v", back)
			}
			got = nil
			for cursor := uint64(0); len(got) < len(payloads); {
				m := s.want("batch")
				if m.From != cursor || m.Conflated != nil || m.Open {
					t.Fatalf("%+v after %d", m, cursor)
				}
				cursor = m.To
				got = append(got, m.Readings...)
			}
			s.check(got, payloads)
			s.send(map[string]any{"type": "ping", "id": "x"})
			s.want("pong")
			s.send(map[string]any{"type": "unsub", "id": 2})
			s.want("unsubok")
		})
	}
}

func (s *speaker) check(got []reading, payloads []string) {
	s.t.Helper()
	if len(got) != len(payloads) {
		s.t.Fatalf("%d readings, want %d", len(got), len(payloads))
	}
	for i, g := range got {
		payload := g.Payload
		if g.Base64 != "" {
			raw, err := base64.StdEncoding.DecodeString(g.Base64)
			if err != nil {
				s.t.Fatal(err)
			}
			payload = string(raw)
		}
		if payload != payloads[i] || g.Topic != fmt.Sprintf("plant/%d", i) || g.O != uint64(i+1) || g.QoS != 1 || time.Since(time.UnixMicro(g.T)).Abs() > time.Minute {
			s.t.Fatalf("reading %d: %+v, want %q", i, g, payloads[i])
		}
	}
}

// TestModesConserve: whatever the mode, the readings delivered and those said to be conflated are all that was published, in
// the batches and in the heartbeat.
func TestModesConserve(t *testing.T) {
	r := run(t, func(c *Config) { c.Viewers.Heartbeat = config.Duration(2 * time.Second) })
	p := r.publisher("dev")
	for _, as := range tongues[:3] {
		for mode, more := range map[string]map[string]any{
			"all": {}, "latest": {}, "latest 20": {"tick_ms": 20}, "sample": {"every_ms": 150},
		} {
			t.Run(as.name+" "+mode, func(t *testing.T) {
				r := &running{t: t, b: r.b, cfg: r.cfg}
				s := r.speak(as)
				msg := map[string]any{"type": "sub", "id": 3, "filter": "m/+", "mode": strings.Fields(mode)[0]}
				for k, v := range more {
					msg[k] = v
				}
				s.send(msg)
				ok := s.want("subok")
				if want := strings.Fields(mode)[0]; mode != "all" && ok.Mode != want || mode == "all" && ok.Mode != "" {
					t.Errorf("subok %+v", ok)
				}
				const messages = 300
				published := beside(t, func() (err error) {
					for i := 0; i < messages && err == nil; i++ {
						err = send(p, fmt.Sprintf("m/%d", i%3), fmt.Sprint(i))
					}
					return err
				})
				last, delivered, conflated := map[string]string{}, uint64(0), uint64(0)
				for cursor := ok.Offset; delivered+conflated < messages; {
					m := s.want("batch")
					if m.From != cursor || (m.Conflated == nil) != (mode == "all" || m.Open) {
						t.Fatalf("%+v after %d", m, cursor)
					}
					if cursor = m.To; m.Conflated != nil {
						conflated += *m.Conflated
					}
					for _, one := range m.Readings {
						last[one.Topic] = one.Payload
						delivered++
					}
				}
				if delivered+conflated != messages || (conflated > 0) != (mode != "all") || last["m/0"] != "297" || last["m/1"] != "298" || last["m/2"] != "299" {
					t.Errorf("%d delivered, %d conflated, last %v", delivered, conflated, last)
				}
				published()
				h := s.want("heartbeat")
				if n, there := h.Counts["3"]; h.Delivered["3"] != delivered || n != conflated || there != (mode != "all") {
					t.Errorf("heartbeat %v %v, counted %d and %d", h.Delivered, h.Counts, delivered, conflated)
				}
			})
		}
	}
}

func TestModeBounds(t *testing.T) {
	r := run(t, nil)
	s := r.speak(tongues[0])
	for i, bad := range []map[string]any{
		{"mode": "newest"}, {"mode": "latest", "tick_ms": 9}, {"mode": "latest", "tick_ms": 60001}, {"mode": "latest", "tick_ms": "50"}, {"mode": "latest", "tick_ms": 50.5},
		{"mode": "sample"}, {"mode": "sample", "every_ms": 0}, {"mode": "sample", "every_ms": -1}, {"mode": "sample", "every_ms": 3600001},
	} {
		bad["type"], bad["id"], bad["filter"] = "sub", i, "a"
		s.send(bad)
		if m, err := s.next(); err != nil || m.Type != "suberr" || m.Reason != "mode" {
			t.Errorf("%v: %+v %v, want suberr mode", bad, m, err)
		}
	}
}
