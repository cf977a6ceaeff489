"""Lua that changes a partition's keys: all checks first, then commands that cannot fail.

Every script takes KEYS meta, outbox, timers, recovery. The state keys travel in ARGV: they share
the slot of the declared ones.
"""

from __future__ import annotations

_HEAD = """
local function head()
  return redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')[2] or ''
end
"""

CLAIM = """
-- ARGV: partition count, least epoch, 1 where an empty key space may be begun
local have = redis.call('HMGET', KEYS[1], 'epoch', 'partitions')
if not have[1] and ARGV[3] ~= '1' then return {'empty', ''} end
if have[2] and have[2] ~= ARGV[1] then return {'partitions', have[2]} end
local epoch = math.max(tonumber(have[1] or '0'), tonumber(ARGV[2])) + 1
local text = string.format('%.0f', epoch)
redis.call('HSET', KEYS[1], 'epoch', text, 'partitions', ARGV[1])
redis.call('HSETNX', KEYS[1], 'sequence', '0')
return {'ok', text}
"""
"""Raise the epoch, which shuts out every earlier owner."""

COMMIT = (
    _HEAD
    + """
-- ARGV: epoch, sequence, then counted lists: each is a number and so many arguments
local have = redis.call('HMGET', KEYS[1], 'epoch', 'sequence', 'sequence-epoch')
if have[1] ~= ARGV[1] then return {'fenced', have[1] or ''} end
if have[2] == ARGV[2] and have[3] == ARGV[1] then return {'done', head()} end
if tonumber(have[2] or '0') + 1 ~= tonumber(ARGV[2]) then return {'sequence', have[2] or ''} end

local at = 3
local function list()
  local first = at + 1
  at = first + tonumber(ARGV[at])
  return first, at - 1
end
-- unpack is bounded: Lua's stack holds about 8,000 values
local function each(command, key, first, last)
  while first <= last do
    local upto = math.min(first + 999, last)
    if key then redis.call(command, key, unpack(ARGV, first, upto))
    else redis.call(command, unpack(ARGV, first, upto)) end
    first = upto + 1
  end
end

local first, last = list()
each('MSET', nil, first, last)
first, last = list()
each('DEL', nil, first, last)
first, last = list()
for i = first, last, 2 do redis.call('APPEND', ARGV[i], ARGV[i + 1]) end
first, last = list()
each('ZADD', KEYS[3], first, last)
first, last = list()
each('ZREM', KEYS[3], first, last)
local groups = tonumber(ARGV[at])
at = at + 1
for _ = 1, groups do
  local key = ARGV[at]
  at = at + 1
  first, last = list()
  each('ZADD', key, first, last)
  first, last = list()
  each('ZREM', key, first, last)
end
first, last = list()
if first <= last then redis.call('SET', KEYS[2], ARGV[first]) end
first, last = list()
if first <= last then
  if ARGV[first] == '' then redis.call('DEL', KEYS[4])
  else redis.call('SET', KEYS[4], ARGV[first]) end
end
first, last = list()
redis.call('HSET', KEYS[1], 'sequence', ARGV[2], 'sequence-epoch', ARGV[1],
           unpack(ARGV, first, last))
return {'ok', head()}
"""
)
"""Commit one batch: idempotent by (epoch, sequence)."""

BEGIN_RECOVERY = (
    _HEAD
    + """
-- ARGV: epoch, sequence to go on from, recovery state
local have = redis.call('HMGET', KEYS[1], 'epoch', 'sequence')
if have[1] ~= ARGV[1] then return {'fenced', have[1] or ''} end
if tonumber(have[2] or '0') > tonumber(ARGV[2]) then return {'sequence', have[2]} end
redis.call('SET', KEYS[4], ARGV[3])
redis.call('HSET', KEYS[1], 'sequence', ARGV[2], 'sequence-epoch', ARGV[1])
return {'ok', head()}
"""
)
"""Enter the replay of lost writes."""

RESTORE = """
-- ARGV: recovery state or nothing, then fields of the hash
if redis.call('EXISTS', KEYS[1]) == 1 then return {'taken', ''} end
if ARGV[1] ~= '' then redis.call('SET', KEYS[4], ARGV[1]) end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
return {'ok', ''}
"""
"""Let a restored partition begin: the last write, so that an owner sees all of it or nothing."""
