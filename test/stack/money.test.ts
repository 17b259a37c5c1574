import { expect, inject, test } from 'vitest'
import type { SpendRecord } from '../../service/remote-cache/spend-records.ts'
import { run } from './engine.ts'
import { askForBid, containerId, execute, send, TENANTS, type Tenant, untilReady } from './stack.ts'

const stack = inject('stack')
const REQUESTS_MAX = 100
const READY_LIMIT_MS = 60_000

/**
 * What finance sees of a tenant: the report of `npm run spend`, without what tasks lease and give back at any time,
 * and without accounts of which nothing was spent.
 */
async function reportOf(tenant: Tenant): Promise<readonly string[]> {
  const to = `rediss://${tenant}-finance:development-only-${tenant}-finance@cache:6379`
  const command = ['node', 'service/commands/spend.ts', 'report', '--json', '--tenant', tenant, '--to', to]
  const { stdout } = await execute(stack, tenant, command)
  const records = stdout.split('\n').flatMap(line => (line === '' ? [] : [JSON.parse(line) as SpendRecord]))
  const booked = records.filter(({ bookings }) => bookings > 0)
  return booked
    .map(({ day, kind, id, spentNanos, bookings }) => `${day} ${kind} ${id}: ${spentNanos} in ${bookings} bookings`)
    .sort()
}

/** Asks until a bid has a billing notice. @returns its path. @throws Error when none has. */
async function billingPath(tenant: Tenant): Promise<string> {
  for (let n = 0; n < REQUESTS_MAX; n += 1) {
    const { answer } = await askForBid(stack, tenant, `money-${n}`)
    if (answer.status !== 200) continue
    const { seatbid } = JSON.parse(answer.body) as { seatbid: { bid: { burl?: string }[] }[] }
    const burl = seatbid.flatMap(seat => seat.bid).find(bid => bid.burl !== undefined)?.burl
    // As an exchange does that bills the least there is.
    const expanded = burl?.replaceAll(/\$\{[^}]*\}/g, '0.01')
    if (expanded !== undefined) return new URL(expanded).pathname + new URL(expanded).search
  }
  throw new Error(`no bid of ${tenant} in ${REQUESTS_MAX} requests had a billing notice`)
}

test('what is billed through the proxy is spent once, and outlives a restart of the cache', async () => {
  const billed = await Promise.all(TENANTS.map(billingPath))
  const before = await Promise.all(TENANTS.map(reportOf))
  for (const path of [...billed, ...billed]) expect((await send(stack, path)).status).toBeLessThan(300)
  const after = await Promise.all(TENANTS.map(reportOf))
  for (const [n, report] of after.entries()) expect(report).not.toEqual(before[n])
  for (const path of billed) expect((await send(stack, path)).status).toBeLessThan(300)
  expect(await Promise.all(TENANTS.map(reportOf))).toEqual(after)
  await run(stack.dockerHost, ['docker', 'restart', '--time', '5', await containerId(stack, 'cache')])
  await Promise.all(TENANTS.map(tenant => untilReady(stack, tenant, READY_LIMIT_MS)))
  await expect.poll(() => reportOf('acme-outdoor').catch(String), { timeout: READY_LIMIT_MS }).toEqual(after[0])
}, 180_000)
