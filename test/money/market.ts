/** A tenant in miniature on a real ledger: tasks that bid and settle, and an exchange that bills to any of them. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { systemClock } from '../../service/foundation/clock.ts'
import type { Random } from '../../service/foundation/random.ts'
import { LedgerDriver } from '../../service/remote-cache/ledger-driver.ts'
import { RedisLedger } from '../../service/remote-cache/redis-ledger.ts'
import { bucketAt } from '../../service/spend/lease.ts'
import { abandonedAfterMs, booksAfterMs, type LeaseRules, opensAfterMs, Slice } from '../../service/spend/slice.ts'
import { TaskLedger } from '../../service/spend/task-ledger.ts'

/** The proportions of real ones, a hundred times faster. */
const RULES: LeaseRules = {
  leaseMsMin: 200,
  leaseMsMax: 1_000,
  bucketMs: 100,
  graceMs: 400,
  holdMsMax: 300,
  clockAllowanceMs: 1_000,
  parts: 8,
  shareMs: 50,
}
/** Until a ledger that lost its memory leases again. */
export const OPENS_AFTER_MS = opensAfterMs(RULES)
/** What a bid holds. */
export const PRICE_NANOS = 1_000_000
const THREAD = 1
const ACCOUNTS = ['li:1', 'campaign']
const { monotonicMs } = systemClock

/** Where a market is, and by what it ends. */
export interface MarketOptions {
  readonly tenantId: string
  /** Of each task's way to the ledger. */
  readonly ports: readonly number[]
  readonly limitNanos: number
  readonly random: Random
  /** Takes what is to be done in the end. */
  readonly later: (cleanup: () => unknown) => void
}

interface Task {
  readonly slice: Slice
  readonly ledger: TaskLedger
}

function startTask(name: string, port: number, { tenantId, limitNanos, random, later }: MarketOptions): Task {
  let names = 0
  const newName = () => `${name}-${names++}`
  const ledger = new TaskLedger({
    ...{ task: name, newEpoch: newName, graceMs: RULES.graceMs, leases: () => slice.leases },
    ...{ opensAfterMs: OPENS_AFTER_MS, booksAfterMs: booksAfterMs(RULES), abandonedAfterMs: abandonedAfterMs(RULES) },
  })
  const slice: Slice = new Slice(
    {
      accounts: ACCOUNTS.map(account => ({ account, limitNanos })),
      ...{ priceNanosMax: PRICE_NANOS, isStrict: true, endsMs: Number.POSITIVE_INFINITY },
    },
    { rules: RULES, ledger, threads: 1, newLease: newName },
  )
  const remote = new RedisLedger({
    ...{ url: `redis://127.0.0.1:${port}`, tenantId, timeoutMs: 200, rememberTaskMs: 600_000 },
    pickIndex: random.pickIndex,
    onConnected: () => ledger.reconnected(monotonicMs()),
  })
  const driver = new LedgerDriver({
    ...{ ledger: remote, task: ledger, monotonicMs },
    pickIndex: random.pickIndex,
    onReached: () => {},
  })
  driver.start()
  const looks = setInterval(() => slice.look(monotonicMs()), 20)
  later(async () => {
    clearInterval(looks)
    remote.close()
    await driver.stop()
  })
  return { slice, ledger }
}

/** Tasks that bid, and an exchange that bills half of it to any of them, now and then twice. */
export class Market {
  readonly #tasks: readonly Task[]
  readonly #random: Random
  readonly #billed = new Map<string, number>()
  #bids = 0

  constructor(options: MarketOptions) {
    this.#tasks = options.ports.map((port, i) => startTask(`task${i}`, port, options))
    this.#random = options.random
    const bids = setInterval(() => this.#bid(), 4)
    options.later(() => clearInterval(bids))
  }

  get billedNanos(): number {
    return [...this.#billed.values()].reduce((sum, nanos) => sum + nanos, 0)
  }

  /** Ends all bids and waits until everything is booked and returned. @throws Error when that takes too long */
  async settled(limitMs: number): Promise<void> {
    for (const { slice } of this.#tasks) {
      slice.stop(monotonicMs())
      for (const lease of slice.leases) {
        const nanos = lease.sharedWith(THREAD)
        if (nanos > 0) lease.unshare(THREAD, nanos)
      }
    }
    // The last notices are on their way first.
    await sleep(RULES.holdMsMax)
    const untilMs = monotonicMs() + limitMs
    while (this.#tasks.some(({ slice, ledger }) => slice.leases.length > 0 || ledger.waitingCount > 0)) {
      if (monotonicMs() > untilMs) throw new Error('the ledger did not come to rest')
      await sleep(20)
    }
  }

  #bid(): void {
    const random = this.#random
    const { slice } = random.pick(this.#tasks)
    const nowMs = monotonicMs()
    slice.want(PRICE_NANOS, nowMs)
    const { lease } = slice.share(THREAD, nowMs) ?? {
      lease: slice.leases.find(each => each.endMs > nowMs && each.sharedWith(THREAD) >= PRICE_NANOS),
    }
    if (lease === undefined || lease.sharedWith(THREAD) < PRICE_NANOS) return
    const bucket = bucketAt(nowMs + RULES.holdMsMax, lease.terms.startMs, RULES.bucketMs)
    slice.hold(lease, THREAD, bucket, PRICE_NANOS)
    if (random.chance(0.5)) return
    const key = `bid-${this.#bids++}`
    this.#bill({
      ...{ kind: 'book', key, lease: lease.terms.lease, bucket, accounts: ACCOUNTS },
      ...{ amountNanos: random.between(1, PRICE_NANOS), rememberMs: 600_000 },
    })
  }

  #bill(operation: Parameters<TaskLedger['add']>[0] & { readonly kind: 'book' }): void {
    const random = this.#random
    const times = random.chance(0.1) ? 2 : 1
    for (let i = 0; i < times; i++) {
      const afterMs = random.between(0, RULES.holdMsMax - 50)
      const send = () => {
        this.#billed.set(operation.key, operation.amountNanos)
        random.pick(this.#tasks).ledger.add(operation, () => {})
      }
      setTimeout(send, afterMs).unref()
    }
  }
}

/** The campaign's account in a ledger, in nanos. */
export async function campaignAccount(redis: Redis, tenantId: string) {
  const fields = await redis.hgetall(`t:{${tenantId}}:spend:account:campaign`)
  const number = (name: string) => Number(fields[name] ?? 0)
  const { late, leased, excess } = { late: number('late'), leased: number('leased'), excess: number('excess') }
  return { spent: number('base') + number('booked'), late, leased, excess }
}
