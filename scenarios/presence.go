package scenarios

import (
	"context"
	"maps"
	"slices"
	"time"

	"plumbline/harness"
)

// comeAndGo lets the twins among the declared sensors connect, say that they are
// online, and end, so that their wills say offline; each is waited for at the
// broker at most twice the limit, and being online at the viewers at most the
// limit: a system may leave out a state that did not stand so long. The result is
// what viewers owe of it.
func comeAndGo(ctx context.Context, b *harness.Bench, sensors []harness.DeviceSpec, limit time.Duration) ([]end, error) {
	var told []end
	for _, d := range sensors {
		name, from := harness.StateDevice(d.ID), len(b.Changes())
		since := b.Clock.Now()
		seen := received(b)
		lived, err := b.Live(ctx, d, func() error {
			if err := passedOn(ctx, b, name, from, true, limit); err != nil {
				return err
			}
			return anotherSeen(ctx, b, seen, limit)
		})
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
			e := end{Device: name, Digest: b.Recorder.Digest(d.StateWord(online)), At: since, Since: since, Said: stateSaid(online)}
			for _, c := range b.Changes()[from:] {
				if c.Device == name && c.Online == online {
					e.At, e.Digest = c.At, c.Digest // else the broker never passed it on, which is on record as well
				}
			}
			told = append(told, e)
		}
	}
	return told, nil
}

// received is how much each viewer has received.
func received(b *harness.Bench) []uint64 {
	seen := make([]uint64, len(b.Viewers))
	for i, v := range b.Viewers {
		seen[i] = v.Counters().Received
	}
	return seen
}

// anotherSeen waits until each viewer has received more, all together at most so
// long. It fails only when ctx ends: what does not come is for the judge.
func anotherSeen(ctx context.Context, b *harness.Bench, seen []uint64, most time.Duration) error {
	limited, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for i, v := range b.Viewers {
		if v.WaitReceived(limited, seen[i]+1) != nil && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
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
// there during the run: nobody made them, and viewers owe it all the same. What
// another word replaced before the limit was over, or came less than that ago, is
// left out: a system may have left it out, or have it still on its way.
func saidByThemselves(b *harness.Bench, sensors []harness.DeviceSpec, limit time.Duration) []end {
	realOnes := map[string]bool{}
	for _, d := range sensors {
		if d.Kind == harness.KindMQTT {
			realOnes[harness.StateDevice(d.ID)] = true
		}
	}
	said := map[string][]harness.Change{}
	for _, c := range b.Changes() {
		if realOnes[c.Device] {
			said[c.Device] = append(said[c.Device], c)
		}
	}
	var told []end
	for _, device := range slices.Sorted(maps.Keys(said)) {
		told = append(told, stood(said[device], b.Clock.Now(), limit)...)
	}
	return told
}

// stood are those changes of one device's state that stood as long as the limit.
func stood(changes []harness.Change, now int64, limit time.Duration) (told []end) {
	before := int64(0)
	for i, c := range changes {
		until := now
		if i+1 < len(changes) {
			until = changes[i+1].At
		}
		if until-c.At >= int64(limit) {
			told = append(told, end{Device: c.Device, Digest: c.Digest, At: c.At, Since: max(before+1, c.At-int64(aheadOf)), Said: stateSaid(c.Online)})
		}
		before = c.At
	}
	return told
}

func stateSaid(online bool) string {
	if online {
		return "the sensor said that it is online, which"
	}
	return "the sensor's will said that it is offline, which"
}
