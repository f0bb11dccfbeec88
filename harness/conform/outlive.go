package conform

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Server is a server that suites are pointed at, for as long as it lives.
type Server struct {
	// Run runs the cases of these ids, none for an empty list, and first makes sure
	// that a correct client is served: where it is not, the error is ErrUnreachable,
	// and cases may be missing. It returns soon after ctx has ended.
	Run    func(ctx context.Context, only []string) ([]Case, error)
	Exited <-chan struct{} // closed when it has ended although nobody asked for it; nil when that cannot be seen
	Why    func() error    // how it ended, after that
}

// Death is the end of a server under the cases. Case is the one that ends it also
// when it runs alone, on two servers one after the other; "" when none was found
// to, and then it was one of Suspects, several of them together, or none.
type Death struct {
	Case     string   `json:"case,omitempty"`
	Why      string   `json:"why"`
	Suspects []string `json:"suspects,omitempty"`
}

// Bounds of what is done about servers that die.
const (
	maxDeaths   = 4
	maxSuspects = 20               // that are named where nobody is convicted
	shadow      = time.Second      // before a death: what passed in it is under suspicion
	longShadow  = 15 * time.Second // what did not pass: a server may hang for long before it is gone
	grace       = 3 * time.Second  // for a death to show itself when nobody is served any more
	lineUp      = 30 * time.Second // for suspects to run alone
)

// Outlive runs the cases of all these rules, also when one of them ends the
// server: that one is found by running alone all that were at work, and the
// others go on with a fresh server. start is called for each, from this
// goroutine; the servers are the caller's to close. A case that ends a server has
// failed, whatever it says and however much it binds, and says so in Killed.
//
// After four deaths, or when no fresh server starts, what has not run is NotRun.
// The error is that of a start, or of a run on a server that lives. The cases are
// those of the rules in their order, whatever came of them.
func Outlive(ctx context.Context, rules []Rule, start func(context.Context) (Server, error)) (cases []Case, deaths []Death, err error) {
	o := outliving{start: start, settled: map[string]Case{}}
	for _, r := range rules {
		if !r.Standing {
			o.open = append(o.open, r.ID)
		}
	}
	for first := true; first || o.diedAgain() && ctx.Err() == nil; first = false {
		if o.server, err = start(ctx); err == nil {
			err = o.round(ctx)
		}
		if err != nil {
			break
		}
	}
	for _, r := range rules {
		c, found := o.settled[r.ID]
		if c.Rule = r; !found {
			c.Detail = "not run"
		}
		cases = append(cases, c)
	}
	return cases, o.deaths, err
}

// outliving is one run of Outlive.
type outliving struct {
	start   func(context.Context) (Server, error)
	server  Server
	settled map[string]Case // by id
	open    []string        // cases that have yet to run
	deaths  []Death
	again   bool // the last round ended by a death
}

// diedAgain reports whether there is still something to do because of a death.
func (o *outliving) diedAgain() bool {
	return o.again && len(o.open) > 0 && len(o.deaths) < maxDeaths
}

// round runs the open cases side by side until all are done or the server dies.
func (o *outliving) round(ctx context.Context) error {
	cases, died, err := o.run(ctx, o.open)
	if o.again = !died.IsZero(); !o.again {
		o.settle(cases...)
		return err
	}
	var suspects []Case
	for _, c := range cases {
		switch {
		case c.Standing:
			o.settle(c)
		case c.began.IsZero(): // still open
		case c.ended.After(died.Add(-shadow)), c.Verdict != Pass && c.Verdict != NotApplicable && c.ended.After(died.Add(-longShadow)):
			suspects = append(suspects, c)
		default:
			o.settle(c)
		}
	}
	if len(suspects) == 0 { // it died while the suites made sure that it serves
		o.deaths = append(o.deaths, Death{Why: o.server.Why().Error()})
		return nil
	}
	// What began last is least likely to have been under way for long in peace.
	slices.SortStableFunc(suspects, func(a, b Case) int { return cmp.Compare(b.began.UnixNano(), a.began.UnixNano()) })
	return o.convict(ctx, suspects, o.server.Why().Error())
}

// run runs cases on the server and says when it died; zero when it lives after
// them.
func (o *outliving) run(ctx context.Context, only []string) (cases []Case, died time.Time, err error) {
	running, cancel := context.WithCancel(ctx)
	at := make(chan time.Time, 1)
	go func() {
		defer close(at)
		select {
		case <-o.server.Exited:
			at <- time.Now()
			cancel()
		case <-running.Done():
		}
	}()
	cases, err = o.server.Run(running, only)
	if err == nil && running.Err() == nil {
		_, err = o.server.Run(running, []string{})
	}
	if errors.Is(err, ErrUnreachable) {
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-running.Done():
		}
	}
	cancel()
	if died = <-at; died.IsZero() {
		return cases, died, err
	}
	return cases, died, nil
}

// convict runs suspects alone until one ends a server.
func (o *outliving) convict(ctx context.Context, suspects []Case, why string) (err error) {
	death := Death{Why: why}
	for _, s := range suspects[:min(len(suspects), maxSuspects)] {
		death.Suspects = append(death.Suspects, s.ID)
	}
	defer func() { o.deaths = append(o.deaths, death) }()
	if o.server, err = o.start(ctx); err != nil {
		return fmt.Errorf("a fresh system after the death of one: %w", err)
	}
	limited, cancel := context.WithTimeout(ctx, lineUp)
	defer cancel()
	for _, s := range suspects {
		alone, died, err := o.alone(limited, s.ID)
		if err != nil || limited.Err() != nil {
			return err
		}
		if died == "" {
			o.settle(alone)
			continue
		}
		// Once may be a chance, or the work of the one before.
		if o.server, err = o.start(ctx); err != nil {
			return fmt.Errorf("a fresh system after the death of one: %w", err)
		}
		again, diedAgain, err := o.alone(limited, s.ID)
		if err != nil || limited.Err() != nil {
			return err
		}
		if diedAgain == "" {
			o.settle(again)
			continue
		}
		if alone.began.IsZero() || again.began.IsZero() { // it never came to run: a system that dies of itself
			return nil
		}
		death = Death{Case: s.ID, Why: diedAgain}
		again.Verdict, again.Killed, again.Detail = Fail, true, "the system ended: "+diedAgain
		o.settle(again)
		return nil
	}
	return nil
}

// alone runs one case. died says how the server ended by it, "" when it lives.
func (o *outliving) alone(ctx context.Context, id string) (own Case, died string, err error) {
	cases, at, err := o.run(ctx, []string{id})
	for _, c := range cases {
		if c.ID == id {
			own = c
		} else {
			o.settle(c) // what it saw of standing rules
		}
	}
	if !at.IsZero() {
		died = o.server.Why().Error()
	}
	return own, died, err
}

// settle keeps cases, which are open no more. Of a standing rule the worst of all
// rounds stays.
func (o *outliving) settle(cases ...Case) {
	weight := map[Verdict]int{NotRun: 0, NotApplicable: 1, Pass: 2, Inconclusive: 3, Fail: 4}
	for _, c := range cases {
		if old, found := o.settled[c.ID]; !found || !c.Standing || weight[c.Verdict] > weight[old.Verdict] {
			o.settled[c.ID] = c
		}
		o.open = slices.DeleteFunc(slices.Clone(o.open), func(id string) bool { return id == c.ID })
	}
}

// String says it in words.
func (d Death) String() string {
	switch {
	case d.Case != "":
		return fmt.Sprintf("case %s ends the system: %s", d.Case, d.Why)
	case len(d.Suspects) > 0:
		return fmt.Sprintf("the system ended under the cases %s, none of which was found to end it alone: %s", strings.Join(d.Suspects, ", "), d.Why)
	default:
		return fmt.Sprintf("the system ended when correct clients came: %s", d.Why)
	}
}
