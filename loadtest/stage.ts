/** What scenarios play on: temporary tenants, services and generators, all of which end with it. */
import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { TargetingStyle } from '../service/commands/generator-targeting.ts'
import { accessRules, type CacheRole } from '../service/remote-cache/access.ts'
import { type RedisServer, startRedis } from '../test/redis-server.ts'
import { type Placement, pin, placed } from './cpu.ts'
import { profileFlags, profileSection } from './cpu-profile.ts'
import { bookedIn } from './exchange-books.ts'
import { GeneratorProcess } from './generator-process.ts'
import type { Section } from './report.ts'
import { type ServiceOptions, type ServiceProcess, startService } from './service-process.ts'

/** The tenant that is used when none is named. */
export const SAMPLE_TENANT = fileURLToPath(new URL('../test/tenants/acme-outdoor', import.meta.url))

/** A tenant as the generator makes them. */
interface GeneratedTenant {
  readonly lineItems: number
  readonly seed: number
  readonly targeting?: TargetingStyle
}

/** A cache that tenants share. */
export interface SharedRedis {
  readonly server: RedisServer
  readonly urlOf: (tenantId: string, role: CacheRole) => string
}

const CACHE_PASSWORD = 'loadtest'

/** A scenario's processes and files. */
export class Stage {
  readonly #closers: (() => unknown)[] = []
  readonly #report: (what: string) => void

  /** @param report is told what is being done, for a person who waits */
  constructor(report: (what: string) => void) {
    this.#report = report
  }

  /** Tells the person who waits. */
  say(what: string): void {
    this.#report(what)
  }

  /** A new directory that is removed at the end. */
  async directory(name: string): Promise<string> {
    const parent = await mkdtemp(join(tmpdir(), 'bidcell-loadtest-'))
    this.#closers.push(() => rm(parent, { recursive: true, force: true }))
    const directory = join(parent, name)
    await mkdir(directory)
    return directory
  }

  /** Documents of a generated tenant of so many line items. Takes about 20 s per 100,000. */
  async generatedTenant({ lineItems, seed, targeting }: GeneratedTenant): Promise<string> {
    const directory = await this.directory('generated')
    this.say(`Generating ${lineItems} line items`)
    const file = fileURLToPath(new URL('../service/commands/generate.ts', import.meta.url))
    const args = [file, '--line-items', String(lineItems), '--seed', String(seed), '--out', directory]
    args.push('--targeting', targeting ?? 'usual')
    await completed(args)
    return directory
  }

  /** A service of one bid thread on a directory of documents. */
  service(tenantId: string, documents: string, placement: Placement): Promise<ServiceProcess> {
    return this.serviceWith(filedTenant(tenantId, documents), placement)
  }

  /** A service of one bid thread with these settings over the defaults. */
  async serviceWith(
    env: Readonly<Record<string, string>>,
    placement: Placement & Pick<ServiceOptions, 'nodeFlags'>,
  ): Promise<ServiceProcess> {
    this.say(`Starting the service of ${env.TENANT_ID ?? ''}`)
    const service = await startService({ env: { BID_THREADS: '1', ...env }, ...placement })
    this.#closers.push(() => service.stop())
    return service
  }

  /** Where the time of a service with these settings goes while it is loaded; undefined when no profile was written. */
  async profile(
    env: Readonly<Record<string, string>>,
    load: (url: string) => Promise<unknown>,
  ): Promise<Section | undefined> {
    this.say('An objective was missed: profiling')
    const directory = await this.directory('profile')
    const service = await this.serviceWith(env, { cpus: '0', nodeFlags: profileFlags(directory) })
    await load(service.url)
    await service.stop()
    return profileSection(directory)
  }

  /** A real Redis on a core, with the users of these tenants and no other. */
  async redis(tenantIds: readonly string[], cpus: string): Promise<SharedRedis> {
    this.say('Starting the cache')
    const users = tenantIds.flatMap(tenantId =>
      (['service', 'publisher'] as const).map(
        role => `user ${tenantId}-${role} on >${CACHE_PASSWORD} ${accessRules(tenantId, role).join(' ')}`,
      ),
    )
    const server = await startRedis({ aclRules: ['user default off', ...users] })
    pin(server.pid, cpus)
    this.#closers.push(() => server.stop())
    const urlOf = (tenantId: string, role: CacheRole) =>
      `redis://${tenantId}-${role}:${CACHE_PASSWORD}@127.0.0.1:${server.port}`
    return { server, urlOf }
  }

  /** Publishes a directory of documents into a cache; rejects with what the command printed when it fails. */
  async publish(redis: SharedRedis, tenantId: string, directory: string, placement: Placement = {}): Promise<void> {
    const file = fileURLToPath(new URL('../service/commands/publish.ts', import.meta.url))
    const to = ['--to', redis.urlOf(tenantId, 'publisher'), '--tenant', tenantId]
    // A small version after a huge one is meant.
    await completed([file, directory, ...to, '--allow-shrink'], placement)
  }

  /** Runs a command of the service on a tenant in a cache. @returns what it printed; rejects when it fails */
  command(script: string, args: readonly string[], on: { readonly url: string; readonly tenantId: string }) {
    const file = fileURLToPath(new URL(`../service/commands/${script}`, import.meta.url))
    return completed([file, ...args, '--to', on.url, '--tenant', on.tenantId])
  }

  /**
   * Publishes documents into a cache without users and opens a ledger there.
   * @returns settings of a service that spends: budgets, notices, a journal
   */
  async spendingTenant(tenantId: string, documents: string, url: string): Promise<Readonly<Record<string, string>>> {
    await this.command('publish.ts', [documents], { url, tenantId })
    await this.command('spend.ts', ['begin', '--never-spent'], { url, tenantId })
    return {
      ...{ TENANT_ID: tenantId, STATE_URL: url, JOURNAL_DIR: await this.directory('journal') },
      ...{ PUBLIC_URL: 'https://ads.example', NOTICE_KEYS: `k1:${'0123456789abcdef'.repeat(4)}` },
    }
  }

  /** What the ledger of a spendingTenant holds, in its currency. */
  async booked(tenantId: string, url: string): Promise<number> {
    return bookedIn(await this.command('spend.ts', ['report', '--json', '--by', 'exchange'], { url, tenantId }))
  }

  /** A generator; it needs its workload. @param caFile certificate of an authority that it trusts */
  generator(placement: Placement, caFile?: string): GeneratorProcess {
    const generator = new GeneratorProcess(placement, caFile)
    this.#closers.push(() => generator.stop())
    return generator
  }

  /** Runs something at the end, before what was made earlier ends. */
  atEnd(close: () => unknown): void {
    this.#closers.push(close)
  }

  /** Ends everything, the newest first. */
  async close(): Promise<void> {
    for (const close of this.#closers.splice(0).reverse()) await close()
  }
}

/** Settings of a service on a directory of documents. */
export function filedTenant(tenantId: string, documents: string): Readonly<Record<string, string>> {
  return { TENANT_ID: tenantId, STATE_URL: `file:${resolve(documents)}` }
}

/** Runs a script of this project to its end. @returns what it printed; rejects with that when it fails */
async function completed(args: readonly string[], placement: Placement = {}): Promise<string> {
  const [command, ...rest] = placed([process.execPath, ...args], placement)
  const child = spawn(command ?? process.execPath, rest, { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (bytes: Buffer) => {
      output += bytes.toString()
    })
  const code = await new Promise(done => child.once('close', done))
  if (code !== 0) throw new Error(`${args[0]} ended with ${String(code)}:\n${output.slice(-2_000)}`)
  return output
}
