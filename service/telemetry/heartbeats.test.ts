import { describe, expect, test } from 'vitest'
import { LIMITS } from '../limits.ts'
import { CONTROL_THREAD, createHeartbeats, Heartbeats, StuckWatch } from './heartbeats.ts'

const AGE_MS = LIMITS.heartbeatAgeMsMax

describe('heartbeats', () => {
  test.each([
    ['the control thread', CONTROL_THREAD],
    ['a bid thread', 2],
  ])('tell when the loop of %s no longer turns', (_who, stuck) => {
    const memory = createHeartbeats(2)
    const threads = [CONTROL_THREAD, 1, 2]
    for (const thread of threads) new Heartbeats(memory).beat(thread, 1_000)
    const seen = new Heartbeats(memory)
    expect(seen.areFresh(1_000 + AGE_MS)).toBe(true)
    for (const thread of threads) if (thread !== stuck) seen.beat(thread, 5_000)
    expect(seen.areFresh(1_000 + AGE_MS)).toBe(true)
    expect(seen.areFresh(1_001 + AGE_MS)).toBe(false)
    seen.beat(stuck, 1_001 + AGE_MS)
    expect(seen.areFresh(1_001 + AGE_MS)).toBe(true)
  })

  test('do not wait for a thread that has not begun, or has ended', () => {
    const beats = new Heartbeats(createHeartbeats(2))
    beats.beat(CONTROL_THREAD, 50_000)
    expect(beats.areFresh(50_000)).toBe(true)
    beats.beat(1, 1)
    expect(beats.areFresh(50_000)).toBe(false)
    beats.forget(1)
    expect(beats.areFresh(50_000)).toBe(true)
  })
})

describe('the watch for stuck threads', () => {
  const LOOKS = LIMITS.stuckBeatsMax
  const begun = () => {
    const beats = new Heartbeats(createHeartbeats(2))
    const watch = new StuckWatch(beats, 2)
    beats.beat(1, 1)
    beats.beat(2, 1)
    watch.look()
    return { beats, watch }
  }

  test('names a thread that stopped beating once, and another one not', () => {
    const { beats, watch } = begun()
    for (let look = 1; look < LOOKS; look++) {
      beats.beat(1, 1 + look)
      expect(watch.look()).toEqual([])
    }
    beats.beat(1, 1 + LOOKS)
    expect(watch.look()).toEqual([2])
    beats.beat(1, 2 + LOOKS)
    expect(watch.look()).toEqual([])
  })

  test('forgives whoever beats again in time', () => {
    const { beats, watch } = begun()
    for (let round = 1; round < 20; round++) {
      for (let look = 1; look < LOOKS; look++) expect(watch.look()).toEqual([])
      beats.beat(1, 1 + round)
      beats.beat(2, 1 + round)
      expect(watch.look()).toEqual([])
    }
  })

  test('takes no thread for stuck because the whole process was paused', () => {
    const { beats, watch } = begun()
    // An hour later the control thread looks before the others have had their turn.
    expect(watch.look()).toEqual([])
    beats.beat(1, 3_600_000)
    beats.beat(2, 3_600_000)
    for (let look = 0; look < LOOKS; look++) expect(watch.look()).toEqual([])
  })

  test('gives a thread that starts more time, and not for ever', () => {
    const watch = new StuckWatch(new Heartbeats(createHeartbeats(1)), 1)
    for (let look = 1; look < LIMITS.threadStartBeatsMax; look++) expect(watch.look()).toEqual([])
    expect(watch.look()).toEqual([1])
  })
})
