import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, inject, test } from 'vitest'
import { generateTenant } from '../../service/commands/generator.ts'
import { SAMPLE_TASK, taskDefinition, taskSize } from '../../service/commands/task-definition.ts'
import { memoryPlan, stateRoomMib } from '../../service/memory-plan.ts'
import { DOCUMENT_KINDS } from '../../service/state/documents.ts'
import { freePort } from '../redis-server.ts'
import { RawConnection, rawPost } from '../wire/raw-connection.ts'
import { run } from './engine.ts'

const stack = inject('stack')
const TENANT = 'acme-outdoor'
const MIB = 1_024 * 1_024
/** Each user is somebody new, and is counted. */
const CAPS = [{ impressions: 3, per: { days: 1 }, withoutId: 'bid' }]

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'bidcell-memory-'))
  // The task is another user.
  await chmod(made, 0o777)
  cleanups.push(() => rm(made, { recursive: true, force: true }))
  return made
}

/** Documents of about so many bytes as JSON, of a tenant that caps everybody. */
async function writeTenant(directory: string, bytes: number): Promise<number> {
  const files = new Map<string, string[]>()
  let written = 0
  let lineItems = 0
  // As many as there is room for: their creatives come first and are some third of all.
  const perLineItem = 1_450
  for (const { kind, value } of generateTenant({ lineItems: Math.max(10, Math.floor(bytes / perLineItem)), seed: 1 })) {
    const record = kind === 'settings' ? { ...(value as object), frequencyCaps: CAPS } : value
    const text = JSON.stringify(record)
    const file = `${kind}.${DOCUMENT_KINDS[kind].count === 'one' ? 'json' : 'ndjson'}`
    const known = files.get(file)
    if (known === undefined) files.set(file, [text])
    else known.push(text)
    written += text.length
    if (kind === 'lineItems') lineItems++
  }
  for (const [file, texts] of files) await writeFile(join(directory, file), texts.join('\n'))
  expect(lineItems).toBeGreaterThan(0)
  return written
}

interface Task {
  readonly id: string
  readonly port: number
  lines(): Promise<Record<string, unknown>[]>
  state(): Promise<{ Running: boolean; OOMKilled: boolean; ExitCode: number }>
}

/** A container with what the task definition says, and with its exact limit. */
async function startTask(memoryMib: number, state: string): Promise<Task> {
  const port = await freePort()
  const container = taskDefinition({ ...SAMPLE_TASK, tenant: TENANT, tier: 'standard', cpuUnits: 256, memoryMib })
    .containerDefinitions[0]!
  const own = {
    ...{ STATE_URL: 'file:/state', SPEND_URL: 'file:/journal/spend', NOTICE_KEYS: `k1:${'s'.repeat(32)}` },
    ...{ REGION: 'local', CELL_ID: 'cell', INFRA_GROUP_ID: 'group', METRICS_PERIOD_S: '1', DRAIN_S: '4' },
  }
  const given = Object.fromEntries(container.environment.map(({ name, value }) => [name, value]))
  const environment = Object.entries({ ...given, ...own }).flatMap(([name, value]) => ['--env', `${name}=${value}`])
  const { stdout } = await run(stack.dockerHost, [
    ...['docker', 'run', '--detach', '--init', '--read-only', '--user', container.user ?? '', '--cap-drop', 'ALL'],
    ...['--memory', `${memoryMib}m`, '--memory-swap', `${memoryMib}m`, '--publish', `127.0.0.1:${port}:8080`],
    ...['--volume', `${state}:/state:ro`, '--volume', `${await folder()}:/journal`, ...environment],
    ...[`bidcell:${stack.project}`, ...(container.command ?? [])],
  ])
  const id = stdout.trim()
  cleanups.push(() => run(stack.dockerHost, ['docker', 'rm', '--force', '--volumes', id], { mayFail: true }))
  return {
    ...{ id, port },
    lines: async () => {
      const { stdout: text } = await run(stack.dockerHost, ['docker', 'logs', id])
      return text.split('\n').flatMap(line => (line === '' ? [] : [JSON.parse(line) as Record<string, unknown>]))
    },
    state: async () => JSON.parse((await run(stack.dockerHost, ['docker', 'inspect', id])).stdout)[0].State,
  }
}

async function untilReady(task: Task): Promise<void> {
  await expect
    .poll(async () => (await task.lines()).map(({ code }) => code), { timeout: 100_000, interval: 500 })
    .toContain('ready')
}

let users = 0

/** How many users are counted, and how long it may take: a slow machine gets as many as a fast one. */
const USERS = 25_000
const FLOOD_MS_MAX = 60_000
/** Few enough that a turn of all of them is no overload: what is shed is not counted. */
const CONNECTIONS = 8

/** Bid requests, each of somebody who was never seen, from some connections one after another. @returns by status */
async function flood(task: Task) {
  const statuses: Record<string, number> = {}
  const untilMs = performance.now() + FLOOD_MS_MAX
  const one = async () => {
    let connection = await RawConnection.open(task.port)
    while (performance.now() < untilMs && (statuses[200] ?? 0) < USERS) {
      if (connection.isClosed) connection = await RawConnection.open(task.port)
      const id = `user-${users++}`
      const device = { ua: `Agent/${id}`, ip: '192.0.2.10', ifa: id, geo: { country: 'USA' } }
      const imp = Array.from({ length: 4 }, (_, i) => ({ id: String(i), banner: { w: 300, h: 250 } }))
      const body = { id, imp, site: { domain: `${id}.example`, page: `https://${id}.example/` }, user: { id }, device }
      connection.write(rawPost({ path: `/${TENANT}/openrtb2/adx`, body: JSON.stringify(body) }))
      const status = (await connection.answer())?.status ?? 'none'
      statuses[status] = (statuses[status] ?? 0) + 1
    }
    connection.close()
  }
  await Promise.all(Array.from({ length: CONNECTIONS }, one))
  return statuses
}

/** The most that metric lines told. */
function mostOf(lines: readonly Record<string, unknown>[], metric: string): number {
  return Math.max(...lines.map(line => (typeof line[metric] === 'number' ? (line[metric] as number) : 0)))
}

function sumOf(lines: readonly Record<string, unknown>[], metric: string): number {
  return lines.reduce((sum, line) => sum + (typeof line[metric] === 'number' ? (line[metric] as number) : 0), 0)
}

test.each([
  { memoryMib: 512, rooms: 1, what: 'the state that its plan has room for', codes: [] },
  // Heaps are not full at the same time: until a load would pass 95 %, more is taken than planned.
  { memoryMib: 512, rooms: 9, what: 'nine times that state', codes: ['memory-warn'] },
  // Half of what a task should have.
  { memoryMib: 256, rooms: 1, what: 'more than it should hold', codes: ['memory-warn', 'memory-critical'] },
])(
  'a rendered task of $memoryMib MiB with $what lives in its exact memory, flooded by users (fault 17)',
  { timeout: 240_000 },
  async ({ memoryMib, rooms, codes }) => {
    const size = taskSize({ ...SAMPLE_TASK, cpuUnits: 256, memoryMib: 512 })
    const room = stateRoomMib(size, memoryPlan(size))
    const state = await folder()
    const bytes = await writeTenant(state, rooms * room * MIB)
    const task = await startTask(memoryMib, state)
    await untilReady(task)
    const statuses = await flood(task)
    const lines = await task.lines()
    const [used, shed] = [mostOf(lines, 'MemoryUsed'), sumOf(lines, 'ShedMemory')]
    const said = JSON.stringify({ memoryMib, stateMib: Math.round(bytes / MIB), statuses, used, shed })
    console.log(said)
    expect(await task.state(), said).toMatchObject({ Running: true, OOMKilled: false })
    expect(bytes / MIB).toBeGreaterThan(0.8 * rooms * room)
    expect(Object.keys(statuses).filter(status => status !== '200' && status !== '204')).toEqual([])
    expect(lines.map(({ code }) => code)).toEqual(expect.arrayContaining(codes))
    if (codes.length === 0) expect(used).toBeLessThan(85)
    const live = await fetch(`http://127.0.0.1:${task.port}/health/live`)
    expect(live.status).toBe(200)
  },
)
