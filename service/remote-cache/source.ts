import type { Delta } from '../state/delta.ts'
import type { DocumentKindName } from '../state/documents.ts'

/** What a tenant's tasks are asked to serve. */
export interface Announcement {
  /** Grows by one with each announcement, also when an older version is announced again. */
  readonly number: number
  /** Names one complete version. Its content never changes. */
  readonly version: string
  /** Which changes of single records come on top of it; none where this is missing. */
  readonly deltas?: DeltaChain
  /** Whether it is to be served however few line items it has; see state/shrinkage.ts. */
  readonly isMeant?: boolean
}

/** The deltas of a version up to one of them: how many, and a digest over all, which tells them from any others. */
export interface DeltaChain {
  readonly length: number
  /** Of the digest before and the delta's text, 64 hexadecimal digits; '' before the first. */
  readonly digest: string
}

/** One delta of a version, as it was stored. */
export interface StoredDelta {
  /** Up to this one, which is number `chain.length`. */
  readonly chain: DeltaChain
  readonly delta: Delta
  readonly chars: number
}

/**
 * What to read of a version: its records, or, where the version has it, what its publisher made of most of them.
 * `compiled` where there is none means the records, as does nothing said.
 */
export type ReadFrom = 'records' | 'compiled'

/** A chunk as its publisher compiled it, instead of its records. */
export class CompiledRecords {
  readonly bytes: Uint8Array<ArrayBuffer>

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.bytes = bytes
  }
}

/** What a version holds, known before any of it is read: for admission and progress. */
export interface VersionSummary {
  readonly version: string
  /** ISO 8601 instant. */
  readonly createdAt: string
  /** Of all kinds. 0 where the source cannot know before it reads. */
  readonly records: number
  readonly bytes: number
  /** Whether reading it gives CompiledRecords. */
  readonly compiled: boolean
}

/** Some records of one kind, in the order in which they were published. */
export interface RecordBatch {
  readonly kind: DocumentKindName
  /**
   * Not validated: a chunk as it is stored, which recordsOf parses, on whichever thread; or values already parsed,
   * where an UnreadableRecord stands for text that is not JSON. Or validated and compiled.
   */
  readonly records: Uint8Array<ArrayBuffer> | readonly unknown[] | CompiledRecords
  /** How many records there are. */
  readonly count: number
  /** For people: what to look into. */
  readonly file: string
  /** Position of the first record in its file, from 0; the others follow it without a gap. */
  readonly firstRecord: number
  /** As stored. */
  readonly bytes: number
}

/**
 * Where a tenant's state comes from. Kinds arrive in the order of DOCUMENT_KIND_NAMES. Every method fails with a
 * SourceError and nothing else.
 */
export interface StateSource {
  /** @returns undefined when nothing was ever announced. */
  announced(): Promise<Announcement | undefined>
  summary(version: string, from?: ReadFrom): Promise<VersionSummary>
  /** Reads ahead while the caller works, within LIMITS.chunksInFlightMax. Each batch has its right checksum. */
  read(version: string, from?: ReadFrom): AsyncIterable<RecordBatch>
  /** The deltas of a version after one position up to another, each the very next, or an error. */
  deltas(version: string, after: DeltaChain, end: DeltaChain): AsyncIterable<StoredDelta>
}

/** A source with something to let go of, such as a connection. */
export interface OpenSource extends StateSource {
  /** Ends what is under way with `cache-unreachable`. May be called twice. */
  close(): void
}

/**
 * Why a source could not answer. `retry` = the same question may succeed later; otherwise the version is broken and
 * asking again is of no use.
 */
const SOURCE_ERRORS = {
  'cache-unreachable': { retry: true, meaning: 'no connection to the remote cache, or no answer in time' },
  'cache-denied': { retry: true, meaning: 'the remote cache refuses the user, its password or one of its commands' },
  'cache-answer': { retry: true, meaning: 'the remote cache answered with something that is not of our layout' },
  'directory-unreadable': { retry: true, meaning: 'the directory of tenant documents cannot be read' },
  'version-changed': { retry: true, meaning: 'the documents changed while they were read' },
  'document-unreadable': { retry: false, meaning: 'a file of tenant documents cannot be read' },
  'version-missing': { retry: false, meaning: 'the version is not there' },
  'version-incomplete': { retry: false, meaning: 'a part of the version is not there' },
  'manifest-invalid': { retry: false, meaning: 'the manifest of the version is not of our layout' },
  'compiled-unusable': { retry: true, meaning: 'what the publisher compiled cannot be used; the records can' },
  'delta-missing': { retry: false, meaning: 'a delta of the version is not there' },
  'delta-corrupt': { retry: false, meaning: 'a delta of the version differs from its digest, or is none' },
  'chunk-corrupt': { retry: false, meaning: 'a part of the version differs from its manifest' },
} as const satisfies Record<string, { readonly retry: boolean; readonly meaning: string }>

/** One of SOURCE_ERRORS. */
export type SourceErrorCode = keyof typeof SOURCE_ERRORS

/** A coded failure of a source. Its message is for the log and holds no secret. */
export class SourceError extends Error {
  override readonly name = 'SourceError'
  readonly code: SourceErrorCode

  constructor(code: SourceErrorCode, message: string) {
    super(`${SOURCE_ERRORS[code].meaning}: ${message}`)
    this.code = code
  }

  /** Whether the same question may succeed later. */
  get retry(): boolean {
    return SOURCE_ERRORS[this.code].retry
  }
}
