import { LIMITS } from '../limits.ts'
import { DOCUMENT_KIND_NAMES, type DocumentKindName } from '../state/documents.ts'
import { sha256Of } from './chunks.ts'
import { CacheConnection, type ConnectionOptions } from './connection.ts'
import {
  ANNOUNCEMENT_FIELDS,
  type ChunkRecord,
  type Manifest,
  parseAnnouncement,
  parseManifest,
  type StateKeys,
  stateKeys,
  summaryOf,
} from './layout.ts'
import { type Announcement, type OpenSource, type RecordBatch, SourceError, type VersionSummary } from './source.ts'

/** Whose state to read, and how. */
export interface RedisSourceOptions extends ConnectionOptions {
  readonly tenantId: string
}

/** A chunk that is being read, and where it belongs. */
interface Fetch {
  readonly kind: DocumentKindName
  readonly firstRecord: number
  readonly count: number
  readonly bytes: Promise<Buffer<ArrayBuffer>>
}

/** A tenant's state in the remote cache. Connects on the first question; issues only access.ts's SERVICE_COMMANDS. */
export class RedisSource implements OpenSource {
  readonly #connection: CacheConnection
  readonly #keys: StateKeys

  constructor(options: RedisSourceOptions) {
    this.#connection = new CacheConnection(options)
    this.#keys = stateKeys(options.tenantId)
  }

  async announced(): Promise<Announcement | undefined> {
    // One command, so that number and version belong together.
    return parseAnnouncement(
      await this.#connection.run(redis => redis.hmget(this.#keys.announced, ...ANNOUNCEMENT_FIELDS)),
    )
  }

  async summary(version: string): Promise<VersionSummary> {
    return summaryOf(await this.#manifest(version))
  }

  async *read(version: string): AsyncGenerator<RecordBatch, void, undefined> {
    const fetches = this.#fetches(await this.#manifest(version))
    const inFlight: Fetch[] = []
    for (;;) {
      while (inFlight.length < LIMITS.chunksInFlightMax) {
        const { value: next } = fetches.next()
        if (next === undefined) break
        inFlight.push(next)
      }
      const fetch = inFlight.shift()
      if (fetch === undefined) return
      const records = await fetch.bytes
      const { kind, firstRecord, count } = fetch
      yield { kind, records, count, file: kind, firstRecord, bytes: records.length }
    }
  }

  close(): void {
    this.#connection.close()
  }

  async #manifest(version: string): Promise<Manifest> {
    const text = await this.#connection.run(redis => redis.get(this.#keys.manifest(version)))
    if (text === null) throw new SourceError('version-missing', `version ${version} has no manifest`)
    return parseManifest(text, version)
  }

  /** Each step sends one command. */
  *#fetches(manifest: Manifest): Generator<Fetch, undefined, undefined> {
    for (const kind of DOCUMENT_KIND_NAMES) {
      let firstRecord = 0
      for (const [index, chunk] of (manifest.kinds[kind]?.chunks ?? []).entries()) {
        const bytes = this.#chunk(manifest.version, { kind, index }, chunk)
        // Whoever reads up to this chunk meets its error; who stops earlier must not leave it unhandled.
        bytes.catch(() => {})
        yield { kind, firstRecord, count: chunk.records, bytes }
        firstRecord += chunk.records
      }
    }
    return undefined
  }

  async #chunk(version: string, at: { kind: DocumentKindName; index: number }, told: ChunkRecord) {
    const answer = await this.#connection.run(redis => redis.getBuffer(this.#keys.chunk(version, at.kind, at.index)))
    const bytes = answer as Buffer<ArrayBuffer> | null
    const where = `version ${version}, ${at.kind} chunk ${at.index}`
    if (bytes === null) throw new SourceError('version-incomplete', where)
    if (bytes.length !== told.bytes)
      throw new SourceError('chunk-corrupt', `${where}: ${bytes.length} bytes instead of ${told.bytes}`)
    if ((await sha256Of(bytes)) !== told.sha256) throw new SourceError('chunk-corrupt', `${where}: wrong sha256`)
    return bytes
  }
}
