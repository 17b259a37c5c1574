import { describe, expect, test } from 'vitest'
import { keyedHash } from '../foundation/keyed-hash.ts'
import { Random } from '../foundation/random.ts'
import { LIMITS } from '../limits.ts'
import { AudienceChunkProblem, encodeAudienceChunk, NEVER_ENDS, readAudienceChunk } from './audience-chunk.ts'
import { AudienceReader } from './audience-reader.ts'
import { AudienceShard } from './audience-shard.ts'
import { AudienceTable, createAudienceMemory } from './audience-table.ts'

const KEY = [7, 11] as const
const MINUTE_MS = 60_000
const hash = new Uint32Array(2)

function hashOf(id: string): readonly [number, number] {
  keyedHash(id, KEY, hash)
  return [hash[0]!, hash[1]!]
}

/** Users as anybody would write them down. */
class NaiveUsers {
  readonly users = new Map<string, Map<string, number>>()

  add(id: string, segment: string, minute: number): boolean {
    const of = this.users.get(id) ?? new Map<string, number>()
    if (!of.has(segment) && of.size >= LIMITS.segmentsPerUserMax) return false
    this.users.set(id, of.set(segment, minute))
    return true
  }

  segmentsOf(id: string, nowMs: number): string[] {
    const of = [...(this.users.get(id) ?? [])]
    return of.filter(([, minute]) => minute * MINUTE_MS > nowMs).map(([segment]) => segment)
  }
}

/** A publisher, a task and a bid thread in one process, without what is between them. */
class Stage {
  readonly memory = createAudienceMemory(64 * 1024 * 1024)
  readonly table = new AudienceTable(this.memory)
  readonly reader = new AudienceReader(this.memory)
  bits = 0
  chunks: (Uint8Array | undefined)[] = [undefined]

  change(bits: number, work: (shard: AudienceShard, mine: (id: string) => boolean) => void): void {
    const parts = 2 ** (bits - this.bits)
    const after = this.chunks.flatMap((bytes, i) => {
      const shard = new AudienceShard(bytes && readAudienceChunk(bytes))
      work(shard, id => this.bits === 0 || hashOf(id)[0] >>> (32 - this.bits) === i)
      return shard.encode(this.bits, parts)
    })
    this.bits = bits
    this.chunks = after.map(encoded => encoded?.bytes)
  }

  /** A task takes all shards, in an order of its own, some of them twice. */
  serve(random: Random): void {
    const order = this.chunks.map((_, i) => i)
    for (const i of order.toSorted(() => random.unit() - 0.5)) {
      const bytes = this.chunks[i]
      this.table.put(i, this.bits, bytes && readAudienceChunk(bytes))
      if (random.chance(0.3)) this.turn()
    }
    this.turn()
  }

  turn(): void {
    this.reader.turn({ map: this.table.place(), key: KEY, isOpen: true, segments: this.table.segments })
    this.table.settle()
  }

  segmentsOf(id: string, nowMs: number): string[] {
    const found: string[] = []
    this.reader.addSegments(id, nowMs, found)
    return found
  }
}

describe("a tenant's users", () => {
  test.each([1, 2, 3, 4, 5, 6])('are found as a naive list has them, whatever was changed (seed %i)', seed => {
    const random = new Random(seed)
    const [stage, naive] = [new Stage(), new NaiveUsers()]
    const ids = Array.from({ length: 400 }, (_, i) => `device ${seed}-${i}`)
    const segments = Array.from({ length: 12 }, (_, i) => `own/${i}`)
    for (let round = 0; round < 12; round++) {
      const segment = random.pick(segments)
      const chosen = ids.filter(() => random.chance(0.3))
      const minutes = new Map(chosen.map(id => [id, random.chance(0.5) ? NEVER_ENDS : random.between(1, 50)]))
      const kind = random.pick(['add', 'add', 'replace', 'remove', 'forget', 'drop'])
      const nowMinute = round * 4
      stage.change(Math.min(stage.bits + random.pickIndex(3), 5), (shard, mine) => {
        if (kind === 'replace') shard.empty(segment)
        if (kind === 'drop') shard.dropEnded(nowMinute)
        const [add, remove] = [shard.adder(segment), shard.remover(segment)]
        for (const id of chosen.filter(mine)) {
          if (kind === 'add' || kind === 'replace') add(...hashOf(id), minutes.get(id)!)
          if (kind === 'remove') remove(...hashOf(id))
          if (kind === 'forget') shard.forget(...hashOf(id))
        }
      })
      if (kind === 'replace') for (const of of naive.users.values()) of.delete(segment)
      for (const id of chosen) {
        if (kind === 'add' || kind === 'replace') naive.add(id, segment, minutes.get(id)!)
        if (kind === 'remove') naive.users.get(id)?.delete(segment)
        if (kind === 'forget') naive.users.delete(id)
      }
      stage.serve(random)
      for (const nowMs of [nowMinute * MINUTE_MS, nowMinute * MINUTE_MS + 3 * MINUTE_MS - 1])
        for (const id of ids)
          expect(stage.segmentsOf(id, nowMs).toSorted(), `${kind} ${id}`).toEqual(
            naive.segmentsOf(id, nowMs).toSorted(),
          )
    }
    // Sets that nobody has are let go.
    stage.change(stage.bits, shard => {
      for (const id of ids) shard.forget(...hashOf(id))
    })
    stage.serve(random)
    expect(stage.table.users).toBe(0)
    expect(stage.table.sets.count).toBe(0)
  })

  test('take at most 20 bytes each beside their sets, also after all of them changed some times', () => {
    const stage = new Stage()
    const random = new Random(9)
    const users = 100_000
    for (const segment of ['a', 'b', 'c']) {
      stage.change(2, (shard, mine) => {
        const add = shard.adder(segment)
        for (let i = 0; i < users; i++) if (mine(`ours ${i}`)) add(...hashOf(`ours ${i}`), NEVER_ENDS)
      })
      // One shard after another: what the one before had is free for the next.
      for (const [i, bytes] of stage.chunks.entries()) {
        stage.table.put(i, stage.bits, bytes && readAudienceChunk(bytes))
        stage.turn()
      }
    }
    expect(stage.table.users).toBe(users)
    expect(stage.table.sets.count).toBe(1)
    const spare = users / 4
    expect((stage.table.bytes - stage.table.sets.bytes) / (users + spare)).toBeLessThan(18)
    expect(stage.segmentsOf(`ours ${random.pickIndex(users)}`, 0)).toEqual(['a', 'b', 'c'])
    expect(stage.segmentsOf(`ours ${users}`, 0)).toEqual([])
  })

  test('more than there is memory for are refused, and those before stay', () => {
    const memory = createAudienceMemory(40 * 4_096)
    const [table, reader] = [new AudienceTable(memory), new AudienceReader(memory)]
    const chunkOf = (users: number) => {
      const shard = new AudienceShard()
      const add = shard.adder('a')
      for (let i = 0; i < users; i++) add(...hashOf(`ours ${i}`), NEVER_ENDS)
      return readAudienceChunk(shard.encode(0, 1)[0]!.bytes)
    }
    table.put(0, 0, chunkOf(3_000))
    reader.turn({ map: table.place(), key: KEY, isOpen: true, segments: table.segments })
    table.settle()
    expect(() => table.put(0, 0, chunkOf(20_000))).toThrow(/users need more than the 163840 bytes/)
    const found: string[] = []
    reader.addSegments('ours 2999', 0, found)
    expect(found).toEqual(['a'])
    table.put(0, 0, chunkOf(5_000))
    expect(table.users).toBe(5_000)
  })

  test('have a limited number of segments each', () => {
    const shard = new AudienceShard()
    const added = Array.from({ length: LIMITS.segmentsPerUserMax + 2 }, (_, i) =>
      shard.adder(`s${i}`)(1, 2, NEVER_ENDS),
    )
    expect(added.filter(Boolean)).toHaveLength(LIMITS.segmentsPerUserMax)
    expect(shard.adder('s0')(1, 2, 5)).toBe(true)
    expect(shard.encode(0, 1)[0]).toMatchObject({ users: 1, sets: 1, members: LIMITS.segmentsPerUserMax })
  })
})

describe('a chunk of users', () => {
  const good = {
    segments: ['own/ä', 'b'],
    setEnds: Uint32Array.of(1, 3),
    members: Uint32Array.of(0, 5, 0, 7, 1, NEVER_ENDS),
    users: Uint32Array.of(1, 2, 0, 3, 4, 1),
  }

  test('comes back as it was written', () => {
    expect(readAudienceChunk(encodeAudienceChunk(good))).toEqual(good)
  })

  test('whose bytes are damaged anywhere gives an error or a chunk that can be used', () => {
    const random = new Random(3)
    const bytes = encodeAudienceChunk(good)
    for (let i = 0; i < 1_000; i++) {
      const damaged = bytes.slice(0, random.chance(0.2) ? random.pickIndex(bytes.length) : bytes.length)
      if (damaged.length > 0) damaged[random.pickIndex(damaged.length)] = random.pickIndex(256)
      try {
        const table = new AudienceTable(createAudienceMemory(1024 * 1024))
        table.put(0, 0, readAudienceChunk(damaged))
      } catch (error) {
        expect(error).toBeInstanceOf(AudienceChunkProblem)
      }
    }
  })
})
