import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  ALL_BUCKETS,
  type BookOperation,
  type Done,
  type LeaseChange,
  type Ledger,
  type Operation,
  type Refused,
} from '../spend/ledger.ts'

/** One kind of ledger under test. */
export interface LedgerHarness {
  readonly ledger: Ledger
  /** What `account` has in the ledger's memory, in nanos. */
  account(name: string): Promise<{ spent: number; leased: number; late: number; excess: number }>
  close(): Promise<void>
}

const ACCOUNTS = ['li:1:total', 'c:1:total']

/** What every ledger promises. */
export function describeLedger(name: string, makeHarness: () => Promise<LedgerHarness>): void {
  describe(`${name} keeps the contract of a ledger`, () => {
    let harness: LedgerHarness
    let epoch = ''
    let names = 0

    beforeAll(async () => {
      harness = await makeHarness()
    })
    afterAll(() => harness.close())

    const apply = async (operation: Operation, told = 0): Promise<Done | Refused> => {
      const caller = { task: 'a', epoch, told }
      if (operation.kind !== 'book') return await harness.ledger.apply(caller, operation)
      const answers = await harness.ledger.book(caller, [operation])
      return 'kind' in answers ? answers : (answers[0] as Done)
    }
    const done = async (operation: Operation): Promise<Done> => {
      const answer = await apply(operation)
      if (answer.kind !== 'done') throw new Error(`refused: ${JSON.stringify(answer)}`)
      return answer
    }
    const leaseOf = (wantedNanos: number, limits: readonly number[], accounts = ACCOUNTS): LeaseChange => ({
      kind: 'lease',
      lease: `lease-${++names}`,
      accounts: accounts.map((account, i) => ({ account, limitNanos: limits[i] ?? Number.MAX_SAFE_INTEGER })),
      wantedNanos,
      leastNanos: 10,
      abandonedAfterMs: 60_000,
      again: false,
    })
    const settle = (lease: string, closedThrough: number, amountNanos: number, accounts = ACCOUNTS): Operation => {
      return { kind: 'settle', lease, accounts, closedThrough, amountNanos }
    }
    const book = (key: string, lease: string, bucket: number, amountNanos: number): BookOperation => {
      return { kind: 'book', key, lease, bucket, accounts: ACCOUNTS, amountNanos, rememberMs: 60_000 }
    }

    test('without an epoch it does nothing, and the first task begins one', async () => {
      expect(await apply(leaseOf(100, [1_000, 1_000]))).toEqual({ kind: 'lost', epoch: '' })
      const nothing = { spent: new Map(), leases: [], keys: new Map() }
      const first = await harness.ledger.rebuild({
        lostEpoch: '',
        newEpoch: 'e1',
        opensAfterMs: 0,
        booksAfterMs: 0,
        ...nothing,
      })
      const second = await harness.ledger.rebuild({
        lostEpoch: '',
        newEpoch: 'e2',
        opensAfterMs: 0,
        booksAfterMs: 0,
        ...nothing,
      })
      expect([first.epoch, second.epoch]).toEqual(['e1', 'e1'])
      epoch = 'e1'
      expect(await harness.account('li:1:total')).toMatchObject({ spent: 0, leased: 0, late: 0, excess: 0 })
    })

    test('a lease takes from every account, the narrowest decides, and asking again changes nothing', async () => {
      const lease = leaseOf(800, [1_000, 500])
      const answer = await done(lease)
      expect([answer.nanos, answer.leftNanos]).toEqual([500, 0])
      expect((await done(lease)).nanos).toBe(500)
      expect((await harness.account('c:1:total')).leased).toBe(500)
      expect((await done(leaseOf(800, [1_000, 500]))).nanos).toBe(0)
      expect((await done(settle(lease.lease, ALL_BUCKETS, 0))).nanos).toBe(0)
      expect((await done(settle(lease.lease, ALL_BUCKETS, 0))).nanos).toBe(-1)
      expect((await harness.account('c:1:total')).leased).toBe(0)
    })

    test('a grant that is less than the least is none', async () => {
      expect((await done(leaseOf(800, [9, 500]))).nanos).toBe(0)
      expect((await done(leaseOf(800, [10, 500]))).nanos).toBe(10)
    })

    test('a booking counts once, is covered by its lease, and is late once its bucket is closed', async () => {
      const [before, lease] = [await harness.account('c:1:total'), leaseOf(100, [10_000, 10_000])]
      await done(lease)
      expect((await done(book('k1', lease.lease, 1, 30))).nanos).toBe(0)
      expect((await done(book('k1', lease.lease, 1, 30))).nanos).toBe(-1)
      await done(book('k2', lease.lease, 2, 20))
      expect((await done(settle(lease.lease, 1, 100))).nanos).toBe(30)
      expect((await done(book('k3', lease.lease, 1, 25))).nanos).toBe(25)
      const { spent, leased, late } = await harness.account('c:1:total')
      expect([spent - before.spent, leased - before.leased, late - before.late]).toEqual([75, 50, 25])
      await done(settle(lease.lease, ALL_BUCKETS, 0))
      const { leased: after } = await harness.account('c:1:total')
      expect(after).toBe(before.leased)
    })

    test('bookings in one step are counted and answered one by one, with the totals after all', async () => {
      const [before, lease] = [await harness.account('c:1:total'), leaseOf(100, [10_000, 10_000])]
      const { count } = await done(lease)
      await done(settle(lease.lease, 1, 100))
      const bookings = [
        book('m1', lease.lease, 2, 60),
        book('m2', lease.lease, 3, 30),
        book('m1', lease.lease, 2, 60),
        book('m3', lease.lease, 1, 5),
        book('m4', lease.lease, 2, 30),
        { ...book('m5', '', 0, 1), accounts: ['c:1:total', 'other'] },
      ]
      const answers = await harness.ledger.book({ task: 'a', epoch, told: count + 1 }, bookings)
      if ('kind' in answers) throw new Error(`refused: ${JSON.stringify(answers)}`)
      expect(answers.map(({ nanos }) => nanos)).toEqual([0, 0, -1, 5, 20, 0])
      expect(answers.map(answer => answer.count - count)).toEqual([2, 3, 4, 5, 6, 7])
      const { spent, leased, late, excess } = await harness.account('c:1:total')
      expect([spent - before.spent, leased - before.leased]).toEqual([126, 0])
      expect([late - before.late, excess - before.excess]).toEqual([5, 20])
      expect(answers.map(({ spentNanos }) => spentNanos.at(-1))).toEqual([spent, spent, spent, spent, spent, 1])
      expect((await done(settle(lease.lease, 2, 100))).nanos).toBe(90)
      const { count: now } = await done(settle(lease.lease, ALL_BUCKETS, 0))
      const [known] = bookings as [BookOperation]
      const behind = await harness.ledger.book({ task: 'a', epoch, told: now + 1 }, [known, book('m6', '', 1, 9)])
      expect(behind).toEqual({ kind: 'behind', count: now })
      expect((await harness.account('li:1:total')).spent).toBe((await done(book('m1', '', 1, 1))).spentNanos[0])
    })

    test('what is booked in time beyond the lease is excess', async () => {
      const [before, lease] = [await harness.account('c:1:total'), leaseOf(100, [10_000, 10_000])]
      await done(lease)
      await done(book('x1', lease.lease, 1, 70))
      expect((await done(book('x2', lease.lease, 1, 70))).nanos).toBe(40)
      const { leased, excess } = await harness.account('c:1:total')
      expect([leased - before.leased, excess - before.excess]).toEqual([0, 40])
    })

    test('amounts up to the largest whole number are exact', async () => {
      const huge = Number.MAX_SAFE_INTEGER - 2
      const lease = leaseOf(huge, [huge + 1], ['huge'])
      expect((await done(lease)).nanos).toBe(huge)
      expect((await harness.account('huge')).leased).toBe(huge)
      const answer = await done({ ...book('h', lease.lease, 1, huge), accounts: ['huge'] } as Operation)
      expect(answer.spentNanos).toEqual([huge])
    })

    test('an abandoned lease is named to whoever leases next', async () => {
      const lease = { ...leaseOf(10, [], ['z']), abandonedAfterMs: 0 } as Operation
      await done(lease)
      expect((await done(leaseOf(10, [], ['z']))).abandoned).toEqual([{ lease: lease.lease, accounts: ['z'] }])
      await done(settle(lease.lease, ALL_BUCKETS, 0, ['z']))
      expect((await done(leaseOf(10, [], ['z']))).abandoned).toEqual([])
    })

    test('a hello tells which others lease, and who has vouched for the ledger', async () => {
      const says = async (task: string, is: 'vouching' | 'waiting' | 'leaving') => {
        const operation = { kind: 'hello', lease: '', accounts: [], is } as const
        const answer = await harness.ledger.apply({ task, epoch, told: 0 }, operation)
        return answer.kind === 'done' ? answer.heard : answer
      }
      const first = await says('new', 'waiting')
      expect(first).toMatchObject({ leasing: 1 })
      const { vouches } = first as { vouches: number }
      expect(await says('a', 'waiting')).toEqual({ vouches, leasing: 0 })
      expect(await says('a', 'vouching')).toEqual({ vouches: vouches + 1, leasing: 0 })
      expect(await says('new', 'waiting')).toEqual({ vouches: vouches + 1, leasing: 1 })
      expect(await says('a', 'leaving')).toEqual({ vouches: vouches + 1, leasing: 0 })
      expect(await says('a', 'vouching')).toEqual({ vouches: vouches + 2, leasing: 0 })
      expect(await says('new', 'waiting')).toEqual({ vouches: vouches + 2, leasing: 0 })
      await done(leaseOf(10, [1_000_000, 1_000_000]))
      expect(await says('new', 'leaving')).toEqual({ vouches: vouches + 2, leasing: 1 })
    })

    test('a task that knows more of its operations than the ledger is told how many it remembers', async () => {
      const { count } = await done(leaseOf(1, [1, 1]))
      expect(await apply(leaseOf(1, [1, 1]), count + 1)).toEqual({ kind: 'behind', count })
      expect(await apply(leaseOf(1, [1, 1]), count)).toMatchObject({ kind: 'done', count: count + 1 })
    })

    test('a lost epoch is rebuilt from witnesses, whose totals and keys count once', async () => {
      const before = (await harness.account('li:1:total')).spent
      const witness = {
        lostEpoch: 'e1',
        newEpoch: 'e3',
        opensAfterMs: 0,
        booksAfterMs: 0,
        spent: new Map([['li:1:total', before + 1_000]]),
        leases: [
          { lease: 'held', accounts: ACCOUNTS, heldNanos: 77, closedThrough: 3, abandonedAfterMs: 60_000 },
          { lease: 'none', accounts: ACCOUNTS, heldNanos: 0, closedThrough: 3, abandonedAfterMs: 60_000 },
        ],
        keys: new Map([['seen', 60_000]]),
      }
      const { leased } = await harness.account('li:1:total')
      expect((await harness.ledger.rebuild(witness)).epoch).toBe('e3')
      expect(await apply(book('k9', '', 1, 1))).toEqual({ kind: 'lost', epoch: 'e3' })
      epoch = 'e3'
      await done(book('new', '', 1, 5))
      await harness.ledger.rebuild(witness)
      expect((await done(book('seen', '', 1, 5))).nanos).toBe(-1)
      const after = await harness.account('li:1:total')
      expect([after.spent, after.leased]).toEqual([before + 1_005, leased + 77])
      expect((await done(book('held-1', 'held', 3, 7))).nanos).toBe(7)
      expect((await done(book('held-2', 'held', 4, 7))).nanos).toBe(0)
    })

    test('while it is rebuilt it takes witnesses and nothing else', async () => {
      const nothing = { spent: new Map(), leases: [], keys: new Map() }
      const late = { opensAfterMs: 60_000, booksAfterMs: 60_000 }
      await harness.ledger.rebuild({ lostEpoch: 'e3', newEpoch: 'e4', ...late, ...nothing })
      epoch = 'e4'
      expect((await apply(book('k', '', 1, 1))).kind).toBe('rebuilding')
    })

    test('once witnesses had time it takes bookings, and leases when all holds are over', async () => {
      const nothing = { spent: new Map(), leases: [], keys: new Map() }
      const soon = { opensAfterMs: 60_000, booksAfterMs: 0 }
      await harness.ledger.rebuild({ lostEpoch: 'e4', newEpoch: 'e5', ...soon, ...nothing })
      epoch = 'e5'
      const { spent } = await harness.account('li:1:total')
      expect(await done(book('soon', '', 1, 3))).toMatchObject({ nanos: 0, spentNanos: [spent + 3, expect.anything()] })
      expect((await apply(leaseOf(100, [1_000_000, 1_000_000]))).kind).toBe('rebuilding')
      expect((await apply(settle('held', 4, 100))).kind).toBe('rebuilding')
    })
  })
}
