/** Where a task gets its tenant's users from. */

import {
  type AudienceIndex,
  type AudienceKeys,
  audienceKeys,
  parseAudienceIndex,
  type ShardRecord,
} from './audience-layout.ts'
import { sha256Of } from './chunks.ts'
import { CacheConnection, type ConnectionOptions } from './connection.ts'
import { SourceError } from './source.ts'

/** Every method fails with a SourceError and nothing else. */
export interface AudienceSource {
  /** Name of the last change; '' where there never was one, or a cache has lost its memory. */
  change(): Promise<string>
  /** Undefined where there never was a change. */
  index(): Promise<AudienceIndex | undefined>
  /** A shard's bytes, aligned to words, with their right checksum. */
  chunk(shard: ShardRecord): Promise<Uint8Array<ArrayBuffer>>
  /** Ends what is under way. May be called twice. */
  close(): void
}

/** Users in the remote cache. Issues only access.ts's SERVICE_COMMANDS. */
export class RedisAudienceSource implements AudienceSource {
  readonly #connection: CacheConnection
  readonly #keys: AudienceKeys

  constructor(options: ConnectionOptions & { readonly tenantId: string }) {
    this.#connection = new CacheConnection(options)
    this.#keys = audienceKeys(options.tenantId)
  }

  async change(): Promise<string> {
    return (await this.#connection.run(redis => redis.hget(this.#keys.index, 'change'))) ?? ''
  }

  async index(): Promise<AudienceIndex | undefined> {
    return parseAudienceIndex(await this.#connection.run(redis => redis.hgetall(this.#keys.index)))
  }

  async chunk(shard: ShardRecord): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = await this.#connection.run(redis => redis.getBuffer(this.#keys.chunk(shard.name)))
    return await checkedChunk(bytes, shard)
  }

  close(): void {
    this.#connection.close()
  }
}

/**
 * A shard's bytes as they came, if they are what they must be. Copied: a reply's bytes lie at any offset.
 * @throws SourceError `version-incomplete`, `chunk-corrupt`. Cost: O(bytes)
 */
export async function checkedChunk(bytes: Buffer | null, shard: ShardRecord): Promise<Uint8Array<ArrayBuffer>> {
  const where = `users, shard ${shard.name}`
  if (bytes === null) throw new SourceError('version-incomplete', where)
  if (bytes.length !== shard.bytes)
    throw new SourceError('chunk-corrupt', `${where}: ${bytes.length} bytes instead of ${shard.bytes}`)
  const copy = new Uint8Array(bytes)
  if ((await sha256Of(copy)) !== shard.sha256) throw new SourceError('chunk-corrupt', `${where}: wrong sha256`)
  return copy
}
