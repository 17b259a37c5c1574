import { Redis } from 'ioredis'
import { VersionCompiler } from '../../service/compiled-chunks.ts'
import type { Random } from '../../service/foundation/random.ts'
import { creativeFragment } from '../../service/openrtb/creative-fragment.ts'
import { type DeltaOutcome, DeltaPublisher } from '../../service/remote-cache/delta-publisher.ts'
import { type PublishRecord, publishTenant } from '../../service/remote-cache/publisher.ts'
import { RedisSource } from '../../service/remote-cache/redis-source.ts'
import type { Announcement } from '../../service/remote-cache/source.ts'
import { CatalogBuilder } from '../../service/state/catalog-builder.ts'
import type { LineItem } from '../../service/state/documents.ts'
import type { GoodDocument } from '../../service/state/validate.ts'
import { type Change, WorkingCopy } from '../../service/state/working-copy.ts'
import { publishRecords } from '../raw-version.ts'
import { lineItemsOf } from './task.ts'

const LINE_ITEMS = 60

/** Who publishes, on a connection of its own, and knows what all tasks must come to. */
export class Oracle {
  readonly tenantId: string
  readonly #redis: Redis
  readonly #source: RedisSource
  #publisher: DeltaPublisher
  #copy = new WorkingCopy()
  #lineItems: LineItem[] = []

  constructor(url: string, tenantId: string) {
    this.tenantId = tenantId
    this.#redis = new Redis(url, { retryStrategy: () => 20, maxRetriesPerRequest: null })
    this.#redis.on('error', () => {})
    this.#source = new RedisSource({ url, tenantId, timeoutMs: 2_000, pickIndex: () => 0 })
    this.#publisher = this.#newPublisher()
  }

  get redis(): Redis {
    return this.#redis
  }

  /** Publishes a complete version of a tenant drawn by the seed. */
  async publish(seed: number, lineItems = LINE_ITEMS): Promise<void> {
    const records = [...publishRecords({ lineItems, seed })]
    const outcome = await publishTenant({ redis: this.#redis, tenantId: this.tenantId, documents: records })
    if (outcome.kind !== 'published') throw new Error(`not published: ${outcome.because}`)
    this.#know(records)
  }

  /** Publishes changes of single records. */
  async change(changes: readonly Change[]): Promise<DeltaOutcome> {
    const outcome = await this.#publisher.publish(changes, 'test')
    if (outcome.kind === 'delta' || outcome.kind === 'version') this.#copy.change(changes, 'test')
    return outcome
  }

  /** A price, a pause, an end or a return of one to three line items. */
  randomChanges(random: Random): readonly Change[] {
    const chosen = new Set(Array.from({ length: random.between(1, 3) }, () => random.pick(this.#lineItems)))
    return [...chosen].map(lineItem => {
      const changed = { ...lineItem, price: { cpm: random.between(1, 900) / 10 }, status: random.pick(STATUSES) }
      return { kind: 'lineItems', put: changed }
    })
  }

  async announced(): Promise<Announcement | undefined> {
    return await this.#source.announced()
  }

  /** What tasks must serve in the end: a catalog that is compiled of all records at once. */
  expected(): readonly string[] {
    const builder = new CatalogBuilder(creativeFragment)
    for (const { kind, value } of this.#copy.records()) builder.add({ kind, document: value } as GoodDocument)
    const base = builder.finish(new SharedArrayBuffer(8 * 1024 * 1024), { version: 'oracle', announcement: 0 })
    return lineItemsOf({ base, overlay: undefined })
  }

  /** Goes on from the announced version of another one, without its deltas. */
  adopt(seed: number): void {
    this.#know([...publishRecords({ lineItems: LINE_ITEMS, seed })])
  }

  #know(records: readonly PublishRecord[]): void {
    this.#copy = new WorkingCopy()
    for (const { kind, value } of records) this.#copy.put(kind, value)
    this.#lineItems = records.flatMap(({ kind, value }) => (kind === 'lineItems' ? [value as LineItem] : []))
  }

  /** Every record, with its kind, in one order. */
  recordLines(): readonly string[] {
    return [...this.#copy.records()].map(({ kind, value }) => `${kind} ${JSON.stringify(value)}`).toSorted()
  }

  /** Forgets what it knows of the cache, after that went back in time. Its records stay what tasks must come to. */
  forget(): void {
    this.#publisher = this.#newPublisher()
  }

  close(): void {
    this.#redis.disconnect()
    this.#source.close()
  }

  #newPublisher(): DeltaPublisher {
    const compiler = () => new VersionCompiler()
    return new DeltaPublisher({ redis: this.#redis, tenantId: this.tenantId, source: this.#source, compiler })
  }
}

const STATUSES = ['active', 'active', 'paused'] as const
