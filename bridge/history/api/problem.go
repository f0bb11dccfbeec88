package api

import (
	"net/http"
	"sync"

	problemio "plumbline/bridge/internal/problem"
)

// problem is an answer that is not the asked one (RFC 9457).
type problem struct {
	status    int
	parameter string // which one is wrong, "" when none is
	detail    string // what is wrong and how to mend it
}

// Error implements error.
func (p *problem) Error() string { return p.detail }

// bad is a problem with a parameter.
func bad(parameter, detail string) *problem {
	return &problem{status: http.StatusBadRequest, parameter: parameter, detail: detail}
}

func answerProblem(w http.ResponseWriter, p *problem) int {
	var members map[string]any
	if p.parameter != "" {
		members = map[string]any{"parameter": p.parameter}
	}
	problemio.Write(w, p.status, p.detail, members)
	return p.status
}

// slots bounds the requests that use the store at a time, in all and of each subject, so that one that asks for much leaves room
// for others.
type slots struct {
	mu        sync.Mutex
	free      int
	each      int
	bySubject map[string]int
}

func newSlots(n int) *slots { return &slots{free: n, each: (n + 1) / 2, bySubject: map[string]int{}} }

// enter takes a slot, to be given back by leave; false when there is none.
func (s *slots) enter(subject string) (leave func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free == 0 || s.bySubject[subject] >= s.each {
		return nil, false
	}
	s.free--
	s.bySubject[subject]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.free++
		if s.bySubject[subject]--; s.bySubject[subject] == 0 {
			delete(s.bySubject, subject)
		}
	}, true
}
