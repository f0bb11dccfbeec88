package browser

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/performance"

	"plumbline/harness/clocks"
)

// Exchanges come quickly until a document has some, and then now and then: a mapping
// needs the shortest of many, and each takes the page a moment.
const (
	exchangesFirst = 3 * clocks.Least
	exchangeSoon   = 5 * time.Millisecond
	exchangeEvery  = 200 * time.Millisecond
	// exchangeLimit is how long an answer is waited for. A page that is busy, frozen
	// or gone says nothing; the next one is asked for later.
	exchangeLimit = 5 * time.Second
)

// exchange asks the clock of the page until ctx ends.
func (p *Page) exchange(ctx context.Context) {
	for {
		wait := exchangeEvery
		if n, err := p.Exchange(ctx); err == nil && n < exchangesFirst {
			wait = exchangeSoon
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// Exchange makes one exchange with the clock of the present document and returns how
// many there are of it.
func (p *Page) Exchange(ctx context.Context) (n int, err error) {
	ctx, cancel := context.WithTimeout(ctx, exchangeLimit)
	defer cancel()
	sent := p.cfg.Clock.Now()
	answer, err := p.eval(ctx, "globalThis[Symbol.for('plumbline')]?.clock()")
	returned := p.cfg.Clock.Now()
	if err != nil {
		return 0, err
	}
	name, shown, _ := strings.Cut(answer, " ")
	ms, err := strconv.ParseFloat(shown, 64)
	if err != nil {
		return 0, fmt.Errorf("browser: the instrument shows no clock but %.50q", answer)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.state.documents[name]
	if d == nil {
		return 0, nil // it has not reported yet
	}
	at := instant(d.number, ms)
	p.exchanges = append(p.exchanges, clocks.Exchange{Sent: sent, Got: at, Answered: at, Returned: returned})
	d.exchanges++
	return d.exchanges, nil
}

// mapped waits until the present document has exchanges enough.
func (p *Page) mapped(ctx context.Context) error {
	for {
		n, err := p.Exchange(ctx)
		switch {
		case n >= exchangesFirst:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("browser: page %q: the clock of the page: %w", p.cfg.Name, context.Cause(ctx))
		case err != nil:
			p.log.Debug("no exchange with the page", "page", p.cfg.Name, "error", err)
		}
		timer := time.NewTimer(exchangeSoon)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// Flush takes everything that the instrument has noted by now.
func (p *Page) Flush(ctx context.Context) error {
	for {
		answer, err := p.eval(ctx, "globalThis[Symbol.for('plumbline')]?.flush()")
		if err != nil {
			return err
		}
		words := strings.Fields(answer)
		if len(words) != 3 {
			return fmt.Errorf("browser: the instrument answers %.50q", answer)
		}
		number, err := strconv.Atoi(words[1])
		if err != nil {
			return fmt.Errorf("browser: the instrument answers %.50q", answer)
		}
		err = p.wait(ctx, "the instrument's report", func() bool {
			d := p.state.documents[words[0]]
			return d != nil && d.reports >= number
		})
		if err != nil || words[2] == "0" {
			return err
		}
	}
}

// last takes what the page still has to tell.
func (p *Page) last(ctx context.Context) error {
	if err := p.mapped(ctx); err != nil {
		return err
	}
	if err := p.Flush(ctx); err != nil {
		return err
	}
	return p.Measure(ctx)
}

// Measure looks at what the page has taken of its main thread. The first look begins
// the time of which Evidence tells, the last one ends it.
func (p *Page) Measure(ctx context.Context) error {
	limited, cancel := within(p.ctx, ctx)
	defer cancel()
	res, err := cdp.Call(limited, p.session(), performance.GetMetrics, cdp.Empty{})
	if err != nil {
		return cause(limited, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	m := &p.state.metrics
	which := 1
	if m.at[0] == 0 {
		which = 0
	}
	for _, metric := range res.Metrics {
		switch metric.Name {
		case "Timestamp":
			m.at[which] = metric.Value
		case "TaskDuration":
			m.tasks[which] = metric.Value
		case "ScriptDuration":
			m.scripts[which] = metric.Value
		case "JSHeapUsedSize":
			m.heap[which] = metric.Value
		}
	}
	return nil
}
