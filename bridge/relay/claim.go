package relay

import (
	"context"
	"errors"
	"slices"
	"time"

	"plumbline/bridge/internal/presence"
)

// Claim implements presence.Cluster.
func (r *Relay) Claim(ctx context.Context, d presence.Device, may func(former presence.Device) bool) (presence.Claim, error) {
	p := &r.devices
	willed, _, _ := r.journal.Producer(presence.WillProducer(d.ID)) // what Redis knew of it may be lost, and the clock set back
	got := presence.Claim{Number: p.next(r.opts.Now(), willed)}
	at, _, err := p.place()
	if err != nil {
		return got, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	d.State = presence.Here
	for expected := ""; ; {
		former, there := known{}, false
		if expected != "" {
			former, there = r.parseDevice(d.ID, expected) // what nobody has signed is replaced
		}
		if there && !may(former.Device) {
			return got, presence.ErrRefused
		}
		if there && former.Number >= got.Number {
			got.Number = p.next(r.opts.Now(), former.Number)
		}
		d.Number = got.Number
		value, err := r.value(d, at.serving)
		if err != nil {
			return got, err
		}
		word, now, _, err := reply(claimScript.Run(ctx, r.client, []string{r.keys.head(), r.keys.clients(), r.keys.serving(), r.keys.gone(at.serving), r.keys.taken(former.serving)},
			at.run, at.name, d.ID, expected, value, at.serving, d.Number, r.keys.clients(), r.client.publishing(), former.serving))
		switch {
		case err != nil: // perhaps it is done
			return got, err
		case word == replyOK:
			if got.Moved = there && former.serving != at.serving; got.Moved {
				got.Former = former.Device
			}
			return got, nil
		case word != replyOther:
			return got, errNotTold
		}
		expected = now
	}
}

// Again implements presence.Cluster.
func (r *Relay) Again() { r.devices.again() }

// Due implements presence.Cluster.
func (r *Relay) Due(ctx context.Context, id string, number uint64) (bool, error) {
	at, told, err := r.devices.place()
	if err == nil && !told {
		err = errNotTold
	}
	if err != nil {
		return false, err
	}
	word, err := r.settleDevice(ctx, at, id, number, presence.Due)
	return err == nil && word == replyOK, err
}

// settleDevice returns the script's word: replyOK, replyOther or replyNewer.
func (r *Relay) settleDevice(ctx context.Context, at spot, id string, number uint64, to presence.State) (word string, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	word, _, _, err = reply(settleDevice.Run(ctx, r.client, []string{r.keys.head(), r.keys.clients()}, at.run, at.name, id, at.serving, number, string(to)))
	if err == nil && word == replyRun {
		err = errUnsettled
	}
	return word, err
}

// Settle implements presence.Cluster.
func (r *Relay) Settle(id string, number uint64, to presence.State) {
	p := &r.devices
	p.mu.Lock()
	if before, there := p.late[id]; before.number <= number && (there || len(p.late) < lateMost) {
		p.late[id] = settling{number, to}
	}
	p.mu.Unlock()
	p.look()
}

// settleLate tells Redis of the states that it could not be told.
func (r *Relay) settleLate(ctx context.Context, at spot) error {
	p := &r.devices
	p.mu.Lock()
	ids := make([]string, 0, len(p.late))
	for id := range p.late {
		ids = append(ids, id)
	}
	p.mu.Unlock()
	for _, id := range ids {
		p.mu.Lock()
		s := p.late[id]
		p.mu.Unlock()
		if _, err := r.settleDevice(ctx, at, id, s.number, s.to); err != nil {
			return err
		}
		p.mu.Lock()
		if p.late[id] == s {
			delete(p.late, id)
		}
		p.mu.Unlock()
	}
	return nil
}

// Leave implements presence.Cluster.
func (r *Relay) Leave(ctx context.Context, all []presence.Device) {
	at, _, err := r.devices.place()
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for part := range slices.Chunk(all, scanPart) {
		pipe := r.client.Pipeline()
		for _, d := range part {
			settleDevice.Eval(ctx, pipe, []string{r.keys.head(), r.keys.clients()}, at.run, at.name, d.ID, at.serving, d.Number, string(presence.Left))
		}
		if _, err := pipe.Exec(ctx); err != nil { // their wills are sent if they do not come back, as they would be anyway, and if they come back too
			r.log.Warn("relay: the others could not be told that the devices of this node are sent elsewhere", "error", explain(err))
			return
		}
	}
}

// tellDevices tells Redis, on a connection that the log is settled for, of all devices that are here.
func (r *Relay) tellDevices(ctx context.Context, c scripter, run string) error {
	p := &r.devices
	p.mu.Lock()
	broker := p.broker
	if broker == nil {
		p.mu.Unlock()
		return nil
	}
	p.run, p.name, p.dirty = run, r.line.Load().name(), false // who comes from now on tells it itself
	at := spot{p.run, p.name, p.serving}
	p.mu.Unlock()
	for part := range slices.Chunk(broker.Devices(), scanPart) {
		switch err := r.tellSome(ctx, c, at, broker, part); {
		case errors.Is(err, errCounted): // visit takes another token
			p.again()
			return nil
		case err != nil:
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.told = p.run == at.run && p.name == at.name && p.serving == at.serving; p.told {
		p.opened.Do(func() { close(p.open) })
	}
	return nil
}

func (r *Relay) tellSome(ctx context.Context, c scripter, at spot, broker presence.Broker, some []presence.Device) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	pipe := c.Pipeline()
	for _, d := range some {
		value, err := r.value(d, at.serving)
		if err != nil {
			return err
		}
		tellScript.Eval(ctx, pipe, []string{r.keys.head(), r.keys.clients(), r.keys.serving(), r.keys.gone(at.serving)}, at.run, at.name, d.ID, d.Number, value, at.serving, string(d.State), r.keys.taken(""), r.keys.clients(), r.client.publishing())
	}
	answers, err := pipe.Exec(ctx)
	if err != nil {
		return explain(err)
	}
	for i, one := range answers {
		word, old, err := words(one)
		switch {
		case err != nil:
			return err
		case word == replyRun:
			return errUnsettled
		case word == replyGone:
			return errCounted
		case word == replyNewer:
			if k, ok := r.parseDevice(some[i].ID, old); ok && k.serving != at.serving {
				broker.Taken(k.ID, k.Number)
			}
		}
	}
	return nil
}

// patience is for how long a node that is not heard of any more, for freshFor already unless it said goodbye, may still come back before the wills of
// its devices are sent.
func (r *Relay) patience() time.Duration { return freshFor + r.opts.Lease }

var _ presence.Cluster = (*Relay)(nil)
