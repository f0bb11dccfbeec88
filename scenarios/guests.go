package scenarios

// Guests: what do strangers get out of a signed-in browser, and what does the page make
// of what strangers publish?
//
// Requirements: SEC-12, SEC-13.
//
// Procedure "guests":
//  1. Start the bridge and a browser, sign in, open the page of the system and let
//     devices publish.
//  2. From a page of another origin in the same browser, on the same host, so that
//     every cookie goes along, do what the page does: open the viewers' address and
//     ask for everything. From the page itself the same must work, and the cookies must
//     come to a third origin of the host, else the attack shows nothing.
//  3. Publish payloads, and under topics, that are markup and scripts to whoever writes
//     them into a page as they come. None may run and none may become an element; the
//     page must have shown some of it as text.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"plumbline/harness"
	"plumbline/harness/browser"
	"plumbline/harness/load"
	"plumbline/harness/oracle"
	"plumbline/harness/record"
	"plumbline/harness/spec"
	"plumbline/harness/stats"
	"plumbline/harness/viewer"
	"plumbline/reports"
)

var _ = spec.Describe("Guests of the page", func(s *spec.Suite) {
	s.Scenario(spec.Scenario{
		ID: "guests", Title: "gives pages of other origins nothing, and makes no markup of what is published",
		Requirements: []string{"SEC-12", "SEC-13"}, Loads: []string{"security"}, Labels: []string{"browser"},
		Drive: driveGuests, Judge: judgeGuests,
	})
})

// guestFacts is what strangers got, and what became of markup.
type guestFacts struct {
	Absent   string   `json:"absent"`             // why no page was opened
	Dark     string   `json:"dark,omitempty"`     // why it shows nothing
	NoWay    string   `json:"no_way"`             // why the attack cannot be made, "" when it was
	Own      string   `json:"own"`                // what the attack got from the page itself
	Foreign  string   `json:"foreign"`            // and from another origin
	Withheld []string `json:"withheld,omitempty"` // cookies that the browser did not hand over there
	Sent     int      `json:"sent"`               // pieces of markup that were published
	Shown    bool     `json:"shown"`              // some of it stands on the page as text
	Became   []string `json:"became"`             // what it became beside that
	Page     string   `json:"page_now"`           // whether the page still is what it was: its readings go on
	Watched  stretch  `json:"watched"`            // from the markup on, until it was known whether they do
}

func driveGuests(ctx context.Context, t *spec.Trial) {
	facts := guestFacts{Became: []string{}}
	if _, err := browser.Available(""); err != nil {
		facts.Absent = err.Error()
		t.Keep(facts)
		return
	}
	t.Step("start the bridge and a browser, sign in and open the page of the system")
	b := t.Open(ctx, harness.Plan{Load: t.Load("security")})
	p, err := b.OpenPage(ctx, harness.PagePlan{Name: pageName})
	if facts.Absent, facts.Dark = noPage(t, err); err != nil {
		t.Keep(facts)
		return
	}
	t.Check(b.Around(ctx, "guests", 0, 0, func(ctx context.Context) error {
		return errors.Join(intrude(ctx, t, b, p, &facts), inscribe(ctx, t, b, p, &facts))
	}))
	t.Check(b.Finish(ctx))
	t.Keep(facts)
}

// intrusion is how long the attack waits for data.
const intrusion = 1200 * time.Millisecond

// intrude makes the attack from the page itself and from another origin.
func intrude(ctx context.Context, t *spec.Trial, b *harness.Bench, p *browser.Page, facts *guestFacts) error {
	attack, why := attackOn(b)
	if facts.NoWay = why; why != "" {
		return nil
	}
	t.Step("ask for everything from a page of another origin, with the cookies of the one who is signed in")
	var err error
	if facts.Own, err = p.Text(ctx, attack); err != nil {
		return err
	}
	facts.Foreign, facts.Withheld, err = b.Elsewhere(ctx, attack)
	return err
}

// attackOn is a script that opens the viewers' address as a page does that has nothing
// but its cookies, and says how many messages with readings of this bench it got.
func attackOn(b *harness.Bench) (script, why string) {
	v := b.SUT.Viewer()
	if why = v.NoIntrusion(); why != "" {
		return "", why
	}
	var frames, protocols []string
	switch v.Protocol {
	case viewer.Plumbline:
		frames, protocols = []string{`{"type":"hello"}`, `{"type":"sub","id":1,"filter":"` + harness.AllTopics + `"}`}, []string{viewer.Subprotocol}
	case viewer.JSON:
		frames = viewer.Hellos(v.Hello, []string{harness.AllTopics}, "")
		if v.Subprotocol != "" {
			protocols = []string{v.Subprotocol}
		}
	}
	args, err := json.Marshal([]any{strings.ReplaceAll(v.URL, "{{filter}}", "bench%2F%23"), frames, protocols, b.Run(), intrusion.Milliseconds()})
	if err != nil {
		return "", err.Error()
	}
	return fmt.Sprintf("(%s)(...%s)", attackScript, args), ""
}

const attackScript = `async (url, frames, protocols, run, patience) => {
  let got = 0;
  const count = (text) => { if (String(text).includes(run)) got++; };
  const over = new Promise((done) => setTimeout(done, patience));
  if (url.startsWith('http')) {
    const stop = new AbortController();
    over.then(() => stop.abort());
    try {
      const answer = await fetch(url, {credentials: 'include', signal: stop.signal});
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let part = await reader.read(); !part.done; part = await reader.read()) count(part.value);
    } catch { /* refused, or over */ }
  } else {
    const socket = new WebSocket(url, protocols ?? []);
    socket.onopen = () => (frames ?? []).forEach((frame) => socket.send(frame));
    socket.onmessage = (e) => count(e.data);
    await over;
    socket.close();
  }
  return got;
}`

// mark names what a piece of markup would leave if it ran or became an element.
const mark = "plumblineGuest"

// inscriptions are payloads that are markup and script; %s is the mark.
var inscriptions = []string{
	`<img src=x data-%[1]s onerror="globalThis.%[1]s=1">`, `<script data-%[1]s>globalThis.%[1]s=1</script>`,
	`"><svg data-%[1]s onload="globalThis.%[1]s=1">`, `'-globalThis.%[1]s=1-'`, `javascript:globalThis.%[1]s=1`,
	`{"value":"<iframe data-%[1]s srcdoc='<script>parent.%[1]s=1</script>'></iframe>","name":"<b data-%[1]s>x</b>"}`,
	`{"__proto__":{"%[1]s":1},"constructor":{"prototype":{"%[1]s":1}},"value":1}`, `{{globalThis.%[1]s=1}}`, `${globalThis.%[1]s=1}`,
	`</style><style data-%[1]s>*{display:none}</style>`, `<a href="javascript:globalThis.%[1]s=1" data-%[1]s autofocus onfocus="globalThis.%[1]s=1">x</a>`,
}

// inscribed are topics of the same kind, below the root of the bench.
var inscribed = []string{`plain`, `<img src=x data-%[1]s onerror=globalThis.%[1]s=1>`, `"><svg data-%[1]s onload=globalThis.%[1]s=1>`, `__proto__`}

// inscribe publishes markup and looks what it became.
func inscribe(ctx context.Context, t *spec.Trial, b *harness.Bench, p *browser.Page, facts *guestFacts) error {
	t.Step("publish %d payloads that are markup and script under %d topics, most of which are, too", len(inscriptions), len(inscribed))
	hand, err := b.Hand(ctx, "guest", nil)
	if err != nil {
		return err
	}
	for i, topic := range inscribed {
		topic = harness.Topic("guest/" + strings.ReplaceAll(fill(topic), "/", "")) // a level of it
		line, err := hand.Line(ctx, record.Stream{Device: fmt.Sprintf("guest-%d", i+1), Topic: topic, Mode: "sim", QoS: 1, Foreign: true})
		if err != nil {
			return err
		}
		for _, text := range inscriptions {
			if err := post(ctx, hand, line, load.Parcel{Raw: []byte(fill(text)), QoS: 1}); err != nil {
				return err
			}
			facts.Sent++
		}
	}
	return beheld(ctx, b.Clock, p, facts)
}

func fill(text string) string { return strings.ReplaceAll(text, "%[1]s", mark) }

// beheldPatience is how long a page may take to draw what it was sent.
const beheldPatience = 2 * time.Second

// beheld looks what markup became: an image needs a moment to fail.
func beheld(ctx context.Context, clock *record.Clock, p *browser.Page, facts *guestFacts) error {
	look := fmt.Sprintf(`(() => {
  const became = [];
  if (globalThis.%[1]s !== undefined) became.push('a script that ran');
  if (({}).%[1]s !== undefined) became.push('a property of every object');
  for (const e of document.querySelectorAll('[data-%[2]s]')) became.push('an element ' + e.tagName.toLowerCase());
  const shown = document.documentElement.innerText.includes('%[1]s') || [...document.querySelectorAll('[title]')].some((e) => e.title.includes('%[1]s'));
  return JSON.stringify({became, shown});
})()`, mark, strings.ToLower(mark))
	limited, cancel := context.WithTimeout(ctx, beheldPatience)
	defer cancel()
	before := p.Counters().Received
	facts.Watched.From = clock.Now()
	for {
		text, err := p.Text(ctx, look)
		if err != nil {
			return err
		}
		var seen struct {
			Became []string `json:"became"`
			Shown  bool     `json:"shown"`
		}
		if err := json.Unmarshal([]byte(text), &seen); err != nil {
			return fmt.Errorf("scenarios: what the page shows: %w", err)
		}
		if facts.Shown = facts.Shown || seen.Shown; len(seen.Became) > len(facts.Became) {
			facts.Became = seen.Became
		}
		if harness.Wait(limited, 200*time.Millisecond) != nil {
			break
		}
	}
	facts.Page = "nothing new came"
	if p.Counters().Received > before {
		facts.Page = ""
	}
	facts.Watched.Took = time.Duration(clock.Now() - facts.Watched.From)
	return ctx.Err()
}

func judgeGuests(c *spec.Case) {
	facts := spec.Facts[guestFacts](c)
	if browserless(c, facts.Absent) || unseen(c, facts.Dark) {
		return
	}
	judgeMarkup(c, facts, c.Bench().Standstills())
	if facts.NoWay != "" {
		notAsked(c, "SEC-13", facts.NoWay)
		return
	}
	judgeIntrusion(c, facts)
}

// judgeMarkup judges SEC-12; stood is when the rig itself did not run.
func judgeMarkup(c *spec.Case, facts guestFacts, stood oracle.Standstills) {
	const id = "SEC-12"
	var found []reports.Finding
	for _, what := range facts.Became {
		found = append(found, reports.Finding{Requirement: id, Kind: "markup", Subject: pageName, Confirmed: true, Detail: "a payload or topic became " + what})
	}
	var unmet []stats.Gate
	if facts.Page != "" {
		w := facts.Watched
		still := stood.Still(beheldPatience, w.From, w.From+int64(w.Took))
		if still {
			unmet = rigStill(1, "page was given nothing new", stood.Untold(beheldPatience))
		}
		found = append(found, reports.Finding{Requirement: id, Kind: "dead-page", Subject: pageName, Confirmed: !still, Detail: "after payloads that are markup: " + facts.Page})
	}
	if !facts.Shown {
		unmet = append(unmet, stats.Gate{
			Reason: reports.ReasonSamples, Cure: "a page (viewer.page.url) that shows topics or payloads as they come",
			Detail: "nothing of what was published stands on the page, so that nothing could become of it",
		})
	}
	c.Judge(oracle.JudgeDeterministic(c.Requirement(id), oracle.DeterministicInput{
		Scenario: c.Scenario.ID, Profile: c.Title(), Checks: int64(facts.Sent), MinN: 1, Findings: found, Gates: unmet, Seed: c.Seed(),
	}))
}

// judgeIntrusion judges SEC-13.
func judgeIntrusion(c *spec.Case, facts guestFacts) {
	const id = "SEC-13"
	var found []reports.Finding
	if facts.Foreign != "0" {
		found = append(found, reports.Finding{
			Requirement: id, Kind: "served", Subject: "a page of another origin", Confirmed: true,
			Detail: fmt.Sprintf("it got %s messages with the cookies of the one who is signed in", facts.Foreign),
		})
	}
	var unmet []stats.Gate
	if facts.Own == "0" {
		unmet = append(unmet, stats.Gate{
			Reason: reports.ReasonSamples, Cure: "a viewer protocol that the page's own cookies open",
			Detail: "the same script gets nothing from the page's own origin either",
		})
	}
	if len(facts.Withheld) > 0 {
		unmet = append(unmet, stats.Gate{
			Reason: reports.ReasonSamples, Cure: "cookies that a browser sends from any page of the same site",
			Detail: fmt.Sprintf("the browser handed over no cookie %s to another origin of the host, so that the attack was made by nobody", strings.Join(facts.Withheld, ", ")),
		})
	}
	c.Judge(oracle.JudgeDeterministic(c.Requirement(id), oracle.DeterministicInput{
		Scenario: c.Scenario.ID, Profile: c.Title(), Checks: 1, MinN: 1, Findings: found, Gates: unmet, Seed: c.Seed(),
	}))
}
