package relay

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// beat is what a node says of itself every second, over Pub/Sub, so that it is a probe of that way too, and in a key that expires.
type beat struct {
	Node    string            `json:"node"`
	Process string            `json:"process"`
	Number  uint64            `json:"number"`
	Time    int64             `json:"time_us"` // of its clock
	Epoch   string            `json:"epoch"`
	Name    string            `json:"name"`  // see line
	First   uint64            `json:"first"` // the oldest entry that it can give
	Pos     uint64            `json:"pos"`
	Leading bool              `json:"leading,omitempty"`
	Up      int               `json:"up"`              // twice its sources that are connected, see look
	Whole   time.Duration     `json:"whole,omitempty"` // for how long all of them have been
	Viewers int               `json:"viewers"`
	Same    map[string]string `json:"same,omitempty"`
	Own     map[string]string `json:"own,omitempty"`
	Serving string            `json:"serving,omitempty"` // the token of its devices
	Bye     bool              `json:"bye,omitempty"`
}

// others is what is known of the nodes.
type others struct {
	mu    sync.Mutex
	nodes map[string]heard
	met   time.Time // when Redis was last there

	// expected are the nodes that spoke when the log was settled, until they say that they follow it.
	expected map[string]time.Time
}

type heard struct {
	beat
	at    time.Time // here, by the monotonic clock
	skews []time.Duration
}

// skewBeats is of how many beats the difference of clocks is judged: the way adds to it, and only to one side, so the least counts.
const skewBeats = 5

// skew is by how much the node's clock is behind ours; 0 while too few beats were heard.
func (h heard) skew() time.Duration {
	if len(h.skews) < skewBeats {
		return 0
	}
	return slices.Min(h.skews)
}

func (o *others) init() { o.nodes = map[string]heard{} }

// fresh returns the nodes that were heard of lately, and own if it is not "".
func (o *others) fresh(own string) []string { return o.since(own, time.Now().Add(-freshFor)) }

// before returns the nodes that were there when Redis was last seen: while it is away nobody is heard.
func (o *others) before(own string) []string {
	o.mu.Lock()
	met := o.met
	o.mu.Unlock()
	return o.since(own, met.Add(-freshFor))
}

func (o *others) meet() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.met = time.Now()
}

func (o *others) since(own string, then time.Time) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var names []string
	for name, h := range o.nodes {
		if name == own || h.at.After(then) {
			names = append(names, name)
		}
	}
	if own != "" && !slices.Contains(names, own) {
		names = append(names, own)
	}
	slices.Sort(names)
	return names
}

// with returns the nodes other than own whose journals have the entries of (from, to].
func (o *others) with(own string, epoch string, from, to uint64) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var names []string
	for _, name := range slices.Sorted(maps.Keys(o.nodes)) {
		if h := o.nodes[name]; name != own && time.Since(h.at) < freshFor && h.Epoch == epoch && h.First <= from+1 && h.Pos >= to {
			names = append(names, name)
		}
	}
	return names
}

// in returns the nodes that were heard of lately and are in that epoch, with their processes.
func (o *others) in(epoch string) map[string]string {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := map[string]string{}
	for name, h := range o.nodes {
		if time.Since(h.at) < freshFor && h.Epoch == epoch {
			all[name] = h.Process
		}
	}
	return all
}

// hear takes a beat. One that was not live, but read from where it was kept, says nothing of clocks, and nothing at all when it was
// heard before: it may be some seconds old. Our own name there is that of an earlier run.
func (r *Relay) hear(signed string, live bool) {
	text, ok := openText(r.key, signed)
	if !ok {
		r.rejected("signature")
		r.trouble.set("cluster", fmt.Sprintf("messages on Redis for cluster %q are not signed with our secret: two clusters of one name, or a bridge with another relay.secretFile", r.opts.Cluster), freshFor)
		return
	}
	var b beat
	if json.Unmarshal(text, &b) != nil || b.Node == "" {
		r.rejected("malformed")
		return
	}
	if !live && b.Node == r.opts.Node {
		return
	}
	now := r.opts.Now()
	o := &r.others
	o.mu.Lock()
	if b.Bye {
		if o.nodes[b.Node].Process == b.Process {
			delete(o.nodes, b.Node)
		}
		o.mu.Unlock()
		return
	}
	h := heard{beat: b, at: time.Now()}
	if before := o.nodes[b.Node]; before.Process == b.Process {
		if !live && b.Number <= before.Number {
			o.mu.Unlock()
			return
		}
		h.skews = before.skews
		if live {
			h.skews = append(slices.Clone(before.skews), now.Sub(time.UnixMicro(b.Time)))
			h.skews = h.skews[max(0, len(h.skews)-skewBeats):]
		}
	}
	mine := b.Node == r.opts.Node && b.Process == r.process
	if l := r.line.Load(); live && l != nil && b.Name == l.name() {
		delete(o.expected, b.Node)
	}
	o.nodes[b.Node] = h
	o.mu.Unlock()
	switch {
	case mine:
	case b.Node == r.opts.Node:
		r.trouble.set("name", fmt.Sprintf("another bridge of cluster %q is named %q too: give each its own node", r.opts.Cluster, b.Node), freshFor)
	default:
		r.compare(h)
	}
	r.changed.fire()
}

// expect notes the nodes that will follow the log as it is settled now, within a while.
func (o *others) expect(all map[string]stand, within time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.expected = map[string]time.Time{}
	for name, st := range all {
		if st.Member {
			o.expected[name] = time.Now().Add(within)
		}
	}
}

// coming reports whether a node other than own is yet to say that it follows the log.
func (o *others) coming(own string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for name, until := range o.expected {
		if name != own && time.Now().Before(until) {
			return true
		}
	}
	return false
}

// compare names what must be the same on all nodes and is not, and what must not and is.
func (r *Relay) compare(h heard) {
	if skew := h.skew(); skew.Abs() > skewAllowed {
		r.trouble.set("clock "+h.Node, fmt.Sprintf("the clock of node %q differs from ours by %s: times of readings are those of the node that took them; set both by NTP", h.Node, skew.Round(100*time.Millisecond)), freshFor)
	}
	for _, name := range slices.Sorted(maps.Keys(r.opts.Same)) {
		if h.Same[name] != r.opts.Same[name] {
			r.trouble.set("config "+h.Node+" "+name, fmt.Sprintf("node %q has other settings under %s than this one: make them the same", h.Node, name), freshFor)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.opts.Own)) {
		if h.Own[name] == r.opts.Own[name] {
			r.trouble.set("own "+h.Node+" "+name, fmt.Sprintf("node %q has the same %s as this one, so they take each other's session: give each its own, or leave it out", h.Node, name), freshFor)
		}
	}
}

// lookAround reads who is there, as a newcomer does before it hears it.
func (r *Relay) lookAround(ctx context.Context, s redis.Cmdable) error {
	names, err := s.SMembers(ctx, r.keys.nodes()).Result()
	if err != nil {
		return explain(err)
	}
	if len(names) == 0 {
		return nil
	}
	keys := make([]string, len(names))
	for i, name := range names {
		keys[i] = r.keys.node(name)
	}
	all, err := s.MGet(ctx, keys...).Result()
	if err != nil {
		return explain(err)
	}
	for _, said := range all {
		if signed, ok := said.(string); ok {
			r.hear(signed, false)
		}
	}
	return nil
}

// beat says how this node stands. With bye it says that this is the last.
func (r *Relay) beat(ctx context.Context, s *server, number uint64, bye bool) error {
	head := r.journal.Head()
	text, err := json.Marshal(beat{
		Node: r.opts.Node, Process: r.process, Number: number, Time: r.opts.Now().UnixMicro(), Epoch: head.Epoch, Name: r.name, First: r.journal.First(), Pos: head.Offset,
		Leading: r.leading(), Up: r.up, Whole: r.wholeFor(), Viewers: r.opts.Viewers(), Same: r.opts.Same, Own: r.opts.Own, Bye: bye, Serving: r.devices.token(),
	})
	if err != nil {
		return err
	}
	signed := signText(r.key, text)
	pipe := s.Pipeline()
	if bye {
		pipe.SRem(ctx, r.keys.nodes(), r.opts.Node)
		pipe.Del(ctx, r.keys.node(r.opts.Node))
	} else {
		pipe.SAdd(ctx, r.keys.nodes(), r.opts.Node)
		pipe.Set(ctx, r.keys.node(r.opts.Node), signed, freshFor)
	}
	pipe.Do(ctx, r.client.publishing(), r.keys.nodes(), signed)
	if _, err := pipe.Exec(ctx); err != nil {
		return explain(err)
	}
	return nil
}

// led reports whether a node other than own has the lease and has had all its sources since then: what came from them since it has
// got as we have.
func (o *others) led(own string, then time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for name, h := range o.nodes {
		if name != own && h.Leading && time.Since(h.at) < freshFor && h.at.Add(-h.Whole).Before(then) {
			return true
		}
	}
	return false
}

// had reports whether a node other than own has the lease, has had all its sources since then, has said so a beat later, and had by
// then nothing in its journal beyond head: what came to it then is stored, and seen here.
func (o *others) had(own string, then time.Time, head uint64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for name, h := range o.nodes {
		if name != own && h.Leading && h.Pos <= head && h.at.After(then.Add(beatEvery)) && h.at.Add(-h.Whole).Before(then) {
			return true
		}
	}
	return false
}

// leader reports whether a node other than own has the lease.
func (o *others) leader(own string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for name, h := range o.nodes {
		if name != own && h.Leading && time.Since(h.at) < freshFor {
			return true
		}
	}
	return false
}

// best returns the most sources that a node other than own has.
func (o *others) best(own string) (up int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for name, h := range o.nodes {
		if name != own && time.Since(h.at) < freshFor {
			up = max(up, h.Up)
		}
	}
	return up
}

// trouble is what an operator should mend.
type trouble struct {
	mu  sync.Mutex
	now map[string]complaint
}

type complaint struct {
	text  string
	until time.Time // the zero value: until it is cleared
}

// set makes a complaint of that name; with lasts it goes by itself when it is not made again.
func (t *trouble) set(name, text string, lasts time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.now == nil {
		t.now = map[string]complaint{}
	}
	c := complaint{text: text}
	if lasts > 0 {
		c.until = time.Now().Add(lasts)
	}
	t.now[name] = c
}

func (t *trouble) clear(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.now, name)
}

// Alarms says what is to be mended at the moment, in Redis, on the way to it or at other nodes.
func (r *Relay) Alarms() []string {
	r.trouble.mu.Lock()
	defer r.trouble.mu.Unlock()
	var all []string
	for _, name := range slices.Sorted(maps.Keys(r.trouble.now)) {
		if c := r.trouble.now[name]; c.until.IsZero() || time.Now().Before(c.until) {
			all = append(all, "relay: "+c.text)
		}
	}
	return all
}
