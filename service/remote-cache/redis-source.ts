import { LIMITS } from '../limits.ts'
import { DOCUMENT_KIND_NAMES, type DocumentKindName } from '../state/documents.ts'
import { sha256Of } from './chunks.ts'
import { CacheConnection, type ConnectionOptions } from './connection.ts'
import { readDeltas } from './deltas.ts'
import {
  ANNOUNCEMENT_FIELDS,
  type Manifest,
  parseAnnouncement,
  parseManifest,
  type StateKeys,
  type StoredBytes,
  stateKeys,
  summaryOf,
} from './layout.ts'
import {
  type Announcement,
  CompiledRecords,
  type DeltaChain,
  type OpenSource,
  type ReadFrom,
  type RecordBatch,
  SourceError,
  type StoredDelta,
  type VersionSummary,
} from './source.ts'

/** Whose state to read, and how. */
export interface RedisSourceOptions extends ConnectionOptions {
  readonly tenantId: string
  /** Who compiled the chunks that can be read as they are, see Manifest.compiledBy. */
  readonly compiledBy?: string
}

/** Which chunk of a version. */
interface Place {
  readonly kind: DocumentKindName
  readonly index: number
}

/** A chunk that is being read, and where it belongs. */
interface Fetch {
  readonly kind: DocumentKindName
  readonly firstRecord: number
  readonly count: number
  readonly compiled: boolean
  readonly bytes: Promise<Buffer<ArrayBuffer>>
}

/** A tenant's state in the remote cache. Connects on the first question; issues only access.ts's SERVICE_COMMANDS. */
export class RedisSource implements OpenSource {
  readonly #connection: CacheConnection
  readonly #keys: StateKeys
  readonly #compiledBy: string | undefined

  constructor(options: RedisSourceOptions) {
    this.#connection = new CacheConnection(options)
    this.#keys = stateKeys(options.tenantId)
    this.#compiledBy = options.compiledBy
  }

  async announced(): Promise<Announcement | undefined> {
    // One command, so that number and version belong together.
    return parseAnnouncement(
      await this.#connection.run(redis => redis.hmget(this.#keys.announced, ...ANNOUNCEMENT_FIELDS)),
    )
  }

  async summary(version: string, from: ReadFrom = 'records'): Promise<VersionSummary> {
    const manifest = await this.#manifest(version)
    return summaryOf(manifest, this.#canRead(manifest, from))
  }

  async *read(version: string, from: ReadFrom = 'records'): AsyncGenerator<RecordBatch, void, undefined> {
    const manifest = await this.#manifest(version)
    const fetches = this.#fetches(manifest, this.#canRead(manifest, from))
    const inFlight: Fetch[] = []
    for (;;) {
      while (inFlight.length < LIMITS.chunksInFlightMax) {
        const { value: next } = fetches.next()
        if (next === undefined) break
        inFlight.push(next)
      }
      const fetch = inFlight.shift()
      if (fetch === undefined) return
      const bytes = await fetch.bytes
      const { kind, firstRecord, count } = fetch
      const records = fetch.compiled ? new CompiledRecords(bytes) : bytes
      yield { kind, records, count, file: kind, firstRecord, bytes: bytes.length }
    }
  }

  deltas(version: string, after: DeltaChain, end: DeltaChain): AsyncIterable<StoredDelta> {
    return readDeltas(commands => this.#connection.run(commands), this.#keys.deltas(version), after, end)
  }

  close(): void {
    this.#connection.close()
  }

  #canRead({ compiledBy }: Manifest, from: ReadFrom): boolean {
    return from === 'compiled' && compiledBy !== undefined && compiledBy === this.#compiledBy
  }

  async #manifest(version: string): Promise<Manifest> {
    const text = await this.#connection.run(redis => redis.get(this.#keys.manifest(version)))
    if (text === null) throw new SourceError('version-missing', `version ${version} has no manifest`)
    return parseManifest(text, version)
  }

  /** Each step sends one command. */
  *#fetches(manifest: Manifest, canReadCompiled: boolean): Generator<Fetch, undefined, undefined> {
    for (const kind of DOCUMENT_KIND_NAMES) {
      let firstRecord = 0
      for (const [index, chunk] of (manifest.kinds[kind]?.chunks ?? []).entries()) {
        const compiled = canReadCompiled ? chunk.compiled : undefined
        const bytes =
          compiled === undefined
            ? this.#chunk(manifest.version, { kind, index }, chunk)
            : this.#compiledChunk(manifest.version, { kind, index }, compiled)
        // Whoever reads up to this chunk meets its error; who stops earlier must not leave it unhandled.
        bytes.catch(() => {})
        yield { kind, firstRecord, count: chunk.records, compiled: compiled !== undefined, bytes }
        firstRecord += chunk.records
      }
    }
    return undefined
  }

  async #chunk(version: string, { kind, index }: Place, told: StoredBytes) {
    const where = `version ${version}, ${kind} chunk ${index}`
    const bytes = await this.#bytes(this.#keys.chunk(version, kind, index))
    if (bytes === null) throw new SourceError('version-incomplete', where)
    const problem = await problemOf(bytes, told)
    if (problem !== undefined) throw new SourceError('chunk-corrupt', `${where}: ${problem}`)
    return bytes
  }

  async #compiledChunk(version: string, { kind, index }: Place, told: StoredBytes) {
    const bytes = await this.#bytes(this.#keys.compiled(version, kind, index))
    const problem = bytes === null ? 'it is missing' : await problemOf(bytes, told)
    if (bytes !== null && problem === undefined) return bytes
    throw new SourceError('compiled-unusable', `version ${version}, ${kind} chunk ${index}: ${problem}`)
  }

  async #bytes(key: string): Promise<Buffer<ArrayBuffer> | null> {
    return (await this.#connection.run(redis => redis.getBuffer(key))) as Buffer<ArrayBuffer> | null
  }
}

async function problemOf(bytes: Buffer<ArrayBuffer>, told: StoredBytes): Promise<string | undefined> {
  if (bytes.length !== told.bytes) return `${bytes.length} bytes instead of ${told.bytes}`
  return (await sha256Of(bytes)) === told.sha256 ? undefined : 'wrong sha256'
}
