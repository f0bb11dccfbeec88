package sidebyside

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"plumbline/harness"
	"plumbline/harness/profile"
	"plumbline/harness/sut"
	"plumbline/reports"
)

// Run measures and returns what came of it, which is in File as well, after each
// part anew. What a system fails in never came about in that round, and the next
// gives it another chance; one that fails in the first round ends everything, for it
// is set up wrongly. Errors of a system that is
// not there wrap sut.ErrUnavailable, those of options ErrUsage or sut.ErrUsage.
func Run(ctx context.Context, o Options) (*reports.SideBySide, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Load.Process = len(o.Generator) > 0
	out := &reports.SideBySide{
		Format: reports.SideBySideFormat, Tool: o.Tool, Started: time.Now().UTC(), Seed: o.Seed, Environment: o.Environment, Load: o.Load,
		Parts: []reports.BesidePart{},
	}
	rigs := make([]*harness.Rig, len(o.Systems))
	for i, system := range o.Systems {
		d := descriptorOf(system)
		out.Systems = append(out.Systems, reports.Beside{Name: d.Name, Version: d.Version, Description: d.Description})
		var err error
		if rigs[i], err = harness.NewRig(harness.Config{
			Profile: &profile.Profile{Name: "peers", Version: "1"}, Dir: o.folder(i), Seed: o.Seed, SUT: system, Generator: o.Generator, Log: o.Log,
		}); err != nil {
			return nil, err
		}
	}
	if err := o.present(ctx); err != nil {
		return nil, err
	}
	for round := range o.Load.Rounds {
		for _, i := range Order(o.Seed, round, len(rigs)) {
			p := part{rig: rigs[i], load: o.Load, rnd: draws(o.Seed, round, i), figures: reports.BesidePart{Round: round + 1, System: i}}
			err := p.measure(ctx)
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			if err != nil && (round == 0 || !errors.Is(err, sut.ErrUnavailable)) {
				return nil, fmt.Errorf("sidebyside: round %d, system %q: %w", round+1, out.Systems[i].Name, err)
			}
			if err != nil {
				p.figures.Failed = err.Error()
			}
			if p.version != "" {
				out.Systems[i].Version = p.version
			}
			out.Parts = append(out.Parts, p.figures)
			Summarise(out)
			if err := write(filepath.Join(o.Dir, File), out); err != nil {
				return nil, err
			}
			if o.Told != nil {
				o.Told(p.figures)
			}
		}
	}
	return out, nil
}

// Order is the order in which a round takes n systems.
func Order(seed uint64, round, n int) []int { return draws(seed, round, -1).Perm(n) }

// draws are the random numbers of one system in one round; of -1 those of the round.
func draws(seed uint64, round, system int) *rand.Rand {
	return rand.New(rand.NewPCG(seed, uint64(round)<<16|uint64(system+1))) //nolint:gosec // reproducible draws, not secrets
}

// write keeps a comparison; the file is there whole at any time.
func write(path string, c *reports.SideBySide) error {
	text, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		return fmt.Errorf("sidebyside: %w", err)
	}
	if err := os.WriteFile(path+".new", append(text, '\n'), 0o644); err != nil { //nolint:gosec // G306: a comparison is for others to read
		return fmt.Errorf("sidebyside: keep the comparison: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("sidebyside: keep the comparison: %w", err)
	}
	return nil
}
