/** One task of a simulation: the service's own leases and ledger side, and a journal on a disk that outlives it. */
import type { Random } from '../../service/foundation/random.ts'
import type { BookOperation } from '../../service/spend/ledger.ts'
import { abandonedAfterMs, type Hold, type LeaseRules, Slice } from '../../service/spend/slice.ts'
import { TaskLedger } from '../../service/spend/task-ledger.ts'
import type { BrokenRule, FaultyCache } from './faulty-cache.ts'

/** A line item of the simulated tenant. */
export interface SimulatedLineItem {
  readonly id: string
  readonly limitNanos: number
  /** The campaign's budget is shared by its line items. */
  readonly campaignLimitNanos: number
  readonly priceNanos: number
  readonly isStrict: boolean
}

/** Names of the accounts that a line item's spend is booked on. */
export function accountsOf({ id }: SimulatedLineItem): readonly string[] {
  return [`li:${id}`, 'campaign']
}

/** What a task is started with. */
export interface TaskOptions {
  readonly name: string
  readonly lineItems: readonly SimulatedLineItem[]
  readonly rules: LeaseRules
  readonly random: Random
  readonly broken: BrokenRule | undefined
  /** Of a task that ended: what its disk still has. */
  readonly journal: ReadonlyMap<string, BookOperation>
}

/** After the whole memory was lost: until all holds of tasks that cannot witness are over. */
export function opensAfterMs({ holdMsMax, bucketMs, graceMs }: LeaseRules): number {
  return holdMsMax + bucketMs + 2 * graceMs
}

/** One running task. */
export class SimulatedTask {
  readonly name: string
  readonly ledger: TaskLedger
  readonly journal = new Map<string, BookOperation>()
  pausedUntilMs = 0
  cutOffUntilMs = 0
  readonly #slices = new Map<string, Slice>()
  readonly #holdsHalf: boolean
  #connection = 0
  #names = 0

  constructor({ name, lineItems, rules, random, broken, journal }: TaskOptions) {
    this.name = name
    this.#holdsHalf = broken === 'holds-half'
    const graceMs = broken === 'no-grace' ? 0 : rules.graceMs
    const settling = { ...rules, graceMs }
    this.ledger = new TaskLedger({
      task: name,
      newEpoch: () => `epoch-${name}-${this.#names++}`,
      graceMs: broken === 'hasty-after-failover' ? 0 : graceMs,
      opensAfterMs: opensAfterMs(rules),
      abandonedAfterMs: abandonedAfterMs(rules),
      leases: () => [...this.#slices.values()].flatMap(slice => slice.leases),
    })
    const early = { ...settling, holdMsMax: -rules.leaseMsMax }
    for (const lineItem of lineItems) {
      const limits = [lineItem.limitNanos, lineItem.campaignLimitNanos]
      this.#slices.set(
        lineItem.id,
        new Slice({
          accounts: accountsOf(lineItem).map((account, i) => ({ account, limitNanos: limits[i] as number })),
          priceNanosMax: lineItem.priceNanos,
          isStrict: lineItem.isStrict,
          rules: broken === 'abandons-early' ? early : settling,
          ledger: this.ledger,
          newLease: () => `${name}-${this.#names++}-${random.next()}`,
        }),
      )
    }
    for (const operation of journal.values()) this.take(operation)
  }

  /** Whether it runs at this moment. */
  runs(nowMs: number): boolean {
    return nowMs >= this.pausedUntilMs
  }

  /** Holds for one bid at the line item's price. */
  bid(lineItem: SimulatedLineItem, winProbability: number, nowMs: number, holdMs: number): Hold | undefined {
    const slice = this.#slices.get(lineItem.id)
    const nanos = slice?.holdNanos(lineItem.priceNanos, winProbability) ?? 0
    return slice?.hold(this.#holdsHalf ? Math.ceil(nanos / 2) : nanos, nowMs, holdMs)
  }

  /** A billing notice: on the disk first, then in the ledger's queue. Acknowledged when this returns. */
  take(operation: BookOperation): void {
    this.journal.set(operation.key, operation)
    this.ledger.add(operation, () => this.journal.delete(operation.key))
  }

  /** One second of the control thread: settle, lease, send. */
  turn(cache: FaultyCache, nowMs: number, loss: number): void {
    for (const slice of this.#slices.values()) slice.look(nowMs)
    if (nowMs < this.cutOffUntilMs) return
    if (this.#connection !== cache.connection) {
      this.#connection = cache.connection
      this.ledger.reconnected(nowMs)
    }
    for (let sends = 0; sends < 60; sends++) {
      const sent = this.ledger.next(nowMs)
      if (sent === undefined) return
      const reply = cache.send(sent, nowMs, loss)
      if (reply === undefined) continue
      if (reply.kind === 'rebuilt') this.ledger.rebuilt(reply.epoch)
      else if (sent.kind === 'apply') this.ledger.answered(sent.operation, reply, nowMs)
      if (reply.kind === 'rebuilding') return
    }
  }

  /** No more bids; what is free goes back. */
  stop(nowMs: number): void {
    for (const slice of this.#slices.values()) slice.stop(nowMs)
  }

  /** Whether everything is told and returned. */
  get isIdle(): boolean {
    return this.ledger.waitingCount === 0 && [...this.#slices.values()].every(({ leases }) => leases.length === 0)
  }
}
