/**
 * Where a tenant's state lies in the remote cache. A control plane that follows this file needs none of our code.
 *
 *   t:{acme}:state:announced            hash   number, version, at, pinned (1 or 0), deltas, meant: what tasks are to
 *                                              serve
 *   t:{acme}:state:versions             hash   version → VersionRecord as JSON: what is stored
 *   t:{acme}:state:v:<version>:manifest string Manifest as JSON, written after all chunks
 *   t:{acme}:state:v:<version>:<kind>:<i> string chunk i of a kind: one JSON record per line
 *   t:{acme}:state:v:<version>:<kind>:<i>:compiled string the same, compiled; may be missing
 *   t:{acme}:state:v:<version>:deltas   stream changes of single records: entry n-0 is the n-th, with the fields delta
 *                                       (Delta as JSON) and digest (sha256 of the digest before it and of the delta)
 *   t:{acme}:freq:stream                stream what tasks count for frequency caps: task, number, leaves, events
 *   t:{acme}:freq:part:<i>              string counts, saved: a place of that stream, a line's end, entries
 *   t:{acme}:event:stream               stream what became of bids, see TenantEvent
 *
 * `deltas` of the announcement is `<version> <how many> <digest of the last>`; of another version it says nothing.
 * `meant` is the version that somebody wants to have served although it has far fewer line items than the one before.
 *
 * The braces are a hash tag: all keys of a tenant are in one slot, so that transactions work in a cluster, too.
 */
import { LIMITS } from '../limits.ts'
import { DIVIDED_KINDS, DOCUMENT_KIND_NAMES, type DocumentKindName } from '../state/documents.ts'
import { type Announcement, type DeltaChain, SourceError, type VersionSummary } from './source.ts'

/** All keys of a tenant's state begin with this. */
export function statePrefix(tenantId: string): string {
  return `t:{${tenantId}}:state:`
}

/** All keys of a tenant's spend ledger begin with this; ledger-scripts.ts says which there are. */
export function spendPrefix(tenantId: string): string {
  return `t:{${tenantId}}:spend:`
}

/** All keys of what a tenant's tasks count for frequency caps begin with this. */
export function frequencyPrefix(tenantId: string): string {
  return `t:{${tenantId}}:freq:`
}

/** The tenant's event stream. */
export function eventStreamKey(tenantId: string): string {
  return `t:{${tenantId}}:event:stream`
}

/** Every key of one tenant's state. */
export interface StateKeys {
  readonly announced: string
  readonly versions: string
  manifest(version: string): string
  chunk(version: string, kind: DocumentKindName, index: number): string
  compiled(version: string, kind: DocumentKindName, index: number): string
  deltas(version: string): string
}

/** The keys of one tenant. */
export function stateKeys(tenantId: string): StateKeys {
  const prefix = statePrefix(tenantId)
  return {
    announced: `${prefix}announced`,
    versions: `${prefix}versions`,
    manifest: version => `${prefix}v:${version}:manifest`,
    chunk: (version, kind, index) => `${prefix}v:${version}:${kind}:${index}`,
    compiled: (version, kind, index) => `${prefix}v:${version}:${kind}:${index}:compiled`,
    deltas: version => `${prefix}v:${version}:deltas`,
  }
}

/** Fields of the announcement's hash, in the order in which parseAnnouncement wants them. */
export const ANNOUNCEMENT_FIELDS = ['number', 'version', 'deltas', 'meant'] as const

/** One chunk: what its bytes must be. */
export interface ChunkRecord {
  readonly bytes: number
  readonly records: number
  /** Of the stored bytes, 64 hexadecimal digits in lower case. */
  readonly sha256: string
  /** The chunk as compiled, where Manifest.compiledBy is set and the kind is one of DIVIDED_KINDS. */
  readonly compiled?: StoredBytes
}

/** What the bytes under one key must be. */
export type StoredBytes = Pick<ChunkRecord, 'bytes' | 'sha256'>

/** All chunks of one kind; records and bytes are their sums. */
export interface KindRecord {
  readonly records: number
  readonly bytes: number
  readonly chunks: readonly ChunkRecord[]
}

/** What a version consists of. A kind without records may be left out. */
export interface Manifest {
  readonly schema: 1
  readonly version: string
  readonly createdAt: string
  /** Identity of the compiler, where the publisher had one: 64 hexadecimal digits. */
  readonly compiledBy?: string
  readonly kinds: Readonly<Partial<Record<DocumentKindName, KindRecord>>>
}

/** One stored version, for listing and for removing it without a search over keys. */
export interface VersionRecord {
  /** Number of its first announcement: their order. */
  readonly number: number
  readonly createdAt: string
  readonly records: number
  readonly bytes: number
  /** With what was compiled. Missing in records of older publishers. */
  readonly storedBytes?: number
  readonly chunks: Readonly<Partial<Record<DocumentKindName, number>>>
}

const VERSION = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
const SHA256 = /^[0-9a-f]{64}$/

/** Whether a text can name a version; it becomes part of keys. */
function isVersion(value: unknown): value is string {
  return typeof value === 'string' && VERSION.test(value)
}

/**
 * Reads the answer to a look at the announcement's hash.
 * @returns undefined when there is none. @throws SourceError `cache-answer`
 */
export function parseAnnouncement(fields: readonly (string | null)[]): Announcement | undefined {
  const [number, version, deltas, meant] = fields
  if (number == null && version == null) return undefined
  if (number == null || !isWhole(Number(number), Number.MAX_SAFE_INTEGER) || !isVersion(version))
    throw new SourceError('cache-answer', `announcement is ${JSON.stringify(fields).slice(0, 200)}`)
  const chain = deltas == null ? undefined : parseChain(deltas, version)
  const isMeant = meant === version
  return {
    ...{ number: Number(number), version },
    ...(chain === undefined ? {} : { deltas: chain }),
    ...(isMeant ? { isMeant } : {}),
  }
}

function parseChain(text: string, version: string): DeltaChain | undefined {
  const [of, length, digest = ''] = text.split(' ')
  if (of !== version || length === '0') return undefined
  if (!isWhole(Number(length), LIMITS.deltasMax) || !isSha256(digest))
    throw new SourceError('cache-answer', `the announcement's deltas are ${JSON.stringify(text).slice(0, 200)}`)
  return { length: Number(length), digest }
}

/** The field `deltas` of an announcement. */
export function chainText(version: string, { length, digest }: DeltaChain): string {
  return `${version} ${length} ${digest}`
}

/**
 * Reads a manifest and checks all that later steps rely on. Fields that it does not know are left aside.
 * @throws SourceError `manifest-invalid`. Cost: O(chunks).
 */
export function parseManifest(text: string, version: string): Manifest {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new SourceError('manifest-invalid', `version ${version}: not JSON`)
  }
  const problem = manifestProblem(value, version)
  if (problem !== undefined) throw new SourceError('manifest-invalid', `version ${version}: ${problem}`)
  return value as Manifest
}

function manifestProblem(value: unknown, version: string): string | undefined {
  if (!isObject(value)) return 'not an object'
  if (value.schema !== 1) return `schema ${String(value.schema).slice(0, 20)} is not 1, which this service reads`
  if (value.version !== version) return 'it names another version'
  if (typeof value.createdAt !== 'string') return 'no createdAt'
  if (!isObject(value.kinds)) return 'no kinds'
  const { compiledBy } = value
  if (compiledBy !== undefined && !isSha256(compiledBy)) return 'compiledBy is not a sha256'
  let chunks = 0
  for (const [kind, record] of Object.entries(value.kinds)) {
    if (!(DOCUMENT_KIND_NAMES as readonly string[]).includes(kind)) return `unknown kind ${kind.slice(0, 40)}`
    const problem = kindProblem(record, compiledBy !== undefined && DIVIDED_KINDS.has(kind as DocumentKindName))
    if (problem !== undefined) return `${kind}: ${problem}`
    chunks += (record as KindRecord).chunks.length
  }
  return chunks <= LIMITS.chunksMax ? undefined : `${chunks} chunks are more than ${LIMITS.chunksMax}`
}

function kindProblem(kind: unknown, isCompiled: boolean): string | undefined {
  if (!isObject(kind) || !Array.isArray(kind.chunks)) return 'no chunks'
  let bytes = 0
  let records = 0
  for (const chunk of kind.chunks as unknown[]) {
    if (!isObject(chunk) || !isWhole(chunk.records, LIMITS.chunkBytesMax)) return 'a chunk without records'
    if (!isWhole(chunk.bytes, LIMITS.chunkBytesMax)) return `a chunk without bytes up to ${LIMITS.chunkBytesMax}`
    if (!isSha256(chunk.sha256)) return 'a chunk without sha256'
    const { compiled } = chunk
    const compiledGood =
      isObject(compiled) && isWhole(compiled.bytes, LIMITS.chunkBytesMax) && isSha256(compiled.sha256)
    if (isCompiled && !compiledGood) return 'a chunk that is not compiled'
    bytes += chunk.bytes
    records += chunk.records
  }
  return bytes === kind.bytes && records === kind.records ? undefined : 'its chunks do not add up to it'
}

function isSha256(value: unknown): boolean {
  return typeof value === 'string' && SHA256.test(value)
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isWhole(value: unknown, max: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= max
}

/** Records of all kinds, and the bytes in which they are read. Cost: O(chunks). */
export function summaryOf(manifest: Manifest, compiled: boolean): VersionSummary {
  let records = 0
  let bytes = 0
  for (const kind of Object.values(manifest.kinds)) {
    records += kind.records
    for (const chunk of kind.chunks) bytes += (compiled ? chunk.compiled : undefined)?.bytes ?? chunk.bytes
  }
  return { version: manifest.version, createdAt: manifest.createdAt, records, bytes, compiled }
}

/** All keys that a stored version can occupy; those of compiled chunks and deltas may be missing. Cost: O(chunks). */
export function keysOfVersion(keys: StateKeys, version: string, chunks: VersionRecord['chunks']): string[] {
  return [keys.manifest(version), keys.deltas(version), ...chunkKeys(keys, version, chunks)]
}

/** Keys of a version's chunks; those of compiled ones may be missing. Cost: O(chunks). */
export function chunkKeys(keys: StateKeys, version: string, chunks: VersionRecord['chunks']): string[] {
  const found: string[] = []
  for (const [name, count] of Object.entries(chunks)) {
    const kind = name as DocumentKindName
    for (let index = 0; index < count; index++) {
      found.push(keys.chunk(version, kind, index))
      if (DIVIDED_KINDS.has(kind)) found.push(keys.compiled(version, kind, index))
    }
  }
  return found
}
