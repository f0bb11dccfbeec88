package conform_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"plumbline/harness/conform"
)

func rules(n int) (all []conform.Rule) {
	for i := range n {
		all = append(all, rule(fmt.Sprintf("c%d", i)))
	}
	return all
}

// mortal is a server that cases end. It counts how often it was started.
type mortal struct {
	cases  int
	kills  func(id string, beside int) bool // beside: how many more run
	hangs  time.Duration                    // before its end, and fails every case meanwhile
	starts int
	met    bool
	all    chan struct{} // closed once four cases have been under way at the same time; until then none ends. nil: each ends
}

func (m *mortal) start(context.Context) (conform.Server, error) {
	m.starts++
	exited := make(chan struct{})
	var mu sync.Mutex
	dead, busy := false, 0
	check := func(t *conform.Trial, id string) {
		mu.Lock()
		busy++
		if busy == 4 && m.all != nil && !m.met {
			m.met = true
			close(m.all)
		}
		gone := dead
		if !dead && m.kills(id, busy-1) {
			dead = true
			time.AfterFunc(m.hangs, func() { close(exited) })
		}
		mu.Unlock()
		switch {
		case gone && m.hangs > 0:
			t.Failf("nothing came")
		case gone:
			t.Unsuref("no connection")
		}
		if m.all != nil {
			<-m.all
		}
		t.Pause(2 * time.Millisecond)
		mu.Lock()
		busy--
		mu.Unlock()
	}
	return conform.Server{
		Exited: exited, Why: func() error { return errors.New("exit status 2") },
		Run: func(ctx context.Context, only []string) ([]conform.Case, error) {
			mu.Lock()
			gone := dead
			mu.Unlock()
			if gone {
				return nil, conform.ErrUnreachable
			}
			var all []conform.Check
			for i := range m.cases {
				id := fmt.Sprintf("c%d", i)
				all = append(all, conform.Check{Rule: rule(id), Run: func(t *conform.Trial) { check(t, id) }})
			}
			chosen, err := conform.Choose(all, only)
			if err != nil {
				return nil, err
			}
			return conform.Execute(ctx, chosen, conform.Settings{Parallel: 4}), nil
		},
	}, nil
}

// TestOutlive: a case that ends the server fails by its name, every other one
// has its verdict of a server that lives.
func TestOutlive(t *testing.T) {
	m := &mortal{cases: 40, kills: func(id string, _ int) bool { return id == "c7" || id == "c31" }}
	cases, deaths, err := conform.Outlive(t.Context(), rules(m.cases), m.start)
	if err != nil || len(cases) != 40 || len(deaths) != 2 {
		t.Fatalf("%d cases, deaths %v, %v", len(cases), deaths, err)
	}
	for i, c := range cases {
		want := conform.Pass
		if i == 7 || i == 31 {
			want = conform.Fail
		}
		if c.ID != fmt.Sprintf("c%d", i) || c.Verdict != want || c.Killed != (want == conform.Fail) {
			t.Errorf("%+v", c)
		}
	}
	if !strings.Contains(cases[7].Detail, "exit status 2") || deaths[0].Case != "c7" || !strings.Contains(deaths[1].String(), "c31") {
		t.Errorf("%q, %v", cases[7].Detail, deaths)
	}
}

// TestOutliveWithoutACulprit: a server that dies of several cases at once has
// suspects, and no case fails for it.
func TestOutliveWithoutACulprit(t *testing.T) {
	once := true
	m := &mortal{cases: 12, all: make(chan struct{}), kills: func(_ string, beside int) bool {
		kill := once && beside == 3
		once = once && !kill
		return kill
	}}
	cases, deaths, err := conform.Outlive(t.Context(), rules(m.cases), m.start)
	if err != nil || len(deaths) != 1 || deaths[0].Case != "" || len(deaths[0].Suspects) < 4 {
		t.Fatalf("%v, %v", deaths, err)
	}
	if i := slices.IndexFunc(cases, func(c conform.Case) bool { return c.Verdict != conform.Pass || c.Killed }); i >= 0 {
		t.Errorf("%+v", cases[i])
	}
}

// TestOutliveAMortalThatNeedsNoCulprit: a server that dies at a certain case,
// whichever it is, convicts none.
func TestOutliveAMortalThatNeedsNoCulprit(t *testing.T) {
	var mu sync.Mutex
	n := 0
	m := &mortal{cases: 12, kills: func(string, int) bool {
		mu.Lock()
		defer mu.Unlock()
		n++
		return n == 6 || n == 12
	}}
	cases, deaths, err := conform.Outlive(t.Context(), rules(m.cases), m.start)
	if err != nil || len(deaths) == 0 {
		t.Fatal(deaths, err)
	}
	for _, d := range deaths {
		if d.Case != "" {
			t.Errorf("%v", d)
		}
	}
	if i := slices.IndexFunc(cases, func(c conform.Case) bool { return c.Killed }); i >= 0 {
		t.Errorf("%+v", cases[i])
	}
}

// TestOutliveAServerThatHangs: cases that fail while the server hangs before its
// end do not fail for that.
func TestOutliveAServerThatHangs(t *testing.T) {
	var mu sync.Mutex
	hung := false
	m := &mortal{cases: 12, hangs: 1500 * time.Millisecond, kills: func(id string, _ int) bool {
		mu.Lock()
		defer mu.Unlock()
		first := id == "c5" && !hung
		hung = hung || first
		return first
	}}
	cases, deaths, err := conform.Outlive(t.Context(), rules(m.cases), m.start)
	if err != nil || len(deaths) != 1 {
		t.Fatal(deaths, err)
	}
	if i := slices.IndexFunc(cases, func(c conform.Case) bool { return c.Verdict != conform.Pass }); i >= 0 {
		t.Errorf("%+v", cases[i])
	}
}

// TestOutliveEndlessDeaths: what four deaths have left is not run, which passes nothing.
func TestOutliveEndlessDeaths(t *testing.T) {
	m := &mortal{cases: 40, kills: func(string, int) bool { return true }}
	cases, deaths, err := conform.Outlive(t.Context(), rules(m.cases), m.start)
	if err != nil || len(deaths) != 4 || m.starts > 12 {
		t.Fatalf("%d deaths, %d starts, %v", len(deaths), m.starts, err)
	}
	killed := 0
	for _, c := range cases {
		if c.Killed {
			killed++
		} else if c.Verdict != conform.NotRun {
			t.Errorf("%+v", c)
		}
	}
	if killed != 4 {
		t.Errorf("%d cases convicted", killed)
	}
}

// TestOutliveUnreachable: who serves nobody and lives is no death, and a start
// that fails is its own error.
func TestOutliveUnreachable(t *testing.T) {
	closed := conform.Server{Run: func(context.Context, []string) ([]conform.Case, error) { return nil, conform.ErrUnreachable }}
	if _, deaths, err := conform.Outlive(t.Context(), rules(1), func(context.Context) (conform.Server, error) { return closed, nil }); !errors.Is(err, conform.ErrUnreachable) || deaths != nil {
		t.Errorf("%v, %v", deaths, err)
	}
	broken := errors.New("no system")
	if _, _, err := conform.Outlive(t.Context(), rules(1), func(context.Context) (conform.Server, error) { return conform.Server{}, broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
}
