package polled

import (
	"context"
	"errors"
	"fmt"
	"time"

	"plumbline/devices"
	"plumbline/devices/codec"
	"plumbline/devices/internal/intake"
)

// Link is the line to the device. Each sample it reads is a piece of the stream
// with its stamps. A serialline.Line opened with codec.Chunks is one.
type Link interface {
	Info() devices.Info
	Read(ctx context.Context) (devices.Sample, error)
	Write(p []byte) (int, error)
	Close() error
}

// Request is one question.
type Request struct {
	Name   string // for messages: what is asked of whom
	Bytes  []byte
	Silent bool // nobody answers, as to a broadcast; what comes is a fault
}

// Verdict is what bytes are that came after a request.
type Verdict uint8

// The verdicts. More is the zero value.
const (
	More    Verdict = iota // too few to tell, or nothing at all
	Good                   // the answer, with readings
	Done                   // the answer, and it carries none: the echo of a setting
	Refused                // a whole answer that says no
	Damaged                // an answer that failed its check
	Foreign                // whole and not the answer to this request
)

// Answer judges the bytes that came.
type Answer struct {
	Verdict Verdict
	Used    int // bytes that the verdict is about, from the first; 0 = all
	Values  []devices.Value
	Reason  string // for Refused, Damaged and Foreign
	Again   bool   // Refused for now only: asking again makes sense
}

// Protocol says what to ask and what an answer is. It is used by one goroutine.
type Protocol interface {
	// Name is the protocol's name as reports print it.
	Name() string
	// Start is sent once, in order, before the first round.
	Start() []Request
	// Round is asked in each period, in order; at least one request.
	Round() []Request
	// Answer judges p, what came since the request was sent and is not judged
	// yet; at least one byte. Quiet says that the line has fallen silent: More
	// then means that the answer was cut.
	Answer(r Request, p []byte, quiet bool) Answer
}

// Options of a Device; zero values mean the defaults.
type Options struct {
	Period  time.Duration // from round to round; 0 = 1 s
	Timeout time.Duration // for one answer; 0 = 500 ms
	Retries int           // how often a request is sent again in a round; 0 = never
	// Gap is the silence before each request. 0 = 5 ms, three and a half
	// characters at 9600 baud.
	Gap time.Duration
	// Turnaround is the silence after a request that nobody answers; 0 = 100 ms.
	Turnaround time.Duration
	// Quiet is the silence that ends an answer whose end cannot be told from its
	// bytes; 0 = 50 ms, because USB adapters hand bytes over every 16 ms.
	Quiet   time.Duration
	Clock   devices.Clock // the link's; nil = counts from New
	Queue   int           // as in the drivers; 0 = 1024
	Damages int           // 0 = 64
}

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		value *time.Duration
		usual time.Duration
	}{
		{&o.Period, time.Second}, {&o.Timeout, 500 * time.Millisecond}, {&o.Gap, 5 * time.Millisecond},
		{&o.Turnaround, 100 * time.Millisecond}, {&o.Quiet, 50 * time.Millisecond},
	} {
		if *d.value <= 0 {
			*d.value = d.usual
		}
	}
	if o.Clock == nil {
		o.Clock = intake.Monotonic()
	}
	return o
}

// Stats are totals beside devices.Counters.
type Stats struct {
	Asked    uint64 // requests sent, repeated ones included
	Answered uint64 // with a reading
	Refused  uint64
	Silent   uint64 // no answer in time
	Foreign  uint64 // whole answers to something else, in time or late
	Unasked  uint64 // pieces that came when nothing was asked
}

// Device asks and reads on one goroutine from New to Close.
type Device struct {
	link     Link
	protocol Protocol
	opts     Options
	info     devices.Info
	in       *intake.Intake
	stats    counted
	cancel   context.CancelFunc
	done     chan struct{}

	// Owned by the asking goroutine:
	pending []devices.Sample // what came and is not judged yet
	offset  int64            // where pending begins in the stream
	last    string           // name of the last request, "" before the first
	owed    bool             // its answer did not come and may still do so
}

var _ devices.Device = (*Device)(nil)

// New starts asking over link, which belongs to the Device from then on. It errs
// when the protocol asks nothing.
func New(link Link, p Protocol, opts Options) (*Device, error) {
	if len(p.Round()) == 0 {
		return nil, errors.Join(fmt.Errorf("polled: %s asks for nothing: declare what to read", p.Name()), link.Close())
	}
	run, cancel := context.WithCancel(context.Background())
	d := &Device{link: link, protocol: p, opts: opts.withDefaults(), info: link.Info(), cancel: cancel, done: make(chan struct{}),
		in: intake.New(codec.Chunks{}, intake.Options{Queue: opts.Queue, Damages: opts.Damages})}
	d.info.Kind = p.Name()
	go func() {
		defer close(d.done)
		d.in.End(d.ask(run))
	}()
	return d, nil
}

// ask sends all requests, round after round, until run or the link ends.
func (d *Device) ask(run context.Context) error {
	for _, r := range d.protocol.Start() {
		if err := d.exchange(run, r); err != nil {
			return err
		}
	}
	ticker := time.NewTicker(d.opts.Period)
	defer ticker.Stop()
	for {
		for _, r := range d.protocol.Round() {
			if err := d.exchange(run, r); err != nil {
				return err
			}
		}
		select {
		case <-run.Done():
			return run.Err()
		case <-ticker.C:
		}
	}
}

// exchange asks one request, again if need be. An error ends the device.
func (d *Device) exchange(run context.Context, r Request) error {
	for try := 0; ; try++ {
		gap := d.opts.Gap
		if d.owed { // listen as long again, so that it is not taken for the next one
			gap, d.owed = d.opts.Timeout, false
		}
		if err := d.settle(run, gap); err != nil {
			return err
		}
		d.stats.add(func(s *Stats) { s.Asked++ })
		if _, err := d.link.Write(r.Bytes); err != nil {
			if run.Err() != nil {
				return run.Err()
			}
			d.miss(fmt.Sprintf("%s: could not be asked: %v", r.Name, err))
			return nil // unplugged: the next round tries again
		}
		if r.Silent {
			return d.settle(run, d.opts.Turnaround)
		}
		again, err := d.await(run, r, try < d.opts.Retries)
		if err != nil || !again {
			return err
		}
	}
}

// settle waits until the line has been silent for gap. What comes meanwhile was
// not asked for, or comes too late.
func (d *Device) settle(run context.Context, gap time.Duration) error {
	limit := time.Now().Add(max(d.opts.Timeout, 2*gap))
	for {
		got, err := d.receive(run, gap)
		if err != nil {
			return err
		}
		if !got || time.Now().After(limit) || d.waiting() > maxPending { // a port that never stops must not stop us
			break
		}
	}
	if len(d.pending) == 0 {
		return nil
	}
	reason := "came without being asked for"
	if d.last != "" {
		reason = fmt.Sprintf("came when %s was over: an answer that is late, or a second one", d.last)
	}
	d.stats.add(func(s *Stats) { s.Unasked++ })
	d.in.Reject(d.take(d.waiting()), codec.Damaged, reason)
	return nil
}

// maxPending bounds what is kept of what came, in bytes.
const maxPending = 4096

// await waits for the answer. It reports whether to ask again.
func (d *Device) await(run context.Context, r Request, mayAgain bool) (again bool, err error) {
	deadline := time.Now().Add(d.opts.Timeout)
	quiet := false
	for {
		if done, again := d.judge(r, quiet, mayAgain); done {
			return again, nil
		}
		wait := time.Until(deadline)
		if d.waiting() > 0 {
			wait = min(wait, d.opts.Quiet)
		}
		got, err := d.receive(run, wait)
		if err != nil {
			return false, err
		}
		quiet = !got
		if quiet && d.waiting() == 0 && time.Now().After(deadline) || d.waiting() > maxPending {
			return d.silence(r, mayAgain), nil
		}
	}
}

// silence gives a request up.
func (d *Device) silence(r Request, mayAgain bool) (again bool) {
	d.last = r.Name
	if n := d.waiting(); n > 0 {
		d.in.Reject(d.take(n), codec.Damaged, fmt.Sprintf("%s: more than %d bytes came and no answer among them", r.Name, maxPending))
		return mayAgain
	}
	d.owed = true
	d.stats.add(func(s *Stats) { s.Silent++ })
	if !mayAgain {
		d.miss(fmt.Sprintf("%s: no answer within %v; check address, baud rate, parity and wiring", r.Name, d.opts.Timeout))
	}
	return mayAgain
}

// judge lets the protocol look at what has come. It is done when the exchange is.
func (d *Device) judge(r Request, quiet, mayAgain bool) (done, again bool) {
	for {
		p := d.bytes()
		if len(p) == 0 {
			return false, false
		}
		a := d.protocol.Answer(r, p, quiet)
		used := a.Used
		if used <= 0 || used > len(p) {
			used = len(p)
		}
		switch a.Verdict {
		case Good:
			d.last = r.Name
			d.stats.add(func(s *Stats) { s.Answered++ })
			d.in.Deliver(d.take(used), "", a.Values)
			return true, false
		case Done:
			d.last = r.Name
			d.in.Control(d.take(used))
			return true, false
		case Refused:
			d.last = r.Name
			d.stats.add(func(s *Stats) { s.Refused++ })
			d.in.Miss(d.take(used), r.Name+": "+a.Reason)
			return true, a.Again && mayAgain
		case Damaged:
			d.last = r.Name
			d.in.Reject(d.take(used), codec.Damaged, r.Name+": "+a.Reason)
			return true, mayAgain
		case Foreign:
			d.stats.add(func(s *Stats) { s.Foreign++ })
			d.in.Reject(d.take(used), codec.Damaged, r.Name+": "+a.Reason)
		default:
			if !quiet {
				return false, false
			}
			d.last = r.Name
			d.in.Reject(d.take(len(p)), codec.Damaged, fmt.Sprintf("%s: the answer is cut after %d bytes", r.Name, len(p)))
			return true, mayAgain
		}
	}
}

func (d *Device) miss(reason string) {
	at := d.opts.Clock()
	d.in.Miss(codec.Frame{First: at, Last: at, Offset: d.offset}, reason)
}

// receive waits up to wait for the next piece.
func (d *Device) receive(run context.Context, wait time.Duration) (bool, error) {
	ctx, cancel := context.WithTimeout(run, max(wait, time.Millisecond))
	defer cancel()
	s, err := d.link.Read(ctx)
	switch {
	case err == nil:
		d.pending = append(d.pending, s)
		return true, nil
	case run.Err() != nil:
		return false, run.Err()
	case ctx.Err() != nil:
		return false, nil
	}
	return false, err
}

func (d *Device) waiting() int {
	n := 0
	for _, s := range d.pending {
		n += len(s.Raw)
	}
	return n
}

func (d *Device) bytes() []byte {
	var p []byte
	for _, s := range d.pending {
		p = append(p, s.Raw...)
	}
	return p
}

// take takes the first n bytes of what came, at least one.
func (d *Device) take(n int) codec.Frame {
	f := codec.Frame{First: d.pending[0].First, Bytes: n, Offset: d.offset}
	d.offset += int64(n)
	for n > 0 {
		s := &d.pending[0]
		f.Last = s.Last
		k := min(n, len(s.Raw))
		f.Raw = append(f.Raw, s.Raw[:k]...)
		n -= k
		if s.Raw = s.Raw[k:]; len(s.Raw) == 0 {
			d.pending = d.pending[1:]
		}
	}
	return f
}

// Info implements devices.Device.
func (d *Device) Info() devices.Info { return d.info }

// Read implements devices.Device. A request that is not answered gives no error:
// the counters tell.
func (d *Device) Read(ctx context.Context) (devices.Sample, error) { return d.in.Read(ctx) }

// Counters implements devices.Device.
func (d *Device) Counters() devices.Counters { return d.in.Counters() }

// Damages implements devices.Device.
func (d *Device) Damages() []devices.Damage { return d.in.Damages() }

// Stats returns what was asked and what came of it.
func (d *Device) Stats() Stats { return d.stats.get() }

// Close stops asking and closes the link.
func (d *Device) Close() error {
	d.in.Discard(devices.ErrClosed)
	d.cancel()
	err := d.link.Close()
	<-d.done
	return err
}
