package external

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"plumbline/bridge/journal"
)

// Bounds of what is stored together.
const (
	batchMessages = 256
	batchBytes    = 256 << 10
)

// storeRetry is the pause before messages are offered again to a journal that cannot write.
const storeRetry = 100 * time.Millisecond

// batch is what has come and is neither stored nor acknowledged, in order. Used by the reading goroutine only.
type batch struct {
	held     []held
	messages []journal.Message // what of it has to be stored
	bytes    int
}

// held is one message.
type held struct {
	p      *packets.Publish
	at     int    // in batch.messages, or notStored
	code   byte   // what PUBACK says
	digest uint64 // for the window
}

// notStored marks a message that is refused, or is in the journal already.
const notStored = -1

func (b *batch) add(h held) {
	b.held = append(b.held, h)
	b.bytes += len(h.p.Topic) + len(h.p.Payload)
}

func (b *batch) full() bool { return len(b.held) >= batchMessages || b.bytes >= batchBytes }

func (b *batch) reset() {
	clear(b.held)
	clear(b.messages)
	b.held, b.messages, b.bytes = b.held[:0], b.messages[:0], 0
}

// settle stores what is held and acknowledges it then, all in the order of arrival.
func (s *Source) settle(ctx context.Context, l *link) error {
	if len(s.batch.held) == 0 {
		return nil
	}
	results, err := s.store(ctx, s.batch.messages)
	if err != nil {
		return fmt.Errorf("store %d messages: %w", len(s.batch.messages), err)
	}
	defer s.batch.reset() // it is stored, whatever comes of the acknowledgements
	for _, h := range s.batch.held {
		if h.at != notStored {
			s.stored(h, results[h.at])
		}
	}
	for _, h := range s.batch.held { // when this fails all of it comes again, and the window must know it
		if h.p.QoS == 0 {
			continue
		}
		if err := l.acknowledge(h.p.PacketID, h.code, ""); err != nil {
			return err
		}
	}
	return nil
}

// stored counts a message and notes where it is.
func (s *Source) stored(h held, r journal.Result) {
	if r.Duplicate {
		s.gauges.duplicates("sequence").Inc()
		return
	}
	s.gauges.received(h.p)
	if h.p.QoS == 0 {
		return
	}
	s.window.add(h.p.PacketID, h.p.Duplicate, h.digest)
}

// store appends messages, waiting for as long as the journal cannot write: nothing is acknowledged meanwhile, the broker keeps
// what is beyond its window.
func (s *Source) store(ctx context.Context, ms []journal.Message) ([]journal.Result, error) {
	began := s.opts.Now()
	s.gauges.storing(began)
	defer s.gauges.storing(time.Time{})
	for told := false; ; told = true {
		results, err := s.opts.Journal.AppendAll(ctx, ms)
		if !errors.Is(err, journal.ErrDegraded) {
			took := s.opts.Now().Sub(began).Seconds()
			for range results {
				s.opts.Metrics.Ingest.Observe(took)
			}
			return results, err
		}
		if !told {
			s.log.Warn("the journal cannot write: the external broker keeps its messages", "error", err)
			s.gauges.stalls.Inc()
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-s.opts.After(storeRetry):
		}
	}
}
