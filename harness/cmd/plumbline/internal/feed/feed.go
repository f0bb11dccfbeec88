// Package feed holds scenes: small sets of simulated devices that fill the presets of the dashboard. Each device publishes
// SITE/AREA/DEVICE/state and says SITE/AREA/DEVICE/availability: online, and by its last will offline.
package feed

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"plumbline/devices"
	"plumbline/devices/mqttdev"
	"plumbline/devices/simulated"
)

// Device is one device of a scene.
type Device struct {
	Name string // SITE/AREA/DEVICE
	Kind simulated.Kind
}

// family is how devices of a scene speak: NAME/state with an object of values, NAME/availability.
const family = "homeassistant"

// pace is how often a device of a kind speaks; what is not here, each second.
func pace(k simulated.Kind) time.Duration {
	switch k {
	case simulated.Vibration:
		return 200 * time.Millisecond
	case simulated.GPS, simulated.Power:
		return 500 * time.Millisecond
	}
	return time.Second
}

// Scenes names the scenes, as the presets are called.
func Scenes() []string { return []string{"railway", "line", "building"} }

// Scene returns the devices of a scene. The error names what is known.
func Scene(name string) ([]Device, error) {
	t, v, g, p, d, h := simulated.Temperature, simulated.Vibration, simulated.GPS, simulated.Power, simulated.Door, simulated.Dust
	switch name {
	case "railway":
		return scene("railway/", map[string]simulated.Kind{
			"train-7/axle-1": t, "train-7/axle-2": t, "train-7/axle-3": t, "train-7/axle-4": t, "train-7/position": g, "train-7/bogie-1": v, "train-7/bogie-2": v,
			"train-7/door-1": d, "train-7/door-2": d, "train-7/door-3": d, "train-7/door-4": d, "crossing-12/barrier-1": d, "crossing-12/barrier-2": d,
			"junction-3/heating-1": p, "junction-3/rail-1": t, "substation-1/feeder-1": p, "substation-1/feeder-2": p,
		}), nil
	case "line":
		return scene("plant/", map[string]simulated.Kind{
			"line-1/press-7": v, "line-1/press-8": v, "line-1/press-9": v, "line-1/press-10": v, "line-1/guard-1": d, "line-1/guard-2": d, "line-1/supply": p,
			"hall/dust-1": h, "hall/climate-1": t,
		}), nil
	case "building":
		return scene("building/", map[string]simulated.Kind{
			"kitchen/climate": t, "kitchen/air": h, "kitchen/window": d, "living-room/climate": t, "living-room/window": d, "bedroom/climate": t, "bedroom/window": d,
			"office/climate": t, "office/air": h, "cellar/climate": t, "cellar/meter": p, "hall/front-door": d,
		}), nil
	}
	return nil, fmt.Errorf("feed: no scene is called %q; known are %s", name, strings.Join(Scenes(), ", "))
}

func scene(site string, kinds map[string]simulated.Kind) []Device {
	out := make([]Device, 0, len(kinds))
	for name, kind := range kinds {
		out = append(out, Device{Name: site + name, Kind: kind})
	}
	return out
}

// Twin returns what the device measures. Devices of one name and seed say the same each time.
func (d Device) Twin(seed uint64) (*simulated.Twin, error) {
	return simulated.New(d.Kind, d.Name, d.seed(seed), simulated.Options{Period: pace(d.Kind)})
}

// seed is the device's own: of the run's and its name (FNV-1a).
func (d Device) seed(run uint64) uint64 {
	sum := uint64(14695981039346656037)
	for _, c := range []byte(d.Name) {
		sum = (sum ^ uint64(c)) * 1099511628211
	}
	return devices.Mix(run, sum)
}

// Options of a run. Broker and Devices are required.
type Options struct {
	Broker   *url.URL
	Username string
	Password []byte
	Devices  []Device
	Seed     uint64
}

// Run lets all devices speak until ctx ends, each over a connection of its own, which comes back by itself. It returns when
// all have said goodbye; an error only for what could not be started.
func Run(ctx context.Context, o Options) error {
	twins := make([]*mqttdev.Twin, 0, len(o.Devices))
	for _, d := range o.Devices {
		source, err := d.Twin(o.Seed)
		if err != nil {
			return err
		}
		twin, err := mqttdev.NewTwin(mqttdev.TwinConfig{
			Broker: o.Broker, Username: o.Username, Password: o.Password, Name: d.Name, Family: family, Source: source, Seed: source.Seed(), Version: "3.1.1",
		})
		if err != nil {
			return err
		}
		twins = append(twins, twin)
	}
	var all sync.WaitGroup
	failed := make(chan error, len(twins))
	for _, t := range twins {
		all.Go(func() {
			if err := t.Run(ctx); err != nil {
				failed <- err
			}
		})
	}
	all.Wait()
	close(failed)
	return <-failed
}
