"""The Lua scripts of the schedule store: each checks first, then only writes.

A schedule is as it was read when its document and its next run both are; an absent one is `''`.
"""

from __future__ import annotations

_UNCHANGED = """
local function unchanged(documents, due, id, document, next_run)
  return (redis.call('HGET', documents, id) or '') == document
      and tonumber(redis.call('ZSCORE', due, id) or '') == tonumber(next_run)
end
local function run_next(due, id, next_run)
  if next_run == '' then redis.call('ZREM', due, id) else redis.call('ZADD', due, next_run, id) end
end
local function note(runs, id, run)
  local before = redis.call('HGET', runs, id)
  if not before or cjson.decode(before)[1] <= cjson.decode(run)[1] then
    redis.call('HSET', runs, id, run)
  end
end
"""

PUT = (
    _UNCHANGED
    + """
local documents, due, order = unpack(KEYS)
local id, expected, expected_run, document, next_run, created = unpack(ARGV)
if not unchanged(documents, due, id, expected, expected_run) then return 0 end
redis.call('HSET', documents, id, document)
redis.call('ZADD', order, created, id)
run_next(due, id, next_run)
return 1
"""
)
"""Store a schedule and its next run."""

REMOVE = """
local documents, due, order, runs, open = unpack(KEYS)
local id = ARGV[1]
if redis.call('HDEL', documents, id) == 0 then return 0 end
redis.call('ZREM', due, id)
redis.call('ZREM', order, id)
redis.call('HDEL', runs, id)
for _, firing in ipairs(redis.call('HKEYS', open)) do
  if string.sub(firing, 1, #id + 1) == id .. ':' then redis.call('HDEL', open, firing) end
end
return 1
"""
"""Remove a schedule with everything of it."""

CLAIM = (
    _UNCHANGED
    + """
local documents, due, open = unpack(KEYS)
local id, expected, expected_run, next_run, firing, claim = unpack(ARGV)
if not unchanged(documents, due, id, expected, expected_run) then return 0 end
redis.call('HSET', open, firing, claim)
run_next(due, id, next_run)
return 1
"""
)
"""Open a firing and move its schedule on: of any number of callers only one can."""

PASS_OVER = (
    _UNCHANGED
    + """
local documents, due, runs = unpack(KEYS)
local id, expected, expected_run, next_run, run = unpack(ARGV)
if not unchanged(documents, due, id, expected, expected_run) then return 0 end
run_next(due, id, next_run)
if run ~= '' then note(runs, id, run) end
return 1
"""
)
"""Move a schedule on without a firing."""

TAKE_OVER = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
"""
"""Replace a claim that is still as it was read."""

CLOSE = (
    _UNCHANGED
    + """
local documents, runs, open = unpack(KEYS)
local id, firing, run = unpack(ARGV)
if redis.call('HDEL', open, firing) == 0 then return 0 end
if redis.call('HEXISTS', documents, id) == 1 then note(runs, id, run) end
return 1
"""
)
"""End an open firing; the last run noted is the one that was due last."""

NOTE_RUN = (
    _UNCHANGED
    + """
local documents, runs = unpack(KEYS)
if redis.call('HEXISTS', documents, ARGV[1]) == 0 then return 0 end
note(runs, ARGV[1], ARGV[2])
return 1
"""
)
"""Note a run that was no firing."""
