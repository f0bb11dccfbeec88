package api

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"time"

	"plumbline/bridge/history"
	"plumbline/bridge/journal"
)

// route is one question.
type route struct {
	name   string
	params []param
	ask    func(ctx context.Context, q *request) (*answer, error)
}

// statistics are what aggregate can give.
var statistics = []string{"count", "min", "max", "mean", "sum", "last"}

// routes are all questions; the test of the OpenAPI document compares it with this table.
var routes []route

func init() { // not an initializer: the functions refer to the table
	filter := param{name: "filter", kind: filterParam, required: true}
	routes = []route{
		{"topics", []param{filter, limitParam, nextParam, formatParam}, askTopics},
		{"latest", []param{filter, limitParam, nextParam, formatParam}, askLatest},
		{"range", slices.Concat(seriesParam, spanParam, []param{orderParam, limitParam, nextParam, formatParam}), askRange},
		{"aggregate", slices.Concat(seriesParam, spanParam, []param{
			{name: "step", kind: stepParam, required: true}, {name: "functions", kind: choicesParam, def: "count,min,max,mean,last", choices: statistics}, formatParam,
		}), askAggregate},
		{"downsample", slices.Concat(seriesParam, spanParam, []param{
			{name: "points", kind: countParam, def: "1000"}, {name: "method", kind: choiceParam, def: "minmax", choices: []string{"minmax", "lttb"}}, formatParam,
		}), askDownsample},
		{"events", slices.Concat([]param{filter}, spanParam, []param{orderParam, limitParam, nextParam, formatParam}), askEvents},
	}
}

// find returns the route of a name.
func find(name string) *route {
	for i := range routes {
		if routes[i].name == name {
			return &routes[i]
		}
	}
	return nil
}

func (q *request) listQuery() history.ListQuery {
	l := history.ListQuery{Filter: q.p.text["filter"], Allow: q.visible, Limit: q.p.count["limit"]}
	if q.page != nil {
		l.After = q.page.Listed
	}
	return l
}

func askTopics(ctx context.Context, q *request) (*answer, error) {
	page, err := q.store.List(ctx, q.listQuery())
	if err != nil {
		return nil, err
	}
	a := &answer{cursor: q.settled(page.Cursor), rows: "series", cols: []string{"topic", "field", "unit", "kind"}}
	for _, l := range page.Series {
		if q.visible(l.Topic) {
			a.cells = append(a.cells, []any{l.Topic, l.Field, l.Unit, string(l.Kind)})
		}
	}
	if n := len(page.Series); page.More && n > 0 {
		a.next = q.seal(find("topics"), pageAt(a.cursor, nil, &page.Series[n-1]))
	}
	return a, nil
}

func askLatest(ctx context.Context, q *request) (*answer, error) {
	page, err := q.store.Latest(ctx, q.listQuery())
	if err != nil {
		return nil, err
	}
	a := &answer{cursor: q.settled(page.Cursor), rows: "points", cols: []string{"topic", "field", "unit", "t", "v", "o", "epoch"}}
	for _, p := range page.Points {
		if q.visible(p.Topic) {
			a.cells = append(a.cells, []any{p.Topic, p.Field, p.Unit, p.Time, p.Value, p.Offset, otherEpoch(p.Epoch, a.cursor)})
		}
	}
	if page.More && page.Last != nil {
		a.next = q.seal(find("latest"), pageAt(a.cursor, nil, page.Last))
	}
	return a, nil
}

// otherEpoch returns an epoch that is not the answer's, else nothing.
func otherEpoch(epoch string, c journal.Cursor) any {
	if epoch == c.Epoch {
		return nil
	}
	return epoch
}

func pageAt(until journal.Cursor, p *history.Position, l *history.Listed) page {
	return page{Until: until, Position: p, Listed: l}
}

// maxGaps bounds the gaps of one answer.
const maxGaps = 100

// between returns the asked time, and the gaps that touch it: one more than an answer may have when there are too many.
func (q *request) between(ctx context.Context) (from, to time.Time, gaps []history.Gap, err error) {
	from, to = q.p.time["from"], q.p.time["to"]
	gaps, err = q.store.Gaps(ctx, from, to, maxGaps+1)
	if gaps == nil {
		gaps = []history.Gap{}
	}
	return from, to, gaps, err
}

// series finds the asked series. When no unit was given and there are several, the asker has to say which.
func (q *request) series(ctx context.Context) (history.Series, error) {
	s := history.Series{Topic: q.p.text["topic"], Field: q.p.text["field"], Unit: q.p.text["unit"]}
	if q.p.has["unit"] {
		return s, nil
	}
	var units []string
	l := history.ListQuery{Filter: s.Topic, Allow: q.visible, Limit: 1000}
	for {
		page, err := q.store.List(ctx, l)
		if err != nil {
			return s, err
		}
		for _, one := range page.Series {
			if one.Kind == history.KindNumber && one.Field == s.Field {
				units = append(units, one.Unit)
			}
		}
		if !page.More || len(page.Series) == 0 {
			break
		}
		l.After = &page.Series[len(page.Series)-1]
	}
	switch len(units) {
	case 0:
		return s, nil
	case 1:
		s.Unit = units[0]
		return s, nil
	}
	return s, bad("unit", fmt.Sprintf("this field was stored with several units: say which of %q", units[:min(len(units), 10)]))
}

// about is what every answer about one series says of it.
func about(s history.Series) map[string]any {
	return map[string]any{"topic": s.Topic, "field": s.Field, "unit": s.Unit}
}

func askRange(ctx context.Context, q *request) (*answer, error) {
	s, err := q.series(ctx)
	if err != nil {
		return nil, err
	}
	from, to, gaps, err := q.between(ctx)
	if err != nil {
		return nil, err
	}
	query := history.RangeQuery{Series: s, From: from, To: to, Until: q.until(), Descending: q.p.text["order"] == "desc", Limit: q.p.count["limit"]}
	if q.page != nil {
		query.After = q.page.Position
	}
	page, err := q.store.Range(ctx, query)
	if err != nil {
		return nil, err
	}
	a := &answer{cursor: q.settled(page.Cursor), gaps: gaps, kept: page.KeptFrom, head: about(s), rows: "points", cols: []string{"t", "v", "o", "epoch"}}
	for _, p := range page.Points {
		a.cells = append(a.cells, []any{p.Time, p.Value, p.Offset, otherEpoch(p.Epoch, a.cursor)})
	}
	if n := len(page.Points); page.More && n > 0 {
		last := page.Points[n-1]
		a.next = q.seal(find("range"), pageAt(a.cursor, &history.Position{Time: last.Time, Epoch: last.Epoch, Offset: last.Offset}, nil))
	}
	return a, nil
}

func askAggregate(ctx context.Context, q *request) (*answer, error) {
	s, err := q.series(ctx)
	if err != nil {
		return nil, err
	}
	from, to, gaps, err := q.between(ctx)
	if err != nil {
		return nil, err
	}
	step := q.p.step
	from, to = history.Floor(from, step), history.Floor(to.Add(step-time.Microsecond), step)
	span := to.UnixMicro() - from.UnixMicro() // a time.Duration ends at 292 years
	if n, most := span/step.Microseconds(), int64(q.h.o.MaxPoints); n > most {
		return nil, bad("step", fmt.Sprintf("gives %d buckets, %d are allowed: take a step of at least %s, or a shorter time", n, most, time.Duration(span/most)*time.Microsecond))
	}
	found, err := q.store.Aggregate(ctx, history.AggregateQuery{Series: s, From: from, To: to, Step: step})
	if err != nil {
		return nil, err
	}
	head := about(s)
	head["from"], head["to"] = from.UnixMicro(), to.UnixMicro()
	head["step_ms"], head["resolution_ms"] = step.Milliseconds(), found.Resolution.Milliseconds()
	a := &answer{cursor: found.Cursor, gaps: gaps, kept: found.KeptFrom, head: head, rows: "buckets", cols: append([]string{"t"}, q.p.chosen["functions"]...)}
	for _, b := range found.Buckets {
		row := []any{b.Start}
		for _, f := range q.p.chosen["functions"] {
			row = append(row, statistic(b, f))
		}
		a.cells = append(a.cells, row)
	}
	return a, nil
}

func statistic(b history.Bucket, name string) any {
	switch name {
	case "count":
		return b.Count
	case "min":
		return b.Min
	case "max":
		return b.Max
	case "mean":
		return b.Sum / float64(b.Count)
	case "sum":
		return b.Sum
	}
	return b.Last
}

func askDownsample(ctx context.Context, q *request) (*answer, error) {
	s, err := q.series(ctx)
	if err != nil {
		return nil, err
	}
	from, to, gaps, err := q.between(ctx)
	if err != nil {
		return nil, err
	}
	n := q.p.count["points"]
	if n < 10 {
		return nil, bad("points", "want at least 10")
	}
	plot, err := history.Downsample(ctx, q.store, history.PlotQuery{Series: s, From: from, To: to, Points: n, Method: history.Method(q.p.text["method"])})
	if err != nil {
		return nil, err
	}
	head := about(s)
	head["method"], head["step_us"], head["resolution_ms"] = q.p.text["method"], plot.Step.Microseconds(), plot.Resolution.Milliseconds()
	a := &answer{cursor: plot.Cursor, gaps: gaps, kept: plot.KeptFrom, head: head, rows: "points", cols: []string{"t", "v"}}
	for _, p := range plot.Points {
		a.cells = append(a.cells, []any{p.Time, p.Value})
	}
	return a, nil
}

// maxEventBytes bounds the topics and payloads of one answer: in JSON a byte may need six.
const maxEventBytes = 2 << 20

func askEvents(ctx context.Context, q *request) (*answer, error) {
	from, to, gaps, err := q.between(ctx)
	if err != nil {
		return nil, err
	}
	query := history.EventQuery{Filter: q.p.text["filter"], Allow: q.visible, From: from, To: to, Until: q.until(), Descending: q.p.text["order"] == "desc", Limit: q.p.count["limit"], Bytes: maxEventBytes}
	if q.page != nil {
		query.After = q.page.Position
	}
	page, err := q.store.Events(ctx, query)
	if err != nil {
		return nil, err
	}
	a := &answer{cursor: q.settled(page.Cursor), gaps: gaps, kept: page.KeptFrom, rows: "events", cols: []string{"t", "o", "topic", "field", "payload", "base64", "size", "epoch"}}
	for _, e := range page.Events {
		if !q.visible(e.Topic) {
			continue
		}
		var text, raw any
		if showable(e.Payload) {
			text = string(e.Payload)
		} else {
			raw = base64.StdEncoding.EncodeToString(e.Payload)
		}
		a.cells = append(a.cells, []any{e.Time, e.Offset, e.Topic, e.Field, text, raw, e.Size, otherEpoch(e.Epoch, a.cursor)})
	}
	if n := len(page.Events); page.More && n > 0 {
		last := page.Events[n-1]
		a.next = q.seal(find("events"), pageAt(a.cursor, &history.Position{Time: last.Time, Epoch: last.Epoch, Offset: last.Offset, Field: last.Field}, nil))
	}
	return a, nil
}
