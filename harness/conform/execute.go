package conform

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// Settings of an execution. End is required.
type Settings struct {
	End      Endpoint
	Patience time.Duration // 0 means 4 s
	Limit    time.Duration // of one case; 0 means 30 s
	Parallel int           // cases at once; 0 means 8
	Secrets  []string      // what no transcript may show
	Progress func(Case)    // called after each case, one at a time; nil is allowed
}

// Choose returns the checks of these ids in the order of the suite, all for nil.
// An id that no check has is ErrUsage.
func Choose(all []Check, ids []string) ([]Check, error) {
	if ids == nil {
		return all, nil
	}
	for _, id := range ids {
		if !slices.ContainsFunc(all, func(c Check) bool { return c.ID == id }) {
			return nil, fmt.Errorf("case %q: %w: the suite has no such case to run", id, ErrUsage)
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(c Check) bool { return !slices.Contains(ids, c.ID) }), nil
}

// Execute runs the checks, several at once, and returns their cases in the
// order of the checks. It returns when all connections are closed. What ctx
// cuts short is NotRun.
func Execute(ctx context.Context, checks []Check, s Settings) []Case {
	if s.Patience <= 0 {
		s.Patience = 4 * time.Second
	}
	if s.Limit <= 0 {
		s.Limit = 30 * time.Second
	}
	if s.Parallel <= 0 {
		s.Parallel = 8
	}
	cases := make([]Case, len(checks))
	work := make(chan int)
	var all sync.WaitGroup
	var telling sync.Mutex
	for range min(s.Parallel, max(len(checks), 1)) {
		all.Go(func() {
			for i := range work {
				cases[i] = s.one(ctx, checks[i])
				if s.Progress != nil {
					telling.Lock()
					s.Progress(cases[i])
					telling.Unlock()
				}
			}
		})
	}
	for _, long := range []bool{true, false} {
		for i, c := range checks {
			if c.Long == long {
				work <- i
			}
		}
	}
	close(work)
	all.Wait()
	return cases
}

// one runs one check. A fault of the check itself is no verdict about the endpoint.
func (s Settings) one(parent context.Context, check Check) Case {
	if parent.Err() != nil {
		return Case{Rule: check.Rule, Detail: "interrupted before it began"}
	}
	ctx, cancel := context.WithTimeout(parent, s.Limit)
	t := &Trial{ctx: ctx, cancel: cancel, began: time.Now(), patience: s.Patience, end: s.End, secrets: s.Secrets}
	func() {
		defer func() {
			if p := recover(); p != nil {
				t.Unsuref("fault of the suite, please report it: %v", p)
				t.Notef("%s", truncate(string(debug.Stack()), 2000))
			}
		}()
		check.Run(t)
	}()
	return t.result(parent, check.Rule)
}

func truncate(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}
