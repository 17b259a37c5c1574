/** `npm run spend -- rebalance`: moves unspent budget between the shares of two caches. */
import { randomBytes } from 'node:crypto'
import type { CacheConnection } from '../remote-cache/connection.ts'
import {
  giveShare,
  type ShareTransfer,
  type TransferRefusal,
  takeShare,
  unspentNanos,
} from '../remote-cache/share-transfer.ts'
import { accountsOf } from '../spend/accounts.ts'
import { type CacheOptions, withCache } from './cache-arguments.ts'
import { CommandProblem, EXIT } from './terminal.ts'

/** Options of the command. `to` is who gets. */
export interface RebalanceOptions extends CacheOptions {
  readonly from: string
  readonly lineItem?: string
  readonly campaign?: string
  /** YYYY-MM-DD: the budget of this day in the tenant's time zone instead of the total. */
  readonly day?: string
  /** In the tenant's currency; half of the difference without it. */
  readonly amount?: number
  readonly transfer?: string
}

const NANOS = 1e9
const DAY_MS = 86_400_000

const REFUSALS: Readonly<Record<TransferRefusal, string>> = {
  'no-ledger': 'there is no ledger of this tenant',
  rebuilding: 'the ledger is being rebuilt: what is leased is not known yet; try again in an hour',
  'no-budget': 'nothing was ever leased for such a budget there',
}

/** Gives, then takes. @throws CommandProblem for what a person can repair */
export async function rebalance(options: RebalanceOptions): Promise<void> {
  const account = accountOf(options)
  const id = options.transfer ?? randomBytes(8).toString('hex')
  if (!/^[A-Za-z0-9-]{1,64}$/.test(id))
    throw new CommandProblem(
      `error: --transfer must have 1 to 64 letters, digits and hyphens, got ${JSON.stringify(id)}`,
    )
  const { tenant: tenantId } = options
  await withCache({ ...options, to: options.from }, from =>
    withCache(options, to => move({ from, to, tenantId }, { id, account }, options.amount)),
  )
}

interface Places {
  readonly from: CacheConnection
  readonly to: CacheConnection
  readonly tenantId: string
}

async function move(
  { from, to, tenantId }: Places,
  transfer: ShareTransfer,
  amount: number | undefined,
): Promise<void> {
  const { id, account } = transfer
  const unspentAt = (at: CacheConnection) => at.run(redis => unspentNanos({ redis, tenantId }, account))
  const [there = 0, here = 0] = await Promise.all([unspentAt(from), unspentAt(to)])
  const wanted = amount === undefined ? Math.max(0, Math.floor((there - here) / 2)) : Math.round(amount * NANOS)
  const given = await from.run(redis => giveShare({ redis, tenantId }, transfer, wanted))
  if (typeof given === 'string') throw new CommandProblem(`error: --from: ${REFUSALS[given]}`)
  if (given === 0) {
    console.log(`Nothing to move: of ${account} there is no more unspent there than here.`)
    return
  }
  const repeat = `repeat with --transfer ${id}`
  console.log(`Transfer ${id}: ${(given / NANOS).toFixed(6)} of ${account} is given; ${repeat} if this ends here.`)
  const taken = await to.run(redis => takeShare({ redis, tenantId }, transfer, given))
  if (typeof taken === 'string') {
    console.error(`error: --to: ${REFUSALS[taken]}. It is given and not taken: ${repeat}.`)
    process.exitCode = EXIT.bad
    return
  }
  console.log(`Transfer ${id}: ${(taken / NANOS).toFixed(6)} is taken.`)
}

function accountOf({ lineItem, campaign, day }: RebalanceOptions): string {
  if ((lineItem === undefined) === (campaign === undefined))
    throw new CommandProblem('error: say either --line-item or --campaign')
  const dayNumber = day === undefined ? 0 : Date.parse(`${day}T00:00:00Z`) / DAY_MS
  if (!Number.isInteger(dayNumber)) throw new CommandProblem(`error: --day must be like 2026-11-21, got ${day}`)
  const [itsTotal, itsDay, campaignTotal, campaignDay] = accountsOf(campaign ?? '', lineItem ?? '', dayNumber)
  const account = lineItem === undefined ? [campaignTotal, campaignDay] : [itsTotal, itsDay]
  return account[day === undefined ? 0 : 1] ?? ''
}
