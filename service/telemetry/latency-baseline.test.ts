import { expect, test } from 'vitest'
import { LatencyBaseline } from './latency-baseline.ts'
import { createRecorderBlock, Recorder, snapshot } from './recorder.ts'
import { HISTOGRAM } from './signals.ts'

/** Minutes in each of which all requests took so long. */
function after(minutes: readonly { readonly ms: number; readonly requests?: number }[]) {
  const block = createRecorderBlock()
  const recorder = new Recorder(block)
  const baseline = new LatencyBaseline()
  for (const { ms, requests = 200 } of minutes) {
    for (let i = 0; i < requests; i++) recorder.time(HISTOGRAM.requestTime, ms * 1e6)
    baseline.look(snapshot({ blocks: [block], gauges: {}, takenAtMs: 0 }))
  }
  return baseline.gauges
}

const steady = Array.from({ length: 30 }, () => ({ ms: 2 }))
const slow = (count: number, ms = 5) => Array.from({ length: count }, () => ({ ms }))

test('the baseline of response times is unknown before a minute with traffic', () => {
  expect(after([])).toEqual({})
  expect(after([{ ms: 2, requests: 99 }])).toEqual({})
  expect(after([{ ms: 2 }]).requestTimeBaseline).toBeCloseTo(2, 0)
})

test('five minutes at 2.5 times of it are above twice the baseline to the end', () => {
  const { requestTimeP95 = 0, requestTimeBaseline = 0 } = after([...steady, ...slow(5)])
  expect(requestTimeP95 / requestTimeBaseline).toBeGreaterThan(2)
})

test('an incident of any height moves it slowly, and what stays becomes the norm', () => {
  expect(after([...steady, ...slow(5, 10_000)]).requestTimeBaseline).toBeLessThan(2.3)
  const { requestTimeP95 = 0, requestTimeBaseline = 0 } = after([...steady, ...slow(240, 5)])
  expect(requestTimeP95 / requestTimeBaseline).toBeLessThan(1.1)
})

test('a quiet minute changes nothing', () => {
  expect(after([...steady, { ms: 900, requests: 3 }])).toEqual(after(steady))
})
