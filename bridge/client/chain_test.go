package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"plumbline/bridge/internal/eventually"
)

const (
	fresh   = `{"type":"subok","id":1,"filter":"#","epoch":"E","offset":9,"recovered":false,"reason":"no-cursor"}`
	resumed = `{"type":"subok","id":1,"filter":"#","epoch":"E","offset":%d,"recovered":true,"reason":""}`
)

// batch spells a batch whose readings have the offsets given.
func batch(from, to int, offsets ...int) string {
	var rs []string
	for _, o := range offsets {
		rs = append(rs, fmt.Sprintf(`{"o":%d,"t":1000,"topic":"a","qos":1,"payload":"%d"}`, o, o))
	}
	return fmt.Sprintf(`{"type":"batch","id":1,"epoch":"E","from":%d,"to":%d,"readings":[%s]}`, from, to, strings.Join(rs, ","))
}

// since returns the cursor of a sub command, the zero Cursor when it has none.
func since(t *testing.T, command string) Cursor {
	t.Helper()
	var m struct {
		Type  string
		Since *struct {
			Epoch  string
			Offset *uint64
		}
	}
	if err := json.Unmarshal([]byte(command), &m); err != nil || m.Type != "sub" {
		t.Errorf("command %q, want a sub", command)
		return Cursor{}
	}
	if m.Since == nil {
		return Cursor{}
	}
	if m.Since.Epoch == "" || m.Since.Offset == nil {
		t.Errorf("command %q has half a cursor", command)
		return Cursor{}
	}
	return Cursor{m.Since.Epoch, *m.Since.Offset}
}

// TestBrokenChains: whatever does not add up ends the connection, is reported and counted, hands out nothing, and is asked for
// again from the last good cursor.
func TestBrokenChains(t *testing.T) {
	good := []string{fresh, batch(9, 12, 10, 12)} // the cursor is 12 then, with 2 delivered
	for name, bad := range map[string][]string{
		"a hole":                         {batch(13, 14, 14)},
		"an overlap":                     {batch(11, 14, 12)},
		"backwards":                      {batch(12, 11)},
		"a reading before the interval":  {batch(12, 14, 12)},
		"a reading after the interval":   {batch(12, 14, 15)},
		"readings out of order":          {batch(12, 15, 14, 13)},
		"a reading twice":                {batch(12, 15, 14, 14)},
		"another epoch":                  {strings.Replace(batch(12, 14, 13), `"E"`, `"F"`, 1)},
		"an empty epoch":                 {strings.Replace(batch(12, 14, 13), `"E"`, `""`, 1)},
		"no epoch":                       {strings.Replace(batch(12, 14, 13), `"epoch":"E",`, ``, 1)},
		"no from":                        {`{"type":"batch","id":1,"epoch":"E","to":14,"readings":[]}`},
		"from beyond 2^53":               {`{"type":"batch","id":1,"epoch":"E","from":12,"to":9007199254740993,"readings":[]}`},
		"from is no number":              {`{"type":"batch","id":1,"epoch":"E","from":"12","to":14,"readings":[]}`},
		"names in another case":          {`{"type":"batch","id":1,"epoch":"E","FROM":12,"TO":14,"READINGS":[]}`},
		"no readings":                    {`{"type":"batch","id":1,"epoch":"E","from":12,"to":14}`},
		"readings null":                  {`{"type":"batch","id":1,"epoch":"E","from":12,"to":14,"readings":null}`},
		"a reading without offset":       {`{"type":"batch","id":1,"epoch":"E","from":12,"to":14,"readings":[{"t":1,"topic":"a","qos":0,"payload":""}]}`},
		"a reading without payload":      {`{"type":"batch","id":1,"epoch":"E","from":12,"to":14,"readings":[{"o":13,"t":1,"topic":"a","qos":0}]}`},
		"a reading with bad base64":      {`{"type":"batch","id":1,"epoch":"E","from":12,"to":14,"readings":[{"o":13,"t":1,"topic":"a","qos":0,"base64":"*"}]}`},
		"a reading without topic":        {`{"type":"batch","id":1,"epoch":"E","from":12,"to":14,"readings":[{"o":13,"t":1,"qos":0,"payload":""}]}`},
		"a gap elsewhere":                {`{"type":"gap","id":1,"from":13,"to":20,"count":7,"reason":"evicted"}`},
		"a gap backwards":                {`{"type":"gap","id":1,"from":12,"to":2,"count":7,"reason":"evicted"}`},
		"a gap of no size":               {`{"type":"gap","id":1,"from":12,"to":20,"count":0,"reason":"evicted"}`},
		"a gap of another size":          {`{"type":"gap","id":1,"from":12,"to":20,"count":7,"reason":"evicted"}`},
		"a gap without count":            {`{"type":"gap","id":1,"from":12,"to":20,"reason":"evicted"}`},
		"subok twice":                    {fresh},
		"a snapshot not asked for":       {`{"type":"snapshot","id":1,"part":1,"parts":1,"readings":[]}`},
		"heartbeat: more was sent":       {`{"type":"heartbeat","epoch":"E","head":20,"cursors":{"1":12},"delivered":{"1":3},"gaps":{"1":0}}`},
		"heartbeat: less was sent":       {`{"type":"heartbeat","epoch":"E","head":20,"cursors":{"1":12},"delivered":{"1":1},"gaps":{"1":0}}`},
		"heartbeat: the cursor is ahead": {`{"type":"heartbeat","epoch":"E","head":20,"cursors":{"1":13},"delivered":{"1":2},"gaps":{"1":0}}`},
		"heartbeat: a gap was not told":  {`{"type":"heartbeat","epoch":"E","head":20,"cursors":{"1":12},"delivered":{"1":2},"gaps":{"1":4}}`},
		"heartbeat: not a word of it":    {`{"type":"heartbeat","epoch":"E","head":20,"cursors":{},"delivered":{},"gaps":{}}`},
		"a batch that conflates":         {strings.Replace(batch(12, 14, 13), `"to":14`, `"to":14,"conflated":1`, 1)},
		"not JSON":                       {`{"type":"batch"`},
		"not an object":                  {`[]`},
		"null":                           {`null`},
		"deep JSON":                      {strings.Repeat("[", 20000)},
	} {
		t.Run(name, func(t *testing.T) {
			var l eventLog
			asked := make(chan Cursor, 1)
			url := scripted(t, func(p *peer) {
				p.greet(time.Minute)
				at := since(t, p.hear())
				if p.n == 0 {
					p.say(good...)
					p.say(bad...)
				} else {
					asked <- at
					p.say(fmt.Sprintf(resumed, at.Offset), batch(12, 14, 13))
				}
				p.drain()
			})
			c := dial(t, l.options(url))
			s, err := c.Subscribe("#", SubscribeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []struct {
				kind      Kind
				at        uint64
				recovered bool
				readings  int
			}{{KindStart, 9, false, 0}, {KindData, 12, false, 2}, {KindStart, 12, true, 0}, {KindData, 14, false, 1}} {
				if u := next(t, s); u.Kind != want.kind || u.Cursor != (Cursor{"E", want.at}) || u.Recovered != want.recovered || len(u.Readings) != want.readings {
					t.Fatalf("update %+v, want %+v", u, want)
				}
			}
			if at := <-asked; at != (Cursor{"E", 12}) {
				t.Errorf("asked again from %s, want the last good cursor E:12", at)
			}
			if e := l.of(EventDisconnected); len(e) != 1 || !errors.Is(e[0].Err, ErrBroken) {
				t.Errorf("disconnections %+v", e)
			}
			stats := Stats{Delivered: 3, Resumes: 1, Broken: 1}
			if strings.HasPrefix(name, "not ") || name == "null" || name == "deep JSON" {
				stats.Broken = 0 // it names no subscription
			} else if e := l.of(EventBroken); len(e) != 1 || e[0].Filter != "#" {
				t.Errorf("broken events %+v", e)
			}
			if got := s.Stats(); got != stats {
				t.Errorf("stats %+v, want %+v", got, stats)
			}
		})
	}
}

// TestBrokenForEver: a bridge that never adds up is not asked at full speed.
func TestBrokenForEver(t *testing.T) {
	var l eventLog
	url := scripted(t, func(p *peer) {
		p.greet(time.Minute)
		p.hear()
		p.say(batch(1, 2, 2))
		p.drain()
	})
	c := dial(t, l.options(url))
	if _, err := c.Subscribe("#", SubscribeOptions{}); err != nil {
		t.Fatal(err)
	}
	equalWaits(t, waits(t, &l, 4), millis(1, 2, 4, 8))
}

// TestBadAnswersToSub are test vectors for cursors in subok: a place is an epoch with an offset, and what is called recovered
// must be the place that was asked for. centrifuge-go #159 and #160 took another stream's offset for their own.
func TestBadAnswersToSub(t *testing.T) {
	for _, bad := range []string{
		`{"type":"subok","id":1,"offset":9,"recovered":false}`,
		`{"type":"subok","id":1,"epoch":"","offset":9,"recovered":false}`,
		`{"type":"subok","id":1,"epoch":"E","recovered":false}`,
		`{"type":"subok","id":1,"epoch":"E","offset":null,"recovered":true}`,
		`{"type":"subok","id":1,"epoch":"E","offset":-1,"recovered":false}`,
		`{"type":"subok","id":1,"epoch":"E","offset":1e3,"recovered":false}`,
		`{"type":"subok","id":1,"epoch":"E","offset":5,"recovered":"yes"}`,
		`{"type":"subok","id":1,"epoch":"E","offset":6,"recovered":true}`,
		`{"type":"subok","id":1,"epoch":"F","offset":5,"recovered":true}`,
		batch(5, 6, 6),
	} {
		var l eventLog
		asked := make(chan Cursor, 1)
		url := scripted(t, func(p *peer) {
			p.greet(time.Minute)
			at := since(t, p.hear())
			if p.n == 0 {
				p.say(bad)
			} else {
				asked <- at
				p.say(fmt.Sprintf(resumed, 5))
			}
			p.drain()
		})
		c := dial(t, l.options(url))
		s, err := c.Subscribe("#", SubscribeOptions{Since: Cursor{"E", 5}})
		if err != nil {
			t.Fatal(err)
		}
		if u := next(t, s); u.Kind != KindStart || !u.Recovered || u.Cursor != (Cursor{"E", 5}) {
			t.Errorf("%s: update %+v", bad, u)
		}
		if at := <-asked; at != (Cursor{"E", 5}) || s.Stats().Broken != 1 {
			t.Errorf("%s: asked again from %s, %d broken", bad, at, s.Stats().Broken)
		}
	}
}

// TestGaps: what the bridge declares missing is an update and is counted.
func TestGaps(t *testing.T) {
	for _, tc := range []struct {
		name  string
		since Cursor
		lines []string
		want  Gap
		stats Stats
	}{
		{"not recovered, evicted", Cursor{"E", 4}, []string{`{"type":"subok","id":1,"epoch":"E","offset":9,"recovered":false,"reason":"evicted"}`},
			Gap{Cursor{"E", 4}, Cursor{"E", 9}, 5, "evicted"}, Stats{Gaps: 5}},
		{"not recovered, another epoch", Cursor{"D", 4}, []string{`{"type":"subok","id":1,"epoch":"E","offset":9,"recovered":false,"reason":"epoch"}`},
			Gap{Cursor{"D", 4}, Cursor{"E", 9}, 0, "epoch"}, Stats{}},
		{"not recovered, ahead", Cursor{"E", 40}, []string{`{"type":"subok","id":1,"epoch":"E","offset":9,"recovered":false,"reason":"ahead"}`},
			Gap{Cursor{"E", 40}, Cursor{"E", 9}, 0, "ahead"}, Stats{}},
		{"while live", Cursor{"E", 9}, []string{fmt.Sprintf(resumed, 9), `{"type":"gap","id":1,"from":9,"to":20,"count":11,"reason":"acl"}`,
			`{"type":"heartbeat","cursors":{"1":20},"delivered":{"1":0},"gaps":{"1":11}}`},
			Gap{Cursor{"E", 9}, Cursor{"E", 20}, 11, "acl"}, Stats{Gaps: 11, Resumes: 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var l eventLog
			url := scripted(t, func(p *peer) { p.greet(time.Minute); p.hear(); p.say(tc.lines...); p.drain() })
			c := dial(t, l.options(url))
			s, err := c.Subscribe("#", SubscribeOptions{Since: tc.since})
			if err != nil {
				t.Fatal(err)
			}
			u := next(t, s)
			for u.Kind != KindGap {
				u = next(t, s)
			}
			if u.Gap != tc.want || u.Cursor != tc.want.To || s.Stats() != tc.stats {
				t.Errorf("gap %+v, cursor %s, stats %+v", u.Gap, u.Cursor, s.Stats())
			}
		})
	}
}

// TestConflates: with a mode that leaves messages out each batch says how many, the heartbeat says it too, and both are held to it.
func TestConflates(t *testing.T) {
	with := func(from, to int, says string, offsets ...int) string {
		return strings.Replace(batch(from, to, offsets...), `"readings"`, says+`,"readings"`, 1)
	}
	heartbeat := `{"type":"heartbeat","cursors":{"1":20},"delivered":{"1":2},"gaps":{"1":0},"conflations":{"1":%d}}`
	good := []string{fresh, with(9, 14, `"open":true`, 14), with(14, 20, `"conflated":4`, 19), fmt.Sprintf(heartbeat, 4), with(20, 20, `"conflated":0`)}
	for name, bad := range map[string]string{
		"neither":                  batch(20, 21, 21),
		"both":                     with(20, 21, `"open":true,"conflated":1`, 21),
		"open false":               with(20, 21, `"open":false`, 21),
		"not a count":              with(20, 21, `"conflated":-1`, 21),
		"heartbeat: more left out": fmt.Sprintf(heartbeat, 5),
		"heartbeat: not a word":    strings.Replace(fmt.Sprintf(heartbeat, 4), "conflations", "x", 1),
	} {
		t.Run(name, func(t *testing.T) {
			var l eventLog
			sub := make(chan string, 1)
			url := scripted(t, func(p *peer) {
				p.greet(time.Minute)
				cmd := p.hear()
				if p.n == 0 {
					sub <- cmd
					p.say(good...)
					p.say(bad)
				}
				p.drain()
			})
			c := dial(t, l.options(url))
			s, err := c.Subscribe("#", SubscribeOptions{Mode: ModeSample, Every: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			if got := <-sub; got != `{"type":"sub","id":1,"filter":"#","mode":"sample","every_ms":1000}`+"\n" {
				t.Errorf("command %s", got)
			}
			next(t, s)
			if u := next(t, s); !u.Open || u.Conflated != 0 || len(u.Readings) != 1 {
				t.Errorf("open batch %+v", u)
			}
			if u := next(t, s); u.Open || u.Conflated != 4 || u.Cursor != (Cursor{"E", 20}) {
				t.Errorf("batch %+v", u)
			}
			next(t, s) // so the heartbeat was right
			waits(t, &l, 1)
			if got := s.Stats(); got != (Stats{Delivered: 2, Conflated: 4, Broken: 1}) {
				t.Errorf("stats %+v", got)
			}
		})
	}
}

// TestModesRefused: a time that the mode does not have, or lacks, is refused before the bridge is asked.
func TestModesRefused(t *testing.T) {
	for _, o := range []SubscribeOptions{{Every: time.Second}, {Mode: ModeAll, Every: time.Second}, {Mode: ModeSample}, {Mode: ModeLatest, Every: -time.Second}, {Mode: ModeLatest, Every: 1500 * time.Microsecond}} {
		if _, err := (&Client{}).Subscribe("#", o); err == nil || !strings.Contains(err.Error(), "Every") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// TestSnapshotCutShort: a snapshot that did not come whole is asked for anew, never resumed behind, and what the newer one
// stands for is declared.
func TestSnapshotCutShort(t *testing.T) {
	part := `{"type":"snapshot","id":1,"part":%d,"parts":%d,"readings":[{"o":3,"t":1,"topic":"a","qos":0,"payload":"x"}]}`
	var l eventLog
	url := scripted(t, func(p *peer) {
		p.greet(time.Minute)
		if at := since(t, p.hear()); !at.IsZero() {
			t.Errorf("resumes behind half a snapshot, from %s", at)
		}
		switch p.n {
		case 0:
			p.say(fresh, fmt.Sprintf(part, 1, 2))
			return
		case 1:
			p.say(strings.Replace(fresh, `9`, `11`, 1), fmt.Sprintf(part, 2, 2)) // the first part is missing
		case 2:
			p.say(strings.Replace(fresh, `9`, `12`, 1), fmt.Sprintf(part, 1, 2), batch(12, 13)) // the second one is
		default:
			p.say(strings.Replace(fresh, `9`, `15`, 1), fmt.Sprintf(part, 1, 2), fmt.Sprintf(part, 2, 2), batch(15, 16, 16))
		}
		p.drain()
	})
	c := dial(t, l.options(url))
	s, err := c.Subscribe("#", SubscribeOptions{Snapshot: true})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for u := next(t, s); ; u = next(t, s) {
		text := fmt.Sprintf("%s %s", u.Kind, u.Cursor)
		if u.Kind == KindGap {
			text += fmt.Sprintf(" (%s,%s] %d %s", u.Gap.From, u.Gap.To, u.Gap.Count, u.Gap.Reason)
		}
		got = append(got, text)
		if u.Kind == KindData {
			break
		}
	}
	want := []string{"start ", "snapshot ", "gap  (E:9,E:11] 2 snapshot", "start ", "gap  (E:11,E:12] 1 snapshot", "start ", "snapshot ",
		"gap  (E:12,E:15] 3 snapshot", "start ", "snapshot ", "snapshot E:15", "data E:16"}
	if strings.Join(got, "; ") != strings.Join(want, "; ") {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestRefusedSubscription: it ends with its reason after what came before; the others go on.
func TestRefusedSubscription(t *testing.T) {
	var l eventLog
	url := scripted(t, func(p *peer) {
		p.greet(time.Minute)
		p.hear()
		p.say(fresh, batch(9, 10, 10), `{"type":"suberr","id":1,"reason":"forbidden","detail":"no more"}`)
		p.drain()
	})
	c := dial(t, l.options(url))
	s, err := c.Subscribe("#", SubscribeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for u, err := range s.All(t.Context()) {
		n += len(u.Readings)
		var no *SubscribeError
		if err != nil && (!errors.As(err, &no) || no.Reason != "forbidden" || no.Detail != "no more" || no.Filter != "#") {
			t.Errorf("ended with %v", err)
		}
	}
	if n != 1 || c.Err() != nil {
		t.Errorf("%d readings, client %v", n, c.Err())
	}
	eventually.Must(t, "the event", func() bool { return len(l.of(EventRefused)) == 1 })
}

// TestCursorText are test vectors for stored cursors.
func TestCursorText(t *testing.T) {
	for text, want := range map[string]Cursor{"": {}, "E:0": {"E", 0}, "a:b:9": {"a:b", 9}, "E:9007199254740992": {"E", 1 << 53}} {
		var c Cursor
		if err := c.UnmarshalText([]byte(text)); err != nil || c != want {
			t.Errorf("%q: %+v, %v", text, c, err)
		}
		if back, err := want.MarshalText(); err != nil || string(back) != text {
			t.Errorf("%+v: %q, %v", want, back, err)
		}
	}
	for _, text := range []string{":", ":5", "E", "E:", "E:-1", "E:+1", "E:01", "E:1.0", "E:1e3", "E: 1", "E:9007199254740993", "E:99999999999999999999"} {
		c := Cursor{"before", 1}
		if err := c.UnmarshalText([]byte(text)); !errors.Is(err, ErrCursor) || c != (Cursor{"before", 1}) {
			t.Errorf("%q: %+v, %v", text, c, err)
		}
	}
	for _, c := range []Cursor{{"", 5}, {"E", 1<<53 + 1}} {
		if _, err := c.MarshalText(); !errors.Is(err, ErrCursor) {
			t.Errorf("%+v: %v", c, err)
		}
		client := &Client{}
		if _, err := client.Subscribe("a", SubscribeOptions{Since: c}); !errors.Is(err, ErrCursor) {
			t.Errorf("subscribe since %+v: %v", c, err)
		}
	}
}
