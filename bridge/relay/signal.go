package relay

import "sync"

// signal wakes all who wait for something to change.
type signal struct {
	mu sync.Mutex
	ch chan struct{}
}

// wait returns what is closed at the next change. Look at the condition after the call.
func (s *signal) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) fire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}
