package scenarios

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"plumbline/harness"
	"plumbline/harness/fault"
	"plumbline/harness/record"
	"plumbline/harness/sut"
	"plumbline/reports"
)

// back waits until every viewer is connected again, each for limit at most.
// false without an error: one stays away. That is no fault of the harness; the
// scenario has to end its cycles there and judge the recording, which shows it.
func back(ctx context.Context, b *harness.Bench, limit time.Duration) (bool, error) {
	err := b.Settled(ctx, limit)
	if errors.Is(err, harness.ErrAway) && !errors.Is(err, sut.ErrUnavailable) {
		return false, nil
	}
	return err == nil, err
}

// resumed judges the time to fresh data after every loss of a connection.
func (j *judged) resumed(id string, least int64) {
	j.resumedAs(id, "end of the cut to fresh data", least)
}

// resumedAs is resumed with a name of its own for the figure.
func (j *judged) resumedAs(id, name string, least int64) {
	var times []stretch
	var found []reports.Finding
	for _, r := range j.history.Resumptions(j.options(id)) {
		if d, ok := r.ToFresh(); ok {
			times = append(times, stretch{max(r.Lost, r.FaultEnd), d})
			continue
		}
		found = append(found, reports.Finding{
			Requirement: id, Kind: "never-back", Subject: r.Viewer, Confirmed: true, At: time.Duration(r.Lost),
			Detail: "the viewer lost its connection and never saw fresh data again",
		})
	}
	j.within(id, name, times, found, least)
}

// seam judges the order round every resumption.
func (j *judged) seam(id string, least int64) {
	_, o, found := j.history.Seam(j.options(id))
	j.none(id, "delivery out of order/deliveries out of order", "deliveries round a resumption", o.Deliveries, o.Reordered+o.Backwards, o.Excused,
		ofKind(found, "reordered", "offset-backwards"), least)
}

// freshAfterFaults returns, for every fault and viewer, or those of these names, the time from the end
// of the fault to the arrival of the first message intended after it, and a
// finding for each viewer that never got one.
func freshAfterFaults(log *record.Log, id string, viewers ...string) (times []stretch, found []reports.Finding) {
	due := map[[2]uint64]int64{}
	for _, r := range log.Records {
		if r.Kind == record.Sent {
			key := [2]uint64{uint64(r.Stream), r.Seq}
			if _, seen := due[key]; !seen {
				due[key] = r.Due
			}
		}
	}
	for _, e := range log.Events {
		if e.Kind != record.FaultEnd {
			continue
		}
		for node, n := range log.Index.Nodes {
			if n.Role != "viewer" || (len(viewers) > 0 && !slices.Contains(viewers, n.Name)) {
				continue
			}
			at := firstFresh(log, due, uint16(node), e.At)
			if at == 0 {
				found = append(found, reports.Finding{
					Requirement: id, Kind: "never-back", Subject: n.Name, Confirmed: true, At: time.Duration(e.At),
					Detail: fmt.Sprintf("after the outage %q the viewer never saw fresh data again", e.Subject),
				})
				continue
			}
			times = append(times, stretch{e.At, time.Duration(at - e.At)})
		}
	}
	return times, found
}

// lulls returns, for every fault, which share of its time the longest
// stretch was in which nothing arrived at any viewer.
func lulls(log *record.Log) map[string]float64 {
	shares, onset := map[string]float64{}, map[string]int64{}
	for _, e := range log.Events {
		switch e.Kind {
		case record.FaultOnset:
			onset[e.Subject] = e.At
		case record.FaultEnd:
			from := onset[e.Subject]
			share := float64(longestSilence(log, from, e.At)) / float64(max(e.At-from, 1))
			if least, seen := shares[e.Subject]; !seen || share < least {
				shares[e.Subject] = share
			}
		}
	}
	return shares
}

// longestSilence returns the longest time between from and to in which nothing
// live arrived at any viewer.
func longestSilence(log *record.Log, from, to int64) (longest int64) {
	arrived := []int64{from, to}
	for _, r := range log.Records {
		if r.Kind == record.Received && r.At > from && r.At < to {
			arrived = append(arrived, r.At)
		}
	}
	slices.Sort(arrived)
	for i := 1; i < len(arrived); i++ {
		longest = max(longest, arrived[i]-arrived[i-1])
	}
	return longest
}

// firstFresh returns when a node first received a message that was intended at
// or after since; 0 when it never did.
func firstFresh(log *record.Log, due map[[2]uint64]int64, node uint16, since int64) (first int64) {
	for _, r := range log.Records {
		if r.Kind != record.Received || r.Node != node || r.At < since || (first != 0 && r.At >= first) {
			continue
		}
		if intended, known := due[[2]uint64{uint64(r.Stream), r.Seq}]; known && intended >= since {
			first = r.At
		}
	}
	return first
}

// silences is what was seen of viewers that went silent.
type silences struct {
	Times []stretch         `json:"times"` // from the onset until the bridge had dropped the viewer
	Found []reports.Finding `json:"found"` // a viewer that it never dropped
}

// silence swallows what viewers send until each has been dropped by the
// bridge, at most for limit, and adds how long each took.
func (s *silences) silence(ctx context.Context, b *harness.Bench, limit time.Duration) error {
	before := make([]uint64, len(b.Viewers))
	for i, v := range b.Viewers {
		before[i] = v.Counters().Disconnects
	}
	hole := b.ViewerProxy.BlackHoleFault(fault.Upstream)
	return fault.During(ctx, b.Recorder, hole, func(ctx context.Context) error {
		onset := b.Clock.Now()
		for i, v := range b.Viewers {
			dropped := func() bool { return v.Counters().Disconnects > before[i] }
			left := limit - time.Duration(b.Clock.Now()-onset)
			switch err := harness.Until(ctx, max(left, time.Millisecond), "the bridge drops a silent viewer", dropped); {
			case ctx.Err() != nil:
				return ctx.Err()
			case err != nil:
				s.Found = append(s.Found, reports.Finding{
					Requirement: "REC-03", Kind: "half-open", Subject: fmt.Sprintf("viewer-%02d", i+1), Confirmed: true, At: time.Duration(onset),
					Detail: fmt.Sprintf("the connection was still open %s after the viewer had gone silent", limit),
				})
			default:
				s.Times = append(s.Times, stretch{onset, time.Duration(b.Clock.Now() - onset)})
			}
		}
		return nil
	})
}
