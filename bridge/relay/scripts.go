package relay

import "github.com/redis/go-redis/v9"

// The keys of a cluster. All have one hash tag, so that in a Redis Cluster they are in one slot and a script may use them together.
//
//	…:head          hash: run (Redis process the log is settled for), epoch, base (offset behind which it begins), line (how it was
//	                settled), name (the last of line), pos (the last entry's offset), bytes (in the stream), seed (whose last values
//	                the epoch began with)
//	…:log           stream, id "<to>-0", field b: a batch; capped by bytes
//	…:lease         hash: by (node and process), token; expires
//	…:nodes         set: names of the nodes
//	…:node:<node>   what it said last of itself; expires
//	…:settle:<run>  hash: node → where it stands, while the log is settled for a new Redis process; expires
//	…:ended         sorted set: tokens that were ended, signed, in the order in which they came
//	…:lists         hash: node → its list of what is revoked, signed
//	…:revoked       hash: ended, lists: how many there have been of the two
//	…:clients       hash: client id → its connection, see presence.go
//	…:serving       set: tokens under which bridges serve devices, see there
//	…:taken:<token> set: devices of that token that have come to another node; expires
//	…:gone:<token>  there when the others took the bridge of that token for gone; expires
//	…:answer:<id>   list: what a node was asked for; expires
//
// and the channels …:log:<node>, which brings what that node stores to the others, …:nodes, …:ask, …:revoked and …:clients.
type keys struct{ prefix string }

func keysOf(cluster string) keys { return keys{"plumbline:{" + cluster + "}:"} }

func (k keys) head() string              { return k.prefix + "head" }
func (k keys) log() string               { return k.prefix + "log" }
func (k keys) lease() string             { return k.prefix + "lease" }
func (k keys) nodes() string             { return k.prefix + "nodes" }
func (k keys) node(name string) string   { return k.prefix + "node:" + name }
func (k keys) ask() string               { return k.prefix + "ask" }
func (k keys) settle(run string) string  { return k.prefix + "settle:" + run }
func (k keys) live(node string) string   { return k.prefix + "log:" + node }
func (k keys) ended() string             { return k.prefix + "ended" }
func (k keys) lists() string             { return k.prefix + "lists" }
func (k keys) revoked() string           { return k.prefix + "revoked" }
func (k keys) clients() string           { return k.prefix + "clients" }
func (k keys) serving() string           { return k.prefix + "serving" }
func (k keys) taken(token string) string { return k.prefix + "taken:" + token }
func (k keys) gone(token string) string  { return k.prefix + "gone:" + token }
func (k keys) answer(id string) string   { return k.prefix + "answer:" + id }

// What scripts answer with, first of a list.
const (
	replyOK     = "ok"
	replyRun    = "run"    // the log is not settled for this Redis process
	replyBehind = "behind" // others have stored since; second the present position
	replyFenced = "fenced" // the lease is not the caller's any more
	replyOther  = "other"  // somebody else has the lease
)

// commitScript is the only way into the log. The first write may fail, for want of memory or of a right, and nothing is changed then; the
// second follows it without the check of memory, and needs a right without which the log is not settled. What comes after the two may
// fail too: the batch is stored all the same, and the answer says third what failed.
// KEYS head, log, lease; ARGV run, name, from, to, token ("" = not under the lease), bytes kept, channel, batch, PUBLISH or SPUBLISH.
var commitScript = redis.NewScript(`
local h = redis.call('HMGET', KEYS[1], 'run', 'name', 'pos', 'bytes')
if h[1] ~= ARGV[1] or h[2] ~= ARGV[2] then return {'run'} end
if ARGV[5] ~= '' and redis.call('HGET', KEYS[3], 'token') ~= ARGV[5] then return {'fenced'} end
if h[3] ~= ARGV[3] then return {'behind', h[3]} end
local bytes = tonumber(h[4] or '0') + #ARGV[8]
redis.call('XADD', KEYS[2], ARGV[4] .. '-0', 'b', ARGV[8])
redis.call('HSET', KEYS[1], 'pos', ARGV[4], 'bytes', bytes)
local keep, told = tonumber(ARGV[6]), redis.pcall(ARGV[9], ARGV[7], ARGV[8])
local failed = type(told) == 'table' and told.err
while bytes > keep do
  local all = redis.pcall('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)
  local first = all[1]
  if first and first[1] == ARGV[4] .. '-0' then break end
  local gone = first and redis.pcall('XDEL', KEYS[2], first[1])
  if type(gone) ~= 'number' then
    failed = all.err or gone and gone.err or failed
    break
  end
  bytes = bytes - #first[2][2]
  redis.call('HSET', KEYS[1], 'bytes', bytes)
end
return {'ok', ARGV[4], failed or ''}
`)

// leaseScript takes or renews the lease, unless somebody else has it.
// KEYS lease, head; ARGV run, name, holder, new token, milliseconds.
var leaseScript = redis.NewScript(`
local h = redis.call('HMGET', KEYS[2], 'run', 'name', 'pos')
if h[1] ~= ARGV[1] or h[2] ~= ARGV[2] then return {'run'} end
local l = redis.call('HMGET', KEYS[1], 'by', 'token')
if not l[1] then
  redis.call('HSET', KEYS[1], 'by', ARGV[3], 'token', ARGV[4])
  l = {ARGV[3], ARGV[4]}
end
if l[1] ~= ARGV[3] then return {'other', l[1]} end
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return {'ok', l[2], h[3]}
`)

// releaseScript gives the lease back. KEYS lease; ARGV token.
var releaseScript = redis.NewScript(`
if redis.call('HGET', KEYS[1], 'token') == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
`)

// settleScript says where the log goes on with this Redis process, unless somebody was quicker, and drops a stream of another
// epoch. An epoch that is renewed in one process begins behind all that others have stored there meanwhile.
// KEYS head, log; ARGV run, epoch, position, name, the line before it ("" = the epoch is new), the run and the line that were there
// ("" = none), the seed of a new epoch.
var settleScript = redis.NewScript(`
local h = redis.call('HMGET', KEYS[1], 'run', 'epoch', 'pos', 'line')
if (h[1] or '') ~= ARGV[6] or (h[4] or '') ~= ARGV[7] then return {'other'} end
local pos = ARGV[3]
if h[2] ~= ARGV[2] then
  if h[1] == ARGV[1] and tonumber(h[3]) >= tonumber(pos) then pos = string.format('%.0f', tonumber(h[3]) + 1) end
  redis.call('DEL', KEYS[2])
  redis.call('HSET', KEYS[1], 'bytes', 0, 'base', pos, 'seed', ARGV[8])
end
local line = ARGV[4] .. ':' .. pos
if ARGV[5] ~= '' then line = ARGV[5] .. ' ' .. line end
redis.call('HSET', KEYS[1], 'run', ARGV[1], 'epoch', ARGV[2], 'pos', pos, 'name', ARGV[4], 'line', line)
return {'ok'}
`)
