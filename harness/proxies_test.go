package harness_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plumbline/harness"
	"plumbline/harness/fault"
)

// Faults on packets and frames come through to a real bridge, whose viewers are
// reached over TLS, and are seen in what was delivered.
func TestPlanBreaksPacketsAndFrames(t *testing.T) {
	rig := newRig(t, nil)
	b := open(t, rig, harness.Plan{Name: "broken", Load: small, Frames: true, Packets: true})
	if !strings.HasPrefix(b.SUT.ViewerURL(), "wss://") {
		t.Fatalf("viewers are reached at %s", b.SUT.ViewerURL())
	}
	torn := b.ViewerProxy.FrameFault(fault.FrameRule{Way: fault.Downstream, Do: fault.Split, When: fault.When{Every: 3}})
	fewer := b.BrokerProxy.PacketFault(fault.PacketRule{Way: fault.Upstream, Type: fault.Publish, Do: fault.Drop, When: fault.When{Every: 5}})
	err := b.Around(t.Context(), "w", 0, 100*time.Millisecond, func(ctx context.Context) error {
		return fault.During(ctx, b.Recorder, torn, func(ctx context.Context) error {
			return fault.Apply(ctx, b.Recorder, fewer, 500*time.Millisecond)
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	r, h := finish(t, b)
	if torn.Fired() == 0 || fewer.Fired() == 0 {
		t.Errorf("the faults fired %d and %d times", torn.Fired(), fewer.Fired())
	}
	d, _ := h.Delivery(r.Options(""))
	if uint64(d.Unconfirmed) != uint64(small.Viewers)*fewer.Fired() || d.Lost+d.Duplicated+d.Corrupted != 0 {
		t.Errorf("delivery is %+v, with %d packets dropped before the broker", d, fewer.Fired())
	}
	log, err := os.ReadFile(filepath.Join(rig.Dir(), harness.RecordsFolder, b.Folder(), fault.LogFile))
	if err != nil || strings.Count(string(log), "fault-action") < 2 {
		t.Errorf("the fault log is %s, %v", log, err)
	}
}

// What happens on the line of a serial twin is seen behind its driver and the
// bridge.
func TestPlanBreaksSerialLines(t *testing.T) {
	t.Parallel()
	specs, err := harness.ParseDevices("rig.yaml", []byte("apiVersion: plumbline/v1\nkind: Rig\nname: r\ndevices:\n  - {id: gps, kind: serial-twin, baud: 9600}\n"))
	if err != nil {
		t.Fatal(err)
	}
	rig := newRig(t, func(c *harness.Config) { c.Devices = specs })
	b := open(t, rig, harness.Plan{Name: "unplugged", Load: small, Sources: specs, Filters: rig.Filters()})
	unplugged := b.Serial["gps"].Line.UnplugFault()
	seen := func() uint64 { return b.Witness.Counters().Witnessed }
	more := func(ctx context.Context) error {
		before := seen()
		return harness.Until(ctx, time.Minute, "a sentence comes through", func() bool { return seen() > before })
	}
	err = b.Around(t.Context(), "w", 0, 0, func(ctx context.Context) error {
		if err := more(ctx); err != nil {
			return err
		}
		if err := fault.During(ctx, b.Recorder, unplugged, func(ctx context.Context) error {
			for range 20 { // what was on its way may still come
				before := seen()
				if err := harness.Wait(ctx, 1500*time.Millisecond); err != nil || seen() == before { // three bursts
					return err
				}
			}
			return errors.New("a line that is unplugged goes on to bring sentences")
		}); err != nil {
			return err
		}
		return more(ctx)
	})
	if err != nil {
		t.Fatal(err)
	}
	if unplugged.Fired() == 0 {
		t.Error("the device said nothing that was lost")
	}
}
