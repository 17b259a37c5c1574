import { describe, expect, test } from 'vitest'
import type { Goodput, GoodputStep } from './goodput.ts'
import { Histogram } from './histogram.ts'
import { type OverloadFound, overloadReport, PLAYED } from './overload-report.ts'

const CAPACITY_PER_S = 1_000
const STEP_S = 3
/** Of a tenth of a second. */
const SLICES_PER_STEP = 30
const STEPS_PER_ROUND = 6

/** A machine of a speed in each step: what was sent got bids in time, as far as that goes. */
function played(speedOf: (step: number, factor: number) => number, latencyMs = 20): Goodput<Histogram> {
  const steps = PLAYED.map((factor, step): GoodputStep<Histogram> => {
    const planned = CAPACITY_PER_S * factor * STEP_S
    const bidsInTime = Math.min(planned, speedOf(step, factor) * STEP_S)
    const bidLatencyUs = new Histogram()
    for (let i = 0; i < 100; i++) bidLatencyUs.record(latencyMs * 1e3)
    return { planned, answered: planned, bidsInTime, bidsLate: 0, bidLatencyUs, cpuShare: 0.3 }
  })
  const slices = steps.flatMap(({ planned, bidsInTime }) =>
    Array.from({ length: SLICES_PER_STEP }, () => bidsInTime / planned),
  )
  return { steps, slices }
}

function judged(goodput: Goodput<Histogram>, changes: Partial<OverloadFound['run']> = {}) {
  const latencyUs = new Histogram()
  latencyUs.record(1)
  const findings = { bids: 1, noBids: 0, refusals: 0, judged: 1, brokenRules: {}, foreignAnswers: 0, examples: [] }
  const run = {
    goodput,
    findings,
    latencyUs,
    series: [],
    statuses: {},
    errors: {},
    timeouts: 0,
    ...changes,
  }
  const health = { asked: 9, failed: 0, latencyUs }
  return overloadReport({ stepS: STEP_S }, { run, capacityPerS: CAPACITY_PER_S, health, shed: [], invalid: [] })
}

function missed(goodput: Goodput<Histogram>, changes?: Partial<OverloadFound['run']>): readonly string[] {
  return judged(goodput, changes).objectives.flatMap(({ name, held }) => (held ? [] : [name]))
}

describe('what an overload run shows', () => {
  test('holds when a service keeps its speed', () => {
    expect(missed(played(() => 1_000))).toEqual([])
  })

  test('a machine that slows in two rounds of five changes nothing, a service that slows at 5 times does', () => {
    const slowRounds = played((step, factor) => (step < 2 * STEPS_PER_ROUND && factor === 5 ? 400 : 1_000))
    expect(missed(slowRounds)).toEqual([])
    expect(judged(slowRounds).objectives[0]?.observed).toBe('100 % of 1000/s')
    expect(missed(played((_, factor) => (factor === 5 ? 790 : 1_000)))).toEqual([
      'bids in time at 5 times the capacity',
    ])
  })

  test('bids that come late at 5 times are seen', () => {
    expect(missed(played(() => 1_000, 101))).toEqual(['p99 of bids at 5 times the capacity'])
  })

  test('a burst that is remembered for over two seconds is seen, in any round', () => {
    for (const round of [1, 2, 3, 4, 5]) {
      const goodput = played(() => 1_000)
      const after = round * STEPS_PER_ROUND * SLICES_PER_STEP
      const badUntil = (end: number) => goodput.slices.map((share, i) => (i >= after && i < after + end ? 0 : share))
      expect(missed({ ...goodput, slices: badUntil(21) })).toEqual([])
      expect(missed({ ...goodput, slices: badUntil(22) })).toEqual(['recovery after each burst'])
    }
  })

  test('a burst whose backlog comes later is seen', () => {
    const goodput = played(() => 1_000)
    const after = STEPS_PER_ROUND * SLICES_PER_STEP
    const badFrom = (start: number) =>
      goodput.slices.map((share, i) => (i >= after + start && i < after + start + 5 ? 0 : share))
    expect(missed({ ...goodput, slices: badFrom(10) })).toEqual([])
    expect(missed({ ...goodput, slices: badFrom(20) })).toEqual(['recovery after each burst'])
  })

  test('a single bad slice, of which there are some before a burst, is no memory of it', () => {
    const goodput = played(() => 1_000)
    const slices = goodput.slices.map((share, i) => (i % 15 === 14 ? 0.5 : share))
    expect(missed({ ...goodput, slices })).toEqual([])
  })

  test('a lost request, a broken answer and a generator without time are seen', () => {
    const goodput = played(() => 1_000)
    expect(missed(goodput, { timeouts: 1 })).toEqual(['failed requests'])
    const findings = { bids: 1, noBids: 0, refusals: 0, judged: 1, foreignAnswers: 0, examples: [] }
    const broken = { ...findings, brokenRules: { 'json-body': 1 } }
    expect(missed(goodput, { findings: broken })).toEqual(['broken acceptance rules'])
    const steps = goodput.steps.map(step => ({ ...step, cpuShare: 0.61 }))
    expect(judged({ ...goodput, steps }).invalid[0]).toContain('the generator was busy 61 % of the time, allowed 60 %')
  })
})
