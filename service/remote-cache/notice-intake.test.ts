import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { LIMITS } from '../limits.ts'
import type { BookOperation } from '../spend/ledger.ts'
import { EventOutbox } from './event-outbox.ts'
import type { EventStream, TenantEvent } from './event-stream.ts'
import { type ArrivedNotice, NoticeIntake } from './notice-intake.ts'
import { NoticeJournal } from './notice-journal.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bidcell-intake-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** A ledger and a stream that answer when they are let. */
class Bench {
  readonly booked: BookOperation[] = []
  readonly appended: TenantEvent[] = []
  readonly emptied: NoticeJournal[] = []
  readonly intake: NoticeIntake
  journaled = 0
  #isAway = false
  #waiting: (() => void)[] = []

  constructor(journal?: NoticeJournal) {
    this.intake = new NoticeIntake({
      task: 't',
      book: operation => this.#answer(() => this.booked.push(operation)),
      append: event => this.#answer(() => this.appended.push(event)),
      journal,
      onJournaled: () => this.journaled++,
      onEmptied: emptied => this.emptied.push(emptied),
      onJournalFailure: error => {
        throw error
      },
    })
  }

  away(): void {
    this.#isAway = true
  }

  back(): void {
    this.#isAway = false
    for (const answer of this.#waiting.splice(0)) answer()
  }

  async #answer(happens: () => void): Promise<void> {
    if (this.#isAway) await new Promise<void>(resolve => this.#waiting.push(resolve))
    happens()
  }
}

function arrived(key: string, change: Partial<ArrivedNotice> = {}): ArrivedNotice {
  const booking: BookOperation = {
    ...{ kind: 'book', key, lease: '', bucket: 0, accounts: ['a'], amountNanos: 7, rememberMs: 1_000 },
  }
  return { booking, event: { key: `${key}:billing`, kind: 'billing', atMs: 1, about: {} }, comesAgain: true, ...change }
}

describe('the intake of notices', () => {
  test('acknowledges what ledger and stream have, and tells them of it once', async () => {
    const bench = new Bench()
    expect(await Promise.all(Array.from({ length: 50 }, () => bench.intake.take(arrived('a'))))).toEqual(
      Array.from({ length: 50 }, () => true),
    )
    expect(await bench.intake.take(arrived('a'))).toBe(true)
    expect([bench.booked.length, bench.appended.length]).toEqual([1, 1])
  })

  test('keeps a journal of what they are slow to take, at once when they are known to be slow', async () => {
    const journal = await NoticeJournal.open(join(folder, 'slow'))
    const bench = new Bench(journal)
    bench.away()
    expect(await bench.intake.take(arrived('a'))).toBe(true)
    const startMs = performance.now()
    expect(await bench.intake.take(arrived('b'))).toBe(true)
    expect(await bench.intake.take(arrived('b'))).toBe(true)
    expect(performance.now() - startMs).toBeLessThan(LIMITS.ledgerAnswerMs)
    expect(journal.notices.map(({ key }) => key)).toEqual(['a:billing', 'b:billing'])
    expect(bench.journaled).toBe(2)
    bench.back()
    await bench.intake.drain()
    while (journal.count > 0) await sleep(5)
    expect([bench.booked.length, bench.intake.waitingCount]).toEqual([2, 0])
    await journal.close()
  })

  test('turns away what is too much, and a lost event leaves a gap in the numbers', async () => {
    const bench = new Bench()
    bench.away()
    const first = Array.from({ length: LIMITS.noticesUnderWayMax }, (_, i) => bench.intake.take(arrived(`k${i}`)))
    expect(await bench.intake.take(arrived('notice'))).toBe(false)
    expect(await bench.intake.take(arrived('event', { comesAgain: false, booking: undefined }))).toBe(false)
    bench.back()
    expect((await Promise.all(first)).every(isSafe => isSafe)).toBe(true)
    expect(await bench.intake.take(arrived('last'))).toBe(true)
    const numbers = bench.appended.map(({ number }) => number)
    expect(numbers.length).toBe(LIMITS.noticesUnderWayMax + 1)
    expect(numbers.includes(LIMITS.noticesUnderWayMax)).toBe(false)
    expect(numbers.at(-1)).toBe(LIMITS.noticesUnderWayMax + 1)
  })

  test('leaves half of its places to bills, however many events there are', async () => {
    const bench = new Bench()
    bench.away()
    const event = { comesAgain: false, booking: undefined }
    const events = Array.from({ length: LIMITS.noticesUnderWayMax }, (_, i) =>
      bench.intake.take(arrived(`e${i}`, event)),
    )
    const bills = Array.from({ length: LIMITS.noticesUnderWayMax / 2 }, (_, i) => bench.intake.take(arrived(`b${i}`)))
    bench.back()
    expect((await Promise.all(events)).filter(isSafe => isSafe).length).toBe(LIMITS.noticesUnderWayMax / 2)
    expect((await Promise.all(bills)).every(isSafe => isSafe)).toBe(true)
  })

  test('has no more under way than it may, though a journal holds many times more', async () => {
    const many = LIMITS.noticesUnderWayMax * 2
    const path = join(folder, 'many')
    const earlier = await NoticeJournal.open(path)
    const event = { kind: 'billing', task: 'earlier', number: 0, atMs: 1, about: {} }
    const { booking } = arrived('a')
    await Promise.all(
      Array.from({ length: many }, (_, i) =>
        earlier.keep({ key: `k${i}`, booking, event: { ...event, key: `k${i}` } }),
      ),
    )
    const bench = new Bench()
    bench.away()
    bench.intake.adopt(earlier)
    expect(bench.intake.waitingCount).toBe(many)
    // Half of the places are for notices that come now.
    const now = bench.intake.take(arrived('now'))
    bench.back()
    expect(await now).toBe(true)
    while (bench.emptied.length === 0) await sleep(5)
    expect([bench.booked.length, earlier.count, bench.intake.waitingCount]).toEqual([many + 1, 0, 0])
    await earlier.close()
  })

  test('goes on for hours: a journal takes what is beyond its places', async () => {
    const journal = await NoticeJournal.open(join(folder, 'hours'))
    const bench = new Bench(journal)
    bench.away()
    const count = LIMITS.noticesUnderWayMax + 500
    const taken = await Promise.all(Array.from({ length: count }, (_, i) => bench.intake.take(arrived(`k${i}`))))
    expect(taken.every(isSafe => isSafe)).toBe(true)
    expect(journal.count).toBe(count)
    bench.back()
    while (bench.intake.waitingCount > 0 || journal.count > 0) await sleep(5)
    expect(bench.booked.length).toBe(count)
    expect(new Set(bench.appended.map(({ number }) => number)).size).toBe(count)
    await journal.close()
  })
})

test('the outbox appends in order, again and again until it is there, in pieces', async () => {
  const appended: number[] = []
  let failures = 0
  let isBroken = true
  const stream: EventStream = {
    append: async events => {
      expect(events.length).toBeLessThanOrEqual(LIMITS.eventsPerAppendMax)
      if (isBroken) throw new Error('away')
      appended.push(...events.map(({ number }) => number))
    },
    close: async () => {},
  }
  const outbox = new EventOutbox({ stream, onAppended: () => {}, onFailure: () => failures++ })
  const event = { key: 'k', kind: 'win', task: 't', atMs: 1, about: {} }
  const added = Array.from({ length: 1_200 }, (_, number) => outbox.add({ ...event, number }))
  await sleep(20)
  expect([failures, appended.length]).toEqual([1, 0])
  isBroken = false
  await Promise.all(added)
  expect(appended).toEqual(Array.from({ length: 1_200 }, (_, i) => i))
  await outbox.close()
})
