import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RedisServer, startRedis } from '../../test/redis-server.ts'
import { Random } from '../foundation/random.ts'
import { ALL_BUCKETS, type BookOperation, type Caller, type LeaseChange } from '../spend/ledger.ts'
import { applyToLedger, bookInLedger, emptyLedger, rebuildLedger, spentNanos } from '../spend/ledger-memory.ts'
import { describeLedger } from './ledger.contract.ts'
import { RedisLedger } from './redis-ledger.ts'

const { pickIndex } = new Random(3)

function openLedger(url: string, tenantId: string): RedisLedger {
  return new RedisLedger({ url, tenantId, timeoutMs: 2_000, pickIndex, rememberTaskMs: 60_000, onConnected: () => {} })
}

async function accountIn(redis: Redis, tenantId: string, name: string) {
  const fields = await redis.hgetall(`t:{${tenantId}}:spend:account:${name}`)
  const number = (field: string) => Number(fields[field] ?? 0)
  const { leased, late, excess } = { leased: number('leased'), late: number('late'), excess: number('excess') }
  const marks = { flagged: number('flagged'), bookings: number('count') }
  return { spent: number('base') + number('booked'), leased, late, excess, ...marks }
}

describeLedger('the remote cache', async () => {
  const server = await startRedis()
  const redis = new Redis(server.url)
  const ledger = openLedger(server.url, 'acme')
  return {
    ledger,
    account: name => accountIn(redis, 'acme', name),
    close: async () => {
      ledger.close()
      redis.disconnect()
      await server.stop()
    },
  }
})

describe('the scripts follow the rules', () => {
  let server: RedisServer
  let redis: Redis
  beforeAll(async () => {
    server = await startRedis()
    redis = new Redis(server.url)
  })
  afterAll(async () => {
    redis.disconnect()
    await server.stop()
  })

  const names = (random: Random, kinds: readonly string[]) => kinds.map(kind => `${kind}${random.pickIndex(3)}`)

  const leaseName = (random: Random, accounts: readonly string[]) => `l${accounts.join('')}-${random.pickIndex(4)}`

  function randomBooking(random: Random): BookOperation {
    const accounts = names(random, ['li', 'c'])
    const lease = random.chance(0.1) ? '' : leaseName(random, accounts)
    const [key, amountNanos] = [`k${random.pickIndex(2_000)}`, random.pickIndex(300)]
    const marks = { tallies: names(random, ['x']), isFlagged: random.chance(0.2), rememberMs: 600_000 }
    return { kind: 'book', key, lease, bucket: 1 + random.pickIndex(6), accounts, amountNanos, ...marks }
  }

  function randomChange(random: Random): LeaseChange {
    const accounts = names(random, ['li', 'c'])
    const lease = leaseName(random, accounts)
    const bucket = 1 + random.pickIndex(6)
    const kind = random.pick(['lease', 'settle', 'lease', 'settle', 'hello'] as const)
    if (kind === 'hello')
      return { kind, lease: '', accounts: [], is: random.pick(['vouching', 'waiting', 'leaving'] as const) }
    if (kind === 'settle') {
      const closedThrough = random.chance(0.3) ? ALL_BUCKETS : bucket
      return { kind, lease, accounts, closedThrough, amountNanos: random.chance(0.5) ? 0 : random.pickIndex(1_000) }
    }
    return {
      kind,
      lease,
      accounts: accounts.map(account => ({ account, limitNanos: 2_000 + random.pickIndex(20_000) })),
      wantedNanos: 1 + random.pickIndex(1_000),
      leastNanos: random.pickIndex(100),
      abandonedAfterMs: 600_000,
      again: random.chance(0.1),
    }
  }

  test.each([1, 2, 3])('after random operations both say and hold the same (seed %i)', async seed => {
    const random = new Random(seed)
    const tenantId = `tenant-${seed}`
    const ledger = openLedger(server.url, tenantId)
    const state = emptyLedger()
    const begin = {
      lostEpoch: '',
      newEpoch: 'e',
      opensAfterMs: 0,
      booksAfterMs: 0,
      spent: new Map(),
      leases: [],
      keys: new Map(),
    }
    await ledger.rebuild(begin)
    rebuildLedger(state, begin, 1)
    for (let step = 0; step < 1_000; step++) {
      const caller: Caller = { task: `t${random.pickIndex(3)}`, epoch: 'e', told: random.pickIndex(100) }
      if (random.chance(0.5)) {
        const operation = randomChange(random)
        const expected = applyToLedger(state, caller, operation, 2)
        expect(await ledger.apply(caller, operation), `step ${step}: ${JSON.stringify(operation)}`).toEqual(expected)
        continue
      }
      const bookings = Array.from({ length: random.between(1, 12) }, () => randomBooking(random))
      const expected = bookInLedger(state, caller, bookings, 2)
      expect(await ledger.book(caller, bookings), `step ${step}: ${JSON.stringify(bookings)}`).toEqual(expected)
    }
    for (const [name, account] of state.accounts) {
      const { leasedNanos: leased, lateNanos: late, excessNanos: excess, flaggedNanos: flagged, bookings } = account
      expect(await accountIn(redis, tenantId, name)).toEqual({
        ...{ spent: spentNanos(account), leased, late, excess, flagged, bookings },
      })
    }
    ledger.close()
  })
})
