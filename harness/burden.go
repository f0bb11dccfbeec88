package harness

import (
	"context"
	"fmt"
	"os"
	"time"

	"plumbline/devices"
	"plumbline/harness/sut"
)

// Burden is what one part of a bench used of the machine over a time.
type Burden struct {
	Part    string        `json:"part"`   // "bridge", "generator" (further ones "generator-2" and so on), "harness", or "viewers-1" and so on for processes of viewers
	CPU     time.Duration `json:"cpu_ns"` // user and system time
	Over    time.Duration `json:"over_ns"`
	RSS     uint64        `json:"rss_bytes"` // at its end, as what follows
	Threads int           `json:"threads"`
	Files   int           `json:"files"` // -1 where they cannot be counted
}

// look is how one part is looked at.
type look struct {
	part string
	at   func(context.Context) (sut.Usage, error)
}

func usageOf(pid int) func(context.Context) (sut.Usage, error) {
	return func(ctx context.Context) (sut.Usage, error) { return sut.UsageOf(ctx, pid) }
}

// Burdens measures what the parts use until the result is called. A part that
// cannot be looked at, such as a system elsewhere or a generator within the
// harness, is left out.
func (b *Bench) Burdens(ctx context.Context) func(ctx context.Context) []Burden {
	looks := []look{{"bridge", b.SUT.Usage}, {"harness", usageOf(os.Getpid())}}
	for i, host := range b.hosts {
		looks = append(looks, look{fmt.Sprintf("viewers-%d", i+1), usageOf(host.PID())})
	}
	for i, of := range b.Generator.Reports() {
		if of.Own {
			looks = append(looks, look{generatorName(i), usageOf(of.PID)})
		}
	}
	before := map[string]sut.Usage{}
	for _, l := range looks {
		if u, err := l.at(ctx); err == nil {
			before[l.part] = u
		}
	}
	return func(ctx context.Context) []Burden {
		list := []Burden{}
		for _, l := range looks {
			from, known := before[l.part]
			u, err := l.at(ctx)
			if !known || err != nil {
				continue
			}
			list = append(list, Burden{l.part, u.CPU - from.CPU, u.At.Sub(from.At), u.RSS, u.Threads, u.Files})
		}
		return list
	}
}

// Counted returns what the driver of a device counted, once the bench is finished;
// false for a device that has none, or whose generator died.
func (b *Bench) Counted(device string) (devices.Counters, bool) {
	if b.sources == nil {
		return devices.Counters{}, false
	}
	counted := b.Generator.Report().Counted
	for i, place := range b.sources.places {
		if b.sources.infos[place].ID == device && i < len(counted) {
			return counted[i], true
		}
	}
	return devices.Counters{}, false
}
