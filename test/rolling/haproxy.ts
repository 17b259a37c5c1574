import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ensureProgram } from '../debian-program.ts'
import { freePort } from '../redis-server.ts'

/** A real HAProxy in front of the ports of tasks that may come and go, as a load balancer and its target group. */
export interface LoadBalancer {
  readonly port: number
  /** How the proxy sees the task on a port: `UP`, `DOWN`, … */
  stateOf(taskPort: number): Promise<string>
  /** Waits until it sees it so. Rejects after a while. */
  untilState(taskPort: number, state: 'UP' | 'DOWN'): Promise<void>
  stop(): Promise<void>
}

/** A task starts in seconds; a machine that is busy with something else gets its time. */
const STATE_LIMIT_MS = 60_000

/** As in docker/proxy/haproxy.cfg: keep-alive on both sides, nothing is sent twice, checks of readiness. */
function configuration(port: number, tenant: string, taskPorts: readonly number[]): string {
  const servers = taskPorts.map(taskPort => `  server task-${taskPort} 127.0.0.1:${taskPort}`)
  return `
global
  maxconn 2048
  nbthread 1
  stats socket unix@./admin.sock mode 600 level admin
defaults
  mode http
  option http-keep-alive
  http-reuse safe
  retries 0
  timeout connect 10s
  timeout client 60s
  timeout server 60s
  timeout http-keep-alive 60s
  timeout check 2s
  default-server check inter 1s fastinter 500ms rise 1 fall 2
frontend infra-group
  bind 127.0.0.1:${port}
  use_backend tenant if { path_beg /${tenant}/ }
backend tenant
  balance roundrobin
  option httpchk GET /${tenant}/health/ready
  http-check expect status 200
${servers.join('\n')}
`
}

/** Starts it. @throws Error when there is no haproxy and none can be had, or it does not listen */
export async function startLoadBalancer(tenant: string, taskPorts: readonly number[]): Promise<LoadBalancer> {
  ensureProgram({ command: 'haproxy', args: ['-v'], packages: { debian: 'haproxy', homebrew: 'haproxy' } })
  const port = await freePort()
  const cwd = await mkdtemp(join(tmpdir(), 'bidcell-haproxy-'))
  await writeFile(join(cwd, 'haproxy.cfg'), configuration(port, tenant, taskPorts))
  const child = spawn('haproxy', ['-db', '-f', 'haproxy.cfg'], { cwd, stdio: ['ignore', 'ignore', 'pipe'] })
  let printed = ''
  child.stderr.on('data', (data: Buffer) => {
    printed = (printed + data.toString()).slice(-4_096)
  })
  const endWithUs = () => child.kill('SIGKILL')
  process.once('exit', endWithUs)
  const socket = join(cwd, 'admin.sock')
  const stateOf = async (taskPort: number) => {
    const line = (await ask(socket, 'show stat\n'))
      .split('\n')
      .find(each => each.startsWith(`tenant,task-${taskPort},`))
    return line?.split(',')[STATUS_COLUMN] ?? 'unknown'
  }
  const untilState = async (taskPort: number, state: string) => {
    for (const untilMs = performance.now() + STATE_LIMIT_MS; performance.now() < untilMs; await sleep(50))
      if ((await stateOf(taskPort)).startsWith(state)) return
    throw new Error(`task ${taskPort} is ${await stateOf(taskPort)} and not ${state}`)
  }
  await untilItListens(port, child, () => printed)
  const stop = async () => {
    process.removeListener('exit', endWithUs)
    const ended = new Promise<void>(resolve => child.once('exit', () => resolve()))
    if (child.exitCode === null && child.kill('SIGKILL')) await ended
    await rm(cwd, { recursive: true, force: true })
  }
  return { port, stateOf, untilState, stop }
}

/** Of the answer to `show stat`. */
const STATUS_COLUMN = 17

function ask(socketPath: string, question: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = ''
    const socket = connect(socketPath, () => socket.write(question))
    socket.setEncoding('utf8').on('data', (text: string) => {
      answer += text
    })
    socket.once('end', () => resolve(answer))
    socket.once('error', reject)
  })
}

async function untilItListens(port: number, child: ChildProcess, printed: () => string): Promise<void> {
  for (let look = 0; look < 200 && child.exitCode === null; look++) {
    const isOpen = await new Promise<boolean>(resolve => {
      const socket = connect(port, '127.0.0.1', () => resolve(true)).once('error', () => resolve(false))
      socket.once('connect', () => socket.destroy())
    })
    if (isOpen) return
    await sleep(50)
  }
  throw new Error(`haproxy does not listen: ${printed()}`)
}
