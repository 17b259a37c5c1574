import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freePort } from '../redis-server.ts'
import type { Fault } from './injected-fault.ts'

/** A log line of the service. */
export type LogEntry = Readonly<Record<string, unknown>>

/** A service process that nobody waits for: it may never become ready. */
export interface ServiceRun {
  readonly port: number
  readonly adminPort: number
  readonly pid: number
  /** Lines of stdout so far, and those of stderr. */
  readonly lines: readonly string[]
  readonly errors: readonly string[]
  /** Exit code once it has ended, null after a signal. */
  readonly ended: Promise<number | null>
  kill(signal: NodeJS.Signals): void
  /** The first line with this code, now or later. Rejects after a while, or when the process ends without it. */
  entry(code: string): Promise<LogEntry>
  rssBytes(): number
  /** Makes one of its threads fail. */
  inject(fault: Fault): void
}

const MAIN = fileURLToPath(new URL('../../service/main.ts', import.meta.url))
const FAULTS = fileURLToPath(new URL('./injected-fault.ts', import.meta.url))
const ENTRY_LIMIT_MS = 60_000

/**
 * Starts the service with exactly these settings, and with free ports unless they say which.
 * @param main of another version
 */
export async function runService(env: Readonly<Record<string, string>>, main = MAIN): Promise<ServiceRun> {
  const [port, adminPort] = await Promise.all([freePort(), freePort()])
  const ports = { PORT: String(port), ADMIN_PORT: String(adminPort), HOST: '127.0.0.1', METRICS_SINK: 'none' }
  const all = { PATH: process.env.PATH ?? '', ...ports, TIER_ID: 'standard', REGION: 'local', ...env }
  const child = spawn(process.execPath, ['--import', FAULTS, main], {
    env: all,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  const [, stdout, stderr] = child.stdio as unknown as [null, Readable, Readable]
  const lines: string[] = []
  const errors: string[] = []
  createInterface({ input: stdout }).on('line', line => lines.push(line))
  createInterface({ input: stderr }).on('line', line => errors.push(line))
  const endWithUs = () => child.kill('SIGKILL')
  process.once('exit', endWithUs)
  let hasEnded = false
  const ended = new Promise<number | null>(resolve => {
    child.once('close', code => {
      hasEnded = true
      process.removeListener('exit', endWithUs)
      resolve(code)
    })
  })
  const entry = async (code: string): Promise<LogEntry> => {
    for (const untilMs = performance.now() + ENTRY_LIMIT_MS; performance.now() < untilMs; await sleep(5)) {
      const found = lines.find(line => line.includes(`"code":"${code}"`))
      if (found !== undefined) return JSON.parse(found)
      if (hasEnded) break
    }
    throw new Error(`no line ${code}:\n${[...lines, ...errors].slice(-10).join('\n')}`)
  }
  const rssBytes = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]) * 1_024
  return {
    ...{ port, adminPort, pid: child.pid ?? 0, lines, errors, ended, entry, rssBytes },
    kill: signal => void child.kill(signal),
    inject: fault => void child.send(fault),
  }
}
