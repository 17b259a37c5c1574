/** The compose stack as a stage: tasks in memory-limited containers, and what the container engine tells of them. */
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { composeStack } from '../test/stack/compose-stack.ts'
import { run } from '../test/stack/engine.ts'
import { containerId, execute, type Stack, type Tenant, untilReady } from '../test/stack/stack.ts'
import { bookedIn } from './exchange-books.ts'
import type { Stage } from './stage.ts'

/** Something that happened to a container, as the engine says it. */
export interface ContainerEvent {
  /** `oom`: the kernel killed a process of it for want of memory. `die`: it ended. `start`: it was started. */
  readonly action: string
  readonly atMs: number
  /** Of `die`: 137 is SIGKILL. */
  readonly exitCode: string | undefined
}

const READY_LIMIT_MS = 60_000
/** Of some 200 lines that a tenant writes in an hour. */
const LOG_LINES = '2000'

/** Three tenants in containers of their own, behind one proxy and with one cache. */
export class ContainerStage {
  readonly #stack: Stack
  /** The proxy's authority, for generators. */
  readonly caFile: string

  constructor(stack: Stack, caFile: string) {
    this.#stack = stack
    this.caFile = caFile
  }

  /** A tenant's path at the proxy. */
  urlOf(tenant: Tenant): string {
    return `https://127.0.0.1:${this.#stack.port}/${tenant}`
  }

  /** Puts a container on a processor; it stays there when it is started again. */
  async pin(service: string, cpus: string): Promise<void> {
    await run(this.#stack.dockerHost, ['docker', 'update', '--cpuset-cpus', cpus, await this.#id(service)])
  }

  /** The process of a task on this machine: the one below the container's init. */
  async pidOf(tenant: Tenant): Promise<number> {
    const init = await this.#inspected(tenant, '{{.State.Pid}}')
    return Number(readFileSync(`/proc/${init}/task/${init}/children`, 'latin1').trim().split(' ')[0])
  }

  /** Of a container, in MiB. */
  async memoryLimitMib(tenant: Tenant): Promise<number> {
    return Number(await this.#inspected(tenant, '{{.HostConfig.Memory}}')) / 1024 / 1024
  }

  /** Runs JavaScript inside a task's container. Ends with the script, or when the container does. */
  async evaluate(tenant: Tenant, script: string): Promise<void> {
    const command = ['node', '--input-type=module', '--eval', script]
    await execute(this.#stack, tenant, command, { mayFail: true })
  }

  /** Kills, ends and starts of a container between two instants, in order. */
  async events(tenant: Tenant, sinceMs: number, untilMs: number): Promise<readonly ContainerEvent[]> {
    const times = ['--since', String(sinceMs / 1e3), '--until', String(untilMs / 1e3)]
    const kinds = ['oom', 'die', 'start'].flatMap(kind => ['--filter', `event=${kind}`])
    const filters = ['--filter', `container=${await this.#id(tenant)}`, ...kinds, '--format', '{{json .}}']
    const { stdout } = await run(this.#stack.dockerHost, ['docker', 'events', ...times, ...filters])
    return linesOf(stdout).map(line => {
      const { Action, timeNano, Actor } = JSON.parse(line) as {
        readonly Action: string
        readonly timeNano: number
        readonly Actor: { readonly Attributes: Readonly<Record<string, string>> }
      }
      return { action: Action, atMs: timeNano / 1e6, exitCode: Actor.Attributes.exitCode }
    })
  }

  /** What a task has written since an instant. */
  async logLines(tenant: Tenant, sinceMs: number): Promise<readonly string[]> {
    const since = ['--since', new Date(sinceMs).toISOString(), '--tail', LOG_LINES]
    const { stdout, stderr } = await run(this.#stack.dockerHost, ['docker', 'logs', ...since, await this.#id(tenant)])
    return [...linesOf(stdout), ...linesOf(stderr)]
  }

  /** Waits until the proxy sees the task as ready. @throws Error when it does not within a minute */
  untilReady(tenant: Tenant): Promise<void> {
    return untilReady(this.#stack, tenant, READY_LIMIT_MS)
  }

  /** What the ledger holds for a tenant, in its currency, as finance sees it. */
  async booked(tenant: Tenant): Promise<number> {
    const to = `rediss://${tenant}-finance:development-only-${tenant}-finance@cache:6379`
    const report = ['report', '--json', '--by', 'exchange', '--tenant', tenant, '--to', to]
    const { stdout } = await execute(this.#stack, tenant, ['node', 'service/commands/spend.ts', ...report])
    return bookedIn(stdout)
  }

  #id(service: string): Promise<string> {
    return containerId(this.#stack, service)
  }

  async #inspected(service: string, format: string): Promise<string> {
    const inspect = ['docker', 'inspect', '--format', format, await this.#id(service)]
    return (await run(this.#stack.dockerHost, inspect)).stdout.trim()
  }
}

function linesOf(text: string): readonly string[] {
  return text.split('\n').filter(line => line !== '')
}

/**
 * Builds the image and starts the stack, which ends with the stage.
 * @throws Error with the remedy where there is no container engine
 */
export async function startContainers(stage: Stage): Promise<ContainerStage> {
  stage.say('Building the image and starting three tenants in containers')
  const { stack, down } = await composeStack()
  stage.atEnd(down)
  const caFile = join(await stage.directory('trust'), 'ca.crt')
  await writeFile(caFile, stack.caPem)
  return new ContainerStage(stack, caFile)
}
