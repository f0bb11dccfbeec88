package inventory

import (
	"context"
	"fmt"
	"time"
)

// Change is what happened to a port.
type Change string

// The changes of a port.
const (
	Plugged   Change = "plugged"
	Unplugged Change = "unplugged"
	Altered   Change = "altered" // the same device under the same name: its permission came or went
)

// Event is one change of the inventory.
type Event struct {
	Change Change `json:"change"`
	Port   Port   `json:"port"`
	Via    string `json:"via"` // what told it: uevent, inotify or poll
}

// Times of Watch.
const (
	pollEvery = time.Second           // where nothing tells, and in case it tells not all
	settle    = 20 * time.Millisecond // udev goes on for a moment after the node appeared
)

// Watch tells each what is plugged in and out from now on, until ctx ends; it
// then returns nil. What is there already is not told. It listens to the
// kernel's uevents and to inotify of the device folder where it may, and looks
// once a second in any case. each is called on the goroutine of Watch.
func (inv Inventory) Watch(ctx context.Context, each func(Event)) error {
	known, err := inv.snapshot()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	hints := inv.Hints(ctx)
	defer func() {
		cancel()
		for range hints { // until its goroutines have ended
			continue
		}
	}()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	rest := time.NewTimer(0)
	defer rest.Stop()
	for {
		via := "poll"
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case via = <-hints:
			rest.Reset(settle)
			select {
			case <-ctx.Done():
				return nil
			case <-rest.C:
			}
		}
		now, err := inv.snapshot()
		if err != nil {
			return fmt.Errorf("inventory: watch: %w", err)
		}
		tell(known, now, via, each)
		known = now
	}
}

// device is what makes a port the same as before.
type device struct{ path, vid, pid, serial, place, unit string }

func (inv Inventory) snapshot() (map[device]Port, error) {
	ports, err := inv.Scan()
	if err != nil {
		return nil, err
	}
	out := map[device]Port{}
	for _, p := range ports {
		out[device{p.Path, p.VID, p.PID, p.Serial, p.USBPath, p.Unit}] = p
	}
	return out, nil
}

// tell tells the difference, what went first.
func tell(before, after map[device]Port, via string, each func(Event)) {
	for d, p := range before {
		if _, still := after[d]; !still {
			each(Event{Unplugged, p, via})
		}
	}
	for d, p := range after {
		old, known := before[d]
		switch {
		case !known:
			each(Event{Plugged, p, via})
		case old.Problem != p.Problem:
			each(Event{Altered, p, via})
		}
	}
}
