package browser

import (
	"context"
	"errors"
	"fmt"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// Throttle makes the page's processor slower by a factor; 1 is its own speed.
func (p *Page) Throttle(ctx context.Context, factor float64) error {
	return p.do(ctx, "throttle the processor", func(ctx context.Context) error {
		return call(ctx, p.session(), emulation.SetCPUThrottlingRate, emulation.SetCPUThrottlingRateParams{Rate: factor})
	})
}

// Offline takes the network from the page, or gives it back: what the browser says of it and
// all new requests. A WebSocket that is open may live on.
func (p *Page) Offline(ctx context.Context, is bool) error {
	return p.do(ctx, "change the network", func(ctx context.Context) error {
		if err := call(ctx, p.session(), network.Enable, network.EnableParams{}); err != nil { // else nothing is emulated
			return err
		}
		conditions := []*network.Conditions{}
		if is {
			conditions = append(conditions, &network.Conditions{DownloadThroughput: -1, UploadThroughput: -1, Offline: true})
		}
		if err := call(ctx, p.session(), network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{MatchedNetworkConditions: conditions}); err != nil {
			return err
		}
		err := call(ctx, p.session(), network.OverrideNetworkState, network.OverrideNetworkStateParams{
			Offline: is, DownloadThroughput: -1, UploadThroughput: -1,
		})
		if err == nil && !is {
			err = call(ctx, p.session(), network.Disable, cdp.Empty{})
		}
		return err
	})
}

// Freeze stops the page as a browser does with one that sleeps; Thaw lets it go on.
func (p *Page) Freeze(ctx context.Context) error {
	return p.lifecycle(ctx, page.SetWebLifecycleStateStateFrozen)
}

// Thaw ends Freeze, and shows the tab again: a frozen one is hidden.
func (p *Page) Thaw(ctx context.Context) error {
	if err := p.lifecycle(ctx, page.SetWebLifecycleStateStateActive); err != nil {
		return err
	}
	show, err := p.Hide(ctx)
	if err != nil {
		return err
	}
	return show(ctx)
}

func (p *Page) lifecycle(ctx context.Context, state page.SetWebLifecycleStateState) error {
	return p.do(ctx, "make the page "+string(state), func(ctx context.Context) error {
		return call(ctx, p.session(), page.SetWebLifecycleState, page.SetWebLifecycleStateParams{State: state})
	})
}

// Reload loads the page again and waits until it has; its documents before are over.
// What they had noted is taken first, and their clock is known.
func (p *Page) Reload(ctx context.Context) error {
	if err := errors.Join(p.mapped(ctx), p.Flush(ctx)); err != nil {
		return err
	}
	return p.do(ctx, "reload", func(ctx context.Context) error {
		loaded := cdp.Events(ctx, p.session(), page.LoadEventFired)
		if err := call(ctx, p.session(), page.Reload, page.ReloadParams{}); err != nil {
			return err
		}
		if err := p.loaded(ctx, loaded); err != nil {
			return err
		}
		failed, err := p.eval(ctx, "location.protocol === 'chrome-error:' ? document.body.innerText.slice(0, 300) : ''")
		if err == nil && failed != "" {
			err = fmt.Errorf("the browser shows %q", failed)
		}
		return err
	})
}

// Hide puts another tab before the page, in its window; show brings the page back.
func (p *Page) Hide(ctx context.Context) (show func(context.Context) error, err error) {
	other, end := chromedp.NewContext(p.ctx, chromedp.WithNewWindow(false))
	limited, cancel := within(p.ctx, ctx)
	defer cancel()
	if err := chromedp.Do(other); err != nil {
		end()
		return nil, fmt.Errorf("browser: hide page %q: %w", p.cfg.Name, err)
	}
	front := func(ctx context.Context, of context.Context) error {
		id := chromedp.FromContext(of).Target.TargetID
		return call(ctx, chromedp.FromContext(of).Browser, target.ActivateTarget, target.ActivateTargetParams{TargetID: id})
	}
	if err := front(limited, other); err != nil {
		end()
		return nil, fmt.Errorf("browser: hide page %q: %w", p.cfg.Name, err)
	}
	return func(ctx context.Context) error {
		limited, cancel := within(p.ctx, ctx)
		defer cancel()
		err := front(limited, p.ctx)
		end()
		return err
	}, nil
}

// do makes a change and says what it was that failed.
func (p *Page) do(ctx context.Context, what string, change func(context.Context) error) error {
	limited, cancel := within(p.ctx, ctx)
	defer cancel()
	if err := change(limited); err != nil {
		return fmt.Errorf("browser: page %q: %s: %w", p.cfg.Name, what, cause(limited, err))
	}
	return nil
}
