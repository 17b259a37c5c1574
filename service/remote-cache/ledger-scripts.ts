/**
 * The ledger's rules as scripts that Redis runs atomically. They only add and compare whole numbers below 2^53, which a
 * Lua number holds exactly. spend/ledger-memory.ts says the same in TypeScript, and a random test holds them together.
 *
 *   t:{acme}:spend:epoch          hash   id, opens, at (ms of the ledger's own time), wall: no id, no change
 *   t:{acme}:spend:task:<task>    string operations of a task so far
 *   t:{acme}:spend:account:<name> hash   base, booked, leased, late, excess, flagged (nanos); count; epoch of booked
 *   t:{acme}:spend:accounts       set    names of accounts; with :<day> at its end, of those of a day
 *   t:{acme}:spend:lease:<lease>  hash   amount, booked, closedNanos, closed, accounts (JSON), b<bucket> (nanos)
 *   t:{acme}:spend:abandoned      zset   lease → ms of the ledger's own time from which anyone may return it
 *   t:{acme}:spend:key:<key>      string '1', expires: a notice that was booked
 */

import { ABANDONED_NAMED_MAX } from '../spend/ledger.ts'
import { CLOCK_STEP_MS_MAX } from '../spend/ledger-memory.ts'

/** Answers of a script that changed nothing. */
export const LOST = -1
/** See LOST. */
export const REBUILDING = -2
/** See LOST. */
export const BEHIND = -3

/** Accounts of a day, for reports: two months after the first booking they are gone. */
const DAY_KEPT_MS = 62 * 86_400_000

/** The ledger's own time in ms, and sums. Every script begins with it. */
const HEAD = `
local function number(key, field)
  return tonumber(redis.call('HGET', key, field) or '0')
end
local function turn(epoch)
  local time = redis.call('TIME')
  local wall = time[1] * 1000 + math.floor(time[2] / 1000)
  local before = number(epoch, 'wall')
  local at = number(epoch, 'at')
  if before > 0 then at = at + math.min(${CLOCK_STEP_MS_MAX}, math.max(0, wall - before)) end
  redis.call('HSET', epoch, 'at', at, 'wall', wall)
  return at
end
local function total(account)
  return number(account, 'base') + number(account, 'booked')
end
-- As text: the client's parser of numbers is exact to 2^52 only.
local function text(number)
  return string.format('%.0f', number)
end
local function open(lease)
  return math.max(0, number(lease, 'amount') - number(lease, 'booked'))
end
-- Lists an account that is there, so that reports find it.
local function list(account)
  local base = string.sub(KEYS[1], 1, -6)
  local name = string.sub(account, #base + 9)
  -- An id may be digits only, and holds no slash: the day is what comes after a second one.
  local day = string.match(name, '^%a/[^/]+/(%d+)$')
  local names = base .. 'accounts' .. (day and ':' .. day or '')
  if redis.call('SADD', names, name) == 1 and day then
    redis.call('PEXPIRE', account, ${DAY_KEPT_MS})
    redis.call('PEXPIRE', names, ${DAY_KEPT_MS})
  end
end
local function fold(account, epoch)
  if (redis.call('HGET', account, 'epoch') or '') ~= epoch then
    redis.call('HSET', account, 'base', total(account), 'booked', 0, 'epoch', epoch)
    list(account)
  end
end
`

/** KEYS: epoch, task. ARGV: epoch, told, ms to remember the task. Then `keys` and `args` are the operation's own. */
const CALLER = `
local epoch = redis.call('HGET', KEYS[1], 'id') or ''
if epoch == '' or epoch ~= ARGV[1] then return {${LOST}, epoch} end
local at = turn(KEYS[1])
local opensIn = number(KEYS[1], 'opens') - at
if opensIn > 0 then return {${REBUILDING}, opensIn} end
local count = tonumber(redis.call('GET', KEYS[2]) or '0')
if count < tonumber(ARGV[2]) then return {${BEHIND}, count} end
count = count + 1
redis.call('SET', KEYS[2], string.format('%.0f', count), 'PX', ARGV[3])
`

/**
 * KEYS: …, abandoned, lease, accounts. ARGV: …, lease, wanted, least, abandoned after ms, again, names, limits. It
 * reads leases that it was not told of: they share the hash tag, so they lie where the others do.
 */
export const LEASE_SCRIPT = `${HEAD}${CALLER}
local left = 9007199254740991
local accounts = #KEYS - 4
for i = 1, accounts do
  local account = KEYS[4 + i]
  left = math.min(left, tonumber(ARGV[9 + i]) - total(account) - number(account, 'leased'))
end
local granted = 0
if redis.call('EXISTS', KEYS[4]) == 1 then
  granted = number(KEYS[4], 'amount')
else
  local wanted = tonumber(ARGV[5])
  local again = ARGV[8] == '1'
  if again then granted = wanted else granted = math.min(wanted, left) end
  if granted <= 0 or (not again and granted < tonumber(ARGV[6])) then
    granted = 0
  else
    for i = 1, accounts do
      redis.call('HINCRBY', KEYS[4 + i], 'leased', granted)
      list(KEYS[4 + i])
    end
    redis.call('HSET', KEYS[4], 'amount', granted, 'booked', 0, 'closedNanos', 0, 'closed', 0)
    redis.call('HSET', KEYS[4], 'accounts', ARGV[9])
    redis.call('ZADD', KEYS[3], at + tonumber(ARGV[7]), ARGV[4])
    left = left - granted
  end
end
local spent = {}
for i = 1, accounts do spent[i] = text(total(KEYS[4 + i])) end
local abandoned = {}
local prefix = string.sub(KEYS[4], 1, #KEYS[4] - #ARGV[4])
local due = redis.call('ZRANGEBYSCORE', KEYS[3], 0, at, 'LIMIT', 0, ${ABANDONED_NAMED_MAX})
for _, id in ipairs(due) do
  abandoned[#abandoned + 1] = id
  abandoned[#abandoned + 1] = redis.call('HGET', prefix .. id, 'accounts') or '[]'
end
return {count, text(granted), text(math.max(0, left)), spent, abandoned}
`

/** KEYS: …, abandoned, lease, accounts. ARGV: …, lease, closed through, amount. */
export const SETTLE_SCRIPT = `${HEAD}${CALLER}
local lease = KEYS[4]
local spent = {}
for i = 5, #KEYS do spent[i - 4] = text(total(KEYS[i])) end
if redis.call('EXISTS', lease) == 0 then return {count, -1, 0, spent, {}} end
local before = open(lease)
local closed = math.max(number(lease, 'closed'), tonumber(ARGV[5]))
redis.call('HSET', lease, 'closed', closed)
local buckets = 0
local fields = redis.call('HGETALL', lease)
for i = 1, #fields, 2 do
  local bucket = string.match(fields[i], '^b(%d+)$')
  if bucket then
    if tonumber(bucket) <= closed then
      redis.call('HINCRBY', lease, 'closedNanos', fields[i + 1])
      redis.call('HDEL', lease, fields[i])
    else
      buckets = buckets + 1
    end
  end
end
redis.call('HSET', lease, 'amount', math.min(number(lease, 'amount'), tonumber(ARGV[6])))
local after = open(lease)
for i = 5, #KEYS do redis.call('HINCRBY', KEYS[i], 'leased', after - before) end
local closedNanos = number(lease, 'closedNanos')
if buckets == 0 and after == 0 and closed >= 9007199254740991 then
  redis.call('UNLINK', lease)
  redis.call('ZREM', KEYS[3], ARGV[4])
end
return {count, text(closedNanos), 0, spent, {}}
`

/**
 * KEYS: …, notice key, lease, accounts, tallies. ARGV: …, lease, bucket, amount, ms to remember the key, how many
 * accounts there are before the tallies, flagged (1 or 0).
 */
export const BOOK_SCRIPT = `${HEAD}${CALLER}
local uncovered = -1
local accounts = 4 + tonumber(ARGV[8])
if redis.call('SET', KEYS[3], '1', 'NX', 'PX', ARGV[7]) then
  local amount = tonumber(ARGV[6])
  local lease = KEYS[4]
  local covered = 0
  local inTime = redis.call('EXISTS', lease) == 1 and tonumber(ARGV[5]) > number(lease, 'closed')
  if inTime then
    covered = math.min(amount, open(lease))
    redis.call('HINCRBY', lease, 'booked', amount)
    redis.call('HINCRBY', lease, 'b' .. ARGV[5], amount)
  end
  uncovered = amount - covered
  if ARGV[4] == '' then uncovered = 0 end
  for i = 5, #KEYS do
    fold(KEYS[i], epoch)
    redis.call('HINCRBY', KEYS[i], 'booked', amount)
    redis.call('HINCRBY', KEYS[i], 'count', 1)
    if ARGV[9] == '1' then redis.call('HINCRBY', KEYS[i], 'flagged', amount) end
    if i <= accounts then
      redis.call('HINCRBY', KEYS[i], 'leased', 0 - covered)
      if inTime then redis.call('HINCRBY', KEYS[i], 'excess', uncovered)
      else redis.call('HINCRBY', KEYS[i], 'late', uncovered) end
    end
  end
end
local spent = {}
for i = 5, accounts do spent[i - 4] = text(total(KEYS[i])) end
return {count, text(uncovered), 0, spent, {}}
`

/** KEYS: epoch. ARGV: lost epoch, new epoch, opens after ms. The first that comes begins the new epoch. */
export const BEGIN_SCRIPT = `${HEAD}
local at = turn(KEYS[1])
local epoch = redis.call('HGET', KEYS[1], 'id') or ''
if epoch == '' or epoch == ARGV[1] then
  epoch = ARGV[2]
  redis.call('HSET', KEYS[1], 'id', epoch, 'opens', at + tonumber(ARGV[3]))
end
return {epoch, math.max(0, number(KEYS[1], 'opens') - at)}
`

/** KEYS: epoch, account. ARGV: epoch, total. What a witness was told; nothing in an epoch that is lost, too. */
export const WITNESS_ACCOUNT_SCRIPT = `${HEAD}
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then return 0 end
fold(KEYS[2], ARGV[1])
if number(KEYS[2], 'base') < tonumber(ARGV[2]) then redis.call('HSET', KEYS[2], 'base', ARGV[2]) end
return 1
`

/** KEYS: epoch, abandoned, lease, accounts. ARGV: epoch, lease, held, closed through, abandoned after, names. */
export const WITNESS_LEASE_SCRIPT = `${HEAD}
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then return 0 end
if redis.call('EXISTS', KEYS[3]) == 1 or tonumber(ARGV[3]) <= 0 then return 1 end
for i = 4, #KEYS do redis.call('HINCRBY', KEYS[i], 'leased', ARGV[3]) end
redis.call('HSET', KEYS[3], 'amount', ARGV[3], 'booked', 0, 'closedNanos', 0, 'closed', ARGV[4], 'accounts', ARGV[6])
redis.call('ZADD', KEYS[2], number(KEYS[1], 'at') + tonumber(ARGV[5]), ARGV[2])
return 1
`
