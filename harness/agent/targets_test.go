package agent

import (
	"strings"
	"testing"
)

func TestParseTargets(t *testing.T) {
	sum := strings.Repeat("ab", 32)
	for _, row := range []struct {
		text string
		want string // addresses
	}{
		{"192.0.2.7:7477", "192.0.2.7:7477"},
		{"agent-{0..2}.agents:7477", "agent-0.agents:7477 agent-1.agents:7477 agent-2.agents:7477"},
		{"agent-{9..10}:1", "agent-9:1 agent-10:1"},
		{"192.0.2.{7..7}:1", "192.0.2.7:1"},
		{"a-{0..999}:1", ""}, // a thousand
	} {
		targets, err := ParseTargets(row.text + "#" + sum)
		if err != nil {
			t.Fatalf("%s: %v", row.text, err)
		}
		addresses := make([]string, 0, len(targets))
		for _, target := range targets {
			if target.Fingerprint.String() != sum {
				t.Errorf("%s: fingerprint %s", row.text, target.Fingerprint)
			}
			addresses = append(addresses, target.Address)
		}
		if got := strings.Join(addresses, " "); got != row.want && (row.want != "" || len(targets) != maxRange) {
			t.Errorf("%s names %s", row.text, got)
		}
	}
	for _, text := range []string{"a-{0..1000}:1", "a-{2..1}:1", "a-{-1..1}:1", "a-{0-1}:1", "a-{0..1:1", "a-{..}:1", "a-{0..1}-{0..1}:1", "a-{0..1}", "a-{0..x}:1", "a-{0..99999999999999999999}:1"} {
		if targets, err := ParseTargets(text + "#" + sum); err == nil {
			t.Errorf("%s is taken for %v", text, targets)
		}
	}
	if _, err := ParseTargets("a-{0..1}:1"); err == nil || !strings.Contains(err.Error(), "fingerprint") {
		t.Errorf("without a fingerprint: %v", err)
	}
}
