import { setTimeout as sleep } from 'node:timers/promises'
import { expect, inject, test } from 'vitest'
import { run } from './engine.ts'
import { askForBid, containerId, evaluate, send, TENANTS, type Tenant, untilReady } from './stack.ts'

const stack = inject('stack')
const READY_LIMIT_MS = 60_000
/** Of one neighbour while something happens, which takes seconds at some 50 requests a second. */
const BIDS_MIN = 10

interface State {
  readonly Running: boolean
  readonly ExitCode: number
  readonly StartedAt: string
  readonly OOMKilled: boolean
}

async function stateOf(tenant: Tenant): Promise<{ State: State; RestartCount: number }> {
  const { stdout } = await run(stack.dockerHost, ['docker', 'inspect', await containerId(stack, tenant)])
  return (JSON.parse(stdout) as [{ State: State; RestartCount: number }])[0]
}

/** Asks the neighbours for bids while something happens. @returns how many bids each gave; no request may fail. */
async function watching(neighbours: readonly Tenant[], happening: () => Promise<void>): Promise<number[]> {
  let over = false
  const watch = async (tenant: Tenant): Promise<number> => {
    let bids = 0
    for (let n = 0; !over; n += 1) {
      const { answer, domains } = await askForBid(stack, tenant, `watch-${Date.now()}-${n}`)
      expect([200, 204], `${tenant} answered ${answer.status} ${answer.body.slice(0, 200)}`).toContain(answer.status)
      bids += domains.length
      await sleep(10)
    }
    return bids
  }
  const watches = neighbours.map(watch)
  // Both are waited for, so that no failure of one is lost while the other runs.
  const [happened] = await Promise.allSettled([
    happening().finally(() => {
      over = true
    }),
    ...watches,
  ])
  const bids = await Promise.all(watches)
  if (happened.status === 'rejected') throw happened.reason
  return bids
}

test('a task that is killed comes back, and its neighbours do not notice', async () => {
  const before = await stateOf('acme-outdoor')
  const bids = await watching(['bluebird-games', 'cinema-now'], async () => {
    await evaluate(
      stack,
      'acme-outdoor',
      `import fs from 'node:fs'
       const pid = fs.readdirSync('/proc').find(name => /^\\d+$/.test(name) &&
         fs.readFileSync('/proc/' + name + '/cmdline', 'utf8') === 'node\\0service/main.ts\\0')
       console.log(pid)
       process.kill(Number(pid), 'SIGKILL')`,
    ).catch(() => undefined)
    await expect
      .poll(async () => (await stateOf('acme-outdoor')).RestartCount, { timeout: 20_000 })
      .toBeGreaterThan(before.RestartCount)
    await untilReady(stack, 'acme-outdoor', READY_LIMIT_MS)
  })
  for (const each of bids) expect(each).toBeGreaterThan(BIDS_MIN)
  const after = await stateOf('acme-outdoor')
  expect(after.State.StartedAt).not.toBe(before.State.StartedAt)
  for (const tenant of TENANTS) expect((await send(stack, `/${tenant}/health/ready`)).status).toBe(200)
  expect((await askForBid(stack, 'acme-outdoor', 'after-kill')).answer.status).toBeLessThan(300)
})

test('a task that is asked to end drains and exits with 0, and its neighbours do not notice', async () => {
  const id = await containerId(stack, 'bluebird-games')
  const bids = await watching(['acme-outdoor', 'cinema-now'], async () => {
    await run(stack.dockerHost, ['docker', 'stop', '--time', '60', id])
    expect((await stateOf('bluebird-games')).State).toMatchObject({ Running: false, ExitCode: 0, OOMKilled: false })
    expect((await send(stack, '/bluebird-games/health/ready')).status).toBeGreaterThanOrEqual(500)
    await run(stack.dockerHost, ['docker', 'start', id])
    await untilReady(stack, 'bluebird-games', READY_LIMIT_MS)
  })
  for (const each of bids) expect(each).toBeGreaterThan(BIDS_MIN)
})

test('without its cache a task bids on, and is up to date again once the cache is back', async () => {
  const cache = await containerId(stack, 'cache')
  await run(stack.dockerHost, ['docker', 'stop', '--time', '5', cache])
  try {
    const bids = await watching(TENANTS, () => sleep(3_000))
    for (const each of bids) expect(each).toBeGreaterThan(BIDS_MIN)
  } finally {
    await run(stack.dockerHost, ['docker', 'start', cache])
  }
  // Publishing what is there already changes nothing, and works again.
  for (const tenant of TENANTS) {
    const publisher = await containerId(stack, `${tenant}-publisher`)
    await expect
      .poll(() => run(stack.dockerHost, ['docker', 'start', '--attach', publisher], { mayFail: true }), {
        timeout: 30_000,
      })
      .toMatchObject({ code: 0 })
    await untilReady(stack, tenant, READY_LIMIT_MS)
    expect((await askForBid(stack, tenant, 'after-cache')).answer.status).toBeLessThan(300)
  }
})
