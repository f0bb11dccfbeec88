package scenarios

import (
	"fmt"
	"testing"
	"time"

	"plumbline/harness/oracle"
	"plumbline/harness/profile"
	"plumbline/harness/record"
	"plumbline/reports"
)

// A page storms that asks for more connections within a second than it may, or that loads
// itself anew so often that nobody can tell when it asked.
func TestStormsArePlain(t *testing.T) {
	for name, c := range map[string]struct {
		apart   time.Duration // of 30 connections
		itself  int
		verdict reports.Verdict
	}{
		"now and then":              {200 * time.Millisecond, 2, reports.Pass},
		"30 within a second (F84)":  {10 * time.Millisecond, 0, reports.Fail},
		"30 documents of its own":   {200 * time.Millisecond, 30, reports.Fail},
		"one reload less than told": {200 * time.Millisecond, -1, reports.Pass},
	} {
		log := paged(goodLog(), 2*time.Millisecond, 12*time.Millisecond)
		for i := range 30 {
			log.Events = append(log.Events, record.Event{
				At: int64(time.Second) + int64(i)*int64(c.apart), Kind: record.Note, Subject: pageName, Fields: map[string]string{"address": fmt.Sprintf("wss://h/%d", i)},
			})
		}
		for i := range 4 {
			log.Events = append(log.Events, record.Event{At: int64(i+1) * int64(time.Second), Kind: record.FaultEnd, Subject: "something"})
		}
		h, err := oracle.Index(log)
		if err != nil {
			t.Fatal(err)
		}
		j := judgedOf(t, h)
		j.Profile.Limits["REC-09"] = profile.Limit{Count: 20, Samples: 4}
		j.stormless("REC-09", c.itself)
		if r := only(t, j.Case); r.Verdict != c.verdict {
			t.Errorf("%s: %s(%s): %s", name, r.Verdict, r.Reason, r.Sentence)
		}
	}
}
