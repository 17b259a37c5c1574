/** Publishing: validate → write a complete new version → announce it by one transaction → let old versions go. */
import { randomBytes } from 'node:crypto'
import type { Redis } from 'ioredis'
import { assert } from '../foundation/assert.ts'
import { type Clock, systemClock } from '../foundation/clock.ts'
import { LIMITS } from '../limits.ts'
import type { DocumentKindName } from '../state/documents.ts'
import { shrinkProblem } from '../state/shrinkage.ts'
import { DocumentReader, type GoodDocument, type ReadReport, type RecordPlace } from '../state/validate.ts'
import { audienceKeys, audienceTotals, parseAudienceIndex } from './audience-layout.ts'
import { type Chunk, ChunkWriter } from './chunks.ts'
import {
  chunkKeys,
  keysOfVersion,
  type Manifest,
  parseManifest,
  type StateKeys,
  stateKeys,
  summaryOf,
  type VersionRecord,
} from './layout.ts'
import { type Announcement, SourceError } from './source.ts'
import { ANNOUNCE_TRIES_MAX, bytesStored, executed, storedVersions } from './versions.ts'

/** A record as it was read, before validation. */
export interface PublishRecord {
  readonly kind: DocumentKindName
  readonly value: unknown
  readonly where: RecordPlace
}

/** How far a publish is. */
export interface PublishProgress {
  readonly records: number
  /** Written so far, a chunk at a time. */
  readonly bytes: number
}

/** Makes of a chunk's records what a task would make of them. */
export interface ChunkCompiler {
  /** See Manifest.compiledBy. */
  readonly by: string
  /** Takes a good document, in the order of the version. */
  add(good: GoodDocument): void
  /** What became of the documents since the last time, which are a chunk of this kind; undefined = not compiled. */
  take(kind: DocumentKindName): Uint8Array | undefined
}

/** What to publish, for whom, and over which connection. */
export interface PublishOptions {
  /** Connected, and used by nothing else meanwhile: a transaction watches keys on it. */
  readonly redis: Redis
  readonly tenantId: string
  /** In the order of DOCUMENT_KIND_NAMES. */
  readonly documents: AsyncIterable<PublishRecord> | Iterable<PublishRecord>
  /** Publish the good records although there are bad ones. */
  readonly allowBad?: boolean
  /** Publish although nearly all line items of the announced version are missing, see shrinkage.ts. */
  readonly allowShrink?: boolean
  /** Stores its compilation beside the records. */
  readonly compiler?: ChunkCompiler
  /** Bytes that all stored versions and the users of the tenant may have together, this version included. */
  readonly quotaBytes?: number
  readonly onProgress?: (progress: PublishProgress) => void
  readonly clock?: Clock
}

/** What became of a publish. `refused` = nothing was announced and nothing is left. */
export type PublishOutcome =
  | {
      readonly kind: 'published'
      /** What was published. */
      readonly version: string
      /** Of this version, or of the pinned one, which stays. */
      readonly announcement: Announcement
      readonly records: number
      readonly bytes: number
      readonly totalMs: number
      readonly report: ReadReport
      /** Deltas of the version before, which are in this one only if its documents have them. */
      readonly superseded: number
      /** Older versions that were removed from the cache. */
      readonly removed: readonly string[]
    }
  | { readonly kind: 'refused'; readonly because: 'bad-records' | 'unusable'; readonly report: ReadReport }
  | {
      readonly kind: 'refused'
      readonly because: 'line-items-lost'
      readonly report: ReadReport
      /** What was found. */
      readonly problem: string
    }
  | {
      readonly kind: 'refused'
      readonly because: 'over-quota'
      /** Of the records up to where it stopped. */
      readonly report: ReadReport
      /** What versions and users from before have. */
      readonly storedBytes: number
      readonly quotaBytes: number
    }

/** Chunks of a publish that dies vanish after this by themselves; nothing has named them. One publish takes less. */
const UNANNOUNCED_MS = 60 * 60 * 1_000
const PROGRESS_RECORDS = 500

/**
 * Publishes one complete version. A reader sees it whole or not at all, whenever this ends. Two that run at once
 * both succeed; the later announcement counts.
 * @throws what the documents or the connection throw. Cost: O(bytes); holds one chunk.
 */
export async function publishTenant(options: PublishOptions): Promise<PublishOutcome> {
  const clock = options.clock ?? systemClock
  const startMs = clock.monotonicMs()
  const createdAt = new Date(clock.nowMs()).toISOString()
  const version = `${createdAt.replace(/[-:]|\.\d+/g, '')}-${randomBytes(4).toString('hex')}`
  const keys = stateKeys(options.tenantId)
  const quotaBytes = options.quotaBytes ?? LIMITS.stateBytesMax
  const storedBytes = bytesStored(await storedVersions(options.redis, keys)) + (await audienceBytes(options))
  const { report, writer, fits } = await writeChunks(options, { keys, version, bytesMax: quotaBytes - storedBytes })
  const by = options.compiler === undefined ? {} : { compiledBy: options.compiler.by }
  const manifest: Manifest = { schema: 1, version, createdAt, ...by, kinds: writer.kinds }
  if (!fits) {
    await options.redis.unlink(keysOfVersion(keys, version, chunkCounts(manifest)))
    return { kind: 'refused', because: 'over-quota', report, storedBytes, quotaBytes }
  }
  const bad = Object.values(report.counts).some(count => count.bad > 0)
  const refusal = !report.usable ? 'unusable' : bad && options.allowBad !== true ? 'bad-records' : undefined
  if (refusal !== undefined) {
    await options.redis.unlink(keysOfVersion(keys, version, chunkCounts(manifest)))
    return { kind: 'refused', because: refusal, report }
  }
  const problem = options.allowShrink === true ? undefined : await shrinkProblemOf(options.redis, keys, manifest)
  if (problem !== undefined) {
    await options.redis.unlink(keysOfVersion(keys, version, chunkCounts(manifest)))
    return { kind: 'refused', because: 'line-items-lost', report, problem }
  }
  const { announcement, superseded } = await announce(options, keys, manifest)
  const removed = await removeOldVersions(options.redis, keys)
  const { records, bytes } = summaryOf(manifest, false)
  const totalMs = clock.monotonicMs() - startMs
  return { kind: 'published', version, announcement, records, bytes, totalMs, report, superseded, removed }
}

/** Beside the announced version, where that can be read. */
async function shrinkProblemOf(redis: Redis, keys: StateKeys, { kinds }: Manifest): Promise<string | undefined> {
  const { announced } = await storedVersions(redis, keys)
  const text = announced === undefined ? null : await redis.get(keys.manifest(announced.version))
  if (announced === undefined || text === null) return undefined
  try {
    const before = parseManifest(text, announced.version)
    return shrinkProblem(before.kinds.lineItems?.records ?? 0, kinds.lineItems?.records ?? 0)
  } catch (error) {
    // What is announced is broken: a publish repairs that.
    if (error instanceof SourceError) return undefined
    throw error
  }
}

async function audienceBytes({ redis, tenantId }: PublishOptions): Promise<number> {
  const index = parseAudienceIndex(await redis.hgetall(audienceKeys(tenantId).index))
  return index === undefined ? 0 : audienceTotals(index).bytes
}

/**
 * Validates all records; writes the good ones until it is known that they will not be published.
 * Where bytesMax do not suffice it stops, with at most one chunk above them.
 */
async function writeChunks(
  { redis, documents, allowBad, compiler, onProgress }: PublishOptions,
  { keys, version, bytesMax }: { readonly keys: StateKeys; readonly version: string; readonly bytesMax: number },
): Promise<{ report: ReadReport; writer: ChunkWriter; fits: boolean }> {
  const writer = new ChunkWriter()
  let good: GoodDocument | undefined
  const reader = new DocumentReader(document => {
    good = document
  })
  let [records, bytes, stored, writing] = [0, 0, 0, true]
  const store = async (chunk: Chunk | undefined) => {
    if (chunk === undefined) return
    const { kind, index } = chunk
    await redis.set(keys.chunk(version, kind, index), chunk.bytes, 'PX', UNANNOUNCED_MS)
    bytes += chunk.bytes.length
    stored += chunk.bytes.length
    const compiled = compiler?.take(kind)
    if (compiled === undefined) return
    await redis.set(keys.compiled(version, kind, index), Buffer.from(compiled), 'PX', UNANNOUNCED_MS)
    writer.noteCompiled(chunk, compiled)
    stored += compiled.length
  }
  for await (const { kind, value, where } of documents) {
    good = undefined
    if (!reader.read(kind, value, where)) writing &&= allowBad === true
    else if (writing) {
      const document = good as GoodDocument | undefined
      const chunk = writer.add(kind, document?.document)
      if (chunk !== undefined) await store(chunk)
      // After the chunk before it is stored, to which it does not belong.
      if (document !== undefined) compiler?.add(document)
    }
    if (stored > bytesMax) break
    records++
    if (records % PROGRESS_RECORDS === 0) onProgress?.({ records, bytes })
  }
  if (writing && stored <= bytesMax) await store(writer.end())
  onProgress?.({ records, bytes })
  return { report: reader.finish(), writer, fits: stored <= bytesMax }
}

function chunkCounts(manifest: Manifest): VersionRecord['chunks'] {
  return Object.fromEntries(Object.entries(manifest.kinds).map(([kind, { chunks }]) => [kind, chunks.length]))
}

/**
 * Writes the manifest, keeps the chunks and moves the announcement, in one transaction. While a pin stands the number
 * alone moves: it orders the versions.
 */
async function announce(
  { redis, allowShrink }: Pick<PublishOptions, 'redis' | 'allowShrink'>,
  keys: StateKeys,
  manifest: Manifest,
): Promise<{ announcement: Announcement; superseded: number }> {
  const { version, createdAt } = manifest
  const chunks = chunkCounts(manifest)
  const possible = chunkKeys(keys, version, chunks)
  const written = manifest.compiledBy === undefined ? possible.filter(key => !key.endsWith(':compiled')) : possible
  assert(written.length <= 2 * LIMITS.chunksMax, 'a version has a bounded number of chunks')
  for (let tries = 0; tries < ANNOUNCE_TRIES_MAX; tries++) {
    // Watched: another publish moves the number, and a full cache may evict a chunk before it is announced.
    await redis.watch(keys.announced, ...written)
    if (written.length > 0 && (await redis.exists(...written)) !== written.length) {
      await redis.unwatch()
      throw new SourceError('version-incomplete', `${version}: the cache lost a part before it was announced`)
    }
    const { announced, pinned } = await storedVersions(redis, keys)
    const number = (announced?.number ?? 0) + 1
    const record: VersionRecord = { number, ...recordsAndBytes(manifest), createdAt, chunks }
    const transaction = redis.multi().set(keys.manifest(version), JSON.stringify(manifest))
    for (const key of written) transaction.persist(key)
    transaction.hset(keys.versions, version, JSON.stringify(record))
    const shown = pinned && announced !== undefined ? announced.version : version
    transaction.hset(keys.announced, 'number', number, 'version', shown, 'at', createdAt)
    if (allowShrink === true && shown === version) transaction.hset(keys.announced, 'meant', version)
    const superseded = shown === version ? (announced?.deltas?.length ?? 0) : 0
    if (await executed(transaction)) return { announcement: { number, version: shown }, superseded }
  }
  throw new SourceError('cache-answer', `${version}: others announced ${ANNOUNCE_TRIES_MAX} times meanwhile`)
}

function recordsAndBytes(manifest: Manifest): { records: number; bytes: number; storedBytes: number } {
  const { records, bytes } = summaryOf(manifest, false)
  const chunks = Object.values(manifest.kinds).flatMap(kind => kind.chunks)
  return { records, bytes, storedBytes: chunks.reduce((sum, { compiled }) => sum + (compiled?.bytes ?? 0), bytes) }
}

/**
 * Removes all but the announced version and the newest others, LIMITS.versionsKeptMax together. Left to the next
 * publish when another one interferes.
 */
async function removeOldVersions(redis: Redis, keys: StateKeys): Promise<string[]> {
  await redis.watch(keys.announced)
  const { announced, versions } = await storedVersions(redis, keys)
  const others = versions.filter(({ version }) => version !== announced?.version)
  const old = others.slice(LIMITS.versionsKeptMax - 1)
  if (old.length === 0) {
    await redis.unwatch()
    return []
  }
  const transaction = redis.multi()
  for (const { version, record } of old) {
    transaction.unlink(keysOfVersion(keys, version, record.chunks))
    transaction.hdel(keys.versions, version)
  }
  return (await executed(transaction)) ? old.map(({ version }) => version) : []
}
