package storetest

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"plumbline/bridge/history"
)

func allEvents(filter string) history.EventQuery {
	return history.EventQuery{Filter: filter, From: noon.Add(-time.Hour), To: noon.Add(time.Hour), Limit: 1000}
}

// readEvents reads page by page and describes each event.
func (s *suite) readEvents(q history.EventQuery) (got []string) {
	s.Helper()
	for range 1000 {
		page, err := s.store.Events(s.ctx, q)
		s.must(err)
		if page.Cursor != s.at {
			s.Errorf("cursor %v, want %v", page.Cursor, s.at)
		}
		if len(page.Events) > q.Limit {
			s.Fatalf("%d events, the limit is %d", len(page.Events), q.Limit)
		}
		for _, e := range page.Events {
			got = append(got, fmt.Sprintf("%d %d %s|%s %s", e.Time.Sub(noon).Microseconds(), e.Offset, e.Topic, e.Field, e.Payload))
			q.After = &history.Position{Time: e.Time, Epoch: e.Epoch, Offset: e.Offset, Field: e.Field}
		}
		if !page.More {
			return got
		}
	}
	s.Fatal("the events do not end")
	return nil
}

func (s *suite) events() {
	s.begin(Options{})
	event := func(topic, field string, us int64, offset uint64, text string) history.Event {
		return history.Event{Topic: topic, Field: field, Time: at(us), Offset: offset, Payload: []byte(text), Size: len(text)}
	}
	s.write(3, nil, []history.Event{event("a/1", "", 30, 1, "x"), event("a/2", "mode", 10, 2, "auto"), event("a/2", "door", 10, 2, "open"), event("b", "", 20, 3, "")})
	s.write(4, nil, []history.Event{event("a/2", "mode", 10, 4, "hand")})
	want := []string{"10 2 a/2|door open", "10 2 a/2|mode auto", "10 4 a/2|mode hand", "20 3 b| ", "30 1 a/1| x"}
	for _, limit := range []int{1, 2, 100} {
		q := allEvents("#")
		q.Limit = limit
		s.wantText("ascending", s.readEvents(q), want)
		q.Descending, q.After = true, nil
		s.wantText("descending", s.readEvents(q), []string{want[4], want[3], want[2], want[1], want[0]})
	}
	q := allEvents("#")
	q.Bytes = 1
	s.wantText("one by one", s.readEvents(q), want)
	if page, err := s.store.Events(s.ctx, q); err != nil || len(page.Events) != 1 || !page.More {
		s.Errorf("a page of one byte: %+v, %v, want one event and that there is more", page, err)
	}
	s.wantText("filter", s.readEvents(allEvents("a/+")), []string{want[0], want[1], want[2], want[4]})
	s.wantText("one topic", s.readEvents(allEvents("a/2")), want[:3])
	q = allEvents("#")
	q.Allow = func(topic string) bool { return topic != "a/2" }
	s.wantText("allow", s.readEvents(q), want[3:])
	q = allEvents("#")
	q.From, q.To = at(10), at(20)
	s.wantText("from and to", s.readEvents(q), want[:3])
	q = allEvents("#")
	if q.Until = s.at; q.Until.Offset != 4 {
		s.Fatal("the check is wrong")
	}
	q.Until.Offset = 3
	s.wantText("until", s.readEvents(q), []string{want[0], want[1], want[3], want[4]})
}

func (s *suite) wantText(what string, got, want []string) {
	s.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		s.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// hostilePayloads: any bytes come back as they were.
func (s *suite) hostilePayloads() {
	s.begin(Options{})
	payloads := [][]byte{{}, {0}, {0xff, 0xfe, 0x00, 0x80}, bytes.Repeat([]byte{0}, 3000), []byte("\x1b[31mred\x1b[0m\r\nINFO forged line"), []byte("\xed\xa0\x80")}
	for _, text := range hostile {
		payloads = append(payloads, []byte(text))
	}
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	payloads = append(payloads, all)
	var events []history.Event
	for i, p := range payloads {
		events = append(events, history.Event{Topic: "t", Time: at(int64(i)), Offset: uint64(i + 1), Payload: p, Size: len(p) + i})
	}
	s.write(uint64(len(payloads)), nil, events)
	page, err := s.store.Events(s.ctx, allEvents("t"))
	s.must(err)
	if len(page.Events) != len(payloads) {
		s.Fatalf("%d events, want %d", len(page.Events), len(payloads))
	}
	for i, e := range page.Events {
		if !bytes.Equal(e.Payload, payloads[i]) || e.Size != len(payloads[i])+i || e.Epoch != epoch {
			s.Errorf("payload %d: %q of %d bytes in epoch %q, want %q of %d", i, e.Payload, e.Size, e.Epoch, payloads[i], len(payloads[i])+i)
		}
	}
}

func (s *suite) gaps() {
	s.begin(Options{})
	evicted := history.Gap{Epoch: epoch, From: 5, To: 9, Count: 4, Reason: history.GapEvicted, Begin: at(100), End: at(200)}
	renewed := history.Gap{Epoch: "other", From: 9, To: 9, Reason: history.GapEpoch, Begin: at(300), End: at(400)}
	first := history.Gap{Epoch: epoch, From: 0, To: 2, Count: 2, Reason: history.GapEvicted, End: at(50)} // nothing was stored before
	s.write(3, nil, nil, first)
	s.write(10, nil, nil, evicted)
	s.writeIn("other", 10, nil, nil, renewed)
	for _, c := range []struct {
		from, to int64
		limit    int
		want     []history.Gap
	}{
		{-1e9, 1e9, 10, []history.Gap{first, evicted, renewed}}, {-1e9, 1e9, 2, []history.Gap{evicted, renewed}}, {150, 160, 10, []history.Gap{evicted}},
		{200, 301, 10, []history.Gap{evicted, renewed}}, {201, 300, 10, nil}, {-100, -50, 10, []history.Gap{first}}, {500, 600, 10, nil},
	} {
		got, err := s.store.Gaps(s.ctx, at(c.from), at(c.to), c.limit)
		s.must(err)
		for i := range got {
			got[i].End = got[i].End.UTC()
			if !got[i].Begin.IsZero() {
				got[i].Begin = got[i].Begin.UTC()
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			s.Errorf("gaps in [%d, %d):\n%v, want\n%v", c.from, c.to, got, c.want)
		}
	}
}
