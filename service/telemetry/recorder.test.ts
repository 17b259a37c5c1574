import { Worker } from 'node:worker_threads'
import { describe, expect, test } from 'vitest'
import { NO_BID_REASON_NAMES } from '../decision/reasons.ts'
import { Random } from '../foundation/random.ts'
import { THREAD_GAUGE } from './gauges.ts'
import {
  BUCKET_COUNT,
  bucketStartNs,
  createRecorderBlock,
  difference,
  percentile,
  Recorder,
  snapshot,
} from './recorder.ts'
import { COUNTER, COUNTER_SLOTS, cloudName, HISTOGRAM, noBidCounter, responseCounter, shedCounter } from './signals.ts'

const seed = Number(process.env.SEED ?? Date.now() & 0x7fffffff)

function shot(blocks: readonly SharedArrayBuffer[]) {
  return snapshot({ blocks, gauges: {}, takenAtMs: 0 })
}

describe('signals', () => {
  test('every column has a name of its own in CloudWatch', () => {
    const names = COUNTER_SLOTS.map(slot => cloudName(slot.signal, slot.labelValue))
    expect(new Set(names).size).toBe(names.length)
    for (const name of names) expect(name).toMatch(/^[A-Z][A-Za-z0-9]+$/)
  })

  test('a reason, a status and a cause find their columns', () => {
    NO_BID_REASON_NAMES.forEach((reason, index) => {
      expect(COUNTER_SLOTS[noBidCounter(index)]).toMatchObject({ key: 'noBids', labelValue: reason })
    })
    expect(COUNTER_SLOTS[responseCounter(204)]?.labelValue).toBe('204')
    expect(COUNTER_SLOTS[responseCounter(418)]?.labelValue).toBe('other')
    expect(COUNTER_SLOTS[responseCounter(9_999)]?.labelValue).toBe('other')
    expect(COUNTER_SLOTS[shedCounter('overload')]).toMatchObject({ key: 'shed', labelValue: 'overload' })
  })
})

describe('recorder', () => {
  test('a snapshot is the sum of all threads, and a difference is what happened between', () => {
    const blocks = [createRecorderBlock(), createRecorderBlock()] as const
    const [control, bid] = [new Recorder(blocks[0]), new Recorder(blocks[1])]
    control.count(COUNTER.stateLoads)
    bid.count(COUNTER.bids)
    bid.set(THREAD_GAUGE.loopUtilization, 0.5)
    const first = shot(blocks)
    bid.add(COUNTER.bids, 4)
    control.count(COUNTER.bids)
    bid.time(HISTOGRAM.requestTime, 1_000_000)
    const second = shot(blocks)
    expect(first.counters[COUNTER.bids]).toBe(1)
    expect(second.counters[COUNTER.bids]).toBe(6)
    expect(second.threads.map(({ thread, values }) => [thread, values.loopUtilization])).toEqual([
      ['control', 0],
      ['bid-1', 0.5],
    ])
    const between = difference(second, first)
    expect(between.counters[COUNTER.bids]).toBe(5)
    expect(between.counters[COUNTER.stateLoads]).toBe(0)
    expect(between.histograms[HISTOGRAM.requestTime]).toMatchObject({ count: 1, sumNs: 1_000_000 })
  })

  test('buckets are without gaps and grow', () => {
    for (let bucket = 0; bucket < BUCKET_COUNT; bucket++) {
      expect(bucketStartNs(bucket + 1)).toBeGreaterThan(bucketStartNs(bucket))
      const block = createRecorderBlock()
      const recorder = new Recorder(block)
      recorder.time(HISTOGRAM.decideTime, bucketStartNs(bucket))
      recorder.time(HISTOGRAM.decideTime, bucketStartNs(bucket + 1) - 1)
      expect(shot([block]).histograms[HISTOGRAM.decideTime]?.buckets[bucket]).toBe(2)
    }
    expect(bucketStartNs(BUCKET_COUNT)).toBeGreaterThan(60e9)
  })

  test(`percentiles are within 3.2 % of the exact ones (seed ${seed})`, () => {
    const random = new Random(seed)
    for (let round = 0; round < 50; round++) {
      const block = createRecorderBlock()
      const recorder = new Recorder(block)
      const spread = 1 + random.unit() * 17
      const values = Array.from({ length: random.between(1, 2_000) }, () => 1_000 * Math.exp(random.unit() * spread))
      for (const ns of values) recorder.time(HISTOGRAM.requestTime, ns)
      values.sort((a, b) => a - b)
      const histogram = shot([block]).histograms[HISTOGRAM.requestTime]!
      for (const share of [0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 1]) {
        const exact = values[Math.ceil(share * values.length) - 1]!
        const found = percentile(histogram, share)!
        expect(Math.abs(found - exact) / exact, `seed ${seed} share ${share} exact ${exact}`).toBeLessThanOrEqual(0.032)
      }
    }
  })

  test('values that are no durations do no harm', () => {
    const block = createRecorderBlock()
    const recorder = new Recorder(block)
    for (const ns of [-1, Number.NaN, 0, 31]) recorder.time(HISTOGRAM.requestTime, ns)
    recorder.time(HISTOGRAM.requestTime, Number.POSITIVE_INFINITY)
    recorder.time(HISTOGRAM.requestTime, 1e15)
    const histogram = shot([block]).histograms[HISTOGRAM.requestTime]!
    expect(histogram.count).toBe(6)
    expect(histogram.buckets[0]).toBe(4)
    expect(histogram.buckets[BUCKET_COUNT - 1]).toBe(2)
    expect(percentile(shot([createRecorderBlock()]).histograms[0]!, 0.5)).toBeUndefined()
  })

  test('nothing is lost while several threads count at once', async () => {
    const blocks = [createRecorderBlock(), createRecorderBlock(), createRecorderBlock()]
    const source = `
      import { workerData } from 'node:worker_threads'
      const { Recorder } = await import(workerData.recorder)
      const recorder = new Recorder(workerData.block)
      for (let i = 0; i < 200000; i++) { recorder.count(workerData.bids); recorder.time(0, i * 10) }`
    const recorder = new URL('./recorder.ts', import.meta.url).href
    const address = new URL(`data:text/javascript,${encodeURIComponent(source)}`)
    const ends = blocks.map(block => {
      const worker = new Worker(address, { workerData: { recorder, block, bids: COUNTER.bids } })
      return new Promise<void>((resolve, reject) => worker.once('exit', () => resolve()).once('error', reject))
    })
    await Promise.all(ends)
    const total = shot(blocks)
    expect(total.counters[COUNTER.bids]).toBe(600_000)
    expect(total.histograms[0]?.count).toBe(600_000)
  })
})
