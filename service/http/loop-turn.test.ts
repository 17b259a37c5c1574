import { setTimeout as sleep, setImmediate as turnOver } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { LIMITS } from '../limits.ts'
import { LoopTurn } from './loop-turn.ts'

/** The processor is somewhere else. */
function stall(ms: number): void {
  const endMs = performance.now() + ms
  while (performance.now() < endMs);
}

/** A turn of requests. @returns whether the last one is too late */
async function longTurn(turn: LoopTurn): Promise<boolean> {
  turn.ageMs(performance.now())
  stall(LIMITS.bidTurnMsMax + 5)
  const isOver = turn.isOver(performance.now())
  await turnOver()
  return isOver
}

describe('a turn of the event loop', () => {
  test('may be long after rest, and not after a long one', async () => {
    const turn = new LoopTurn()
    expect(await longTurn(turn)).toBe(false)
    expect(await longTurn(turn)).toBe(true)
    expect(await longTurn(turn)).toBe(true)
    await sleep(20)
    expect(await longTurn(turn)).toBe(false)
  })

  test('had no rest where the thread had no processor', async () => {
    const turn = new LoopTurn()
    await longTurn(turn)
    stall(20)
    expect(await longTurn(turn)).toBe(true)
  })

  test('ends at its longest, rest or not', () => {
    const turn = new LoopTurn()
    turn.ageMs(performance.now())
    stall(LIMITS.bidBurstMsMax + 1)
    expect(turn.isOver(performance.now())).toBe(true)
  })
})
