package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"time"

	"plumbline/devices/codec"
	"plumbline/devices/inventory"
	"plumbline/devices/serialline"
	"plumbline/devices/usbtree"
	"plumbline/harness/record"
)

// Adapter is a USB serial adapter and where it is plugged in; see Plan.Adapters.
type Adapter = usbtree.Device

// NoAdapters says why there are no emulated USB adapters here, "" where there are:
// they are what Linux shows in sysfs.
func NoAdapters() string {
	if runtime.GOOS != "linux" {
		return "USB adapters are emulated as Linux shows them, and this system finds its ports in another way"
	}
	return ""
}

// Adapted is a fixture behind a USB adapter.
type Adapted interface {
	Starter
	// PlugAs plugs it in behind that adapter: elsewhere, or under another name. Plug
	// takes the adapter of the time before.
	PlugAs(ctx context.Context, a Adapter) error
}

// hub is a folder in which USB adapters appear as in /sys and /dev, so that
// drivers find node twins as they find sensors.
type hub struct {
	root string
	tree *usbtree.Tree
}

// hub returns the one of the bench, which it makes at the first call.
func (s *sources) hub() (*hub, error) {
	if s.usb != nil {
		return s.usb, nil
	}
	root, err := os.MkdirTemp("", "plumbline-usb-")
	if err != nil {
		return nil, fmt.Errorf("harness: emulated USB: %w", err)
	}
	s.closers = append(s.closers, folder(root))
	tree, err := usbtree.New(root)
	if err != nil {
		return nil, err
	}
	s.usb = &hub{root: root, tree: tree}
	return s.usb, nil
}

// folder is removed when it is closed.
type folder string

// Close implements io.Closer.
func (f folder) Close() error { return os.RemoveAll(string(f)) }

// adapted is a node twin behind an adapter.
type adapted struct {
	*ledgered
	hub  *hub
	path string // of its port, where there is one

	mu  sync.Mutex
	now Adapter // owned by mu
}

// plugged puts a node twin behind an adapter for the first time.
func (h *hub) plugged(l *ledgered, path string, a Adapter) (*adapted, error) {
	f := &adapted{ledgered: l, hub: h, path: path}
	return f, f.appear(a)
}

// appear lets the kernel show the adapter.
func (f *adapted) appear(a Adapter) error {
	target, err := filepath.EvalSymlinks(f.path)
	if err != nil {
		return fmt.Errorf("harness: adapter %s: %w", a.Node, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	a.Target, f.now = target, a
	return f.hub.tree.Plug(a)
}

// Unplug implements devices.Fixture: the name goes before the port hangs up.
func (f *adapted) Unplug(ctx context.Context) error {
	return f.ledger.Between(ctx, Gone, func() error {
		f.mu.Lock()
		node := f.now.Node
		f.mu.Unlock()
		return errors.Join(f.hub.tree.Unplug(node), f.Starter.Unplug(ctx))
	})
}

// Plug implements devices.Fixture.
func (f *adapted) Plug(ctx context.Context) error {
	f.mu.Lock()
	a := f.now
	f.mu.Unlock()
	return f.PlugAs(ctx, a)
}

// PlugAs implements Adapted.
func (f *adapted) PlugAs(ctx context.Context, a Adapter) error {
	return f.ledger.Between(ctx, Whole, func() error {
		if err := f.Starter.Plug(ctx); err != nil {
			return err
		}
		return f.appear(a)
	})
}

// TryPort opens the port that a selector chooses among the adapters of the bench,
// as the driver of a device does, closes it again and returns the error of the
// opening. ErrBench: the bench has no adapters.
func (b *Bench) TryPort(ctx context.Context, selector string) error {
	if b.sources == nil || b.sources.usb == nil {
		return fmt.Errorf("harness: port %q: %w: it has no emulated adapters", selector, ErrBench)
	}
	line, err := serialline.Open(ctx, serialline.Config{
		ID: "a try", Port: selector, Codec: codec.Chunks{}, Inventory: inventory.Inventory{Root: b.sources.usb.root}, Log: b.log,
	})
	if err != nil {
		return err
	}
	return line.Close()
}

// PortTold returns what the driver of a device said last of its port, the zero
// event while it said nothing. It is late by up to 100 ms.
func (b *Bench) PortTold(device string) record.Event { return b.Generator.Port(device) }

// followPort puts what becomes of the port of a driver into the recording.
func followPort(cfg *serialline.Config, event func(record.Event)) {
	if event == nil {
		return
	}
	tell := func(at int64, plugged bool, why error) {
		e := record.Event{At: at, Kind: record.PortChanged, Subject: cfg.ID, Fields: map[string]string{"plugged": strconv.FormatBool(plugged)}}
		if why != nil {
			e.Detail = fmt.Sprintf("%.512s", why)
		}
		event(e)
	}
	cfg.OnState = func(s serialline.State) { tell(int64(s.At), s.Plugged, s.Err) }
	cfg.OnAway = func(at time.Duration, why error) { tell(int64(at), false, why) }
}
