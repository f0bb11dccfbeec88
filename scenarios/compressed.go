package scenarios

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"plumbline/harness"
	"plumbline/harness/oracle"
	"plumbline/harness/spec"
	"plumbline/harness/stats"
	"plumbline/harness/sut"
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

// squeezeIn opens one more viewer, which takes compressed messages. That a system
// which serves others does not let it in is noted, and no error: the viewer is nil
// then.
func squeezeIn(ctx context.Context, b *harness.Bench, facts *payloadFacts) (*viewer.Viewer, error) {
	cfg := harness.ViewerConfig(b, squeezedViewer)
	cfg.Compress = true
	v, err := b.AddViewer(ctx, cfg)
	if err == nil || ctx.Err() != nil || b.SUT.Err() != nil || !errors.Is(err, sut.ErrUnavailable) {
		return v, err
	}
	facts.Unlet, facts.Unagreed = err.Error(), errors.Is(err, viewer.ErrExtension)
	return nil, nil //nolint:nilnil // the facts say why there is none
}

// unreadable is how many messages could not be read for being compressed, of the
// malformed ones of a viewer that takes such and of one that does not: a greeting
// that is no JSON comes to both.
func unreadable(squeezed, plain uint64) uint64 { return squeezed - min(squeezed, plain) }

// expanded judges that everything arrived unchanged at the viewer that takes
// compressed messages, and that it could read every message.
func (j *judged) expanded(id string, facts payloadFacts, least int64) {
	if facts.Unlet != "" {
		j.Judge(oracle.JudgeZero(j.Requirement(id), unagreed(j.Case, id, facts)))
		return
	}
	squeezed, unreadable := facts.Squeezed, facts.Unreadable
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

// unagreed is what there is to judge of a viewer that offered compression and did
// not get in: a system that chose what it was not offered is to blame for it.
func unagreed(c *spec.Case, id string, facts payloadFacts) oracle.ZeroInput {
	in := oracle.ZeroInput{
		Scenario: c.Scenario.ID, Profile: c.Title(), Noun: "damage/damages", Unit: "connections that were to compress", N: 1, Seed: c.Seed(),
		Findings: []reports.Finding{{
			Requirement: id, Kind: "not-negotiated", Subject: squeezedViewer, Confirmed: facts.Unagreed, Evidence: "facts/" + c.Scenario.ID + ".json", Detail: facts.Unlet,
		}},
	}
	if !facts.Unagreed {
		in.Gates = []stats.Gate{{
			Reason: reports.ReasonSUT, Cure: "a system that lets a viewer in that offers compression, or a descriptor that does not claim it",
			Detail: "the viewer that offers compression did not get in: " + facts.Unlet,
		}}
	}
	return in
}
