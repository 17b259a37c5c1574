/** Publishing changes of single records: check against all records → one atomic append, or a new version. */
import type { Redis } from 'ioredis'
import { LIMITS } from '../limits.ts'
import type { Delta } from '../state/delta.ts'
import type { DocumentKindName } from '../state/documents.ts'
import { DocumentReader, type RecordProblem } from '../state/validate.ts'
import { type Change, type ChangeOutcome, type WholeCause, WorkingCopy } from '../state/working-copy.ts'
import { recordsOf } from './chunks.ts'
import { chained, NO_DELTAS } from './deltas.ts'
import { chainText, type StateKeys, stateKeys } from './layout.ts'
import { type ChunkCompiler, type PublishOutcome, publishTenant } from './publisher.ts'
import { type Announcement, type DeltaChain, SourceError, type StateSource } from './source.ts'
import { executed, storedVersions } from './versions.ts'

/** Somebody else may publish a thousand changes a second, each of which makes a try fail. */
const TRIES_MAX = 1_000

/** What a publisher of changes works with. */
export interface DeltaPublisherParts {
  /** Connected, and used by nothing else meanwhile: a transaction watches keys on it. */
  readonly redis: Redis
  readonly tenantId: string
  /** Reads the same tenant's state. */
  readonly source: StateSource
  /** For changes that need a version of their own. */
  readonly compiler: () => ChunkCompiler
  /** Bytes that all stored versions of the tenant and the deltas of the announced one may have together. */
  readonly quotaBytes?: number
  /** See PublishOptions. */
  readonly allowShrink?: boolean
}

/** What became of changes. `refused`, `over-quota` and `nothing-announced` changed nothing. */
export type DeltaOutcome =
  | { readonly kind: 'refused'; readonly problems: readonly RecordProblem[] }
  | { readonly kind: 'nothing-announced' }
  | { readonly kind: 'over-quota'; readonly storedBytes: number; readonly quotaBytes: number }
  | { readonly kind: 'delta'; readonly version: string; readonly number: number; readonly chars: number }
  /** It was too much for a delta, or there was no room for one. */
  | { readonly kind: 'version'; readonly because: WholeCause | 'deltas-full'; readonly outcome: PublishOutcome }

/**
 * Holds a tenant's records as they are announced, so that a change costs what its size is, and publishes changes of
 * them. Any number of publishers may work at once: whoever comes second sees what the first did, and checks again.
 */
export class DeltaPublisher {
  readonly #parts: DeltaPublisherParts
  readonly #keys: StateKeys
  #copy = new WorkingCopy()
  #held: Announcement | undefined
  #chain: DeltaChain = NO_DELTAS
  /** Of the deltas of the held version. */
  #chars = 0
  /** Of all stored versions. */
  #storedBytes = 0
  readonly #carried = new Set<string>()

  constructor(parts: DeltaPublisherParts) {
    this.#parts = parts
    this.#keys = stateKeys(parts.tenantId)
  }

  /**
   * Publishes changes, all or none.
   * @param file for people: where the changes were read
   * @throws SourceError, or the connection's. Cost: O(size of the changes and of what they touch); O(records) the first
   *   time, and after somebody else has published a version
   */
  async publish(changes: readonly Change[], file: string): Promise<DeltaOutcome> {
    const { redis, quotaBytes = LIMITS.stateBytesMax } = this.#parts
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      // Watched: what the changes are checked against must be what they are put on.
      await redis.watch(this.#keys.announced)
      const settled = await this.#try(changes, file, quotaBytes).catch(async error => {
        // What the copy has then is not known to be announced.
        this.#held = undefined
        throw error
      })
      if (settled !== undefined) return settled
    }
    throw new SourceError('cache-answer', `others published ${TRIES_MAX} times meanwhile`)
  }

  /** @returns undefined when somebody else was faster. */
  async #try(changes: readonly Change[], file: string, quotaBytes: number): Promise<DeltaOutcome | undefined> {
    const { redis } = this.#parts
    await this.#follow()
    if (this.#held === undefined) {
      await redis.unwatch()
      return { kind: 'nothing-announced' }
    }
    const outcome = this.#copy.change(changes, file)
    if (outcome.kind === 'refused') {
      await redis.unwatch()
      return outcome
    }
    const storedBytes = this.#storedBytes + this.#chars
    if (outcome.kind === 'whole') return await this.#publishWhole(outcome.because, outcome.undo)
    if (this.#isFull(outcome)) return await this.#publishWhole('deltas-full', outcome.undo)
    if (storedBytes + outcome.text.length > quotaBytes) {
      outcome.undo()
      await redis.unwatch()
      return { kind: 'over-quota', storedBytes, quotaBytes }
    }
    const chain = chained(this.#chain, outcome.text)
    const { version } = this.#held
    const transaction = redis
      .multi()
      .xadd(this.#keys.deltas(version), `${chain.length}-0`, 'delta', outcome.text, 'digest', chain.digest)
      .hset(this.#keys.announced, 'deltas', chainText(version, chain))
    if (!(await executed(transaction))) {
      outcome.undo()
      return undefined
    }
    this.#note(chain, outcome.delta, outcome.text.length)
    return { kind: 'delta', version, number: chain.length, chars: outcome.text.length }
  }

  #isFull({ delta, text }: Extract<ChangeOutcome, { kind: 'delta' }>): boolean {
    const more = lineItemIdsOf(delta).filter(id => !this.#carried.has(id)).length
    return (
      this.#chain.length >= LIMITS.deltasMax ||
      this.#chars + text.length > LIMITS.deltasCharsMax ||
      this.#carried.size + more > LIMITS.overlayLineItemsMax
    )
  }

  #note(chain: DeltaChain, delta: Delta, chars: number): void {
    this.#chain = chain
    this.#chars += chars
    for (const id of lineItemIdsOf(delta)) this.#carried.add(id)
  }

  /** Publishes all records, the changes among them, as a version. */
  async #publishWhole(because: WholeCause | 'deltas-full', undo: () => void): Promise<DeltaOutcome> {
    const { redis, tenantId, compiler, quotaBytes = LIMITS.stateBytesMax, allowShrink = false } = this.#parts
    await redis.unwatch()
    const documents = placed(this.#copy)
    const outcome = await publishTenant({ redis, tenantId, documents, compiler: compiler(), quotaBytes, allowShrink })
    // Whether it is announced, and what others did meanwhile, the next look tells.
    if (outcome.kind === 'refused') undo()
    this.#held = undefined
    return { kind: 'version', because, outcome }
  }

  /** Makes the copy what is announced. */
  async #follow(): Promise<void> {
    const { announced, versions } = await storedVersions(this.#parts.redis, this.#keys)
    this.#storedBytes = versions.reduce((sum, { record }) => sum + (record.storedBytes ?? record.bytes), 0)
    if (announced === undefined) return
    const end = announced.deltas ?? NO_DELTAS
    if (this.#held?.version !== announced.version || end.length < this.#chain.length)
      await this.#load(announced.version)
    try {
      await this.#takeDeltas(announced.version, end)
    } catch (error) {
      if (!(error instanceof SourceError) || error.code !== 'delta-missing' || this.#chain.length === 0) throw error
      // The cache went back in time: the deltas that the copy has are not its own any more.
      await this.#load(announced.version)
      await this.#takeDeltas(announced.version, end)
    }
    this.#held = announced
  }

  async #takeDeltas(version: string, end: DeltaChain): Promise<void> {
    if (end.digest === this.#chain.digest) return
    for await (const { chain, delta, chars } of this.#parts.source.deltas(version, this.#chain, end)) {
      for (const [kind, records] of Object.entries(delta.put))
        for (const record of records) this.#copy.put(kind as DocumentKindName, record)
      for (const [kind, ids] of Object.entries(delta.delete))
        for (const id of ids) this.#copy.delete(kind as DocumentKindName, id)
      this.#note(chain, delta, chars)
    }
  }

  async #load(version: string): Promise<void> {
    const copy = new WorkingCopy()
    const reader = new DocumentReader(({ kind, document }) => copy.put(kind, document))
    for await (const batch of this.#parts.source.read(version)) {
      const { kind, file, firstRecord } = batch
      for (const [i, value] of recordsOf(batch).entries()) reader.read(kind, value, { file, record: firstRecord + i })
    }
    this.#copy = copy
    this.#chain = NO_DELTAS
    this.#chars = 0
    this.#carried.clear()
  }
}

function lineItemIdsOf({ with: carried, put }: Delta): readonly string[] {
  return [...(carried.lineItems ?? []), ...(put.lineItems ?? [])].map(lineItem => (lineItem as { id: string }).id)
}

function* placed(copy: WorkingCopy) {
  let record = 0
  for (const { kind, value } of copy.records()) yield { kind, value, where: { file: kind, record: record++ } }
}
