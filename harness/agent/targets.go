package agent

import (
	"fmt"
	"strconv"
	"strings"
)

// maxRange is how many agents a range names at most.
const maxRange = 1000

// ParseTargets reads what ParseTarget reads, where the host may hold one range of whole numbers:
// "agent-{0..9}.agents:7477#FINGERPRINT" names ten agents that have one certificate, as the pods of a
// Kubernetes Indexed Job.
func ParseTargets(text string) ([]Target, error) {
	address, fingerprint, _ := strings.Cut(text, "#")
	before, rest, ranged := strings.Cut(address, "{")
	if !ranged {
		t, err := ParseTarget(text)
		return []Target{t}, err
	}
	span, after, closed := strings.Cut(rest, "}")
	low, high, dotted := strings.Cut(span, "..")
	from, err1 := strconv.Atoi(low)
	to, err2 := strconv.Atoi(high)
	if !closed || !dotted || strings.Contains(after, "{") || err1 != nil || err2 != nil || from < 0 || to < from || to-from >= maxRange {
		return nil, fmt.Errorf("agent: %q has no range as {0..9}: from a whole number to one that is not below it, %d at most in all", address, maxRange)
	}
	targets := make([]Target, 0, to-from+1)
	for i := from; i <= to; i++ {
		t, err := ParseTarget(before + strconv.Itoa(i) + after + "#" + fingerprint)
		if err != nil {
			return nil, err
		}
		targets = append(targets, t)
	}
	return targets, nil
}
