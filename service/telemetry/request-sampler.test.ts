import { describe, expect, test } from 'vitest'
import { Tally } from '../estimates.ts'
import { Random } from '../foundation/random.ts'
import { LIMITS } from '../limits.ts'
import { createRecorderBlock, Recorder } from './recorder.ts'
import { type RequestSample, RequestSampler } from './request-sampler.ts'

const SEED = Number(process.env.SEED ?? 20_261_121)
const TOLD = { exchange: 'adx', request: '{}', answer: '' }

/** Plays seconds of so many requests each. @returns the samples */
function play(seed: number, seconds: readonly number[]): readonly RequestSample[] {
  const samples: RequestSample[] = []
  const random = new Random(seed)
  const sampler = new RequestSampler({
    recorder: new Recorder(createRecorderBlock()),
    post: sample => samples.push(sample),
    takeBidders: () => [],
    unit: () => random.unit(),
    nowMs: () => 0,
  })
  for (const requests of seconds) {
    for (let i = 0; i < requests; i++) if (sampler.begins()) sampler.end(TOLD)
    sampler.turn()
  }
  return samples
}

describe(`a sampler of requests (seed ${SEED})`, () => {
  test('takes every request where there are few, each for itself', () => {
    const samples = play(SEED, [1, 2, 1, 0, 2])
    expect(samples.map(({ weight }) => weight)).toEqual([1, 1, 1, 1, 1, 1])
  })

  test('tells a few samples a second of very many requests, also of the first second of a burst', () => {
    const seconds = [0, ...new Array<number>(20).fill(5_000)]
    const samples = play(SEED, seconds)
    expect(samples.length).toBeLessThan(seconds.length * LIMITS.samplesPerSecondMax * 2 + 20)
    expect(samples.length).toBeGreaterThan(seconds.length)
  })

  test('gives weights whose sums are right on average, and within the error that is told', () => {
    let sum = 0
    let within = 0
    const rounds = 200
    const seconds = [3, 900, 40, 0, 2_000, 2_000, 5, 700, 700, 700]
    const requests = seconds.reduce((a, b) => a + b)
    for (let round = 0; round < rounds; round++) {
      const tally = new Tally()
      for (const { weight } of play(SEED + round, seconds)) tally.add(weight)
      const { value, error } = tally.estimate
      sum += value / rounds
      if (Math.abs(value - requests) <= error) within++
    }
    // With so few samples the interval holds less than 95 %: its width is estimated, too.
    expect(sum).toBeGreaterThan(requests * 0.85)
    expect(sum).toBeLessThan(requests * 1.15)
    expect(within).toBeGreaterThan(rounds * 0.7)
  })

  test('leaves out what is too large to be told', () => {
    const samples: RequestSample[] = []
    const random = new Random(SEED)
    const sampler = new RequestSampler({
      ...{ recorder: new Recorder(createRecorderBlock()), post: (sample: RequestSample) => samples.push(sample) },
      ...{ takeBidders: () => [], unit: () => random.unit(), nowMs: () => 0 },
    })
    sampler.begins()
    sampler.end({ ...TOLD, request: 'x'.repeat(LIMITS.sampleCharsMax + 1) })
    expect(samples).toEqual([])
  })
})
