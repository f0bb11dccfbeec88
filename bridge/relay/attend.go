package relay

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"plumbline/bridge/internal/presence"
)

// scripter is a connection, or several.
type scripter interface {
	redis.Scripter
	Pipeline() redis.Pipeliner
}

// words reads the answer of a script that was sent with others.
func words(answer redis.Cmder) (first, second string, err error) {
	c, ok := answer.(*redis.Cmd)
	if !ok {
		return "", "", errors.New("relay: no answer of a script")
	}
	first, second, _, err = reply(c)
	return first, second, err
}

// attend looks every second, and when it is called, which devices are at another node now, and which nodes are gone, until ctx ends.
func (r *Relay) attend(ctx context.Context) {
	p := &r.devices
	p.mu.Lock()
	broker := p.broker
	p.mu.Unlock()
	if broker == nil {
		return
	}
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			r.lastWords()
			return
		case <-tick.C:
		case <-p.poke:
		}
		if err := r.visit(ctx, broker); err != nil && ctx.Err() == nil && !errors.Is(err, errAway) {
			r.estranged(err)
		}
	}
}

// estranged says that this node and the others do not know of each other's devices. Messages go on all the same.
func (r *Relay) estranged(err error) {
	r.log.Debug("relay: who is connected where is not exchanged", "error", err)
	if refused(err) {
		r.trouble.set("devices", "who is connected at which bridge cannot be exchanged: "+explain(err).Error(), freshFor)
	}
}

// lastWords tells Redis what it could not be told yet of devices that have left in order.
func (r *Relay) lastWords() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if at, _, err := r.devices.place(); err == nil {
		_ = r.settleLate(ctx, at) // else the wills of some of them are sent
	}
}

// introduce tells of all devices on a connection that is new, before anything is stored by it. That it fails is tried again.
func (r *Relay) introduce(ctx context.Context, s *server) error {
	if err := r.tellDevices(ctx, s, s.run); err != nil {
		r.devices.again()
		r.estranged(err)
	}
	return ctx.Err()
}

// visit is one look.
func (r *Relay) visit(ctx context.Context, broker presence.Broker) error {
	p := &r.devices
	at, _, err := p.place()
	if err != nil {
		return err
	}
	gone, err := r.client.Get(ctx, r.keys.gone(at.serving)).Result()
	switch {
	case err != nil && !errors.Is(err, redis.Nil):
		return explain(err)
	case gone != "":
		r.log.Warn("relay: the other nodes took this one for gone and have sent the wills of its devices: they are cut, and come back", "node", r.opts.Node)
		p.mu.Lock()
		p.serving, p.told, p.dirty = newServing(), false, true
		p.mu.Unlock()
		broker.CutMourned()
	}
	p.mu.Lock()
	dirty := p.dirty
	p.mu.Unlock()
	if dirty {
		if err := r.tellDevices(ctx, r.client, at.run); err != nil {
			p.again()
			return err
		}
	}
	if at, _, err = p.place(); err != nil {
		return err
	}
	return errors.Join(r.settleLate(ctx, at), r.readTaken(ctx, at, broker), r.clean(ctx, at, broker))
}

// readTaken learns which devices are at another node now.
func (r *Relay) readTaken(ctx context.Context, at spot, broker presence.Broker) error {
	key := r.keys.taken(at.serving)
	all, err := r.client.SMembers(ctx, key).Result()
	if err != nil || len(all) == 0 {
		return err
	}
	done := make([]any, len(all))
	for i, one := range all {
		number, id, _ := strings.Cut(one, " ")
		if n, err := strconv.ParseUint(number, 10, 64); err == nil {
			broker.Taken(id, n)
		}
		done[i] = one
	}
	return r.client.SRem(ctx, key, done...).Err()
}

// clean sends the wills of devices whose nodes are gone, if it is this node's turn: the first that is there.
func (r *Relay) clean(ctx context.Context, at spot, broker presence.Broker) error {
	all, err := r.client.SMembers(ctx, r.keys.serving()).Result()
	if err != nil {
		return err
	}
	alive, first := r.others.serving(r.opts.Node)
	absent := func(token string) bool { return token != at.serving && !alive[token] }
	if slices.ContainsFunc(all, absent) {
		if err := r.lookAround(ctx, r.client); err != nil { // their beats may have been lost on the way
			return err
		}
		alive, first = r.others.serving(r.opts.Node)
	}
	p := &r.devices
	now := time.Now()
	p.mu.Lock()
	for token := range p.gone {
		if !absent(token) || !slices.Contains(all, token) {
			delete(p.gone, token)
			delete(p.looked, token)
		}
	}
	var due []string
	for _, token := range all {
		if !absent(token) {
			continue
		}
		if p.gone[token].IsZero() {
			p.gone[token] = now
		}
		if first && now.Sub(p.gone[token]) >= r.patience() && now.After(p.looked[token]) {
			due = append(due, token)
		}
	}
	p.mu.Unlock()
	for _, token := range due {
		if err := r.cleanOf(ctx, spot{at.run, at.name, token}, broker); err != nil {
			return err
		}
	}
	return nil
}

// goneFor is how long a token that is gone is remembered, for the node that has it to find.
const goneFor = 7 * 24 * time.Hour

// cleanOf does what is due with the devices of one token that is gone.
func (r *Relay) cleanOf(ctx context.Context, at spot, broker presence.Broker) error {
	p := &r.devices
	p.mu.Lock()
	since, looked := p.gone[at.serving], !p.looked[at.serving].IsZero()
	p.mu.Unlock()
	if since.IsZero() {
		return nil
	}
	if !looked {
		r.log.Warn("relay: a node is gone: the wills of its devices are sent", "node", r.others.named(at.serving), "silent", time.Since(since).Round(time.Second).String())
	}
	if err := r.client.Set(ctx, r.keys.gone(at.serving), "1", goneFor).Err(); err != nil {
		return explain(err)
	}
	next, left := time.Minute, 0
	for cursor := uint64(0); ; {
		page, onward, err := r.client.HScan(ctx, r.keys.clients(), cursor, "", scanPart).Result()
		if err != nil {
			return explain(err)
		}
		wait, n, err := r.cleanPage(ctx, at, broker, page, time.Since(since))
		if err != nil {
			return err
		}
		next, left = min(next, wait), left+n
		if cursor = onward; cursor == 0 {
			break
		}
	}
	p.mu.Lock()
	p.looked[at.serving] = time.Now().Add(next)
	p.mu.Unlock()
	if left == 0 {
		return r.client.SRem(ctx, r.keys.serving(), at.serving).Err()
	}
	return nil
}

// cleanPage does so with some of them. It returns when the first of those that are left is due, and how many there are.
func (r *Relay) cleanPage(ctx context.Context, at spot, broker presence.Broker, page []string, silent time.Duration) (next time.Duration, left int, err error) {
	next = time.Minute
	var sending sync.WaitGroup
	var mu sync.Mutex
	for i := 1; i < len(page); i += 2 {
		k, ok := r.parseDevice(page[i-1], page[i])
		if !ok || k.serving != at.serving {
			continue
		}
		will := len(k.Will) > 0 && k.State != presence.Away
		rest := time.Duration(k.Expiry)*time.Second - silent
		if will {
			rest = time.Duration(k.Delay)*time.Second - silent
		}
		switch {
		case rest > 0:
			next, left = min(next, rest), left+1
		case will:
			sending.Go(func() {
				if failed := r.orphan(ctx, at, broker, k.Device); failed != nil {
					mu.Lock()
					defer mu.Unlock()
					err = failed
				}
			})
			if k.Expiry > 0 {
				left++
			}
		default:
			if _, failed := r.settleDevice(ctx, at, k.ID, k.Number, presence.Gone); failed != nil {
				sending.Wait()
				return next, left, failed
			}
		}
	}
	sending.Wait()
	return next, left, err
}

// orphan sends one will.
func (r *Relay) orphan(ctx context.Context, at spot, broker presence.Broker, d presence.Device) error {
	if word, err := r.settleDevice(ctx, at, d.ID, d.Number, presence.Due); err != nil || word != replyOK {
		return err // it has come to another node
	}
	if err := broker.Orphan(d); err != nil {
		return err
	}
	to := presence.Gone
	if d.Expiry > 0 {
		to = presence.Away
	}
	_, err := r.settleDevice(ctx, at, d.ID, d.Number, to)
	return err
}

// serving returns the tokens of the nodes that were heard of lately, and whether own is the first of those that have one.
func (o *others) serving(own string) (alive map[string]bool, first bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	alive, first = map[string]bool{}, true
	for name, h := range o.nodes {
		if h.Serving != "" && time.Since(h.at) < freshFor {
			alive[h.Serving] = true
			first = first && name >= own
		}
	}
	return alive, first
}

// named returns the node that had a token; "" when it is not known.
func (o *others) named(token string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	for name, h := range o.nodes {
		if h.Serving == token {
			return name
		}
	}
	return ""
}
