/**
 * Moves unspent budget from one ledger to another. A budget that is used in several caches or regions is published to
 * each as its share, and no lease crosses a cache; what one share does not need, another may. First it is given, then
 * taken, both once per transfer: whatever fails in between, no money comes to be, and a repetition goes on.
 */
import type { Redis } from 'ioredis'
import { spendPrefix } from './layout.ts'
import { GIVE_SCRIPT, LOST, REBUILDING, TAKE_SCRIPT } from './ledger-scripts.ts'

/** One tenant's ledger in one cache. */
export interface ShareLedger {
  readonly redis: Redis
  readonly tenantId: string
}

/** What is moved. */
export interface ShareTransfer {
  /** Distinct for every transfer; the same to repeat one. */
  readonly id: string
  /** See accountsOf. */
  readonly account: string
}

/** Why a ledger does not take part. */
export type TransferRefusal = 'no-ledger' | 'rebuilding' | 'no-budget'

type Reply = readonly [number, string, string]

/**
 * Takes what is unspent and not leased out of a share, at most so much.
 * @returns nanos that are given now or were given by this transfer before; 0 when nothing is left
 * @throws Error of the client; then it is not known whether it was given, and the same is asked again
 */
export async function giveShare(
  { redis, tenantId }: ShareLedger,
  { id, account }: ShareTransfer,
  wantedNanos: number,
): Promise<number | TransferRefusal> {
  const prefix = spendPrefix(tenantId)
  const keys = [`${prefix}epoch`, `${prefix}given:${id}`, `${prefix}account:${account}`]
  return outcomeOf((await redis.eval(GIVE_SCRIPT, keys.length, ...keys, wantedNanos)) as Reply)
}

/**
 * Adds to a share what another ledger has given.
 * @returns nanos that this transfer has added, now or before
 * @throws Error of the client; then it is not known whether it was added, and the same is asked again
 */
export async function takeShare(
  { redis, tenantId }: ShareLedger,
  { id, account }: ShareTransfer,
  givenNanos: number,
): Promise<number | TransferRefusal> {
  const prefix = spendPrefix(tenantId)
  const keys = [`${prefix}epoch`, `${prefix}taken:${id}`, `${prefix}account:${account}`]
  return outcomeOf((await redis.eval(TAKE_SCRIPT, keys.length, ...keys, givenNanos)) as Reply)
}

function outcomeOf([code, nanos]: Reply): number | TransferRefusal {
  if (code === LOST) return 'no-ledger'
  if (code === REBUILDING) return 'rebuilding'
  return code < 0 ? 'no-budget' : Number(nanos)
}

/** What of an account is neither spent nor leased, in nanos; undefined for one without a budget. Changes nothing. */
export async function unspentNanos({ redis, tenantId }: ShareLedger, account: string): Promise<number | undefined> {
  const fields = await redis.hgetall(`${spendPrefix(tenantId)}account:${account}`)
  if (fields.limit === undefined) return undefined
  const number = (name: string) => Number(fields[name] ?? 0)
  return number('limit') + number('added') - number('base') - number('booked') - number('leased')
}
