package peers_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"plumbline/harness"
	"plumbline/harness/capacity"
	"plumbline/harness/record"
	"plumbline/harness/sidebyside"
	"plumbline/harness/sut"
	"plumbline/reports"
)

// beside returns how systems of this folder are compared within seconds.
func beside(t *testing.T, files ...string) sidebyside.Options {
	t.Helper()
	o := sidebyside.Options{Dir: t.TempDir(), Seed: 5, Load: reports.BesideLoad{
		Rounds: 1, Devices: 5, Rate: 200, Viewers: 3, WarmUp: 100 * time.Millisecond, Window: 500 * time.Millisecond,
		Crowd: 12, Settle: 100 * time.Millisecond, Calm: 50, Few: 2, Dead: 100 * time.Millisecond,
	}}
	for _, file := range files {
		d, err := sut.Load(file)
		must(t, err)
		if file == "centrifuge.yaml" {
			d.Start[0].Command[0] = program(t, "centrifuge", "./centrifuge")
		}
		o.Systems = append(o.Systems, sut.Options{Descriptor: d, Binary: program(t, "bridged", "plumbline/bridge/cmd/bridged")})
	}
	return o
}

// TestSideBySide: real systems are measured in one run, every figure is established,
// and of two that are killed alike the one that forgets is told from the one that does not.
func TestSideBySide(t *testing.T) {
	installed(t, "node", "mosquitto", "node/node_modules/mqtt")
	o := beside(t, "beside/bridged-plain.yaml", "centrifuge.yaml", "node.yaml")
	told := 0
	o.Told = func(reports.BesidePart) { told++ }
	ctx, cancel := context.WithTimeoutCause(t.Context(), 3*patience, fmt.Errorf("waited %v", 3*patience))
	defer cancel()
	c, err := sidebyside.Run(ctx, o)
	must(t, err)
	if told != 3 || len(c.Parts) != 3 || len(c.Systems) != 3 {
		t.Fatalf("%d parts told, %d kept, of %d systems", told, len(c.Parts), len(c.Systems))
	}
	for _, p := range c.Parts {
		if p.Failed != "" || p.Deliveries < 50 || p.Owed < 50 {
			t.Errorf("part %+v", p)
		}
		for _, m := range reports.BesideMeasures() {
			v := float64(m.In(p))
			if never := math.IsNaN(v) || math.IsInf(v, 0); never || (v <= 0 && m.ID != "memory" && m.ID != "cpu") { // which 12 viewers need not raise, and half a second not use
				t.Errorf("%s of %s is %v", m.Name, c.Systems[p.System].Name, v)
			}
		}
	}
	if c.Systems[0].Lost != 0 || c.Systems[0].Kills != 1 || c.Systems[2].Lost == 0 {
		t.Errorf("killed, %s lost %d of %d and %s %d of %d", c.Systems[0].Name, c.Systems[0].Lost, c.Systems[0].Owed, c.Systems[2].Name, c.Systems[2].Lost, c.Systems[2].Owed)
	}
	again, err := sidebyside.Read(o.Dir)
	must(t, err)
	if !reflect.DeepEqual(again.Parts, c.Parts) || again.Systems[0].Deliveries != c.Systems[0].Deliveries {
		t.Errorf("read %+v, want %+v", again.Parts, c.Parts)
	}
	if _, err := os.Stat(filepath.Join(o.Dir, "system-3", "records", "killed", "records.bin")); err != nil {
		t.Error(err)
	}
}

// TestSideBySideWithout: a system that is not there is told of before anything is measured.
func TestSideBySideWithout(t *testing.T) {
	installed(t, "mosquitto")
	o := beside(t, "beside/bridged-plain.yaml", "mosquitto.yaml")
	o.Systems[1].Descriptor.Start[0].Command[0] = "no-such-broker"
	_, err := sidebyside.Run(limited(t), o)
	if !errors.Is(err, sut.ErrUnavailable) {
		t.Errorf("without a broker: %v", err)
	}
	if _, err := os.Stat(filepath.Join(o.Dir, sidebyside.File)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a comparison was kept: %v", err)
	}
}

// TestCapacity: a real system is climbed along the size of payloads, which the load
// then has, and every step tells what it cost.
func TestCapacity(t *testing.T) {
	installed(t, "mosquitto")
	d, err := sut.Load("mosquitto.yaml")
	must(t, err)
	o := capacity.Options{
		System: sut.Options{Descriptor: d}, Axis: "payload", From: 1, To: 4000, Factor: 64, LatencyMost: patience, Cores: 2, Seed: 3, Dir: t.TempDir(),
		Load: capacity.Load{Devices: 4, Rate: 100, Viewers: 2, Window: 500 * time.Millisecond},
	}
	told := 0
	o.Told = func(reports.CapacityStep) { told++ }
	c, err := capacity.Climb(limited(t), o)
	must(t, err)
	if len(c.Steps) != 3 || told != 3 || c.Steps[2].Value != 4000 || len(c.Growth) != 3 || len(c.Projections) != 0 {
		t.Fatalf("capacity %+v", c)
	}
	for i, s := range c.Steps {
		if !s.Held() || s.Deliveries < 20 || s.Achieved < 20 || !(s.LatencyP99 > 0) || !(s.RSS > 0) || !(s.Cores >= 0) {
			t.Errorf("step %d: %+v", i, s)
		}
	}
	r, err := harness.OpenRecorded(o.Dir, "step-3")
	must(t, err)
	log, err := r.Log()
	must(t, err)
	large := 0
	for _, rec := range log.Records {
		if rec.Kind == record.Received && rec.Bytes > 4000 && rec.Flags == 0 {
			large++
		}
	}
	if large < 20 {
		t.Errorf("%d readings of more than 4000 bytes came", large)
	}
}
