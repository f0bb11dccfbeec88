package scenarios

import (
	"context"
	"fmt"
	"strings"

	"plumbline/harness"
	"plumbline/harness/oracle"
	"plumbline/harness/stats"
	"plumbline/harness/viewer"
	"plumbline/reports"
)

// Messages that are alike refer to each other when they are compressed: 100 of
// them are several windows (RFC 7692 section 7.1.2.1) of 32 KiB.
const (
	alikePart     = "alike-"
	alikeMessages = 100
)

// squeezedViewer asks for compression.
const squeezedViewer = "viewer-squeezed"

// leastSqueezed is how many messages must have come compressed for a statement:
// a server need not compress each.
const leastSqueezed = alikeMessages / 2

// alike returns the messages: each a little unlike the one before.
func alike() []item {
	items := make([]item, alikeMessages)
	for i := range items {
		row := strings.Repeat(fmt.Sprintf(`{"press":%d,"bar":%d.5,"state":"running"},`, i%9, i*i%83), 24)
		items[i] = item{fmt.Sprintf("%03d", i+1), fmt.Appendf(nil, `{"number":%d,"rows":[%snull]}`, i+1, row)}
	}
	return items
}

// squeezeIn opens one more viewer, which takes compressed messages.
func squeezeIn(ctx context.Context, b *harness.Bench) (*viewer.Viewer, error) {
	cfg := harness.ViewerConfig(b, squeezedViewer)
	cfg.Compress = true
	return b.AddViewer(ctx, cfg)
}

// unreadable is how many messages could not be read for being compressed, of the
// malformed ones of a viewer that takes such and of one that does not: a greeting
// that is no JSON comes to both.
func unreadable(squeezed, plain uint64) uint64 { return squeezed - min(squeezed, plain) }

// expanded judges that everything arrived unchanged at the viewer that takes
// compressed messages, and that it could read every message.
func (j *judged) expanded(id string, squeezed, unreadable uint64, least int64) {
	o := j.options(id)
	o.Viewers = []string{squeezedViewer}
	d, found := j.history.Delivery(o)
	found = ofKind(found, "lost", "phantom", "misrouted", "corrupt")
	if unreadable > 0 {
		found = append(found, reports.Finding{
			Requirement: id, Kind: "unreadable", Subject: squeezedViewer, Confirmed: true, Evidence: "facts/" + j.Scenario.ID + ".json",
			Detail: fmt.Sprintf("%d messages could not be read; the first of them stand in the events of the viewer", unreadable),
		})
	}
	gates := append(j.history.Gates(o), j.unmet...)
	if squeezed < leastSqueezed {
		gates = append(gates, stats.Gate{
			Reason: reports.ReasonEnvironment, Cure: "a system that compresses, or a descriptor that does not claim it",
			Detail: fmt.Sprintf("%d messages came compressed, of %d that are alike at least %d were to", squeezed, alikeMessages, leastSqueezed),
		})
	}
	j.Judge(oracle.JudgeZero(j.Requirement(id), oracle.ZeroInput{
		Scenario: j.Scenario.ID, Profile: j.Title(), Noun: "damage/damages", Unit: "messages over a connection that compresses",
		N: d.Owed, Events: d.Lost + d.Phantom + d.Misrouted + d.Corrupted + int64(unreadable), Suspicions: d.Unconfirmed,
		Findings: found, MinN: least, Seed: j.Seed(), Gates: gates,
	}))
}
