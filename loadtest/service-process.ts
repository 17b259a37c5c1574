import { type ChildProcess, spawn } from 'node:child_process'
import { createServer } from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Placement, placed } from './cpu.ts'

/** The service did not become ready; the message has its last log lines. */
export class ServiceFailure extends Error {
  override readonly name = 'ServiceFailure'
}

/** Which service to start, and where. */
export interface ServiceOptions extends Placement {
  /** Settings over the defaults; TENANT_ID and STATE_URL are needed. */
  readonly env: Readonly<Record<string, string>>
  readonly readyTimeoutMs?: number
  /** For Node, before the script. */
  readonly nodeFlags?: readonly string[]
}

/** A service as a process of its own, listening on loopback. */
export interface ServiceProcess {
  /** Public port with the tenant's path: `http://127.0.0.1:40001/acme`. */
  readonly url: string
  readonly adminUrl: string
  readonly pid: number
  /** Everything it wrote to stdout and stderr so far; the newest LOG_LINES_MAX lines. */
  readonly logLines: readonly string[]
  isAlive(): boolean
  /** SIGTERM, and SIGKILL when it has not ended in time. @returns the exit code, null after a signal. */
  stop(): Promise<number | null>
}

const LOG_LINES_MAX = 20_000
const READY_TIMEOUT_MS = 60_000
const STOP_TIMEOUT_MS = 30_000
const MAIN = fileURLToPath(new URL('../service/main.ts', import.meta.url))

/**
 * Starts the service and waits until it is ready.
 * @throws ServiceFailure with its last log lines when it ends before, or is not ready in time.
 */
export async function startService(options: ServiceOptions): Promise<ServiceProcess> {
  const asked = Number(options.env.PORT ?? 0)
  const [port, adminPort] = await Promise.all([asked > 0 ? asked : freePort(), freePort()])
  const env: Record<string, string> = {
    ...{ PATH: process.env.PATH ?? '', HOST: '127.0.0.1', PORT: String(port), ADMIN_PORT: String(adminPort) },
    ...{ TIER_ID: 'standard', REGION: 'local', METRICS_SINK: 'none' },
    ...options.env,
  }
  const [command, ...args] = placed([process.execPath, ...(options.nodeFlags ?? []), MAIN], options)
  const child = spawn(command ?? process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const logLines: string[] = []
  for (const stream of [child.stdout, child.stderr])
    createInterface({ input: stream }).on('line', line => {
      logLines.push(line)
      if (logLines.length > LOG_LINES_MAX) logLines.shift()
    })
  const url = `http://127.0.0.1:${port}`
  await untilReady(child, { url, logLines, timeoutMs: options.readyTimeoutMs ?? READY_TIMEOUT_MS })
  return {
    url: `${url}/${env.TENANT_ID ?? ''}`,
    adminUrl: `http://127.0.0.1:${adminPort}`,
    pid: child.pid ?? 0,
    logLines,
    isAlive: () => isAlive(child),
    stop: () => stop(child),
  }
}

function isAlive(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null && child.pid !== undefined
}

async function untilReady(
  child: ChildProcess,
  { url, logLines, timeoutMs }: { url: string; logLines: readonly string[]; timeoutMs: number },
): Promise<void> {
  const last = () => logLines.slice(-10).join('\n') || '(it wrote nothing)'
  let spawnError: Error | undefined
  child.once('error', error => {
    spawnError = error
  })
  for (const endMs = performance.now() + timeoutMs; performance.now() < endMs; await sleep(20)) {
    if (spawnError !== undefined) throw spawnError
    if (!isAlive(child)) {
      await sleep(50)
      throw new ServiceFailure(
        `the service ended with ${child.exitCode ?? child.signalCode} before it was ready:\n${last()}`,
      )
    }
    if (await isReady(url)) return
  }
  await stop(child)
  throw new ServiceFailure(`the service was not ready after ${timeoutMs} ms:\n${last()}`)
}

async function isReady(url: string): Promise<boolean> {
  try {
    const response = await fetch(`${url}/health/ready`, { signal: AbortSignal.timeout(2_000) })
    await response.arrayBuffer()
    return response.status === 200
  } catch {
    return false
  }
}

async function stop(child: ChildProcess): Promise<number | null> {
  if (isAlive(child)) {
    const ended = new Promise<void>(resolve => child.once('exit', () => resolve()))
    child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS)
    await ended
    clearTimeout(timer)
  }
  return child.exitCode
}

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const address = server.address()
  await new Promise(resolve => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no port from the system')
  return address.port
}
