"""The Lua scripts of previews: each checks first, then only writes.

All take the same KEYS (`preview_names`), and as first ARGV the query id.
"""

from __future__ import annotations

_HEAD = """
local preview, matches, queue, all = unpack(KEYS)
local id = ARGV[1]
"""

CREATE = (
    _HEAD
    + """
-- then: now, task, kept ms, most running, most stored, channel, tenant
local now = tonumber(ARGV[2])
if redis.call('EXISTS', preview) == 1 then return 'ok' end
redis.call('ZREMRANGEBYSCORE', queue, '-inf', now)
redis.call('ZREMRANGEBYSCORE', all, '-inf', now)
if redis.call('ZCARD', queue) >= tonumber(ARGV[5]) then return 'running' end
if redis.call('ZCARD', all) >= tonumber(ARGV[6]) then return 'stored' end
redis.call('HSET', preview, 'task', ARGV[3], 'state', 'NEW')
redis.call('PEXPIRE', preview, ARGV[4])
redis.call('ZADD', queue, now + tonumber(ARGV[4]), id)
redis.call('ZADD', all, now + tonumber(ARGV[4]), id)
redis.call('PUBLISH', ARGV[7], ARGV[8])
return 'ok'
"""
)
"""Begin a preview, unless one with its id is known; `running` or `stored` for too many."""

REPORT = (
    _HEAD
    + """
-- then: partition, partitions, cursor before, cursor after, row, hash, match, …
local cursor, state = 'cursor:' .. ARGV[2], redis.call('HGET', preview, 'state')
if state ~= 'NEW' and state ~= 'RUNNING' then return 'gone' end
if (redis.call('HGET', preview, cursor) or '') ~= ARGV[4] then return 'stale' end
redis.call('HSET', preview, cursor, ARGV[5], 'row:' .. ARGV[2], ARGV[6], 'state', 'RUNNING')
for at = 7, #ARGV, 2 do redis.call('ZADD', matches, ARGV[at], ARGV[at + 1]) end
if #ARGV > 7 then redis.call('PEXPIRE', matches, redis.call('PTTL', preview)) end
if ARGV[5] == 'done' and redis.call('HINCRBY', preview, 'done', 1) == tonumber(ARGV[3]) then
  redis.call('HSET', preview, 'state', 'RESULT_READY')
  redis.call('ZREM', queue, id)
end
return 'ok'
"""
)
"""Note a slice, if it begins where the partition is; the last partition makes it ready."""

FAIL = (
    _HEAD
    + """
-- then: reason
local state = redis.call('HGET', preview, 'state')
if state == 'NEW' or state == 'RUNNING' then
  redis.call('HSET', preview, 'state', 'FAILED', 'error', ARGV[2])
  redis.call('ZREM', queue, id)
end
return 0
"""
)
"""End a preview that is being done."""

DELETE = (
    _HEAD
    + """
-- then: channel, tenant
local there = redis.call('EXISTS', preview)
redis.call('UNLINK', preview, matches)
redis.call('ZREM', queue, id)
redis.call('ZREM', all, id)
redis.call('PUBLISH', ARGV[2], ARGV[3])
return there
"""
)
"""Remove a preview and all that is kept of it; whoever is at it finds it gone."""
