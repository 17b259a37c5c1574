import { describe, expect, test } from 'vitest'
import { LIMITS } from '../limits.ts'
import { CONTROL_THREAD, createHeartbeats, Heartbeats } from './heartbeats.ts'

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
