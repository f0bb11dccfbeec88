package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"plumbline/harness/cmd/plumbline/internal/console"
	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/harness/cmd/plumbline/internal/recompute"
	"plumbline/reports"
)

// recomputeRun judges a stored run again and prints requirement by requirement
// whether the files give what its summary says.
func recomputeRun(ctx context.Context, s streams, dir string) error {
	c, err := recompute.Check(ctx, dir)
	if errors.Is(err, recompute.ErrNoRun) {
		return exit.Usage(err, "name a run directory, one that holds summary.json")
	}
	if err != nil {
		return err
	}
	var b strings.Builder
	if c.Run != nil {
		own := tool()
		fmt.Fprintf(&b, "run %s, profile %s %s, judged by %s; recomputed by %s\n", console.Clean(c.Run.ID),
			console.Clean(c.Run.Profile.Name), console.Clean(c.Run.Profile.Version), named(c.Run.Tool), named(own))
	}
	differing := table(&b, c.Lines)
	for _, damage := range c.Damage {
		fmt.Fprintf(&b, "damage: %s\n", console.First(damage.Error()))
	}
	fmt.Fprintf(&b, "recomputed: %d of %d lines same, %d files or conditions damaged\n", len(c.Lines)-differing, len(c.Lines), len(c.Damage))
	if _, err := fmt.Fprint(s.out, b.String()); err != nil {
		return err
	}
	if c.Same() {
		return nil
	}
	return exit.With(reports.ExitVerify, fmt.Errorf("recompute %q: %d lines differ, %d files or conditions are damaged; do not trust this run", dir, differing, len(c.Damage)),
		"get the run directory again from whoever made it, and use the version of plumbline that judged it")
}

// table prints the lines and returns how many differ.
func table(b *strings.Builder, lines []recompute.Line) (differing int) {
	width := 0
	for _, l := range lines {
		if l.Verdict != nil {
			width = max(width, len(l.Name))
		}
	}
	for _, l := range lines {
		verdict := ""
		if l.Verdict != nil {
			verdict = l.Verdict.String()
			if l.Reason != "" {
				verdict += fmt.Sprintf("(%s)", l.Reason)
			}
			verdict = fmt.Sprintf("  %-22s", verdict)
		}
		word := "same"
		if len(l.Differs) > 0 {
			differing++
			word = "DIFFERS: " + strings.Join(l.Differs, "; ")
		}
		fmt.Fprintf(b, "  %-*s%s  %s\n", width, console.Clean(l.Name), console.Clean(verdict), console.Clean(word))
	}
	return differing
}

// named is a version of plumbline in a line.
func named(t reports.Tool) string {
	text := t.Name + " " + t.Version
	if t.Digest != "" {
		text += " (SHA-256 " + t.Digest[:min(len(t.Digest), 12)] + "…)"
	}
	return console.Clean(text)
}
