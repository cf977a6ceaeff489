"""The Lua scripts of the definition store: each checks first, then only writes.

A write is refused (0) when the catalogue's `revision` is not the one it was decided on, so names,
references and ordinals that were looked up before the script ran still hold inside it.
"""

from __future__ import annotations

KEPT_TAGS = 1_000

WHOLE = 1_000_000
"""The share of a partition that was scanned, in millionths, when it was scanned to the end."""

PUT = """
local catalogue, definitions, order, names, versions, evaluated, uses, ordinals, since, pending,
    failures, outbox, tags, removed = unpack(KEYS)
local expected, revision, channel, tenant, id, document, name, previous_name, created, version,
    row, stub, asks, ordinal, number, tag, record_key, record, begins, is_pending = unpack(ARGV)
if (redis.call('HGET', catalogue, 'revision') or '') ~= expected then return 0 end
redis.call('HSET', catalogue, 'revision', revision)
redis.call('HSET', definitions, id, document)
redis.call('HSET', versions, version, document)
redis.call('ZADD', order, created, id)
if previous_name ~= name then
  if previous_name ~= '' then redis.call('HDEL', names, previous_name) end
  redis.call('HSET', names, name, id)
end
if redis.call('HSETNX', ordinals, ordinal, id) == 1 then
  redis.call('HSET', catalogue, 'next-ordinal', tonumber(ordinal) + 1)
end
if asks == '' then redis.call('HDEL', uses, id) else redis.call('HSET', uses, id, asks) end
if tag ~= '' then
  if row ~= '' then
    redis.call('HSET', evaluated, id, row)
    redis.call('HDEL', removed, id)
  else
    redis.call('HDEL', evaluated, id)
    redis.call('HSET', removed, id, stub)
  end
  redis.call('HSET', catalogue, 'number', number, 'tag', tag)
  redis.call('HSET', tags, number, tag)
  redis.call('HDEL', tags, tonumber(number) - KEPT_TAGS)
end
if begins == '1' then
  redis.call('HSET', since, id, number)
  redis.call('HDEL', failures, id)
  if is_pending == '1' then
    redis.call('SADD', pending, id)
  else
    redis.call('SREM', pending, id)
  end
end
redis.call('XADD', outbox, '*', 'key', record_key, 'value', record)
redis.call('PUBLISH', channel, tenant)
return 1
""".replace("KEPT_TAGS", str(KEPT_TAGS))
"""Store a definition.

An empty `tag` means that what workers evaluate did not change; with a tag, an empty `row` that the
definition is evaluated no more: `stub` is what workers need to take its members out. `begins`
tells that profiles have to be brought up to this write, `is_pending` that they are not yet.
"""

REMOVE = """
local catalogue, definitions, order, names, versions, evaluated, uses, since, pending, failures,
    outbox, tags, removed, metrics = unpack(KEYS)
local expected, revision, channel, tenant, id, name, number, tag, record_key, kept_ms, stub =
    unpack(ARGV)
if (redis.call('HGET', catalogue, 'revision') or '') ~= expected then return 0 end
redis.call('HSET', catalogue, 'revision', revision)
if tag ~= '' then
  redis.call('HSET', catalogue, 'number', number, 'tag', tag)
  redis.call('HSET', tags, number, tag)
  redis.call('HDEL', tags, tonumber(number) - KEPT_TAGS)
  redis.call('HSET', removed, id, stub)
end
redis.call('HDEL', definitions, id)
redis.call('ZREM', order, id)
redis.call('HDEL', names, name)
redis.call('HDEL', evaluated, id)
redis.call('HDEL', uses, id)
redis.call('HDEL', since, id)
redis.call('SREM', pending, id)
redis.call('HDEL', failures, id)
redis.call('HDEL', metrics, unpack(ARGV, 12))
redis.call('PEXPIRE', versions, kept_ms)
redis.call('XADD', outbox, '*', 'key', record_key)
redis.call('PUBLISH', channel, tenant)
return 1
""".replace("KEPT_TAGS", str(KEPT_TAGS))
"""Remove a definition; a record without `value` is the tombstone. The ordinal stays taken.

An empty `tag` means that workers never heard of it. At the end of ARGV are the fields of its
metrics.
"""

TELL_METRICS = """
local definitions, metrics = unpack(KEYS)
for at = 1, #ARGV, 3 do
  local id, field, metric = unpack(ARGV, at, at + 2)
  if redis.call('HEXISTS', definitions, id) == 1 then redis.call('HSET', metrics, field, metric) end
end
return 1
"""
"""Store what was told of definitions, but for those that are removed by now."""

REPORT_BACKFILL = """
local tags, since, pending, removed, progress = unpack(KEYS)
local number, tag, partition, partitions, share = unpack(ARGV)
if redis.call('HGET', tags, number) ~= tag then return 0 end
number, share = tonumber(number), tonumber(share)
local row = redis.call('HGET', progress, partition)
local done = row and cjson.decode(row)[1] or 0
if share == WHOLE then done = math.max(done, number) end
redis.call('HSET', progress, 'partitions', partitions,
           partition, string.format('[%.0f,%.0f,%.0f]', done, number, share))
if share ~= WHOLE then return 0 end
local least = done
for other = 0, tonumber(partitions) - 1 do
  row = redis.call('HGET', progress, other)
  least = math.min(least, row and cjson.decode(row)[1] or 0)
end
local became = 0
for _, id in ipairs(redis.call('SMEMBERS', pending)) do
  if tonumber(redis.call('HGET', since, id) or '0') <= least then
    became = became + redis.call('SREM', pending, id)
  end
end
local gone = redis.call('HGETALL', removed)
for at = 1, #gone, 2 do
  local stub = cjson.decode(gone[at + 1])
  if stub[3] <= least and not stub[4] then
    redis.call('HDEL', removed, gone[at])
  end
end
return became
""".replace("WHOLE", str(WHOLE))
"""Note how far a partition is; turn definitions live whose current version all have completed.

Those removed by then are forgotten, those inactive only pending no more: they may come back. A
partition that completed a tag contains every change up to its number, so the least number of all
counts, whatever tags they are. What was completed stays so while a newer tag is scanned. A tag that
is unknown, as after a loss of the last writes, changes nothing.
"""

REPORT_FAILURES = """
local tags, since, pending, failures = unpack(KEYS)
local number, tag = ARGV[1], ARGV[2]
if redis.call('HGET', tags, number) ~= tag then return 0 end
local failed = 0
for at = 3, #ARGV, 2 do
  local made = redis.call('HGET', since, ARGV[at])
  if made and tonumber(made) <= tonumber(number) then
    redis.call('SREM', pending, ARGV[at])
    redis.call('HSET', failures, ARGV[at], ARGV[at + 1])
    failed = failed + 1
  end
end
return failed
"""
"""Turn definitions failed, except those that were edited or removed after the tag."""
