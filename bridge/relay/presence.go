package relay

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"plumbline/bridge/internal/presence"
)

// Who is connected where is a hash on Redis, client id → "NUMBER SERVING STATE SIGNED": the number of the connection, the token under which
// its bridge serves, how it is with it, and the device itself, signed. A bridge that is gone, so that others have sent the wills of its
// devices, finds its token in the gone ones when it comes back, and takes another.
//
// That a will is stored once, and not behind what the device says elsewhere by then, is not Redis' work but the log's: it has the number of
// the connection as its producer's number (see package ingest). So the one that takes a device over, the one that it left and the one
// that cleans up may all send it.

// presences is this node's part.
type presences struct {
	poke   chan struct{}
	open   chan struct{} // closed when Redis has been told for the first time of all that are here
	opened sync.Once

	mu      sync.Mutex
	broker  presence.Broker // nil = this node has none
	serving string          // the token; "" = nothing is told
	run     string          // of the Redis process, and the name of the log, for which claims are open; "" = none
	name    string
	told    bool                 // Redis has all that are here: what it has not is another's
	dirty   bool                 // Redis is to be told again
	last    uint64               // the number given last
	late    map[string]settling  // states that Redis is yet to be told
	gone    map[string]time.Time // since when a token that serves devices is not heard of
	looked  map[string]time.Time // when those of a token that is gone are to be looked at again
}

type settling struct {
	number uint64
	to     presence.State
}

const (
	scanPart = 500 // devices in one command
	// lateMost is how many states wait while Redis is away. What is beyond is not told: for a device that had left by then, its will
	// is sent when this node ends.
	lateMost = 100_000
)

var (
	errNotTold = errors.New("relay: Redis is yet to be told who is connected here")
	errCounted = errors.New("relay: the others have taken this node for gone")
)

// Words of the scripts below, beside those of scripts.go.
const (
	replyGone  = "gone"  // the caller's token is one of those that are gone
	replyNewer = "newer" // there is a newer connection of that device; second the device
)

// claimScript puts a device in the place of what is expected there, and tells the bridge that had it. KEYS head, clients, serving, gone, what was
// taken from the token of the expected one (ours: nothing is said); ARGV run, name, id, expected, value, token, number, channel, PUBLISH or SPUBLISH, the
// token of the expected one.
var claimScript = redis.NewScript(`
local h = redis.call('HMGET', KEYS[1], 'run', 'name')
if h[1] ~= ARGV[1] or h[2] ~= ARGV[2] then return {'run'} end
if redis.call('GET', KEYS[4]) then return {'gone'} end
local old = redis.call('HGET', KEYS[2], ARGV[3]) or ''
if old ~= ARGV[4] then return {'other', old} end
redis.call('HSET', KEYS[2], ARGV[3], ARGV[5])
redis.call('SADD', KEYS[3], ARGV[6])
if ARGV[10] ~= '' and ARGV[10] ~= ARGV[6] then
  redis.call('SADD', KEYS[5], ARGV[7] .. ' ' .. ARGV[3])
  redis.call('EXPIRE', KEYS[5], 86400)
  redis.call(ARGV[9], ARGV[8], '')
end
return {'ok'}
`)

// tellScript says again that a device is the caller's, unless a newer connection of it is known. One that is not connected stays as it is
// known; it tells another bridge that had an older one. KEYS head, clients, serving, gone; ARGV run, name, id, number, value, token, state, prefix of
// what was taken from a token, channel, PUBLISH or SPUBLISH.
var tellScript = redis.NewScript(`
local h = redis.call('HMGET', KEYS[1], 'run', 'name')
if h[1] ~= ARGV[1] or h[2] ~= ARGV[2] then return {'run'} end
if redis.call('GET', KEYS[4]) then return {'gone'} end
redis.call('SADD', KEYS[3], ARGV[6])
local old = redis.call('HGET', KEYS[2], ARGV[3])
if old then
  local number, token = string.match(old, '^(%d+) (%w+) ')
  if not number or tonumber(number) > tonumber(ARGV[4]) then return {'newer', old} end
  if number == ARGV[4] and ARGV[7] == 'a' then return {'ok'} end
  if number ~= ARGV[4] and token ~= ARGV[6] then
    redis.call('SADD', ARGV[8] .. token, ARGV[4] .. ' ' .. ARGV[3])
    redis.call('EXPIRE', ARGV[8] .. token, 86400)
    redis.call(ARGV[10], ARGV[9], '')
  end
end
redis.call('HSET', KEYS[2], ARGV[3], ARGV[5])
return {'ok'}
`)

// settleDevice notes another state of a device that is of that token. KEYS head, clients; ARGV run, name, id, token, number, state (x = forget it).
var settleDevice = redis.NewScript(`
local h = redis.call('HMGET', KEYS[1], 'run', 'name')
if h[1] ~= ARGV[1] or h[2] ~= ARGV[2] then return {'run'} end
local old = redis.call('HGET', KEYS[2], ARGV[3])
if not old then return {'other'} end
local number, token, state, rest = string.match(old, '^(%d+) (%w+) (%l) (.*)$')
if token ~= ARGV[4] then return {'other'} end
if number ~= ARGV[5] then return {'newer'} end
if ARGV[6] == 'x' then redis.call('HDEL', KEYS[2], ARGV[3])
else redis.call('HSET', KEYS[2], ARGV[3], number .. ' ' .. token .. ' ' .. ARGV[6] .. ' ' .. rest) end
return {'ok'}
`)

// Serve has the broker's devices told to the other nodes, and the other way round. Call it before Run.
func (r *Relay) Serve(b presence.Broker) {
	p := &r.devices
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broker = b
	p.serving = newServing()
	p.late, p.gone, p.looked = map[string]settling{}, map[string]time.Time{}, map[string]time.Time{}
}

func newServing() string { return rand.Text()[:processBytes] }

// Introduced returns when Redis knows this node as one that has devices, so that who connects from then on is known to the others at once. It
// gives up after the time of a command, or when ctx ends: who connects then is told of later, as while Redis is away.
func (r *Relay) Introduced(ctx context.Context) {
	select {
	case <-r.devices.open:
	case <-ctx.Done():
	case <-time.After(callTimeout):
	}
}

// token is what this node's devices are served under; "" when it tells nobody of any.
func (p *presences) token() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.serving
}

// spot is where scripts find the log, as long as this node follows it there.
type spot struct{ run, name, serving string }

func (p *presences) place() (at spot, told bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run == "" || p.broker == nil {
		return at, false, errAway
	}
	return spot{p.run, p.name, p.serving}, p.told, nil
}

// look has attend look now.
func (p *presences) look() {
	select {
	case p.poke <- struct{}{}:
	default:
	}
}

// again has Redis told of all devices once more.
func (p *presences) again() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dirty = true
}

// shut ends claims: there is no Redis at the moment. Who is gone is counted from when it is back.
func (p *presences) shut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.run, p.told = "", false
	clear(p.gone)
}

// next gives a number above those that were given, and above at.
func (p *presences) next(now time.Time, at uint64) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = max(p.last+1, uint64(now.UnixMicro()), at+1)
	return p.last
}

// known is a device as Redis has it.
type known struct {
	presence.Device
	serving string
}

// value is what Redis has of a device.
func (r *Relay) value(d presence.Device, serving string) (string, error) {
	text, err := json.Marshal(d)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d %s %c %s", d.Number, serving, d.State, signText(r.key, fmt.Appendf(nil, "device %s", text))), nil
}

// parseDevice reads what Redis has of the device with that id.
func (r *Relay) parseDevice(id, value string) (k known, ok bool) {
	parts := strings.SplitN(value, " ", 4)
	if len(parts) != 4 || len(parts[2]) != 1 {
		return k, false
	}
	raw, good := openText(r.key, parts[3])
	body, mine := strings.CutPrefix(string(raw), "device ")
	number, err := strconv.ParseUint(parts[0], 10, 64)
	if !good || !mine || err != nil || json.Unmarshal([]byte(body), &k.Device) != nil || k.Number != number || k.ID != id {
		r.rejected("signature")
		return k, false
	}
	k.State, k.serving = presence.State(parts[2][0]), parts[1]
	return k, true
}
