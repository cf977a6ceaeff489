"""The Lua scripts of imports: each checks first, then only writes."""

from __future__ import annotations

BEGIN_RUN = """
local runs, running, order, work = unpack(KEYS)
local id, segment, document, created, name, most = unpack(ARGV)
if redis.call('HEXISTS', running, segment) == 1 then return 0 end
redis.call('HSET', runs, id, document)
redis.call('HSET', running, segment, id)
redis.call('ZADD', order, created, id)
redis.call('ZADD', work, created, name)
for _, old in ipairs(redis.call('ZRANGE', order, 0, -tonumber(most) - 1)) do
  redis.call('HDEL', runs, old)
  redis.call('ZREM', order, old)
end
return 1
"""
"""Begin a run of an audience that has no unfinished one; the oldest ones are forgotten."""

CLAIM = """
local lease, work = unpack(KEYS)
local token, lease_ms, name = unpack(ARGV)
local holder = redis.call('GET', lease)
if holder and holder ~= token then return 0 end
if not redis.call('ZSCORE', work, name) then return 0 end
redis.call('SET', lease, token, 'PX', lease_ms)
return 1
"""
"""Take or renew the lease of what is unfinished."""

RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
"""

SAVE = """
local lease, documents, work, running = unpack(KEYS)
local token, id, document, name, segment, is_over = unpack(ARGV)
if redis.call('GET', lease) ~= token then return 0 end
if redis.call('HEXISTS', documents, id) == 0 then return 0 end
redis.call('HSET', documents, id, document)
if is_over == '1' then
  redis.call('ZREM', work, name)
  redis.call('DEL', lease)
  if redis.call('HGET', running, segment) == id then redis.call('HDEL', running, segment) end
end
return 1
"""
"""Store how far something is, for as long as the lease is held and the thing is there."""
