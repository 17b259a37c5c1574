/** The spend ledger in the remote cache. */
import { createHash } from 'node:crypto'
import type { Redis } from 'ioredis'
import { assert } from '../foundation/assert.ts'
import { LIMITS } from '../limits.ts'
import type {
  AbandonedLease,
  BookOperation,
  Caller,
  Done,
  LeaseChange,
  Ledger,
  Refused,
  Witness,
} from '../spend/ledger.ts'
import { CacheConnection, type ConnectionOptions } from './connection.ts'
import { spendPrefix } from './layout.ts'
import {
  BEGIN_SCRIPT,
  BEHIND,
  BOOK_SCRIPT,
  HELLO_SCRIPT,
  LEASE_SCRIPT,
  LOST,
  REBUILDING,
  SETTLE_SCRIPT,
  WITNESS_ACCOUNT_SCRIPT,
  WITNESS_LEASE_SCRIPT,
} from './ledger-scripts.ts'
import { SourceError } from './source.ts'

/** How to reach the ledger. */
export interface RedisLedgerOptions extends ConnectionOptions {
  readonly tenantId: string
  /** How long a task's count is remembered after its last operation: far longer than a task is cut off. */
  readonly rememberTaskMs: number
  /** Before the first operation of every new connection. */
  readonly onConnected: () => void
}

type Script = readonly [text: string, sha1: string]
/** count or a negative code, nanos, left, totals, abandoned leases as pairs of id and accounts, added by account. */
type Reply = readonly [
  number,
  number | string,
  number | string,
  readonly string[],
  readonly string[],
  (readonly string[])?,
]

function script(text: string): Script {
  // Redis names scripts by SHA-1; nothing secret depends on it.
  return [text, createHash('sha1').update(text).digest('hex')]
}

const LEASE = script(LEASE_SCRIPT)
const SETTLE = script(SETTLE_SCRIPT)
const BOOK = script(BOOK_SCRIPT)
const HELLO = script(HELLO_SCRIPT)
const BEGIN = script(BEGIN_SCRIPT)
const WITNESS_ACCOUNT = script(WITNESS_ACCOUNT_SCRIPT)
const WITNESS_LEASE = script(WITNESS_LEASE_SCRIPT)

/** Answer to bookings: count or a negative code, what no lease covers of each, totals of accounts and tallies. */
type BookReply = readonly [number, readonly string[] | number | string, readonly string[]]

/** Every step is one script, sent once: what failed may have happened, and is sent again by whoever asked. */
export class RedisLedger implements Ledger {
  readonly #connection: CacheConnection
  readonly #prefix: string
  readonly #rememberTaskMs: number
  #connections = 0

  constructor(options: RedisLedgerOptions) {
    this.#connection = new CacheConnection(options)
    this.#connection.redis.on('connect', () => {
      this.#connections++
      options.onConnected()
    })
    this.#prefix = spendPrefix(options.tenantId)
    this.#rememberTaskMs = options.rememberTaskMs
  }

  /** @throws SourceError when the outcome is not known */
  async apply(caller: Caller, operation: LeaseChange): Promise<Done | Refused> {
    const keys = [this.#key('epoch'), this.#key('task', caller.task)]
    const own = [caller.epoch, caller.told, this.#rememberTaskMs]
    if (operation.kind === 'hello')
      return heardOf(
        await this.#run<Reply>(HELLO, [...keys, this.#key('leasing')], [...own, caller.task, operation.is]),
      )
    const { lease } = operation
    const about = [...own, lease]
    if (operation.kind === 'lease') {
      const { accounts, wantedNanos, leastNanos, abandonedAfterMs, again } = operation
      const names = accounts.map(({ account }) => account)
      keys.push(this.#key('abandoned'), this.#key('lease', lease), ...this.#accounts(names))
      const limits = accounts.map(({ limitNanos }) => limitNanos)
      about.push(wantedNanos, leastNanos, abandonedAfterMs, again ? '1' : '0', JSON.stringify(names), ...limits)
      return answerOf(await this.#run<Reply>(LEASE, keys, about))
    }
    keys.push(this.#key('abandoned'), this.#key('lease', lease), ...this.#accounts(operation.accounts))
    about.push(operation.closedThrough, operation.amountNanos)
    return answerOf(await this.#run<Reply>(SETTLE, keys, about))
  }

  /** @throws SourceError when the outcome is not known. Cost: O(bookings × accounts), one round trip. */
  async book(caller: Caller, bookings: readonly BookOperation[]): Promise<readonly Done[] | Refused> {
    const [accounts, leases] = [new Map<string, number>(), new Map<string, number>()]
    const about = bookings.flatMap(booking => {
      const { tallies = [], lease, bucket, amountNanos, rememberMs, isFlagged } = booking
      const all = [...booking.accounts, ...tallies].map(name => placeIn(accounts, name))
      const its = lease === '' ? 0 : placeIn(leases, lease)
      const marks = [rememberMs, amountNanos, isFlagged === true ? 1 : 0, its, bucket]
      return [...marks, booking.accounts.length, all.length, ...all]
    })
    const keys = [
      ...[this.#key('epoch'), this.#key('task', caller.task)],
      ...this.#accounts([...accounts.keys()]),
      ...[...leases.keys()].map(lease => this.#key('lease', lease)),
      ...bookings.map(({ key }) => this.#key('key', key)),
    ]
    const counts = [accounts.size, leases.size, bookings.length]
    const args = [caller.epoch, caller.told, this.#rememberTaskMs, ...counts, ...about]
    const [last, uncovered, totals] = await this.#run<BookReply>(BOOK, keys, args)
    if (!Array.isArray(uncovered)) return refusedOf(last, uncovered as number | string)
    return bookings.map(({ accounts: names }, i) => {
      const spentNanos = names.map(name => Number(totals[placeIn(accounts, name) - 1]))
      const count = last - bookings.length + 1 + i
      return { kind: 'done', count, nanos: Number(uncovered[i]), spentNanos, leftNanos: 0, abandoned: [] }
    })
  }

  /** @throws SourceError when the outcome is not known. Cost: O(witness) commands, some hundred at once. */
  async rebuild(witness: Witness): Promise<{ epoch: string; opensInMs: number }> {
    const epochKey = this.#key('epoch')
    const begin = [witness.lostEpoch, witness.newEpoch, witness.opensAfterMs, witness.booksAfterMs]
    const [epoch, opensInMs] = await this.#run<[string, number]>(BEGIN, [epochKey], begin)
    await inGroups([...witness.spent], ([name, nanos]) =>
      this.#run<number>(WITNESS_ACCOUNT, [epochKey, ...this.#accounts([name])], [epoch, nanos]),
    )
    await inGroups(witness.leases, ({ lease, accounts, heldNanos, closedThrough, abandonedAfterMs }) => {
      const keys = [epochKey, this.#key('abandoned'), this.#key('lease', lease), ...this.#accounts(accounts)]
      const args = [epoch, lease, heldNanos, closedThrough, abandonedAfterMs, JSON.stringify(accounts)]
      return this.#run<number>(WITNESS_LEASE, keys, args)
    })
    await inGroups([...witness.keys], ([key, rememberMs]) =>
      this.#connection.run(redis => redis.set(this.#key('key', key), '1', 'PX', Math.ceil(rememberMs))),
    )
    return { epoch, opensInMs }
  }

  /** Closes the connection at once. May be called twice. */
  close(): void {
    this.#connection.close()
  }

  #key(kind: string, name?: string): string {
    return name === undefined ? this.#prefix + kind : `${this.#prefix}${kind}:${name}`
  }

  #accounts(names: readonly string[]): string[] {
    return names.map(name => this.#key('account', name))
  }

  /** By its name; with its text when the server does not know it, as after every restart. */
  #run<T>([text, sha1]: Script, keys: readonly string[], args: readonly (string | number)[]): Promise<T> {
    const all = [...keys, ...args]
    const known = this.#connections
    return this.#connection.run(async (redis: Redis) => {
      // What was asked before the connection was lost may be wrong now: the task says what comes next.
      if (known > 0 && known !== this.#connections) throw new SourceError('cache-unreachable', 'the connection is new')
      try {
        return (await redis.evalsha(sha1, keys.length, ...all)) as T
      } catch (error) {
        if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
        return (await redis.eval(text, keys.length, ...all)) as T
      }
    })
  }
}

/** Each within the time that one command has: thousands sent in one go would not be answered in it. */
async function inGroups<T>(all: readonly T[], send: (one: T) => Promise<unknown>): Promise<void> {
  for (let from = 0; from < all.length; from += LIMITS.witnessesPerTripMax)
    await Promise.all(all.slice(from, from + LIMITS.witnessesPerTripMax).map(send))
}

/** The number of a name from 1, which it gets when it has none. Changes the map. */
function placeIn(places: Map<string, number>, name: string): number {
  const known = places.get(name)
  if (known !== undefined) return known
  places.set(name, places.size + 1)
  return places.size
}

function refusedOf(code: number, about: number | string): Refused {
  if (code === LOST) return { kind: 'lost', epoch: String(about) }
  if (code === REBUILDING) return { kind: 'rebuilding', opensInMs: Number(about) }
  assert(code === BEHIND, 'a script that changes nothing says why', { code })
  return { kind: 'behind', count: Number(about) }
}

function heardOf([first, vouches, leasing]: Reply): Done | Refused {
  if (first < 0) return refusedOf(first, vouches)
  const heard = { vouches: Number(vouches), leasing: Number(leasing) }
  return { kind: 'done', count: first, nanos: 0, leftNanos: 0, spentNanos: [], abandoned: [], heard }
}

function answerOf([first, second, left, totals, pairs, added]: Reply): Done | Refused {
  if (first < 0) return refusedOf(first, second)
  const abandoned: AbandonedLease[] = []
  for (let i = 0; i + 1 < pairs.length; i += 2)
    abandoned.push({ lease: pairs[i] as string, accounts: JSON.parse(pairs[i + 1] as string) as string[] })
  const spentNanos = totals.map(Number)
  const done = {
    kind: 'done',
    count: first,
    nanos: Number(second),
    leftNanos: Number(left),
    spentNanos,
    abandoned,
  } as const
  return added?.some(nanos => nanos !== '0') === true ? { ...done, addedNanos: added.map(Number) } : done
}
