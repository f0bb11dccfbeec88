package recorder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"plumbline/devices"
	"plumbline/devices/anonymise"
	"plumbline/devices/codec"
	"plumbline/devices/replay"
)

// Bounds of what waits for the disk.
const (
	maxPieces = 16384
	maxBytes  = 64 << 20
)

// syncEvery is how often the file is put on the disk.
const syncEvery = time.Second

// Options say how to record. Path is required.
type Options struct {
	Path  string        // of the new file; one that exists is refused
	Limit int64         // of the file, in bytes; 0 = replay.MaxBytes, what can be read again
	For   time.Duration // how long; 0 = until ctx ends
	Until uint64        // ends with so many good frames, or so many messages; 0 = no bound
	// Anonymise replaces identities and positions; nil keeps everything as it came.
	Anonymise *anonymise.Key
	Note      string           // for those who read the recording; optional
	Patience  time.Duration    // how long the device may take to open; 0 = until ctx ends
	Started   func()           // called once when the device is open and is recorded; optional
	Now       func() time.Time // wall clock of the header; nil = time.Now
}

// opening bounds how long the device may take to open.
func (o Options) opening(ctx context.Context) (context.Context, context.CancelFunc) {
	if o.Patience <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, o.Patience)
}

func (o Options) started() {
	if o.Started != nil {
		o.Started()
	}
}

// Summary is what a recording holds.
type Summary struct {
	Pieces   uint64 // reads of the port, or messages
	Bytes    uint64 // in them
	Events   uint64 // changes of lines, errors, losses
	Lost     uint64 // pieces that came faster than the disk took them, not kept
	Breaks   uint64 // connections to the broker that were lost: what it brought meanwhile is missing
	Withheld uint64 // messages that anonymising kept back
	Size     int64  // of the file
	Length   time.Duration
	Counters devices.Counters // frames, as far as a codec judged them
	Why      string           // why it ended, for people
}

// piece is one thing that waits for the disk.
type piece struct {
	at    time.Duration
	raw   []byte
	msg   *replay.Message
	event *replay.Event
}

// keeper writes what several goroutines give it, in the order in which they do.
// Giving never waits for the disk.
type keeper struct {
	file  *os.File
	w     *replay.Writer
	hide  *hider // nil when nothing is hidden
	clock devices.Clock

	ended  chan struct{} // closed when nothing more is taken
	wake   chan struct{}
	done   chan struct{} // closed when the writing goroutine has ended
	mu     sync.Mutex
	queue  []piece
	size   int // bytes in queue
	last   time.Duration
	lost   uint64 // since the last event that says so
	sum    Summary
	err    error
	closed bool
}

// newKeeper makes the file with its header, and starts writing.
func newKeeper(opts Options, h replay.Header, c codec.Codec, clock devices.Clock) (*keeper, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	h.Note, h.Started = opts.Note, opts.Now().Add(-clock()).UTC()
	k := &keeper{clock: clock, ended: make(chan struct{}), wake: make(chan struct{}, 1), done: make(chan struct{})}
	if opts.Anonymise != nil {
		var err error
		if k.hide, err = newHider(opts.Anonymise, c, &h); err != nil {
			return nil, err
		}
	}
	file, err := os.OpenFile(opts.Path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("recorder: %q exists already; a recording is never overwritten: give another name or move it away", opts.Path)
	}
	if err != nil {
		return nil, fmt.Errorf("recorder: %w", err)
	}
	k.file = file
	if k.w, err = replay.NewWriter(file, h, opts.Limit); err != nil {
		return nil, errors.Join(err, file.Close(), os.Remove(opts.Path))
	}
	go k.write()
	return k, nil
}

// bytes takes what one read brought.
func (k *keeper) bytes(at time.Duration, p []byte) {
	if len(p) > 0 {
		k.put(piece{at: at, raw: append([]byte(nil), p...)})
	}
}

// message takes a message.
func (k *keeper) message(at time.Duration, m replay.Message, payload []byte) {
	k.put(piece{at: at, raw: append([]byte(nil), payload...), msg: &m})
}

// event takes what happened beside the bytes, now.
func (k *keeper) event(e replay.Event) { k.put(piece{at: k.clock(), event: &e}) }

func (k *keeper) put(p piece) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return
	}
	if len(k.queue) >= maxPieces || k.size+len(p.raw) > maxBytes {
		k.lost++
		k.sum.Lost++
		return
	}
	k.last = max(k.last, p.at) // two goroutines may have read the clock in the other order
	p.at = k.last
	k.sayLost()
	k.queue = append(k.queue, p)
	k.size += len(p.raw)
	select {
	case k.wake <- struct{}{}:
	default: // it is awake
	}
}

// sayLost puts into the recording that something is missing from it. The caller
// holds mu.
func (k *keeper) sayLost() {
	if k.lost > 0 {
		k.queue = append(k.queue, piece{at: k.last, event: &replay.Event{Lost: k.lost}})
		k.lost = 0
	}
}

// end says that nothing more is taken, and why; the first reason counts.
func (k *keeper) end(why string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.endLocked(why)
}

func (k *keeper) endLocked(why string) {
	if k.closed {
		return
	}
	k.sayLost()
	k.closed, k.sum.Why = true, why
	close(k.ended)
}

// write is the writing goroutine.
func (k *keeper) write() {
	defer close(k.done)
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	for {
		select {
		case <-k.wake:
			k.drain()
		case <-tick.C:
			k.failed(k.file.Sync())
		case <-k.ended:
			k.drain()
			k.failed(k.finish())
			return
		}
	}
}

// drain writes what waits.
func (k *keeper) drain() {
	k.mu.Lock()
	queue := k.queue
	k.queue, k.size = nil, 0
	k.mu.Unlock()
	for _, p := range queue {
		if k.hide == nil {
			k.failed(k.keep(p))
			continue
		}
		for _, out := range k.hide.take(p) {
			k.failed(k.keep(out))
		}
	}
}

// finish makes the recording whole and puts it on the disk.
func (k *keeper) finish() error {
	if k.hide != nil {
		for _, p := range k.hide.rest() {
			k.failed(k.keep(p))
		}
	}
	return errors.Join(k.w.Close(), k.file.Sync(), k.file.Close())
}

// keep writes one piece. Nothing follows the first that does not fit.
func (k *keeper) keep(p piece) error {
	if k.failure() != nil {
		return nil
	}
	var err error
	switch {
	case p.event != nil:
		p.event.Offset = p.at
		err = k.w.WriteEvent(*p.event)
	case p.msg != nil:
		err = k.w.WriteMessage(p.at, *p.msg, p.raw)
	default:
		err = k.w.Write(p.at, p.raw)
	}
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sum.Length = p.at
	if p.event != nil {
		k.sum.Events++
		k.sum.Withheld += p.event.Withheld
		return nil
	}
	k.sum.Pieces++
	k.sum.Bytes += uint64(len(p.raw))
	return nil
}

func (k *keeper) failure() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err
}

// failed keeps the first error and ends the recording with it.
func (k *keeper) failed(err error) {
	if err == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err == nil {
		k.err = err
	}
	why := "it could not be written"
	if errors.Is(err, replay.ErrFull) {
		why = "the file has reached its bound"
	}
	k.endLocked(why)
}

// until waits for the end: of ctx, of the time or of the recording itself.
func (k *keeper) until(ctx context.Context, limit time.Duration) {
	var over <-chan time.Time
	if limit > 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-ctx.Done():
		k.end("it was ended")
	case <-over:
		k.end(fmt.Sprintf("%v are over", limit))
	case <-k.ended:
	}
}

// close ends the recording, waits for the disk and says what was kept. That the
// bound was reached is an end and no error.
func (k *keeper) close(why string) (Summary, error) {
	k.end(why)
	<-k.done
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sum.Size = k.w.Size()
	err := k.err
	if errors.Is(err, replay.ErrFull) {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("recorder: %w; what was written before can be played", err)
	}
	return k.sum, err
}
