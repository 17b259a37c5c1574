/**
 * A copy of a tenant's users on the task's disk, for a start without the cache. Shards lie there as in the cache, one
 * file each under its name, and never change; `index` names them, with a checksum in its first line.
 */
import { hash } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type AudienceIndex, audienceFields, parseAudienceIndex, type ShardRecord } from './audience-layout.ts'
import { type AudienceSource, checkedChunk } from './audience-source.ts'
import { SourceError } from './source.ts'

const INDEX = 'index'
const PART = '.part'

/** One process writes it; a start reads it. */
export class AudienceFolder implements AudienceSource {
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
  }

  /**
   * Makes the copy that of an index. Whatever ends it on the way, the copy before stays. Where a change has come since,
   * it ends early: that one is copied next.
   * @throws SourceError, or the file system's. Cost: O(bytes of shards that are new); holds one of them
   */
  async take(source: AudienceSource, index: AudienceIndex): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 })
    const before = await readdir(this.#folder)
    const wanted = new Set([INDEX])
    for (const shard of index.shards) {
      if (shard === undefined) continue
      wanted.add(shard.name)
      if (before.includes(shard.name) && (await stat(join(this.#folder, shard.name))).size === shard.bytes) continue
      const bytes = await chunkOrNewer(source, index, shard)
      if (bytes === undefined) return
      await this.#write(shard.name, bytes)
    }
    const text = JSON.stringify(audienceFields(index))
    await this.#write(INDEX, `${hash('sha256', text)}\n${text}`)
    // From here on nothing names the others; who asked to be forgotten is gone with them.
    for (const name of before) if (!wanted.has(name)) await rm(join(this.#folder, name), { force: true })
  }

  /** When it was made, as an ISO 8601 instant. @throws of the file system */
  async copiedAt(): Promise<string> {
    return (await stat(join(this.#folder, INDEX))).mtime.toISOString()
  }

  async change(): Promise<string> {
    return (await this.index())?.change ?? ''
  }

  async index(): Promise<AudienceIndex | undefined> {
    const text = await readFile(join(this.#folder, INDEX), 'utf8').catch(missing)
    if (text === null) return undefined
    const end = text.indexOf('\n')
    const json = text.slice(end + 1)
    if (hash('sha256', json) !== text.slice(0, end))
      throw new SourceError('document-unreadable', `${this.#folder}: the index of users has a wrong sha256`)
    return parseAudienceIndex(JSON.parse(json) as Record<string, string>)
  }

  async chunk(shard: ShardRecord): Promise<Uint8Array<ArrayBuffer>> {
    return await checkedChunk(await readFile(join(this.#folder, shard.name)).catch(missing), shard)
  }

  close(): void {
    // There is nothing to let go of.
  }

  async #write(name: string, content: Uint8Array | string): Promise<void> {
    const path = join(this.#folder, name)
    const file = await open(path + PART, 'w', 0o600)
    try {
      await file.writeFile(content)
      // A shard that a power cut has emptied would be worse than none.
      await file.datasync()
    } finally {
      await file.close()
    }
    await rename(path + PART, path)
  }
}

/** @returns undefined for a shard that a later change has replaced */
async function chunkOrNewer(source: AudienceSource, index: AudienceIndex, shard: ShardRecord) {
  try {
    return await source.chunk(shard)
  } catch (error) {
    if ((await source.change()) !== index.change) return undefined
    throw error
  }
}

function missing(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null
  throw new SourceError('directory-unreadable', error.message)
}
