import { describe, expect, test } from 'vitest'
import { EventTail, NOTHING_SEEN } from './event-tail.ts'
import { LIMITS } from './limits.ts'

const line = (code: string, more: object = {}) =>
  JSON.stringify({ level: 'info', time: '2026-11-21T12:00:00.000Z', tenant_id: 'acme', code, msg: 'a line', ...more })

function changed(deltas: number, version = 'v1') {
  const announcement = { number: 7, version, deltas: { length: deltas, digest: '' } }
  return { kind: 'deltas-taken', announcement, deltas: 1, chars: 9, problems: [], fetchMs: 1, buildMs: 1 } as const
}

describe('the tail of what happened', () => {
  test('tells what is new since somebody looked, and no more than it keeps', () => {
    const tail = new EventTail()
    for (let i = 0; i < LIMITS.tailLinesKept + 5; i++) tail.takeLine(line(`code-${i}`))
    const { counts, log } = tail.since(NOTHING_SEEN)
    expect(log).toHaveLength(LIMITS.tailLinesKept)
    expect(log[0]).toMatchObject({ code: 'code-5', msg: 'a line', fields: {} })
    tail.takeLine(line('newest', { used_percent: 71 }))
    expect(tail.since(counts).log).toEqual([
      { time: '2026-11-21T12:00:00.000Z', level: 'info', code: 'newest', msg: 'a line', fields: { used_percent: 71 } },
    ])
    expect(tail.since(tail.counts)).toMatchObject({ log: [], notices: [], versions: [] })
  })

  test('cuts a long line, and leaves out that somebody looks', () => {
    const tail = new EventTail()
    tail.takeLine(line('internal-error', { stack: 'x'.repeat(10_000) }))
    tail.takeLine(line('audit', { action: 'admin-access', actor: 'loopback' }))
    const { log } = tail.since(NOTHING_SEEN)
    expect(log.map(({ code }) => code)).toEqual(['internal-error'])
    expect(JSON.stringify(log).length).toBeLessThan(LIMITS.tailLineBytesMax)
  })

  test('makes one row of changes that follow each other on one version', () => {
    const tail = new EventTail()
    for (const deltas of [1, 2, 3]) tail.takeState(changed(deltas), deltas)
    tail.takeState({ kind: 'cache-back', awayMs: 5 }, 4)
    tail.takeState({ ...changed(0), kind: 'version-refused', code: 'build-failed', message: 'no' }, 5)
    tail.takeState(changed(1, 'v2'), 6)
    expect(tail.since(NOTHING_SEEN).versions.map(({ atMs, outcome, deltas }) => [atMs, outcome, deltas])).toEqual([
      [3, 'changed', 3],
      [5, 'refused', 0],
      [6, 'changed', 1],
    ])
  })
})
