import { beforeEach, describe, expect, test } from 'vitest'
import type { Done, LeaseOperation } from './ledger.ts'
import { applyToLedger, bookInLedger, emptyLedger, type LedgerState, rebuildLedger } from './ledger-memory.ts'
import { TaskLedger } from './task-ledger.ts'

const GRACE_MS = 10_000
const LIMIT_NANOS = 1_000
const STEP_MS = 50

/** Tasks on one ledger, whose time the test moves. */
class World {
  state: LedgerState = emptyLedger()
  nowMs = 0
  readonly #tasks: TaskLedger[] = []
  readonly granted = new Map<TaskLedger, number>()
  readonly awayUntilMs = new Map<TaskLedger, number>()

  task(name: string): TaskLedger {
    const task = new TaskLedger({
      ...{ task: name, newEpoch: () => 'e', graceMs: GRACE_MS, leases: () => [] },
      ...{ opensAfterMs: 0, booksAfterMs: 0, abandonedAfterMs: 600_000 },
    })
    task.reconnected(this.nowMs)
    this.#tasks.push(task)
    return task
  }

  lease(task: TaskLedger, lease: string, wantedNanos: number): void {
    const accounts = [{ account: 'a', limitNanos: LIMIT_NANOS }]
    const terms = { leastNanos: 1, abandonedAfterMs: 600_000, again: false }
    const operation: LeaseOperation = { kind: 'lease', lease, accounts, wantedNanos, ...terms }
    task.add(operation, answer => this.granted.set(task, (this.granted.get(task) ?? 0) + ((answer as Done).nanos ?? 0)))
  }

  /** A replica takes over: every connection is new, and some tasks find it later than others. */
  failOver(older: LedgerState, late: TaskLedger, lateMs: number): void {
    this.state = older
    this.awayUntilMs.set(late, this.nowMs + lateMs)
    for (const task of this.#tasks) task.reconnected(this.nowMs)
  }

  run(ms: number): void {
    for (const untilMs = this.nowMs + ms; this.nowMs < untilMs; ) {
      this.nowMs += STEP_MS
      for (const task of this.#tasks) if (this.nowMs >= (this.awayUntilMs.get(task) ?? 0)) this.#send(task)
    }
  }

  #send(task: TaskLedger): void {
    for (let sent = task.next(this.nowMs); sent !== undefined; sent = task.next(this.nowMs)) {
      if (sent.kind === 'rebuild') task.rebuilt(rebuildLedger(this.state, sent.witness, this.nowMs).epoch)
      else if (sent.kind === 'book')
        task.booked(sent.bookings, bookInLedger(this.state, sent.caller, sent.bookings, this.nowMs), this.nowMs)
      else task.answered(sent.operation, applyToLedger(this.state, sent.caller, sent.operation, this.nowMs), this.nowMs)
    }
  }
}

describe('a task that is new to a ledger', () => {
  let world: World
  beforeEach(() => {
    world = new World()
  })

  /** When it gets what it asks for at once. */
  function leasesAfterMs(task: TaskLedger): number {
    const begunMs = world.nowMs
    world.lease(task, `lease-of-new-${begunMs}`, 100)
    while (!world.granted.has(task) && world.nowMs < begunMs + 60_000) world.run(STEP_MS)
    return world.nowMs - begunMs
  }

  test('leases after a second where it is the first', () => {
    expect(leasesAfterMs(world.task('first'))).toBeLessThanOrEqual(1_500)
  })

  test('leases within a second or so where another one has had the ledger for longer than the grace', () => {
    const other = world.task('other')
    world.lease(other, 'lease-1', 100)
    world.run(GRACE_MS + 2_000)
    expect(leasesAfterMs(world.task('new'))).toBeLessThanOrEqual(1_500)
  })

  test('leases after a second where all others have left, and after the grace where one was killed', () => {
    const [left, killed] = [world.task('left'), world.task('killed')]
    world.lease(left, 'lease-1', 100)
    world.run(GRACE_MS + 2_000)
    left.leave()
    world.run(1_000)
    world.awayUntilMs.set(left, Number.POSITIVE_INFINITY)
    world.awayUntilMs.set(killed, Number.POSITIVE_INFINITY)
    expect(leasesAfterMs(world.task('new'))).toBeLessThanOrEqual(1_500)
    world = new World()
    const holder = world.task('holder')
    world.lease(holder, 'lease-1', 100)
    world.run(GRACE_MS + 2_000)
    world.awayUntilMs.set(holder, Number.POSITIVE_INFINITY)
    expect(leasesAfterMs(world.task('new'))).toBeGreaterThanOrEqual(GRACE_MS)
  })

  test('leases nothing that a failover has made the ledger forget, however late its holder comes back', () => {
    const [holder, other] = [world.task('holder'), world.task('other')]
    world.lease(holder, 'lease-1', 600)
    world.lease(other, 'lease-2', 100)
    world.run(GRACE_MS + 2_000)
    const older = structuredClone(world.state)
    world.lease(holder, 'lease-3', 300)
    world.run(1_000)
    expect([world.granted.get(holder), world.granted.get(other)]).toEqual([900, 100])
    world.failOver(older, holder, GRACE_MS / 2)
    const fresh = world.task('fresh')
    world.lease(fresh, 'lease-4', 300)
    world.run(3 * GRACE_MS)
    expect(world.granted.get(fresh)).toBe(0)
    expect(world.state.accounts.get('a')?.leasedNanos).toBe(LIMIT_NANOS)
  })
})
