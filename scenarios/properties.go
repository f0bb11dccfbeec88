package scenarios

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"plumbline/harness"
	"plumbline/harness/generator"
	"plumbline/harness/load"
	"plumbline/harness/mqttwire"
	"plumbline/harness/oracle"
	"plumbline/harness/record"
	"plumbline/reports"
)

// saidPart begins the devices of the messages that say something about themselves.
const saidPart = "said-"

// saidViewer is told it.
const saidViewer = "viewer-said"

// said is what one message says about itself, as it was sent and as it came.
type said struct {
	Device string                `json:"device"`
	Sent   mqttwire.Properties   `json:"sent"`
	Came   []mqttwire.Properties `json:"came"` // at most mostCame; the sender's own names only, see ours
}

// mostCame bounds what is kept of one message that comes again and again, and
// mostSaid what it may say in bytes.
const (
	mostCame = 3
	mostSaid = 64 << 10
)

// properties returns what messages say about themselves and careless software
// leaves out, sorts, folds or joins (MQTT 5.0 section 3.3.2.3).
func properties() map[string]mqttwire.Properties {
	many := make([][2]string, 40)
	for i := range many {
		many[i] = [2]string{fmt.Sprintf("key-%02d", (i*7)%40), fmt.Sprint(i)}
	}
	return map[string]mqttwire.Properties{
		"nothing":     {},
		"json":        {Text: true, ContentType: "application/json"},
		"parameters":  {ContentType: `text/plain; charset=utf-8; note="größe, ß"`},
		"text":        {Text: true},
		"reply":       {ResponseTopic: harness.Topic("reply"), Correlation: []byte{0, 1, 0xC3, 0x28, 0xFF}},
		"unit":        {User: [][2]string{{"unit", "°C"}}},
		"twice":       {User: [][2]string{{"hop", "b"}, {"via", "gateway"}, {"hop", "a"}}}, // a name may appear more than once
		"backwards":   {User: [][2]string{{"z", "1"}, {"m", "2"}, {"a", "3"}}},
		"empty":       {User: [][2]string{{"", "no name"}, {"no value", ""}}},
		"letter-case": {User: [][2]string{{"Unit", "K"}, {"unit", "k"}, {"UNIT", "𝄞"}}},
		"long":        {User: [][2]string{{"trace", fmt.Sprintf("%04000d", 7)}}},
		"many":        {User: many},
		"all": {Text: true, ContentType: "application/cbor", ResponseTopic: harness.Topic("reply/all"), Correlation: []byte("7"),
			User: [][2]string{{"a", "1"}, {"a", "1"}}},
	}
}

// listener keeps what messages say that were announced to it. It is safe for
// concurrent use.
type listener struct {
	mu  sync.Mutex
	all map[string]*said // by topic
}

// announce makes a message known before it is sent.
func (l *listener) announce(device string, sent mqttwire.Properties) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all[harness.Topic(device)] = &said{Device: device, Sent: sent}
}

// hear is what a viewer calls; see viewer.Config.Said.
func (l *listener) hear(topic string, _ []byte, came mqttwire.Properties) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.all[topic]
	if s == nil || len(s.Came) == mostCame {
		return
	}
	size := len(came.ContentType) + len(came.ResponseTopic) + len(came.Correlation)
	for _, u := range came.User {
		size += len(u[0]) + len(u[1])
	}
	if size > mostSaid {
		came = mqttwire.Properties{ContentType: fmt.Sprintf("(properties of %d bytes, none of which is kept)", size)}
	}
	s.Came = append(s.Came, ours(s.Sent, came))
}

// ours leaves out user properties of names that the sender did not give: a server
// on the way may add some.
func ours(sent, came mqttwire.Properties) mqttwire.Properties {
	came.User = slices.DeleteFunc(came.User, func(u [2]string) bool {
		return !slices.ContainsFunc(sent.User, func(own [2]string) bool { return own[0] == u[0] })
	})
	return came
}

// heard returns everything that was announced, in the order of its devices.
func (l *listener) heard() []said {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []said
	for _, s := range l.all {
		all = append(all, *s)
	}
	slices.SortFunc(all, func(a, b said) int { return strings.Compare(a.Device, b.Device) })
	return all
}

// listenIn opens one more viewer, which is told what messages say about themselves.
func listenIn(ctx context.Context, b *harness.Bench) (*listener, error) {
	l := &listener{all: map[string]*said{}}
	cfg := harness.ViewerConfig(b, saidViewer)
	cfg.Said = l.hear
	_, err := b.AddViewer(ctx, cfg)
	return l, err
}

// mailSaid sends each of the messages that say something about themselves.
func mailSaid(ctx context.Context, hand *generator.Hand, l *listener) error {
	all := properties()
	for name, sent := range all {
		l.announce(saidPart+name, sent)
	}
	for _, s := range l.heard() {
		line, err := hand.Line(ctx, record.Stream{Device: s.Device, Topic: harness.Topic(s.Device), Mode: string(reports.ModeSim), QoS: 1, Foreign: true})
		if err != nil {
			return err
		}
		payload := fmt.Appendf(nil, `{"of":%q}`, s.Device)
		if err := post(ctx, hand, line, load.Parcel{Raw: payload, QoS: 1, Properties: &s.Sent}); err != nil {
			return fmt.Errorf("%w: %s", err, s.Device)
		}
	}
	return nil
}

// unaltered judges that what messages say about themselves arrived as it was
// sent. One that never came says nothing of properties: whether it was lost the
// records tell, by which it then counts.
func (j *judged) unaltered(id string, all []said, least int64) {
	o := j.options(id)
	var n, altered, missing int64
	var found []reports.Finding
	o.Viewers = []string{saidViewer}
	for _, s := range all {
		o.Devices = append(o.Devices, s.Device)
		if len(s.Came) == 0 {
			missing++
			continue
		}
		n++
		for _, came := range s.Came {
			if came.Equal(s.Sent) {
				continue
			}
			altered++
			found = append(found, reports.Finding{
				Requirement: id, Kind: "altered", Subject: saidViewer + " ← " + s.Device, Confirmed: true, Evidence: "facts/" + j.Scenario.ID + ".json",
				Detail: fmt.Sprintf("sent with %s, came with %s", describe(s.Sent), describe(came)),
			})
			break
		}
	}
	if len(o.Devices) == 0 {
		o.Devices = []string{saidPart} // nobody has that name: a gate says so
	}
	d, of := j.history.Delivery(o)
	found = append(found, ofKind(of, "lost")...)
	j.Judge(oracle.JudgeZero(j.Requirement(id), oracle.ZeroInput{
		Scenario: j.Scenario.ID, Profile: j.Title(), Noun: "alteration/alterations", Unit: "messages that say something about themselves",
		N: n + d.Lost, Events: altered + d.Lost, Suspicions: max(missing-d.Lost, 0), Findings: found, MinN: least, Seed: j.Seed(),
		Gates: append(j.history.Gates(o), j.unmet...),
	}))
}

// describe is what a message says, short enough for a sentence.
func describe(p mqttwire.Properties) string {
	return fmt.Sprintf("%.400s", fmt.Sprintf("text %v, content type %q, response topic %q, correlation %x, user properties %q", p.Text, p.ContentType, p.ResponseTopic, p.Correlation, p.User))
}
