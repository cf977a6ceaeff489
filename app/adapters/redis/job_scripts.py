"""The Lua scripts of segment and export jobs: each checks first, then only writes.

All take the same KEYS (`job_names`), and as first ARGV the time, organisation, sandbox. Every
change of a job's state puts a record for the `job-events` topic into the outbox.
"""

from __future__ import annotations

_HEAD = """
local jobs, states, order, exports, queue, ended = unpack(KEYS, 1, 6)
local origins, counts, results, outbox, numbers, leftovers = unpack(KEYS, 7)
local now = tonumber(ARGV[1])
local function read(id)
  local text = redis.call('HGET', states, id)
  return text and cjson.decode(text)
end
local function move(id, state, status)
  local event = {jobId = id, jobKind = state.kind or 'segment',
                 orgId = ARGV[2], sandboxName = ARGV[3],
                 source = state.source, status = status, previousStatus = state.status}
  state.status = status
  state.updated = math.max(now, state.updated)
  state.sequence = state.sequence + 1
  event.sequence, event.updateTime = state.sequence, state.updated
  redis.call('HSET', states, id, cjson.encode(state))
  redis.call('XADD', outbox, '*', 'key', id, 'value', cjson.encode(event))
end
local function finish(id, state, status)
  state.ended = math.max(now, state.updated)
  -- Only one job of a tenant is counted at a time.
  if state.started then redis.call('DEL', counts) end
  if state.started and state.staged and status ~= 'SUCCEEDED' then
    redis.call('HSET', leftovers, id, state.staged)
  end
  redis.call('ZREM', queue, id)
  redis.call('ZADD', ended, state.ended, id)
  move(id, state, status)
end
"""

CREATE = (
    _HEAD
    + """
-- then: id, document, origin, source, most, channel, and of an export: 'export', id of the segment
-- job before it or '', what it stages or ''
local id, document, origin, source, most, channel, kind, after, staged = unpack(ARGV, 4)
if redis.call('HEXISTS', jobs, id) == 1 then return id end
local known = origin ~= '' and redis.call('HGET', origins, origin)
if known then return known end
if redis.call('ZCARD', queue) >= tonumber(most) then return '' end
local number = redis.call('INCR', numbers)
if kind then id = string.format('%.0f', number) end
redis.call('HSET', jobs, id, document)
redis.call('ZADD', kind and exports or order, now, id)
redis.call('ZADD', queue, number, id)
local state = {number = number, updated = now, source = source, sequence = 0, kind = kind}
if kind and after ~= '' then state.after = after end
if kind and staged ~= '' then state.staged = staged end
if origin ~= '' then
  redis.call('HSET', origins, origin, id)
  state.origin = origin
end
move(id, state, 'NEW')
redis.call('PUBLISH', channel, ARGV[2] .. '/' .. ARGV[3])
return id
"""
)
"""Queue a job; return the id of the one that is known for its id or origin, '' for too many."""

CANCEL = (
    _HEAD
    + """
-- then: id, channel, kind
local id, state = ARGV[4], read(ARGV[4])
if not state or (state.kind or 'segment') ~= ARGV[6] then return 'none' end
local status = state.status
if status == 'CANCELLING' or status == 'CANCELLED' then return 'ok' end
if state.ended or state.closing then return 'ended' end
move(id, state, 'CANCELLING')
if not state.started then finish(id, state, 'CANCELLED') end
redis.call('PUBLISH', ARGV[5], ARGV[2] .. '/' .. ARGV[3])
return 'ok'
"""
)
"""Cancel a job; where a worker may be at it, that takes it out (`NEXT`)."""

NEXT = (
    _HEAD
    + """
-- then: id of the job whose document the caller has
local function is_barred(state)
  local before = state.after and read(state.after)
  return state.after and not (before and before.status == 'SUCCEEDED')
end
local id
for at, waiting in ipairs(redis.call('ZRANGE', queue, 0, -1)) do
  local state = read(waiting)
  if state.status == 'CANCELLING' then
    finish(waiting, state, 'CANCELLED')
  else
    if state.status == 'NEW' then move(waiting, state, 'QUEUED') end
    if not id and is_barred(state) then
      redis.call('HSET', results, waiting, cjson.encode({cjson.null, {{'evaluation-failed',
        'the segment job ' .. state.after .. ' before the export did not succeed'}}}))
      finish(waiting, state, 'FAILED')
    elseif not id then
      id = waiting
      if state.status == 'QUEUED' then
        state.started = math.max(now, state.updated)
        move(id, state, 'PROCESSING')
      end
    end
  end
end
if not id then return {} end
return {id, id == ARGV[4] and '' or redis.call('HGET', jobs, id), redis.call('HLEN', counts)}
"""
)
"""Return the job whose turn it is and how many partitions have done it."""

REPORT = (
    _HEAD
    + """
-- then: id, partition, row
local state = read(ARGV[4])
if not state or state.status ~= 'PROCESSING' then return 0 end
redis.call('HSETNX', counts, ARGV[5], ARGV[6])
return redis.call('HLEN', counts)
"""
)
"""Note what a partition counted, the first time."""

CLOSE = (
    _HEAD
    + """
-- then: id, number of partitions
local id, state = ARGV[4], read(ARGV[4])
if not state or state.status ~= 'PROCESSING' then return 0 end
if redis.call('HLEN', counts) ~= tonumber(ARGV[5]) then return 0 end
if not state.closing then
  state.closing = now
  redis.call('HSET', states, id, cjson.encode(state))
end
return 1
"""
)
"""Let a job end that all partitions have done: from now on it cannot be cancelled."""

END = (
    _HEAD
    + """
-- then: id, status, result
local id, state = ARGV[4], read(ARGV[4])
if not state or state.status ~= 'PROCESSING' then return 0 end
redis.call('HSET', results, id, ARGV[6])
finish(id, state, ARGV[5])
return 1
"""
)
"""End a job that is being done."""

FORGET = (
    _HEAD
    + """
-- then: ended before
for _, id in ipairs(redis.call('ZRANGEBYSCORE', ended, '-inf', '(' .. ARGV[4], 'LIMIT', 0, 500)) do
  local state = read(id)
  if state and state.origin then redis.call('HDEL', origins, state.origin) end
  redis.call('HDEL', jobs, id)
  redis.call('HDEL', states, id)
  redis.call('HDEL', results, id)
  redis.call('ZREM', order, id)
  redis.call('ZREM', exports, id)
  redis.call('ZREM', ended, id)
end
return 0
"""
)
"""Remove what ended before an instant."""
