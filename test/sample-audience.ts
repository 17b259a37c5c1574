/** Users in shared memory as a task has them, without what is between a publisher and a task. */
import { keyedHash } from '../service/foundation/keyed-hash.ts'
import { readAudienceChunk } from '../service/state/audience-chunk.ts'
import { AudienceReader } from '../service/state/audience-reader.ts'
import { AudienceShard } from '../service/state/audience-shard.ts'
import { AudienceTable, createAudienceMemory } from '../service/state/audience-table.ts'

const KEY = [1, 2] as const
const MEMORY_BYTES = 1024 * 1024

/** One user in one segment. */
export interface Member {
  readonly segment: string
  /** See user-ids.ts. */
  readonly idText: string
  /** Since 1970, at which it ends. */
  readonly minute: number
}

/** What a bid path looks into. */
export class SampleAudience {
  readonly reader: AudienceReader
  readonly #table: AudienceTable

  constructor() {
    const memory = createAudienceMemory(MEMORY_BYTES)
    this.reader = new AudienceReader(memory)
    this.#table = new AudienceTable(memory)
  }

  /** These are all members from now on. */
  replace(members: Iterable<Member>): void {
    const shard = new AudienceShard()
    const hash = new Uint32Array(2)
    for (const { segment, idText, minute } of members) {
      keyedHash(idText, KEY, hash)
      shard.adder(segment)(hash[0] ?? 0, hash[1] ?? 0, minute)
    }
    const [encoded] = shard.encode(0, 1)
    this.#table.put(0, 0, encoded && readAudienceChunk(encoded.bytes))
    this.reader.turn({ map: this.#table.place(), key: KEY, isOpen: true, segments: this.#table.segments })
    this.#table.settle()
  }
}
