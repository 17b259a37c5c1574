/** Some users alone, as a task would find them: reads the shards that they are in and no others. */
import { keyedHash } from '../foundation/keyed-hash.ts'
import { readAudienceChunk } from '../state/audience-chunk.ts'
import { AudienceReader } from '../state/audience-reader.ts'
import { AudienceTable, createAudienceMemory } from '../state/audience-table.ts'
import type { AudienceSource } from './audience-source.ts'

/** Room for the shards of the ids of one request; pages that nothing touches cost nothing. */
const MEMORY_BYTES = 256 * 1024 * 1024

/**
 * What can be looked up by these ids and no others.
 * @param idTexts see state/user-ids.ts. @throws SourceError, AudienceChunkProblem. Cost: O(users of their shards)
 */
export async function lookUpUsers(source: AudienceSource, idTexts: readonly string[]): Promise<AudienceReader> {
  const memory = createAudienceMemory(MEMORY_BYTES)
  const [table, reader] = [new AudienceTable(memory), new AudienceReader(memory)]
  const index = await source.index()
  if (index === undefined) return reader
  const hash = new Uint32Array(2)
  const shards = idTexts.map(text => {
    keyedHash(text, index.key, hash)
    return index.bits === 0 ? 0 : (hash[0] as number) >>> (32 - index.bits)
  })
  for (const shard of new Set(shards)) {
    const record = index.shards[shard]
    if (record !== undefined) table.put(shard, index.bits, readAudienceChunk(await source.chunk(record)))
  }
  reader.turn({ map: table.place(), key: index.key, isOpen: true, segments: table.segments })
  return reader
}
