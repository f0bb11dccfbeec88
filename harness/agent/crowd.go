package agent

import (
	"context"
	"slices"
	"time"
)

// Arrived waits until each of these viewers has got so many different messages live, and
// then nothing has come to any of them for the time quiet, where that is more than 0: one
// call, however many they are. What a viewer is that has ended it does not wait for.
func (s *Session) Arrived(ctx context.Context, distinct map[string]uint64, quiet time.Duration) error {
	return s.host.call(ctx, callWait, waitArgs{Session: s.id, Distinct: distinct, Quiet: quiet}, nil)
}

// Lost counts the viewers of those names that are not connected, or were not all the time.
func (s *Session) Lost(ctx context.Context, names []string) (int, error) {
	lost, err := s.choose(ctx, names, func(state viewerStatus) bool { return !state.Connected || state.Counters.Disconnects > 0 })
	return len(lost), err
}

// awayEvery is how often those that are away are asked for.
const awayEvery = 500 * time.Millisecond

// Settled waits until the viewers of those names are connected, and returns those that are not when ctx ends.
func (s *Session) Settled(ctx context.Context, names []string) ([]string, error) {
	for ctx.Err() == nil && len(names) > 0 {
		away, err := s.choose(ctx, names, func(state viewerStatus) bool { return !state.Connected })
		switch {
		case err == nil:
			names = away // nobody is asked twice
		case ctx.Err() == nil:
			return names, err
		}
		if len(names) > 0 {
			pause(ctx, awayEvery)
		}
	}
	return names, nil
}

// choose asks how viewers are and returns those of which something holds, some at a time: a crowd of them is more than one answer, and
// others want to ask meanwhile.
func (s *Session) choose(ctx context.Context, names []string, holds func(viewerStatus) bool) (chosen []string, err error) {
	for some := range slices.Chunk(names, 1000) {
		these, err := s.chooseOf(ctx, some, holds)
		if chosen = append(chosen, these...); err != nil {
			return chosen, err
		}
	}
	return chosen, nil
}

func (s *Session) chooseOf(ctx context.Context, names []string, holds func(viewerStatus) bool) (chosen []string, err error) {
	select { // an answer that is on its way to another would put these back
	case s.asking <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-s.asking }()
	if err := s.ask(ctx, names); err != nil {
		return nil, err
	}
	for _, name := range names {
		if v := s.byName(name); v == nil || holds(v.status()) {
			chosen = append(chosen, name)
		}
	}
	return chosen, nil
}
