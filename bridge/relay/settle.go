package relay

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"plumbline/bridge/journal"
)

// When a Redis process comes up, empty, with what it had saved, or as the replica that took over, nobody can tell from it alone
// what it lost. So the log is settled for each process before anything is stored: the nodes say where they stand, the log goes on
// behind the furthest of them, and who lacks something gets it from the others. When a node that was there a moment ago does not
// say where it stands, it may have given out more than the others know of: then the log gets a new epoch.

// stand is where a node stands.
type stand struct {
	Process string   `json:"process"`
	Member  bool     `json:"member"` // it has been in the log since before; else it has just been started
	Epoch   string   `json:"epoch"`
	Name    string   `json:"name"`           // under which its journal was last in the log, see line
	Line    string   `json:"line,omitempty"` // of a member: as it knows it
	Pos     uint64   `json:"pos"`            // the last entry that it has or has heard of
	Knows   []string `json:"knows"`          // nodes that were there a moment ago, itself too
}

// verdict is where the log goes on.
type verdict struct {
	epoch string // "" = a new one
	pos   uint64
	line  line // of that epoch, up to now
	seed  seed // of a new epoch
	sure  bool // everybody has spoken: there is nothing to wait for
}

// decide judges what the nodes say. was is what Redis has.
func decide(was state, all map[string]stand) verdict {
	var v verdict
	known, members, one := map[string]bool{}, 0, true
	longest := func(l line) {
		if len(l) > len(v.line) {
			v.line = l
		}
	}
	for _, s := range all {
		v.pos = max(v.pos, s.Pos)
		if !s.Member {
			continue
		}
		if members++; v.epoch == "" {
			v.epoch = s.Epoch
		}
		one = one && s.Epoch == v.epoch
		longest(parseLine(s.Line))
		for _, name := range s.Knows {
			known[name] = true
		}
	}
	if was.epoch == v.epoch || members == 0 {
		v.pos = max(v.pos, was.pos)
		longest(was.line)
	}
	v.sure = members > 0 && one && (was.epoch != v.epoch || v.line.holds(was.line.name(), was.pos))
	for _, s := range all { // who has something else than the others, or Redis has: it has been shown to somebody
		v.sure = v.sure && (s.Epoch != v.epoch || v.line.holds(s.Name, s.Pos))
	}
	for name := range known {
		// Who was started anew speaks for what it had only if it has it still, and not with a journal that had to begin again.
		if st, spoke := all[name]; !spoke || !st.Member && st.Epoch != v.epoch {
			v.sure = false
		}
	}
	if !v.sure {
		v.epoch, v.line, v.seed = "", nil, seedOf(all)
		v.pos++ // a place that nobody has: viewers and history find the break there
	}
	return v
}

// settle returns where the log stands on s, after settling it for that process if nobody has.
func (r *Relay) settle(ctx context.Context, s *server) (state, error) {
	was, err := s.state(ctx, r.keys)
	if err != nil || was.run == s.run {
		return was, err
	}
	r.log.Info("relay: settling the log for a Redis process", "redis", s.run, "before", was.run, "epoch", was.epoch, "pos", was.pos)
	wait, began := joinersWait, time.Now()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		all, err := r.stands(ctx, s)
		if err != nil {
			return state{}, err
		}
		if slices.ContainsFunc(values(all), func(st stand) bool { return st.Member }) {
			wait = r.opts.SettleWait
		}
		r.others.expect(all, r.opts.SettleWait)
		if v := decide(was, all); v.sure || time.Since(began) > wait {
			if err := r.pronounce(ctx, s, was, v); err != nil {
				return state{}, err
			}
		}
		now, err := s.state(ctx, r.keys)
		if err != nil || now.run == s.run {
			return now, err
		}
		was = now
		select {
		case <-ctx.Done():
			return state{}, ctx.Err()
		case <-tick.C:
		}
	}
}

func values(all map[string]stand) (list []stand) {
	for _, s := range all {
		list = append(list, s)
	}
	return list
}

// standPrefix begins what is signed of a stand: it is that node's, for that Redis process, and nothing else that is signed.
func standPrefix(run, node string) string { return "stand " + run + " " + node + " " }

// stands says where this node stands and returns what all say.
func (r *Relay) stands(ctx context.Context, s *server) (map[string]stand, error) {
	own, err := json.Marshal(r.stand())
	if err != nil {
		return nil, err
	}
	key := r.keys.settle(s.run)
	pipe := s.Pipeline()
	pipe.HSet(ctx, key, r.opts.Node, signText(r.key, append([]byte(standPrefix(s.run, r.opts.Node)), own...)))
	pipe.Expire(ctx, key, time.Minute)
	got := pipe.HGetAll(ctx, key)
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, explain(err)
	}
	all := map[string]stand{}
	for node, signed := range got.Val() {
		var st stand
		text, ok := openText(r.key, signed)
		text, here := bytes.CutPrefix(text, []byte(standPrefix(s.run, node)))
		if !ok || !here || json.Unmarshal(text, &st) != nil {
			r.rejected("signature")
			return nil, fmt.Errorf("redis: what node %q says is not signed with our secret for this Redis process: give all bridges of cluster %q the same relay.secretFile and one version, and another cluster another name", node, r.opts.Cluster)
		}
		all[node] = st
	}
	return all, nil
}

// stand is where this node stands. From then on the journal takes nothing beyond, until the log is settled: what it has not got by
// now it has shown to nobody, and who has stored it offers it again.
func (r *Relay) stand() stand {
	if r.journal == nil {
		return stand{Process: r.process, Epoch: r.joining.Epoch, Pos: r.joining.Offset, Name: r.name, Knows: []string{r.opts.Node}}
	}
	r.applying.Lock()
	defer r.applying.Unlock()
	head, line := r.journal.Head(), *r.line.Load()
	r.limit = head.Offset
	return stand{Process: r.process, Member: true, Epoch: head.Epoch, Pos: head.Offset, Name: r.name, Line: line.String(), Knows: r.others.before(r.opts.Node)}
}

// pronounce writes the verdict over what was there. That somebody else was quicker is no error.
func (r *Relay) pronounce(ctx context.Context, s *server, was state, v verdict) error {
	if v.epoch == "" {
		v.epoch = newEpoch()
		r.log.Warn("relay: the log gets a new epoch: whether something is missing cannot be proven", "epoch", v.epoch, "pos", v.pos)
	}
	_, _, _, err := reply(settleScript.Run(ctx, s, []string{r.keys.head(), r.keys.log()},
		s.run, v.epoch, v.pos, newName(), v.line.latest().String(), was.run, was.line.String(), string(v.seed)))
	return err
}

// newEpoch names an epoch as package journal does.
func newEpoch() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return fmt.Sprintf("%x", b[:])
}

// adopt makes the journal follow what the log is now: in a new epoch of which another node is the seed, with the last values v. again
// says that the log has changed by it, or that it needs other values, and is to be looked at anew.
func (r *Relay) adopt(ctx context.Context, s *server, v *journal.Values) (again bool, err error) {
	r.applying.Lock()
	defer r.applying.Unlock()
	head := r.journal.Head() // looked at first: the log only grows, so it is not behind the journal that was
	now, err := s.state(ctx, r.keys)
	switch {
	case err != nil:
		return false, err
	case now.run != s.run:
		return true, nil
	case head.Epoch == now.epoch && head.Offset <= now.pos && now.line.holds(r.name, head.Offset):
		r.enter(now)
		return false, nil
	case head.Epoch == now.epoch || head.Offset >= now.pos:
		// This node has something that the others, who agreed without it, have not, or have otherwise. Who saw it here may be
		// anywhere by now, so all are told.
		r.stats.forked.Add(1)
		r.log.Error("relay: this node has entries that the log has not", "epoch", head.Epoch, "head", head.Offset, "log_epoch", now.epoch, "log", now.pos)
		return true, r.pronounce(ctx, s, now, verdict{pos: max(head.Offset, now.pos) + 1, seed: r.seeds(now)})
	case now.seed != r.own() && !fits(v, now, head):
		return true, nil
	}
	if err := r.renew(ctx, now, head, v); err != nil {
		return false, err
	}
	r.enter(now)
	r.stats.renewed.Add(1)
	r.opts.Renewed()
	r.changed.fire()
	return false, nil
}

// enter notes that the journal is a beginning of the log as it is now. Called with applying held.
func (r *Relay) enter(now state) {
	r.name, r.limit = now.line.name(), math.MaxUint64
	r.aiming.Lock()
	if r.line.Swap(&now.line).name() != r.name {
		r.target.Store(now.pos) // what was heard of beyond it is not in this log
	}
	r.aiming.Unlock()
	r.aim(now.pos)
	_ = r.journal.Mark(r.name) // while the disk refuses it takes no entries either; tried again every second
}
