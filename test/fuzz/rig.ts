/** A process that is fuzzed, with the agent in all of its threads, and all that it says. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freePort } from '../redis-server.ts'
import type { Look, LookRequest } from './agent.ts'

/** Whose documents it serves. */
export const TENANT = 'acme-outdoor'
const START_LIMIT_MS = 120_000
/** A thread that does not answer for so long hangs; collections and a busy machine take far less. */
const LOOK_LIMIT_MS = 60_000
const LINES_KEPT_MAX = 200

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url))

/** How the process is started. */
export interface RigOptions {
  /** More files to preload: faults on purpose. */
  readonly preloads?: readonly string[]
  /** Without it the service with the sample tenant. */
  readonly script?: string
}

/** Codes of log lines that say that a promise is broken. */
const BAD_CODES: ReadonlySet<unknown> = new Set(['internal-error', 'bid-refused', 'crash', 'thread-lost'])

/** A running process. Its problems are gathered until they are taken. */
export class Rig {
  readonly port: number
  readonly #child: ChildProcess
  readonly #folder: string
  readonly #waiting = new Map<number, (look: Look | undefined) => void>()
  readonly #lines: string[] = []
  #problems: string[] = []
  #looks = 0
  #hasEnded = false
  #isReady = false

  private constructor(child: ChildProcess, port: number, folder: string) {
    this.#child = child
    this.port = port
    this.#folder = folder
    for (const [name, stream] of [['out', child.stdout] as const, ['err', child.stderr] as const])
      if (stream !== null) createInterface({ input: stream }).on('line', line => this.#heard(name, line))
    child.on('message', (message: Look | { ready: true }) => {
      if ('ready' in message) this.#isReady = true
      else if ('look' in message) this.#waiting.get(message.look)?.(message)
    })
    child.once('exit', (code, signal) => {
      this.#hasEnded = true
      for (const answered of this.#waiting.values()) answered(undefined)
      if (this.#isReady) this.#problems.push(`the process ended with ${code ?? signal}`)
    })
  }

  /** Starts a process and waits until it is ready. @throws Error with its last lines when it does not become so */
  static async start({ preloads = [], script }: RigOptions = {}): Promise<Rig> {
    const [port, adminPort] = await Promise.all([freePort(), freePort()])
    const folder = mkdtempSync(join(tmpdir(), 'bidcell-fuzz-'))
    const env = {
      ...{ PATH: process.env.PATH ?? '', HOST: '127.0.0.1', PORT: String(port), ADMIN_PORT: String(adminPort) },
      ...{ TENANT_ID: TENANT, TIER_ID: 'standard', REGION: 'local', METRICS_SINK: 'none', BID_THREADS: '1' },
      ...{ STATE_URL: `file:${path(`../tenants/${TENANT}`)}`, SPEND_URL: `file:${folder}/spend`, DRAIN_S: '2' },
      ...{ PUBLIC_URL: 'https://ads.example.com', NOTICE_KEYS: `k1:${'s'.repeat(32)}`, JOURNAL_DIR: folder },
      ...(script === undefined ? {} : { FUZZ_WORKS_IN: 'main' }),
    }
    const imports = [path('./agent.ts'), ...preloads].flatMap(file => ['--import', file])
    const child = spawn(
      process.execPath,
      ['--expose-gc', '--no-warnings', ...imports, script ?? path('../../service/main.ts')],
      { env, stdio: ['ignore', 'pipe', 'pipe', 'ipc'] },
    )
    const rig = new Rig(child, port, folder)
    for (const untilMs = performance.now() + START_LIMIT_MS; !rig.#isReady; await sleep(10)) {
      if (!rig.#hasEnded && performance.now() < untilMs) continue
      await rig.stop()
      throw new Error(`the process did not become ready:\n${rig.#lines.slice(-10).join('\n')}`)
    }
    return rig
  }

  get isAlive(): boolean {
    return !this.#hasEnded
  }

  /** Open descriptors of the process; 0 where the system does not say. */
  get descriptors(): number {
    try {
      return readdirSync(`/proc/${this.#child.pid}/fd`).length
    } catch {
      return 0
    }
  }

  /** Looks into the process; undefined when it hangs or has ended, which then is a problem. */
  async look(collects = false): Promise<Look | undefined> {
    const look = ++this.#looks
    const request: LookRequest = { look, collects }
    if (this.#hasEnded) return undefined
    const found = await new Promise<Look | undefined>(resolve => {
      const timer = setTimeout(() => resolve(undefined), LOOK_LIMIT_MS)
      const answered = (told: Look | undefined) => {
        clearTimeout(timer)
        resolve(told)
      }
      this.#waiting.set(look, answered)
      this.#child.send(request, () => {})
    })
    this.#waiting.delete(look)
    if (found === undefined && !this.#hasEnded) this.#problems.push('a thread hangs')
    if (found !== undefined && found.polluted !== '') this.#problems.push(`prototype: ${found.polluted}`)
    return found
  }

  /** What was wrong since the last call. */
  takeProblems(): readonly string[] {
    return this.#problems.splice(0)
  }

  /** Sends a message of a target's own, for a script that knows it. */
  tell(message: Readonly<Record<string, unknown>>, answer: (message: Readonly<Record<string, unknown>>) => void): void {
    this.#child.once('message', answer)
    this.#child.send(message, () => {})
  }

  async stop(): Promise<void> {
    if (!this.#hasEnded) {
      const ended = new Promise(resolve => this.#child.once('exit', resolve))
      this.#isReady = false
      this.#child.kill('SIGKILL')
      await ended
    }
    rmSync(this.#folder, { recursive: true, force: true })
  }

  #heard(stream: 'out' | 'err', line: string): void {
    this.#lines.push(line)
    if (this.#lines.length > LINES_KEPT_MAX) this.#lines.shift()
    if (stream === 'err') this.#problems.push(`stderr: ${line.slice(0, 200)}`)
    else {
      const problem = lineProblem(line)
      if (problem !== '') this.#problems.push(problem)
      if (line.includes('"code":"ready"')) this.#isReady = true
    }
  }
}

/** What is wrong with a log line; '' for a good one. */
export function lineProblem(line: string): string {
  let entry: Readonly<Record<string, unknown>>
  try {
    entry = JSON.parse(line)
  } catch {
    return `a line that is no JSON: ${line.slice(0, 200)}`
  }
  if (Buffer.byteLength(line) >= 16 * 1_024) return 'a line of 16 KiB or more'
  if (entry.tenant_id !== TENANT || entry.tier_id !== 'standard' || entry.region !== 'local')
    return `a line without our identity: ${line.slice(0, 200)}`
  return BAD_CODES.has(entry.code) ? `${entry.code}: ${entry.msg} ${entry.error ?? ''}`.slice(0, 300) : ''
}
