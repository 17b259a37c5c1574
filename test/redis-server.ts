import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ensureProgram } from './debian-program.ts'

/** Files that a server with TLS needs; see certificates.ts. */
export interface TlsFiles {
  readonly caFile: string
  readonly certFile: string
  readonly keyFile: string
}

/** How to start a server; everything has a default. */
export interface RedisServerOptions {
  /** More arguments for redis-server, each as on its command line: `['--maxmemory', '64mb']`. */
  readonly args?: readonly string[]
  /** Path of a file of ACL rules; or the rules themselves, one user a line. */
  readonly aclFile?: string
  readonly aclRules?: readonly string[]
  /** With TLS the port speaks nothing else. */
  readonly tls?: TlsFiles
  /** A free one by default. Give the old one to start a server again where it was. */
  readonly port?: number
}

/** A real redis-server process on loopback, in its own temporary directory, without persistence. */
export interface RedisServer {
  readonly url: string
  readonly port: number
  readonly pid: number
  /** Ends it in order and removes its directory. May be called twice. */
  stop(): Promise<void>
  /** SIGKILL: connections are cut by the kernel. */
  kill(): Promise<void>
  /** SIGSTOP: connections stay open and nothing answers. */
  pause(): void
  /** SIGCONT */
  resume(): void
}

const START_LIMIT_MS = 15_000

/**
 * Starts a redis-server and waits until it answers.
 * @throws Error when none is installed and none could be, or when it does not start, with what it printed.
 */
export async function startRedis(options: RedisServerOptions = {}): Promise<RedisServer> {
  ensureProgram({
    ...{ command: 'redis-server', args: ['--version'] },
    packages: { debian: 'redis-server', homebrew: 'redis' },
  })
  const port = options.port ?? (await freePort())
  const dir = await mkdtemp(join(tmpdir(), 'bidcell-redis-'))
  const child = spawn('redis-server', await serverArguments(options, port, dir), { stdio: ['ignore', 'pipe', 'pipe'] })
  let printed = ''
  const keep = (data: Buffer) => {
    printed = (printed + data.toString()).slice(-4_096)
  }
  child.stdout.on('data', keep)
  child.stderr.on('data', keep)
  // A test process that ends early must not leave servers behind.
  const endWithUs = () => child.kill('SIGKILL')
  process.once('exit', endWithUs)
  child.once('exit', () => process.removeListener('exit', endWithUs))
  try {
    await untilListening(child, port, () => printed)
  } catch (error) {
    child.kill('SIGKILL')
    await rm(dir, { recursive: true, force: true })
    throw error
  }
  const end = async (signal: NodeJS.Signals) => {
    await ended(child, signal)
    await rm(dir, { recursive: true, force: true })
  }
  return {
    url: `${options.tls === undefined ? 'redis' : 'rediss'}://127.0.0.1:${port}`,
    port,
    pid: child.pid ?? 0,
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
  }
}

/** @returns a TCP port of 127.0.0.1 that nothing listens on at this moment. */
export async function freePort(): Promise<number> {
  return await new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address()
      probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}

async function serverArguments(options: RedisServerOptions, port: number, dir: string): Promise<string[]> {
  const args = ['--bind', '127.0.0.1', '--dir', dir, '--save', '', '--appendonly', 'no', '--daemonize', 'no']
  if (options.tls === undefined) args.push('--port', String(port))
  else {
    const { caFile, certFile, keyFile } = options.tls
    args.push('--port', '0', '--tls-port', String(port), '--tls-auth-clients', 'no')
    args.push('--tls-ca-cert-file', caFile, '--tls-cert-file', certFile, '--tls-key-file', keyFile)
  }
  if (options.aclFile !== undefined) args.push('--aclfile', options.aclFile)
  if (options.aclRules !== undefined) {
    const file = join(dir, 'users.acl')
    await writeFile(file, `${options.aclRules.join('\n')}\n`)
    args.push('--aclfile', file)
  }
  return [...args, ...(options.args ?? [])]
}

async function untilListening(child: ChildProcess, port: number, printed: () => string): Promise<void> {
  let failure: Error | undefined
  child.once('error', error => {
    failure = error
  })
  const until = performance.now() + START_LIMIT_MS
  while (performance.now() < until) {
    if (failure !== undefined) throw failure
    if (child.exitCode !== null || child.signalCode !== null) break
    // Its own word for it: another process on the same port would accept a connection, too.
    if (printed().includes('Ready to accept connections') && (await accepts(port))) return
    await sleep(10)
  }
  throw new Error(`redis-server did not start on port ${port}:\n${printed()}`)
}

function accepts(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket: Socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
  return new Promise(resolve => {
    child.once('exit', () => resolve())
    child.kill(signal)
    // A server stopped by SIGSTOP takes SIGTERM only after this.
    child.kill('SIGCONT')
  })
}
