// Package command takes messages that viewers send upstream, to devices: it checks who may, how often, and what, and sends each
// the way of a publish. What an external broker owns goes to that broker; everything else into the journal, from where MQTT
// subscribers and viewers get it.
package command

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"plumbline/bridge/audit"
	"plumbline/bridge/auth"
	"plumbline/bridge/ingest/external"
	"plumbline/bridge/internal/rates"
	"plumbline/bridge/journal"
	"plumbline/bridge/metrics"
	"plumbline/bridge/topic"
)

// Defaults for Options.
const (
	DefaultBurst = 20
	timeout      = 3 * time.Second // for the journal or the external broker to accept
)

// Appender is the journal as seen from here. Append returns only when the message is as safe as the policy says.
type Appender interface {
	Append(ctx context.Context, m journal.Message) (offset uint64, duplicate bool, err error)
	Producer(name string) (seq, offset uint64, known bool)
}

// Options configures a Desk. Journal, Metrics and Log are required.
type Options struct {
	Journal  Appender
	External external.Sources // brokers that own topics by their prefix
	Rate     int              // commands a second of one subject, whatever its sessions; 0 = no commands are taken
	Burst    int              // of these at once; 0 = DefaultBurst
	MaxBytes int              // of a payload; 0 = no limit of its own
	Metrics  *metrics.Set
	Log      *slog.Logger
	Now      func() time.Time // nil = time.Now
}

// Desk takes commands. It is safe for concurrent use.
type Desk struct {
	o     Options
	rates *rates.Rates
	ctx   context.Context // ends with Close
	end   context.CancelFunc
}

// New returns a Desk that takes commands until Close.
func New(o Options) *Desk {
	if o.Burst <= 0 {
		o.Burst = DefaultBurst
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	d := &Desk{o: o, rates: rates.New(o.Rate, o.Burst)}
	d.ctx, d.end = context.WithCancel(context.Background())
	return d
}

// Close refuses commands from now on, and ends those that wait.
func (d *Desk) Close() { d.end() }

// Sender is who sends a command, for the rights and for the record.
type Sender struct {
	auth.Identity
	Session string // id of the viewer's session, "" over HTTP
	Remote  string // address of the peer
}

// Message is one command.
type Message struct {
	Topic   string
	Payload []byte
	QoS     int // 0 or 1, as MQTT subscribers and an external broker get it

	// Seq is the command's number, counted from 1 by Producer, which is any name within the sender's account; nil = it has none. The
	// last number that is stored is not stored again; one below is refused.
	Seq      *uint64
	Producer string
}

// Refusal is the error of Publish.
type Refusal struct {
	Reason string // forbidden, topic, qos, seq, rate or refused
	Detail string // what, and how to mend it
}

// Error implements error.
func (r *Refusal) Error() string { return "command: " + r.Reason + ": " + r.Detail }

func refuse(reason, format string, args ...any) error {
	return &Refusal{reason, fmt.Sprintf(format, args...)}
}

// Publish sends one command. It returns nil when the journal, or the external broker that owns the topic, has accepted it, and
// waits for that three seconds at most; duplicate says that it had been stored before. Every error is a *Refusal; but for refused, nothing was sent.
func (d *Desk) Publish(ctx context.Context, from Sender, m Message) (duplicate bool, err error) {
	if err = d.check(from, m); err == nil {
		duplicate, err = d.send(ctx, from, m)
	}
	result := "ok"
	var no *Refusal
	if errors.As(err, &no) {
		result = no.Reason
	}
	d.o.Metrics.Commands.WithLabelValues(result).Inc()
	if err != nil {
		audit.Refused(d.o.Log, audit.Event{
			Action: "pub", Reason: result, Subject: from.Subject, Tenant: from.Tenant, Session: from.Session, Remote: from.Remote,
			Detail: fmt.Sprintf("topic %.256s", m.Topic), // it may be no topic, and 64 KiB of it
		})
		return false, err
	}
	d.o.Log.Info("command sent", "topic", m.Topic, "bytes", len(m.Payload), "qos", m.QoS, "subject", from.Subject, "tenant", from.Tenant,
		"session", from.Session, "remote", from.Remote, "duplicate", duplicate)
	return duplicate, nil
}

// check says why a command is not sent, before anything is touched by it.
func (d *Desk) check(from Sender, m Message) error {
	switch {
	case d.o.Rate <= 0:
		return refuse("refused", "this bridge takes no commands: viewers.commands.rate is 0")
	case d.ctx.Err() != nil:
		return refuse("refused", "the bridge is about to restart: send it again later")
	}
	if !d.rates.Take(from.Account(), d.o.Now()) { // first: refused ones count too
		return refuse("rate", "more than %d commands a second: wait", d.o.Rate)
	}
	if d.o.MaxBytes > 0 && len(m.Payload) > d.o.MaxBytes {
		return refuse("refused", "the payload is longer than the %d bytes of mqtt.maxPacketBytes", d.o.MaxBytes)
	}
	if m.QoS != 0 && m.QoS != 1 {
		return refuse("qos", "%d: want 0 or 1", m.QoS)
	}
	if err := topic.ValidName(m.Topic); err != nil {
		return refuse("topic", "%v", err)
	}
	if topic.Reserved(m.Topic) {
		return refuse("topic", "topics that begin with $ are the broker's own")
	}
	if from.May(auth.Publish, m.Topic) != nil {
		d.o.Metrics.Denied.WithLabelValues(auth.Publish.String()).Inc()
		return refuse("forbidden", "the token does not allow to publish to this topic")
	}
	return d.checkSeq(m)
}

// Bounds of what numbers a command.
const (
	maxSeq      = 1 << 53
	maxProducer = 128 // bytes
)

// checkSeq says what is wrong with the command's number.
func (d *Desk) checkSeq(m Message) error {
	switch {
	case m.Seq == nil && m.Producer != "":
		return refuse("seq", "a producer without seq: give the command's number, from 1")
	case m.Seq == nil:
		return nil
	case *m.Seq < 1 || *m.Seq > maxSeq:
		return refuse("seq", "%d: want a number from 1 to 2^53", *m.Seq)
	case len(m.Producer) > maxProducer:
		return refuse("seq", "the producer's name has %d bytes, at most %d are taken", len(m.Producer), maxProducer)
	case d.o.External.For(m.Topic) != nil:
		return refuse("seq", "the topic belongs to an external broker, which would take it again: send it without seq")
	}
	return nil
}

// send hands a command to who takes it.
func (d *Desk) send(ctx context.Context, from Sender, m Message) (duplicate bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	defer context.AfterFunc(d.ctx, cancel)()
	if d.o.External.For(m.Topic) != nil {
		switch err := d.o.External.Publish(ctx, m.Topic, m.Payload, byte(m.QoS)); {
		case errors.Is(err, external.ErrUnknownOutcome):
			return false, refuse("refused", "the broker of this topic did not answer in time: it may have taken the command")
		case err != nil:
			return false, refuse("refused", "the broker of this topic does not take it now")
		}
		return false, nil
	}
	entry := journal.Message{Topic: m.Topic, Payload: m.Payload, QoS: byte(m.QoS), Time: d.o.Now()}
	if m.Seq != nil {
		entry.Producer, entry.ProducerSeq = "command\x00"+from.Account()+"\x00"+m.Producer, *m.Seq // of MQTT clients none has a second NUL
	}
	_, duplicate, err = d.o.Journal.Append(ctx, entry)
	last, _, _ := d.o.Journal.Producer(entry.Producer)
	switch {
	case errors.Is(err, journal.ErrInDoubt) && m.Seq != nil:
		return false, refuse("refused", "Redis did not answer in time: the command may have been sent, or may be yet. Sent again with the same producer and seq it is not sent twice")
	case errors.Is(err, journal.ErrInDoubt):
		return false, refuse("refused", "Redis did not answer in time: the command may have been sent, or may be yet. Sent again it may be sent twice, for it has no seq")
	case duplicate && *m.Seq < last: // whose number that was, and with what, nobody knows any more
		return false, refuse("seq", "%d is below the last stored number of this producer, %d: it is not stored now, and whether it was before is not known; count on from there", *m.Seq, last)
	case errors.Is(err, journal.ErrDegraded):
		return false, refuse("refused", "the journal is not writable at the moment: send it again later")
	case errors.Is(err, journal.ErrTooLarge):
		return false, refuse("refused", "the payload is too large")
	case err != nil:
		return false, refuse("refused", "it was not stored")
	}
	return duplicate, nil
}

// Payload returns the bytes of a command whose text or base64 was given; exactly one must not be nil.
func Payload(text, coded *string) ([]byte, error) {
	switch {
	case (text == nil) == (coded == nil):
		return nil, errors.New("give payload or base64, and not both")
	case text != nil:
		return []byte(*text), nil
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(*coded)
	if err != nil {
		return nil, errors.New("base64 is malformed (RFC 4648 section 4, with padding)")
	}
	return raw, nil
}
