package client

import (
	"context"
	"iter"
	"sync"
)

// queueLen is how many updates wait for Next before the connection is not read any more.
const queueLen = 4

// Subscription is a stream of updates. Next is for one goroutine at a time; the other methods may be called by any.
type Subscription struct {
	c      *Client
	id     int64
	filter string
	opts   SubscribeOptions
	queue  chan Update
	gone   chan struct{} // closed when nothing more will be put into queue
	once   sync.Once
	err    error // why; set before gone is closed

	mu    sync.Mutex
	at    Cursor // what is in queue or was taken from it: where the next session goes on
	half  bool   // a snapshot is incomplete: at is no place to resume from
	stats Stats
}

// Filter returns what was subscribed to.
func (s *Subscription) Filter() string { return s.filter }

// Stats returns the counters of what Next has handed out.
func (s *Subscription) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// Next returns the next update. It blocks until there is one, ctx ends, or the subscription has ended; updates that came before
// its end are handed out first. The error is ctx's, ErrClosed, a *SubscribeError, or what ended the Client.
func (s *Subscription) Next(ctx context.Context) (Update, error) {
	select {
	case u := <-s.queue:
		return s.count(u), nil
	default:
	}
	select {
	case u := <-s.queue:
		return s.count(u), nil
	case <-ctx.Done():
		return Update{}, ctx.Err()
	case <-s.gone:
	}
	select {
	case u := <-s.queue:
		return s.count(u), nil
	default:
		return Update{}, s.err
	}
}

// All returns the updates as Next does. The last pair holds the error; then the sequence ends.
func (s *Subscription) All(ctx context.Context) iter.Seq2[Update, error] {
	return func(yield func(Update, error) bool) {
		for {
			u, err := s.Next(ctx)
			if !yield(u, err) || err != nil {
				return
			}
		}
	}
}

// Close ends the subscription. It does not wait for the bridge and is idempotent.
func (s *Subscription) Close() error {
	s.end(ErrClosed)
	s.c.drop(s)
	return nil
}

func (s *Subscription) end(err error) {
	s.once.Do(func() {
		s.err = err
		close(s.gone)
	})
}

func (s *Subscription) ended() bool {
	select {
	case <-s.gone:
		return true
	default:
		return false
	}
}

// since returns where to resume, nil to start anew.
func (s *Subscription) since() *Cursor {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.half || s.at.IsZero() {
		return nil
	}
	at := s.at
	return &at
}

// step is an update with the state of the subscription once it is in the queue.
type step struct {
	Update
	at   Cursor
	half bool
}

// put hands an update to the consumer and moves the subscription's place with it; while the queue is full it blocks. It reports
// false when the session ended first: then nothing has moved. An ended subscription takes everything and keeps nothing.
func (s *Subscription) put(ses *session, st step) bool {
	if !st.half {
		st.Cursor = st.at
	}
	select {
	case s.queue <- st.Update:
		s.moved(st)
		return true
	default:
	}
	ses.blocked.Store(true)
	defer ses.blocked.Store(false)
	select {
	case s.queue <- st.Update:
		s.moved(st)
		return true
	case <-s.gone:
		return true
	case <-ses.ctx.Done():
		return false
	}
}

// moved notes an update that is in the queue.
func (s *Subscription) moved(st step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at, s.half = st.at, st.half
}

// count counts an update that is handed out.
func (s *Subscription) count(u Update) Update {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case u.Kind == KindData:
		s.stats.Delivered += uint64(len(u.Readings))
		s.stats.Conflated += u.Conflated
	case u.Kind == KindGap:
		s.stats.Gaps += u.Gap.Count
	case u.Recovered:
		s.stats.Resumes++
	}
	return u
}
