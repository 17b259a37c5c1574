import { describe, expect, test } from 'vitest'
import { Random } from '../foundation/random.ts'
import { ArenaPool, ArenaWriter, viewColumns } from './arena.ts'

const SEED = Number(process.env.SEED ?? 20_261_121)

describe('a slab', () => {
  test('gives zeroed columns that do not overlap, each at the start of a cache line', () => {
    const slab = new SharedArrayBuffer(4_096)
    new Uint8Array(slab).fill(255)
    const writer = new ArenaWriter(slab)
    const columns = [writer.column('u8', 3), writer.column('f64', 5), writer.column('u16', 70), writer.column('u32', 0)]
    let end = 0
    for (const { span, view } of columns) {
      expect(span.byteOffset % 64).toBe(0)
      expect(span.byteOffset).toBeGreaterThanOrEqual(end)
      expect([...view].every(value => value === 0)).toBe(true)
      end = span.byteOffset + view.byteLength
      view.fill(1)
    }
    expect(writer.bytesUsed).toBe(end)
    const views = viewColumns(slab, Object.fromEntries(columns.map(({ span }, index) => [`c${index}`, span])))
    for (const view of Object.values(views)) expect([...view].every(value => value === 1)).toBe(true)
  })

  test('holds exactly what fits and refuses a byte more, naming the remedy', () => {
    expect(new ArenaWriter(new SharedArrayBuffer(64)).column('u32', 16).view.length).toBe(16)
    const small = new ArenaWriter(new SharedArrayBuffer(64))
    expect(() => small.column('u32', 17)).toThrow('give the task more memory')
  })
})

describe('a pool', () => {
  test('never hands out a slab that a thread reads, whatever order threads answer in', () => {
    for (let round = 0; round < 300; round++) {
      const random = new Random(SEED + round)
      const pool = new ArenaPool(64)
      const threads = random.between(1, 4)
      const reads = new Map<number, 0 | 1>()
      let announced: 0 | 1 | undefined
      for (let step = 0; step < 60; step++) {
        const context = `SEED=${SEED} round=${round} step=${step}`
        const free = pool.free()
        expect([...reads.values()].includes(free as 0 | 1), context).toBe(false)
        if (free !== undefined) expect(free, context).not.toBe(announced)
        const thread = random.between(1, threads)
        const chance = random.unit()
        if (chance < 0.4 && free !== undefined) {
          const before = announced
          pool.announce(free)
          announced = free
          if (random.chance(0.2)) {
            // Some take it, another refuses: all go back.
            pool.revert(before)
            announced = before
          }
        } else if (chance < 0.8 && announced !== undefined) {
          pool.acknowledge(thread, announced)
          reads.set(thread, announced)
        } else if (chance > 0.95) {
          pool.release(thread)
          reads.delete(thread)
        }
      }
    }
  })

  test('has a free slab once every thread has moved on, or has ended', () => {
    const pool = new ArenaPool(64)
    pool.announce(0)
    pool.acknowledge(1, 0)
    pool.acknowledge(2, 0)
    pool.announce(1)
    expect(pool.free()).toBeUndefined()
    pool.acknowledge(1, 1)
    expect(pool.free()).toBeUndefined()
    pool.release(2)
    expect(pool.free()).toBe(0)
  })

  test('refuses to announce a slab that is still read', () => {
    const pool = new ArenaPool(64)
    pool.announce(0)
    pool.acknowledge(1, 0)
    pool.announce(1)
    expect(() => pool.announce(0)).toThrow('nobody reads')
  })

  test('has a free slab after a first catalog that only some took', () => {
    const pool = new ArenaPool(64)
    pool.announce(0)
    pool.acknowledge(1, 0)
    pool.revert(undefined)
    expect(pool.free()).toBe(1)
  })
})
