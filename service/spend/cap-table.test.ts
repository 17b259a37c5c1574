import { Worker } from 'node:worker_threads'
import { describe, expect, test } from 'vitest'
import { Random } from '../foundation/random.ts'
import { CAP_EVENT, CapLog, countEvents, countedOf, countedText } from './cap-log.ts'
import { CAP_PARTS, type CapKey, CapTable, createCapMemory, expiryUnits } from './cap-table.ts'

const SEED = Number(process.env.SEED ?? 20_261_121)
const NOW_S = Date.parse('2026-11-21T12:00:00Z') / 1_000
const MANY = { impressions: 200, gapS: 0 }
const DAY = 1_440

const keyOf = (random: Random, minutes: number): CapKey => ({
  high: random.next(),
  low: ((random.next() & 0xfff00000) | minutes) >>> 0,
})
const table = () => new CapTable(createCapMemory(1024 * 1024))

describe('the table of counts', () => {
  test('lets as many impressions pass as the cap says, and none for the whole of its time after that', () => {
    const random = new Random(SEED)
    for (const minutes of [1, 60, DAY, 30 * DAY, 0]) {
      const counts = table()
      const key = keyOf(random, minutes)
      const terms = { impressions: 3, gapS: 0 }
      for (let i = 0; i < 3; i++) {
        expect(counts.take(key, terms, NOW_S + i, expiryUnits(NOW_S + 60))).toBe(true)
        counts.show(key, expiryUnits(NOW_S + 60), NOW_S + i, NOW_S + i)
      }
      const windowS = minutes * 60
      for (const laterS of [3, windowS * 0.5, windowS * 0.99])
        expect(counts.allows(key, terms, NOW_S + Math.floor(laterS)), `${minutes} ${laterS}`).toBe(false)
      const overS = NOW_S + 4 + Math.ceil(windowS * (1 + 1 / 23)) + 24
      expect(counts.allows(key, terms, overS), `${minutes}`).toBe(minutes !== 0)
    }
  })

  test('counts what a naive list of impressions counts, never less and only by a 23rd of the time more', () => {
    for (let round = 0; round < 60; round++) {
      const random = new Random(SEED + round)
      const minutes = random.pick([1, 7, 60, DAY, 0])
      const [counts, key] = [table(), keyOf(random, minutes)]
      const windowS = minutes === 0 ? Number.POSITIVE_INFINITY : minutes * 60
      const shown: number[] = []
      let nowS = NOW_S
      for (let step = 0; step < 200; step++) {
        nowS += random.pickIndex(Math.min(windowS, DAY * 60) / 4)
        if (random.chance(0.6)) {
          counts.show(key, 0, nowS, nowS)
          shown.push(nowS)
        }
        const least = Math.min(255, shown.filter(atS => atS > nowS - windowS).length)
        const most = shown.filter(atS => atS >= nowS - windowS * (24 / 23) - 24).length
        const count = counts.countOf(key, nowS)
        expect(count, `SEED=${SEED} round=${round} step=${step}`).toBeGreaterThanOrEqual(least)
        expect(count, `SEED=${SEED} round=${round} step=${step}`).toBeLessThanOrEqual(most)
      }
    }
  })

  test('counts a bid until it expires, is lost or is seen, and is exact about which', () => {
    for (let round = 0; round < 100; round++) {
      const random = new Random(SEED + round)
      const [counts, key] = [table(), keyOf(random, 0)]
      let open: number[] = []
      let shown = 0
      let nowS = NOW_S
      for (let step = 0; step < 100; step++) {
        nowS += random.pickIndex(20)
        open = open.filter(expiresS => Math.floor(nowS / 4) < Math.ceil(expiresS / 4))
        if (random.chance(0.4) && new Set(open).size < 4) {
          const expiresS = nowS + 60
          counts.pend(key, expiryUnits(expiresS), nowS)
          open.push(expiresS)
        } else if (open.length > 0) {
          const [expiresS] = open.splice(random.pickIndex(open.length), 1) as [number]
          const isSeen = random.chance(0.5)
          if (isSeen) counts.show(key, expiryUnits(expiresS), nowS, nowS)
          else counts.release(key, expiryUnits(expiresS), nowS)
          if (isSeen) shown++
        }
        expect(counts.countOf(key, nowS), `SEED=${SEED} round=${round} step=${step}`).toBe(open.length + shown)
      }
    }
  })

  test('keeps the gap after an impression, and while a bid may still be seen', () => {
    const [counts, key] = [table(), keyOf(new Random(SEED), DAY)]
    const terms = { impressions: 10, gapS: 300 }
    expect(counts.take(key, terms, NOW_S, expiryUnits(NOW_S + 60))).toBe(true)
    expect(counts.allows(key, terms, NOW_S + 30)).toBe(false)
    expect(counts.allows(key, terms, NOW_S + 64)).toBe(true)
    counts.show(key, expiryUnits(NOW_S + 60), NOW_S + 90, NOW_S + 90)
    expect(counts.allows(key, terms, NOW_S + 389)).toBe(false)
    expect(counts.allows(key, terms, NOW_S + 390)).toBe(true)
  })

  test('gives up what was used least recently when it is full, and says how often', () => {
    const random = new Random(SEED)
    const counts = new CapTable(createCapMemory(64 * 1024))
    const keys = Array.from({ length: 4_000 }, () => keyOf(random, DAY))
    for (const [i, key] of keys.entries()) counts.show(key, 0, NOW_S + i, NOW_S + i)
    const kept = keys.filter(key => counts.countOf(key, NOW_S + 4_000) === 1)
    expect(kept.length).toBe(1_024)
    expect(counts.evictions).toBe(4_000 - 1_024)
    expect(kept.filter(key => keys.indexOf(key) >= 2_000).length).toBeGreaterThan(1_000)
    // What counts nothing any more makes room first.
    const later = NOW_S + 3 * DAY * 60
    for (let i = 0; i < 100; i++) counts.show(keyOf(random, DAY), 0, later, later)
    expect(counts.evictions).toBe(4_000 - 1_024)
  })

  test('comes back from what is saved of it, in a table of another size', () => {
    const random = new Random(SEED)
    const counts = table()
    const keys = Array.from({ length: 500 }, () => keyOf(random, random.pick([1, 60, DAY, 0])))
    for (const key of keys)
      for (let i = random.pickIndex(4); i >= 0; i--) counts.show(key, 0, NOW_S - random.pickIndex(100), NOW_S)
    counts.pend(keys[0] as CapKey, expiryUnits(NOW_S + 100), NOW_S)
    const other = new CapTable(createCapMemory(512 * 1024))
    for (let part = 0; part < CAP_PARTS; part++) other.mergeSaved(counts.savedPart(part, NOW_S), NOW_S)
    for (const key of keys) expect(other.countOf(key, NOW_S)).toBe(counts.countOf(key, NOW_S))
  })

  test('lets one of several threads pass a cap of one at a time', { timeout: 60_000 }, async () => {
    const { taken, together } = await race(TABLE.href)
    expect(taken).toBeGreaterThan(1_000)
    // A thread that is suspended with a lock is not waited for.
    expect(together / taken, `${together} of ${taken}`).toBeLessThanOrEqual(PART_TOGETHER)
  })

  test('waits for whoever has the lock of a count, and sees what that one has counted', () => {
    const memory = createCapMemory(64 * 1024)
    const [ours, theirs] = [new CapTable(memory), new CapTable(memory)]
    const key = keyOf(new Random(SEED), DAY)
    const real = Atomics.compareExchange
    const goOn = (): boolean => Reflect.set(Atomics, 'compareExchange', real)
    let waited = 0
    // A thread switch at a place that we choose: another one has the lock until we have asked three times.
    Reflect.set(Atomics, 'compareExchange', (words: Int32Array, at: number, expected: number, value: number) => {
      if (++waited < 3) return 1
      goOn()
      expect(theirs.take(key, { impressions: 1, gapS: 0 }, NOW_S, 5)).toBe(true)
      return real(words, at, expected, value)
    })
    try {
      expect(ours.take(key, { impressions: 1, gapS: 0 }, NOW_S, 5)).toBe(false)
    } finally {
      goOn()
    }
    expect(waited).toBe(3)
    expect(ours.countOf(key, NOW_S)).toBe(1)
  })
})

const TABLE = new URL('./cap-table.ts', import.meta.url)
/** Of all that pass, so many may find another thread inside, however busy the machine is: none of 330,000 did. */
const PART_TOGETHER = 0.1
const THREADS = 3

/** Threads that pass a cap of one and give back at once what they took. @returns how many passed, and not alone */
async function race(module: string): Promise<{ taken: number; together: number }> {
  const source = `
    const { parentPort, workerData } = require('node:worker_threads')
    import(workerData.module).then(({ CapTable }) => {
      const [table, words] = [new CapTable(workerData.memory), new Int32Array(workerData.words)]
      const [STARTED, KEY, INSIDE] = [0, 1, 2]
      Atomics.add(words, STARTED, 1)
      while (Atomics.load(words, STARTED) < ${THREADS}) {}
      let [taken, together] = [0, 0]
      for (let round = 0; round < 60_000; round++) {
        // What is miscounted must not hold up all the rest.
        if (workerData.thread === 0 && round % 500 === 0) Atomics.add(words, KEY, 1)
        const number = Atomics.load(words, KEY)
        const key = { high: number, low: (number << 20) >>> 0 }
        if (!table.take(key, { impressions: 1, gapS: 0 }, ${NOW_S}, 5)) continue
        taken++
        if (Atomics.add(words, INSIDE + number, 1) > 0) together++
        Atomics.sub(words, INSIDE + number, 1)
        table.release(key, 5, ${NOW_S})
      }
      parentPort.postMessage({ taken, together })
    })`
  const shared = { memory: createCapMemory(1024 * 1024), words: new SharedArrayBuffer(1_024), module }
  const told = await Promise.all(
    Array.from({ length: THREADS }, (_, thread) => {
      const worker = new Worker(source, { eval: true, workerData: { ...shared, thread } })
      return new Promise<{ taken: number; together: number }>((resolve, reject) =>
        worker.once('message', resolve).once('error', reject),
      )
    }),
  )
  const sum = (of: 'taken' | 'together') => told.reduce((total, each) => total + each[of], 0)
  return { taken: sum('taken'), together: sum('together') }
}

describe('what is told of counts', () => {
  test('makes the table of another task the same', () => {
    const random = new Random(SEED)
    const [own, other, log] = [table(), table(), new CapLog(1_000)]
    const keys = Array.from({ length: 40 }, () => keyOf(random, DAY))
    for (let step = 0; step < 300; step++) {
      const key = random.pick(keys)
      const expiry = expiryUnits(NOW_S + 60)
      const kind = random.pick([CAP_EVENT.bid, CAP_EVENT.shown, CAP_EVENT.lost])
      if (kind === CAP_EVENT.bid) own.take(key, MANY, NOW_S, expiry)
      else if (kind === CAP_EVENT.shown) own.show(key, expiry, NOW_S, NOW_S)
      else own.release(key, expiry, NOW_S)
      expect(log.push(kind, key, expiry, NOW_S)).toBe(true)
    }
    const half = log.first(150)
    log.drop(half.length)
    countEvents(other, half, NOW_S)
    countEvents(other, log.takeAll(), NOW_S)
    for (const key of keys) expect(other.countOf(key, NOW_S)).toBe(own.countOf(key, NOW_S))
  })

  test('comes back from the text of a token, and is nothing when the text is none', () => {
    const random = new Random(SEED)
    for (let count = 1; count <= 20; count++) {
      const keys = Array.from({ length: count }, () => keyOf(random, random.pickIndex(2 ** 20)))
      const text = countedText(expiryUnits(NOW_S), keys)
      expect(text).toMatch(/^[0-9a-z]+$/)
      expect(countedOf(text)).toEqual({ expiry: expiryUnits(NOW_S), keys })
      expect(countedOf(text.slice(1))).toBeUndefined()
    }
    for (const none of ['', '0', '000000', '000000-------0000000']) expect(countedOf(none)).toBeUndefined()
  })
})
