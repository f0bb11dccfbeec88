package scenarios

import (
	"context"
	"time"

	"plumbline/harness"
)

// comeAndGo lets the twins among the declared sensors connect, say that they are
// online, and end, so that their wills say offline; each is waited for at the
// broker at most twice the limit. The result is what viewers owe of it.
func comeAndGo(ctx context.Context, b *harness.Bench, sensors []harness.DeviceSpec, limit time.Duration) ([]end, error) {
	var told []end
	for _, d := range sensors {
		name, from := harness.StateDevice(d.ID), len(b.Changes())
		since := b.Clock.Now()
		lived, err := b.Live(ctx, d, func() error { return passedOn(ctx, b, name, from, true, limit) })
		if err != nil {
			return told, err
		}
		if !lived {
			continue
		}
		if err := passedOn(ctx, b, name, from, false, limit); err != nil {
			return told, err
		}
		for _, online := range []bool{true, false} {
			e := end{Device: name, Digest: b.Recorder.Digest([]byte(tasmotaWord(online))), At: since, Since: since, Said: stateSaid(online)}
			for _, c := range b.Changes()[from:] {
				if c.Device == name && c.Online == online {
					e.At = c.At // else the broker never passed it on, which is on record as well
				}
			}
			told = append(told, e)
		}
	}
	return told, nil
}

// passedOn waits until the broker has passed on that a sensor is there, or gone. It
// fails only when ctx ends: what does not come is for the judge.
func passedOn(ctx context.Context, b *harness.Bench, name string, from int, online bool, limit time.Duration) error {
	err := harness.Until(ctx, 2*limit, "what a sensor says of being there", func() bool {
		for _, c := range b.Changes()[from:] {
			if c.Device == name && c.Online == online {
				return true
			}
		}
		return false
	})
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return nil
}

// aheadOf is by how much a viewer may have shown a message before the witness had it.
const aheadOf = time.Second

// saidByThemselves is what the real sensors among the declared ones said of being
// there during the run: nobody made them, and viewers owe it all the same.
func saidByThemselves(b *harness.Bench, sensors []harness.DeviceSpec) []end {
	realOnes := map[string]bool{}
	for _, d := range sensors {
		if d.Kind == harness.KindMQTT {
			realOnes[harness.StateDevice(d.ID)] = true
		}
	}
	var told []end
	last := map[string]int64{}
	for _, c := range b.Changes() {
		if realOnes[c.Device] {
			told = append(told, end{Device: c.Device, Digest: c.Digest, At: c.At, Since: max(last[c.Device]+1, c.At-int64(aheadOf)), Said: stateSaid(c.Online)})
			last[c.Device] = c.At
		}
	}
	return told
}

// tasmotaWord is how a Tasmota plug says it.
func tasmotaWord(online bool) string {
	if online {
		return "Online"
	}
	return "Offline"
}

func stateSaid(online bool) string {
	if online {
		return "the sensor said that it is online, which"
	}
	return "the sensor's will said that it is offline, which"
}
