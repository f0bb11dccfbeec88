package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Revocations is what a node knows of tokens that count no more.
type Revocations interface {
	// Ended returns the tokens that were ended, by their keys, and until when each has to be known.
	Ended() map[string]time.Time
	// FreshEnded returns those of them that were ended here since it was called last.
	FreshEnded() map[string]time.Time
	// List returns the names on this node's own list of what is revoked, in their order.
	List() []string
	// Learn takes what other nodes say: tokens that were ended there, and the names on all their lists, in the place of those before.
	Learn(ended map[string]time.Time, names []string) error
	// Watch calls f after each change.
	Watch(f func()) (cancel func())
}

// sharing is what this node has told of revocations, and was told.
type sharing struct {
	poke chan struct{}

	mu      sync.Mutex
	of      Revocations          // nil = nothing is shared
	whole   time.Time            // when all was read last
	ended   int64                // of the ended tokens in Redis, what is read
	lists   int64                // of the changes of lists in Redis, what is read
	pending map[string]time.Time // ended here, and not in Redis yet
	known   map[string]list      // by node
}

// list is the names on one node's list of what is revoked.
type list struct {
	Node    string   `json:"node"`
	Version int64    `json:"version"` // of several of one node the highest counts
	Names   []string `json:"names"`
}

const (
	shareWhole  = time.Hour // how often all is read, for what has expired to go
	sharePart   = 500       // tokens in one command
	listMost    = 1 << 20   // bytes of a list that others are told
	endedPrefix = "ended "  // of a text that is signed: it is of no other kind
)

// revokeScript adds ended tokens that are not there yet. KEYS revoked, ended; ARGV the tokens, signed.
var revokeScript = redis.NewScript(`
for i = 1, #ARGV do
  if not redis.call('ZSCORE', KEYS[2], ARGV[i]) then
    redis.call('ZADD', KEYS[2], redis.call('HINCRBY', KEYS[1], 'ended', 1), ARGV[i])
  end
end
return {'ok'}
`)

// Share has this node tell the others of revocations, and the other way round. It returns when all that Redis has is known here. Call
// it after Join and before Run; Run goes on with it.
func (r *Relay) Share(ctx context.Context, of Revocations) error {
	r.sharing.mu.Lock()
	r.sharing.of = of
	r.sharing.mu.Unlock()
	of.Watch(r.reshare)
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	if err := r.exchange(ctx, r.client, true); err != nil {
		return fmt.Errorf("relay: revocations of cluster %q: %w", r.opts.Cluster, err)
	}
	return nil
}

// reshare has the goroutine that shares look whether there is something new.
func (r *Relay) reshare() {
	select {
	case r.sharing.poke <- struct{}{}:
	default:
	}
}

// share tells and learns of revocations until ctx ends: at once where it hears of some, and each second, for Pub/Sub loses messages.
func (r *Relay) share(ctx context.Context) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-r.sharing.poke:
		}
		if err := r.exchange(ctx, r.client, false); err != nil && ctx.Err() == nil {
			r.log.Debug("relay: revocations are not exchanged", "error", err) // who steers has an alarm for what is wrong with Redis
		}
	}
}

// exchange tells what is new here and learns what is new in Redis; all of both if whole is set, or Redis has less than it had.
func (r *Relay) exchange(ctx context.Context, c redis.Cmdable, whole bool) error {
	s := &r.sharing
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	ended, lists, err := r.counters(ctx, c)
	if err != nil {
		return err
	}
	whole = whole || ended < s.ended || lists < s.lists || time.Since(s.whole) > shareWhole
	fresh := s.of.FreshEnded()
	if whole {
		s.ended, s.lists, fresh = 0, -1, s.of.Ended()
	}
	if s.pending == nil {
		s.pending, s.known = map[string]time.Time{}, map[string]list{}
	}
	maps.Copy(s.pending, fresh)
	maps.DeleteFunc(s.pending, func(_ string, until time.Time) bool { return r.opts.Now().After(until) })
	if err := r.learn(ctx, c, ended, lists, whole); err != nil {
		return err
	}
	if whole {
		s.whole = time.Now()
	}
	told, err := r.tell(ctx, c)
	if told {
		err = errors.Join(err, r.notify(ctx, c))
	}
	return err
}

// learn reads what Redis has beyond what is read. Called with sharing.mu held.
func (r *Relay) learn(ctx context.Context, c redis.Cmdable, ended, lists int64, whole bool) (err error) {
	s, learned := &r.sharing, map[string]time.Time{}
	if s.ended < ended {
		err = r.readEnded(ctx, c, learned, whole)
	}
	change := s.lists < lists
	if change && err == nil {
		if err = r.readLists(ctx, c); err == nil {
			s.lists = lists
		}
	}
	if len(learned) > 0 || change { // whatever failed behind it: it is not read again
		if err := s.of.Learn(learned, s.names(r.opts.Node)); err != nil { // it counts all the same, and is written later
			r.log.Error("relay: revocations of other nodes are not written yet", "error", err)
		}
	}
	return err
}

// counters returns how many ended tokens and changes of lists Redis has had.
func (r *Relay) counters(ctx context.Context, c redis.Cmdable) (ended, lists int64, err error) {
	got, err := c.HMGet(ctx, r.keys.revoked(), "ended", "lists").Result()
	if err != nil {
		return 0, 0, explain(err)
	}
	var n [2]int64
	for i, v := range got {
		if text, ok := v.(string); ok {
			n[i], _ = strconv.ParseInt(text, 10, 64)
		}
	}
	return n[0], n[1], nil
}

// readEnded puts the ended tokens behind those that are read into learned; with prune it takes away what has expired. Called with
// sharing.mu held.
func (r *Relay) readEnded(ctx context.Context, c redis.Cmdable, learned map[string]time.Time, prune bool) error {
	s := &r.sharing
	for {
		all, err := c.ZRangeByScoreWithScores(ctx, r.keys.ended(), &redis.ZRangeBy{Min: fmt.Sprintf("(%d", s.ended), Max: "+inf", Count: sharePart}).Result()
		if err != nil {
			return explain(err)
		}
		var expired []any
		for _, z := range all {
			signed, _ := z.Member.(string)
			s.ended = max(s.ended, int64(z.Score))
			key, until, ok := r.parseEnded(signed)
			switch {
			case !ok:
				r.rejected("signature")
			case r.opts.Now().After(until):
				expired = append(expired, signed)
			default:
				learned[key] = until
				delete(s.pending, key)
			}
		}
		if prune && len(expired) > 0 {
			if err := c.ZRem(ctx, r.keys.ended(), expired...).Err(); err != nil {
				return explain(err)
			}
		}
		if len(all) < sharePart {
			return nil
		}
	}
}

func (r *Relay) signEnded(key string, until time.Time) string {
	return signText(r.key, fmt.Appendf(nil, "%s%s %d", endedPrefix, key, until.Unix()))
}

func (r *Relay) parseEnded(signed string) (key string, until time.Time, ok bool) {
	text, ok := openText(r.key, signed)
	rest, mine := strings.CutPrefix(string(text), endedPrefix)
	key, end, two := strings.Cut(rest, " ")
	unix, err := strconv.ParseInt(end, 10, 64)
	return key, time.Unix(unix, 0), ok && mine && two && err == nil
}

// readLists takes the lists of all nodes that Redis has, and gives it back what it lost of those that say nothing any more. Called with
// sharing.mu held.
func (r *Relay) readLists(ctx context.Context, c redis.Cmdable) error {
	s := &r.sharing
	all, err := c.HGetAll(ctx, r.keys.lists()).Result()
	if err != nil {
		return explain(err)
	}
	there := map[string]int64{}
	for node, signed := range all {
		var l list
		if text, ok := openText(r.key, signed); !ok || json.Unmarshal(text, &l) != nil || l.Node != node {
			r.rejected("signature")
			continue
		}
		there[node] = l.Version
		if known, ok := s.known[node]; !ok || l.Version > known.Version {
			s.known[node] = l
		}
	}
	for node, l := range s.known {
		if there[node] < l.Version {
			if err := r.writeList(ctx, c, l); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeList puts a list into Redis.
func (r *Relay) writeList(ctx context.Context, c redis.Cmdable, l list) error {
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	pipe := c.Pipeline()
	pipe.HSet(ctx, r.keys.lists(), l.Node, signText(r.key, text))
	pipe.HIncrBy(ctx, r.keys.revoked(), "lists", 1)
	if _, err := pipe.Exec(ctx); err != nil {
		return explain(err)
	}
	return nil
}

// names returns what is on the lists of all nodes but own.
func (s *sharing) names(own string) (names []string) {
	for node, l := range s.known {
		if node != own {
			names = append(names, l.Names...)
		}
	}
	return names
}

// tell puts what is new here into Redis and reports whether that was anything. Called with sharing.mu held.
func (r *Relay) tell(ctx context.Context, c redis.Cmdable) (told bool, err error) {
	s := &r.sharing
	if own, was := s.of.List(), s.known[r.opts.Node]; !slices.Equal(own, was.Names) {
		if len(strings.Join(own, "\n")) > listMost {
			r.trouble.set("revoked", "the revocation file is too long for the other nodes to be told: give each of them the same file", 0)
		} else {
			l := list{Node: r.opts.Node, Version: max(was.Version+1, r.opts.Now().UnixMicro()), Names: own}
			if err := r.writeList(ctx, c, l); err != nil {
				return false, err
			}
			r.trouble.clear("revoked")
			s.known[r.opts.Node], told = l, true
		}
	}
	for part := range slices.Chunk(slices.Sorted(maps.Keys(s.pending)), sharePart) {
		signed := make([]any, len(part))
		for i, key := range part {
			signed[i] = r.signEnded(key, s.pending[key])
		}
		if err := revokeScript.Run(ctx, c, []string{r.keys.revoked(), r.keys.ended()}, signed...).Err(); err != nil {
			return told, explain(err)
		}
		for _, key := range part {
			delete(s.pending, key)
		}
		told = true
	}
	return told, nil
}

// notify has the others look now, and not within a second.
func (r *Relay) notify(ctx context.Context, c redis.Cmdable) error {
	publish := c.Publish
	if r.client.many != nil {
		publish = c.SPublish
	}
	if err := publish(ctx, r.keys.revoked(), "").Err(); err != nil {
		return explain(err)
	}
	return nil
}
