package scenarios

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"plumbline/harness"
	"plumbline/harness/oracle"
	"plumbline/harness/spec"
	"plumbline/harness/stats"
	"plumbline/harness/sut"
	"plumbline/reports"
)

// canaries are the tokens that a system under test was shown, by what cannot be
// guessed of them: the SHA-256 of each signature (RFC 7519 section 3), which
// alone makes a token more than a list of claims. A token itself is never kept.
type canaries struct {
	Sums    map[string]int `json:"sums"` // hex SHA-256 → length of the signature
	OnPages []string       `json:"on_pages"`
}

// leastSecret is the least length of a signature that is looked for.
const leastSecret = 20

// show notes a token. One without a signature holds no secret.
func (c *canaries) show(token string) {
	secret := token[strings.LastIndexByte(token, '.')+1:]
	if len(secret) < leastSecret || strings.ContainsFunc(secret, func(r rune) bool { return !inSignature(r) }) {
		return
	}
	if c.Sums == nil {
		c.Sums = map[string]int{}
	}
	c.Sums[sumOf(secret)] = len(secret)
}

func sumOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// look notes whether the page for operators names a token. A page that cannot be
// read names none.
func (c *canaries) look(ctx context.Context, b *harness.Bench) {
	figures, err := b.SUT.Metrics(ctx)
	if err != nil {
		return
	}
	for name := range figures {
		if c.in(name) {
			c.OnPages = append(c.OnPages, "metrics")
			return
		}
	}
}

// inSignature reports whether a character is one of base64url (RFC 4648 section 5).
func inSignature(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
}

// lengths returns the lengths of signatures that are looked for.
func (c *canaries) lengths() (all []int) {
	for _, n := range c.Sums {
		if !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return all
}

// in reports whether a text holds a signature: as a whole run of its characters,
// or at either end of a longer run.
func (c *canaries) in(text string) bool {
	lengths := c.lengths()
	for _, run := range strings.FieldsFunc(text, func(r rune) bool { return !inSignature(r) }) {
		for _, n := range lengths {
			if len(run) < n {
				continue
			}
			if _, found := c.Sums[sumOf(run[:n])]; found {
				return true
			}
			if _, found := c.Sums[sumOf(run[len(run)-n:])]; found {
				return true
			}
		}
	}
	return false
}

// longestLine bounds a line of a log in memory; what is longer is looked at in
// pieces, whose seams are not.
const longestLine = 1 << 20

// scan looks through one log for signatures and returns its lines and the
// numbers of those that hold one.
func (c *canaries) scan(r io.Reader) (lines int64, leaks []int64, err error) {
	in := bufio.NewReaderSize(r, longestLine)
	for {
		line, err := in.ReadSlice('\n')
		if len(line) > 0 {
			lines++
			if c.in(string(line)) {
				leaks = append(leaks, lines)
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return lines, leaks, nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return lines, leaks, err
		}
	}
}

// shownLeaks is how many leaks of one log a result names.
const shownLeaks = 5

// judge looks for the tokens in what the system under test has logged, of which
// omitted is what was not kept.
func (c *canaries) judge(k *spec.Case, id string, logs fs.FS, omitted []sut.Omission) {
	if !k.Applies(id) {
		return
	}
	y := &tally{Checks: int64(len(c.Sums))}
	total := int64(0)
	k.Check(fs.WalkDir(logs, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := logs.Open(path)
		if err != nil {
			return err
		}
		lines, leaks, err := c.scan(f)
		total += lines
		for _, line := range leaks[:min(len(leaks), shownLeaks)] {
			y.violation(id, "token-in-log", path, fmt.Sprintf("line %d of %s holds a token that a viewer had shown", line, path))
		}
		return errors.Join(err, f.Close())
	}))
	for _, page := range c.OnPages {
		y.violation(id, "token-on-page", page, "a page for operators holds a token that a viewer had shown")
	}
	var gates []stats.Gate
	if total == 0 {
		gates = append(gates, stats.Gate{
			Reason: reports.ReasonSamples, Cure: "a system that logs to its standard output or error", Detail: "nothing was logged where the harness looks",
		})
	}
	for _, o := range omitted {
		gates = append(gates, stats.Gate{
			Reason: reports.ReasonSamples, Cure: "a system that logs less", Detail: fmt.Sprintf("%d bytes of its log %s were not kept, and nobody looked through them", o.Bytes, o.File),
		})
	}
	figure := &reports.Measurement{
		Name: fmt.Sprintf("lines with a token among %d that were logged, %d tokens", total, len(c.Sums)), Unit: "lines",
		Estimate: reports.Float(len(y.Found)), Lower: nan, Upper: nan, Confidence: 0.99, Limit: 0, N: total, NEff: total, VIF: 1,
	}
	if len(y.Found) > 0 {
		figure = nil // the findings say it
	}
	k.Judge(oracle.JudgeDeterministic(k.Requirement(id), oracle.DeterministicInput{
		Scenario: k.Scenario.ID, Profile: k.Title(), Checks: y.Checks, Findings: y.Found, Figure: figure, Seed: k.Seed(), Gates: gates,
	}))
}
