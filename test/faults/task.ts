import { setTimeout as sleep } from 'node:timers/promises'
import { CatalogLoad } from '../../service/catalog-load.ts'
import { systemClock as clock } from '../../service/foundation/clock.ts'
import type { Random } from '../../service/foundation/random.ts'
import { NextState } from '../../service/next-state.ts'
import { RedisSource } from '../../service/remote-cache/redis-source.ts'
import type { RefreshEvent } from '../../service/remote-cache/refresh-events.ts'
import { Refresher } from '../../service/remote-cache/refresher.ts'
import type { StateSource } from '../../service/remote-cache/source.ts'
import { ArenaPool } from '../../service/state/arena.ts'
import { type Catalog, idAt, openCatalog } from '../../service/state/catalog.ts'

const SLAB_BYTES = 8 * 1024 * 1024
const TIMEOUT_MS = 300

/** What a task serves: opened as a bid thread opens it. */
export interface ServedState {
  readonly base: Catalog
  readonly overlay: Catalog | undefined
}

/** What differs from a task as it is by default. */
export interface TaskOptions {
  readonly checkMs?: number
  /** A larger version is not admitted. */
  readonly bytesMax?: number
  readonly copy?: StateSource
}

/**
 * The control thread's part of a task, with all its real parts; the bid threads are this thread. Every state that it
 * ever served is asked for, so that a half one would be seen.
 */
export class TaskUnderTest {
  readonly events: RefreshEvent[] = []
  readonly refresher: Refresher<CatalogLoad>
  readonly #source: RedisSource
  readonly #arenas = [new ArenaPool(SLAB_BYTES), new ArenaPool(SLAB_BYTES)] as const
  #served: ServedState | undefined
  swaps = 0

  constructor(url: string, tenantId: string, random: Random, given: TaskOptions = {}) {
    const { checkMs = 3_600_000, bytesMax = Number.POSITIVE_INFINITY, copy } = given
    const { pickIndex } = random
    this.#source = new RedisSource({ url, tenantId, timeoutMs: TIMEOUT_MS, pickIndex })
    const next = new NextState({
      nextSlab: () => this.#slab(0),
      nextOverlaySlab: () => this.#slab(1),
      announce: (base, overlay) => this.#announce(base, overlay),
    })
    this.refresher = new Refresher<CatalogLoad>({
      ...{ source: this.#source, clock, pickIndex, pollMs: 30, checkMs },
      openReader: isFirst => new CatalogLoad(isFirst),
      admit: ({ bytes }) => (bytes > bytesMax ? `${bytes} bytes are too many` : undefined),
      onLoaded: ({ builder }, { version, announcementNumber: announcement }) =>
        next.load(builder, { version, announcement }),
      onDelta: stored => next.take(stored),
      ...(copy === undefined ? {} : { copy }),
      swap: () => next.swap(),
      differs: () => next.differs(),
      drop: () => next.drop(),
      onEvent: event => this.events.push(event),
    })
    this.refresher.start()
  }

  /** What is served. @throws Error before the first */
  get served(): ServedState {
    if (this.#served === undefined) throw new Error('nothing is served')
    return this.#served
  }

  /** What was told of one kind. */
  told<K extends RefreshEvent['kind']>(kind: K): readonly Extract<RefreshEvent, { kind: K }>[] {
    return this.events.filter((event): event is Extract<RefreshEvent, { kind: K }> => event.kind === kind)
  }

  async until(what: string, holds: () => boolean, limitMs = 5_000): Promise<number> {
    const startMs = performance.now()
    while (!holds()) {
      if (performance.now() - startMs > limitMs)
        throw new Error(`not ${what} within ${limitMs} ms: ${JSON.stringify(this.events.slice(-12))}`)
      await sleep(2)
    }
    return performance.now() - startMs
  }

  async stop(): Promise<void> {
    this.#source.close()
    await this.refresher.stop()
  }

  #slab(arena: 0 | 1): SharedArrayBuffer {
    const slot = this.#arenas[arena].free()
    if (slot === undefined) throw new Error('no slab is free')
    return this.#arenas[arena].slabs[slot]
  }

  #place(arena: 0 | 1, { header }: Catalog): Catalog {
    const pool = this.#arenas[arena]
    const slot = pool.free()
    if (slot === undefined) throw new Error('no slab is free')
    pool.announce(slot)
    pool.acknowledge(1, slot)
    return openCatalog(structuredClone(header), pool.slabs[slot])
  }

  async #announce(base: Catalog | undefined, overlay: Catalog | undefined): Promise<void> {
    const placed = base === undefined ? this.served.base : this.#place(0, base)
    if (overlay === undefined) {
      this.#arenas[1].revert(undefined)
      this.#arenas[1].release(1)
    }
    this.#served = { base: placed, overlay: overlay && this.#place(1, overlay) }
    this.swaps++
  }
}

/** All line items of a state that can win, each with what it bids and with what, in one order. */
export function lineItemsOf({ base, overlay }: ServedState): readonly string[] {
  const masked = overlay?.columns.maskedBelow
  const below = linesOf(
    base,
    ordinal => masked === undefined || ((masked[ordinal >>> 5]! >>> (ordinal & 31)) & 1) === 0,
  )
  return [...below, ...(overlay === undefined ? [] : linesOf(overlay, () => true))].toSorted()
}

function linesOf({ header, columns }: Catalog, serves: (ordinal: number) => boolean): string[] {
  const lines: string[] = []
  for (let ordinal = 0; ordinal < header.lineItems; ordinal++) {
    if (!serves(ordinal)) continue
    const id = idAt(columns.lineItemIdStart, columns.lineItemIds, ordinal)
    const campaign = idAt(columns.campaignIdStart, columns.campaignIds, columns.lineItemCampaign[ordinal]!)
    const creatives: string[] = []
    for (let i = columns.lineItemCreativeStart[ordinal]!; i < columns.lineItemCreativeStart[ordinal + 1]!; i++)
      creatives.push(idAt(columns.creativeIdStart, columns.creativeIds, columns.lineItemCreatives[i]!))
    const [priority, price] = [columns.lineItemPriority[ordinal], columns.lineItemPriceNanos[ordinal]]
    lines.push(`${id} ${priority} ${price} ${campaign} ${creatives.join(',')}`)
  }
  return lines
}
