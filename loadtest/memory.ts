/**
 * What a neighbour that runs out of memory does to a tenant. Tasks are in memory-limited containers on a real engine,
 * behind one proxy, with one cache. The neighbour's own process leaks until the kernel kills it, again and again; the
 * control arm burns processor time in the same container.
 */
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Random } from '../service/foundation/random.ts'
import { TENANTS } from '../test/stack/stack.ts'
import { type ContainerEvent, type ContainerStage, startContainers } from './container-stage.ts'
import { CoreWatch, canPin, residentBytes } from './cpu.ts'
import type { GeneratorProcess, RunFindings } from './generator-process.ts'
import { burnScript, LEAK_SCRIPT } from './memory-leak.ts'
import {
  type LeakSeen,
  MEMORY_ARMS,
  type MemoryArm,
  type MemoryOptions,
  type MemoryWindow,
  memoryReport,
} from './memory-report.ts'
import { shuffled } from './paired-arms.ts'
import type { Report } from './report.ts'
import { SAMPLE_TENANT, type Stage } from './stage.ts'
import { ratesOf, readTenantRecords } from './tenant-records.ts'

/** Whose p99, content and spend must not change, and who runs out of memory. */
const VICTIM = 'bluebird-games'
const NEIGHBOUR = 'acme-outdoor'
const NEIGHBOUR_RATE_PER_S = 20
const REQUESTS = 3_000
const TIMEOUT_MS = 2_000
/** V8 compiles what a service runs often for tens of thousands of requests. */
const WARM_UP_S = 15
const WARM_UP_FACTOR = 4
/** A leak that has not ended the neighbour by then did not. */
const LEAK_S_MAX = 20
const SAMPLE_MS = 250
const ATTEMPTS = 2
const MIB = 1024 * 1024

interface Side {
  readonly tenant: typeof VICTIM | typeof NEIGHBOUR
  readonly generator: GeneratorProcess
  readonly rates: Readonly<Record<string, number>>
}

/** Plays interleaved windows of all arms. @throws Error with the remedy where there is no container engine */
export async function runMemory(options: MemoryOptions, stage: Stage): Promise<Report> {
  const random = new Random(options.seed)
  const containers = await startContainers(stage)
  await containers.pin(VICTIM, '0')
  for (const service of [...TENANTS.filter(each => each !== VICTIM), 'cache', 'proxy'])
    await containers.pin(service, '1')
  const [victim, neighbour] = [
    await sideOf(VICTIM, containers, stage),
    await sideOf(NEIGHBOUR, containers, stage),
  ] as const
  const startMs = Date.now()
  const warmUp = { ...options, ratePerS: options.ratePerS * WARM_UP_FACTOR, durationS: WARM_UP_S }
  const exchanges = [(await load(victim, containers, warmUp)).exchange]
  const rounds: MemoryWindow[][] = []
  const dropped: MemoryWindow[] = []
  for (let number = 1; number <= options.rounds; number++) {
    const round: MemoryWindow[] = []
    for (const arm of shuffled(Object.keys(MEMORY_ARMS) as MemoryArm[], random))
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        stage.say(`Round ${number} of ${options.rounds}: ${MEMORY_ARMS[arm]}`)
        const window = await playWindow(arm, { victim, neighbour, containers }, options, random.next())
        exchanges.push(window.victim.exchange)
        const isGood = window.victim.invalid.length === 0
        if (isGood) round.push(window)
        else dropped.push(window)
        if (isGood) break
      }
    rounds.push(round)
  }
  return memoryReport(options, {
    ...{ rounds, dropped, exchanges: exchanges.filter(each => each !== undefined) },
    booked: await containers.booked(VICTIM),
    victimEvents: await containers.events(VICTIM, startMs, Date.now()),
    foreignLogLines: (await containers.logLines(VICTIM, startMs)).filter(line => line.includes(NEIGHBOUR)).length,
    limitMib: await containers.memoryLimitMib(NEIGHBOUR),
  })
}

async function sideOf(tenant: Side['tenant'], containers: ContainerStage, stage: Stage): Promise<Side> {
  const directory = resolve(SAMPLE_TENANT, '..', tenant)
  const generator = stage.generator({ cpus: '1', precedence: tenant === VICTIM ? 'urgent' : 'idle' }, containers.caFile)
  await generator.load({ kind: 'tenant', directory, count: REQUESTS, seed: 1, malformedShare: 0.002 })
  return { tenant, generator, rates: ratesOf(await readTenantRecords(directory)) }
}

interface LoadPlan {
  readonly ratePerS: number
  readonly durationS: number
  readonly seed: number
  readonly sendLagP99UsMax?: number
}

/** Only the victim has an exchange that buys: its money is judged. */
function load({ tenant, generator, rates }: Side, containers: ContainerStage, plan: LoadPlan): Promise<RunFindings> {
  const isVictim = tenant === VICTIM
  const { ratePerS, durationS, seed, sendLagP99UsMax } = plan
  return generator.openLoop({
    ...{ url: containers.urlOf(tenant), arrivals: 'poisson', ratePerS, durationS, seed, timeoutMs: TIMEOUT_MS },
    ...{ connectionsMax: 128, connectionsAtStart: isVictim ? 32 : 8 },
    ...(sendLagP99UsMax === undefined ? {} : { sendLagP99UsMax }),
    check: { foreignMark: isVictim ? NEIGHBOUR : VICTIM, judgeEvery: 20, rates },
    ...(isVictim ? { exchange: { seed } } : {}),
  })
}

interface Cast {
  readonly victim: Side
  readonly neighbour: Side
  readonly containers: ContainerStage
}

async function playWindow(
  arm: MemoryArm,
  { victim, neighbour, containers }: Cast,
  { ratePerS, windowS, sendLagP99UsMax }: MemoryOptions,
  seed: number,
): Promise<MemoryWindow> {
  const usual = load(neighbour, containers, { ratePerS: NEIGHBOUR_RATE_PER_S, durationS: windowS, seed })
  const leak = arm === 'leaking' ? leaked(containers) : undefined
  const burnt = arm === 'control' ? containers.evaluate(NEIGHBOUR, burnScript(windowS)) : undefined
  const watch = new CoreWatch(0, await containers.pidOf(VICTIM))
  const run = await load(victim, containers, { ratePerS, durationS: windowS, seed, sendLagP99UsMax })
  const problem = canPin('0') ? watch.problem() : undefined
  const invalid = problem === undefined ? run.invalid : [...run.invalid, problem]
  await burnt
  return { arm, victim: { ...run, invalid }, neighbour: await usual, leak: await leak }
}

/** Lets the neighbour leak until it ends, or as much as would end it; waits until it is there again. */
async function leaked(containers: ContainerStage): Promise<LeakSeen> {
  const startMs = Date.now()
  const resident: [number, number][] = []
  let pid = await containers.pidOf(NEIGHBOUR)
  const began = containers.evaluate(NEIGHBOUR, LEAK_SCRIPT)
  let events: readonly ContainerEvent[] = []
  const ended = () => events.find(({ action }) => action === 'die')
  while (ended() === undefined && Date.now() - startMs < LEAK_S_MAX * 1e3) {
    await sleep(SAMPLE_MS)
    const bytes = residentBytes(pid)
    if (bytes !== undefined) resident.push([(Date.now() - startMs) / 1e3, bytes / MIB])
    else events = await containers.events(NEIGHBOUR, startMs, Date.now())
  }
  await began
  await containers.untilReady(NEIGHBOUR)
  const readyMs = Date.now()
  const endMs = ended()?.atMs
  if (endMs !== undefined) resident.push([(endMs - startMs) / 1e3, 0], [(readyMs - startMs) / 1e3, 0])
  pid = await containers.pidOf(NEIGHBOUR)
  resident.push([(readyMs - startMs) / 1e3, (residentBytes(pid) ?? 0) / MIB])
  const lines = await containers.logLines(NEIGHBOUR, startMs)
  return {
    ...{ events, resident, memoryLines: lines.filter(line => line.includes('"memory-')) },
    awayMs: endMs === undefined ? undefined : readyMs - endMs,
  }
}
