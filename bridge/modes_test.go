package bridge

import (
	"encoding/base64"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"

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
		t.Run(as.name, func(t *testing.T) {
			s := (&running{t: t, b: r.b, cfg: r.cfg}).speak(as)
			delivered, conflated := map[string]uint64{}, map[string]uint64{}
			for mode, more := range map[string]map[string]any{
				"all": {}, "latest": {}, "latest 20": {"tick_ms": 20}, "sample": {"every_ms": 150},
			} {
				id := len(delivered) + 3
				n, left := s.conserves(p, id, mode, more)
				if delivered[fmt.Sprint(id)] = n; mode != "all" {
					conflated[fmt.Sprint(id)] = left
				}
			}
			if h := s.want("heartbeat"); !maps.Equal(h.Delivered, delivered) || !maps.Equal(h.Counts, conflated) {
				t.Errorf("heartbeat %v %v, counted %v and %v", h.Delivered, h.Counts, delivered, conflated)
			}
		})
	}
}

// conserves publishes under a topic of its own and counts what a subscription with the mode makes of it.
func (s *speaker) conserves(p *paho.Client, id int, name string, more map[string]any) (delivered, conflated uint64) {
	s.t.Helper()
	mode, topic := strings.Fields(name)[0], fmt.Sprintf("m%d/", id)
	msg := map[string]any{"type": "sub", "id": id, "filter": topic + "+", "mode": mode}
	maps.Copy(msg, more)
	s.send(msg)
	ok := s.want("subok")
	if name != "all" && ok.Mode != mode || name == "all" && ok.Mode != "" {
		s.t.Errorf("%s: subok %+v", name, ok)
	}
	const messages = 300
	published := beside(s.t, func() (err error) {
		for i := 0; i < messages && err == nil; i++ {
			err = send(p, topic+fmt.Sprint(i%3), fmt.Sprint(i))
		}
		return err
	})
	last := map[string]string{}
	for cursor := ok.Offset; delivered+conflated < messages; {
		m := s.want("batch")
		if string(m.ID) != fmt.Sprint(id) || m.From != cursor || (m.Conflated == nil) != (name == "all" || m.Open) {
			s.t.Fatalf("%s: %+v after %d", name, m, cursor)
		}
		if cursor = m.To; m.Conflated != nil {
			conflated += *m.Conflated
		}
		for _, one := range m.Readings {
			last[strings.TrimPrefix(one.Topic, topic)] = one.Payload
			delivered++
		}
	}
	if delivered+conflated != messages || (conflated > 0) != (name != "all") || last["0"] != "297" || last["1"] != "298" || last["2"] != "299" {
		s.t.Errorf("%s: %d delivered, %d conflated, last %v", name, delivered, conflated, last)
	}
	published()
	return delivered, conflated
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
