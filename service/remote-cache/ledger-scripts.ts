/**
 * The ledger's rules as scripts that Redis runs atomically. They only add and compare whole numbers below 2^53, which a
 * Lua number holds exactly. spend/ledger-memory.ts says the same in TypeScript, and a random test holds them together.
 *
 *   t:{acme}:spend:epoch          hash   id, opens, books, at (ms of the ledger's own time), wall: no id, no change;
 *                                        vouches: how often tasks have vouched for this memory
 *   t:{acme}:spend:leasing        zset   task that has leased → ms of the ledger's own time at which it was last heard
 *   t:{acme}:spend:task:<task>    string operations of a task so far
 *   t:{acme}:spend:account:<name> hash   base, booked, leased, late, excess, flagged (nanos); count; epoch of booked;
 *                                        limit of the last lease; given (a part of booked) and added: its share moved
 *   t:{acme}:spend:accounts       set    names of accounts; with :<day> at its end, of those of a day
 *   t:{acme}:spend:lease:<lease>  hash   amount, booked, closedNanos, closed, accounts (JSON), b<bucket> (nanos)
 *   t:{acme}:spend:abandoned      zset   lease → ms of the ledger's own time from which anyone may return it
 *   t:{acme}:spend:key:<key>      string '1', expires: a notice that was booked
 *   t:{acme}:spend:given:<id>     string nanos, expires: a transfer of a share to another ledger; taken:<id> from one
 */

import { ABANDONED_NAMED_MAX, LEASING_HEARD_MS } from '../spend/ledger.ts'
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

/**
 * KEYS: epoch, task. ARGV: epoch, told, ms to remember the task. Other keys and arguments are the operation's own.
 * @param operations a Lua expression: how many of the task's operations these are
 * @param opens the field that says from when on they are taken
 */
function callerOf(operations: string, opens: 'opens' | 'books'): string {
  return `
local epoch = redis.call('HGET', KEYS[1], 'id') or ''
if epoch == '' or epoch ~= ARGV[1] then return {${LOST}, epoch} end
local at = turn(KEYS[1])
local opensIn = number(KEYS[1], '${opens}') - at
if opensIn > 0 then return {${REBUILDING}, opensIn} end
local count = tonumber(redis.call('GET', KEYS[2]) or '0')
if count < tonumber(ARGV[2]) then return {${BEHIND}, count} end
count = count + ${operations}
redis.call('SET', KEYS[2], string.format('%.0f', count), 'PX', ARGV[3])
`
}

/**
 * KEYS: …, abandoned, lease, accounts. ARGV: …, lease, wanted, least, abandoned after ms, again, names, limits. It
 * reads leases that it was not told of: they share the hash tag, so they lie where the others do.
 */
export const LEASE_SCRIPT = `${HEAD}${callerOf('1', 'opens')}
local left = 9007199254740991
local accounts = #KEYS - 4
local added = {}
for i = 1, accounts do
  local account = KEYS[4 + i]
  local limit = tonumber(ARGV[9 + i])
  added[i] = number(account, 'added')
  left = math.min(left, limit + added[i] - total(account) - number(account, 'leased'))
  if limit < 9007199254740991 then redis.call('HSET', account, 'limit', text(limit)) end
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
local base = string.sub(KEYS[1], 1, -6)
if granted > 0 then redis.call('ZADD', base .. 'leasing', at, string.sub(KEYS[2], #base + 6)) end
local spent = {}
for i = 1, accounts do spent[i] = text(total(KEYS[4 + i])) end
local abandoned = {}
local prefix = string.sub(KEYS[4], 1, #KEYS[4] - #ARGV[4])
local due = redis.call('ZRANGEBYSCORE', KEYS[3], 0, at, 'LIMIT', 0, ${ABANDONED_NAMED_MAX})
for _, id in ipairs(due) do
  abandoned[#abandoned + 1] = id
  abandoned[#abandoned + 1] = redis.call('HGET', prefix .. id, 'accounts') or '[]'
end
for i = 1, accounts do added[i] = text(added[i]) end
return {count, text(granted), text(math.max(0, left)), spent, abandoned, added}
`

/** KEYS: …, leasing. ARGV: …, name of the task, what it is. */
export const HELLO_SCRIPT = `${HEAD}${callerOf('1', 'opens')}
redis.call('ZREMRANGEBYSCORE', KEYS[3], 0, '(' .. text(at - ${LEASING_HEARD_MS}))
local vouches = number(KEYS[1], 'vouches')
if ARGV[5] == 'vouching' then vouches = redis.call('HINCRBY', KEYS[1], 'vouches', 1) end
if ARGV[5] == 'leaving' then redis.call('ZREM', KEYS[3], ARGV[4])
else redis.call('ZADD', KEYS[3], 'XX', at, ARGV[4]) end
local leasing = redis.call('ZCARD', KEYS[3])
if redis.call('ZSCORE', KEYS[3], ARGV[4]) then leasing = leasing - 1 end
return {count, vouches, leasing, {}, {}}
`

/** KEYS: …, abandoned, lease, accounts. ARGV: …, lease, closed through, amount. */
export const SETTLE_SCRIPT = `${HEAD}${callerOf('1', 'opens')}
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

/** A field per amount, so that a batch writes each account once. */
const TOTALS = `
local function accountAt(key)
  local found = redis.call('HMGET', key, 'epoch', 'base', 'booked')
  local before = tonumber(found[2] or '0') + tonumber(found[3] or '0')
  return {epoch = found[1], before = before, booked = 0, count = 0, flagged = 0, leased = 0, excess = 0, late = 0}
end
local function leaseAt(key)
  local found = redis.call('HMGET', key, 'amount', 'booked', 'closed')
  if not found[1] then return false end
  local amount, booked = tonumber(found[1]), tonumber(found[2] or '0')
  return {amount = amount, booked = booked, closed = tonumber(found[3] or '0'), added = 0, buckets = {}}
end
local function add(key, field, number)
  if number ~= 0 then redis.call('HINCRBY', key, field, text(number)) end
end
local function saveAccount(key, account, epoch)
  if account.count == 0 then return end
  if account.epoch ~= epoch then fold(key, epoch) end
  for _, field in ipairs({'booked', 'count', 'flagged', 'leased', 'excess', 'late'}) do
    add(key, field, account[field])
  end
end
local function saveLease(key, lease)
  if not lease then return end
  add(key, 'booked', lease.added)
  for bucket, nanos in pairs(lease.buckets) do add(key, 'b' .. bucket, nanos) end
end
`

/**
 * Many bookings in one step, because what a cache does for a call is more than for a booking.
 * KEYS: …, accounts and tallies, leases, notice keys, each once. ARGV: …, how many accounts, leases and bookings; then
 * of each booking: ms to remember the key, amount, flagged (1 or 0), number of its lease from 1 or 0 for none, bucket,
 * how many accounts it has, how many with tallies, and their numbers from 1.
 */
export const BOOK_SCRIPT = `${HEAD}${TOTALS}
local operations = tonumber(ARGV[6])
${callerOf('operations', 'books')}
local accounts, leases = {}, {}
local leasesFrom = 2 + tonumber(ARGV[4])
local keysFrom = leasesFrom + tonumber(ARGV[5])
for i = 3, leasesFrom do accounts[i - 2] = accountAt(KEYS[i]) end
for i = leasesFrom + 1, keysFrom do leases[i - leasesFrom] = leaseAt(KEYS[i]) end
local uncovered = {}
local from = 7
for i = 1, operations do
  local amount, lease, bucket = tonumber(ARGV[from + 1]), leases[tonumber(ARGV[from + 3])], ARGV[from + 4]
  local covering, all = tonumber(ARGV[from + 5]), tonumber(ARGV[from + 6])
  uncovered[i] = '-1'
  if redis.call('SET', KEYS[keysFrom + i], '1', 'NX', 'PX', ARGV[from]) then
    local covered = 0
    local inTime = lease and tonumber(bucket) > lease.closed
    if inTime then
      covered = math.min(amount, math.max(0, lease.amount - lease.booked))
      lease.booked = lease.booked + amount
      lease.added = lease.added + amount
      lease.buckets[bucket] = (lease.buckets[bucket] or 0) + amount
    end
    local rest = amount - covered
    if ARGV[from + 3] == '0' then rest = 0 end
    uncovered[i] = text(rest)
    for j = 1, all do
      local account = accounts[tonumber(ARGV[from + 6 + j])]
      account.booked = account.booked + amount
      account.count = account.count + 1
      if ARGV[from + 2] == '1' then account.flagged = account.flagged + amount end
      if j <= covering then
        account.leased = account.leased - covered
        local field = inTime and 'excess' or 'late'
        account[field] = account[field] + rest
      end
    end
  end
  from = from + 7 + all
end
local spent = {}
for i, account in ipairs(accounts) do
  saveAccount(KEYS[2 + i], account, epoch)
  spent[i] = text(account.before + account.booked)
end
for i, lease in ipairs(leases) do saveLease(KEYS[leasesFrom + i], lease) end
return {count, uncovered, spent}
`

/** KEYS: epoch. ARGV: lost epoch, new epoch, opens and books after ms. The first that comes begins the new epoch. */
export const BEGIN_SCRIPT = `${HEAD}
local at = turn(KEYS[1])
local epoch = redis.call('HGET', KEYS[1], 'id') or ''
if epoch == '' or epoch == ARGV[1] then
  epoch = ARGV[2]
  redis.call('HSET', KEYS[1], 'id', epoch, 'opens', at + tonumber(ARGV[3]), 'books', at + tonumber(ARGV[4]))
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

/** So long a transfer of a share is remembered, and can be repeated. */
const TRANSFER_KEPT_MS = 62 * 86_400_000

/**
 * KEYS: epoch, given:<id>, account. ARGV: wanted. What is given counts as spent, so that whoever is told the total
 * knows it, a rebuilt ledger included. Given once per id. Answers of ledgers that cannot give: LOST, REBUILDING, or
 * BEHIND for an account without a budget.
 */
export const GIVE_SCRIPT = `${HEAD}
local epoch = redis.call('HGET', KEYS[1], 'id') or ''
if epoch == '' then return {${LOST}, '0', '0'} end
local account = KEYS[3]
local limit = redis.call('HGET', account, 'limit')
local known = redis.call('GET', KEYS[2])
if known then return {1, known, '0'} end
if number(KEYS[1], 'opens') > turn(KEYS[1]) then return {${REBUILDING}, '0', '0'} end
if not limit then return {${BEHIND}, '0', '0'} end
local left = tonumber(limit) + number(account, 'added') - total(account) - number(account, 'leased')
local nanos = math.min(tonumber(ARGV[1]), left)
if nanos <= 0 then return {1, '0', text(left)} end
fold(account, epoch)
redis.call('HINCRBY', account, 'booked', text(nanos))
redis.call('HINCRBY', account, 'given', text(nanos))
redis.call('SET', KEYS[2], text(nanos), 'PX', ${TRANSFER_KEPT_MS})
return {1, text(nanos), text(left - nanos)}
`

/** KEYS: epoch, taken:<id>, account. ARGV: nanos that another ledger has given. Taken once per id. */
export const TAKE_SCRIPT = `${HEAD}
if (redis.call('HGET', KEYS[1], 'id') or '') == '' then return {${LOST}, '0', '0'} end
local known = redis.call('GET', KEYS[2])
if known then return {1, known, '0'} end
redis.call('HINCRBY', KEYS[3], 'added', ARGV[1])
list(KEYS[3])
redis.call('SET', KEYS[2], ARGV[1], 'PX', ${TRANSFER_KEPT_MS})
return {1, ARGV[1], '0'}
`
