import { spawn, spawnSync } from 'node:child_process'

/** What a command printed and how it ended. */
export interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** A container engine that answers, and the compose command that speaks to it. */
export interface Engine {
  /** `DOCKER_HOST`, or '' for the engine's default socket. */
  readonly dockerHost: string
  readonly compose: readonly string[]
}

const REMEDY =
  'These tests need a container engine, and `docker info` does not reach one. Start Docker, or set DOCKER_HOST, or ' +
  'set CONTAINER_ENGINE_UP to a command that starts an engine and prints `export DOCKER_HOST=…`; then run again.'

/**
 * Finds an engine: the one that `docker info` reaches, or the one that the command in CONTAINER_ENGINE_UP starts.
 * @throws Error with the remedy when there is none. Waits for the command, which may take minutes.
 */
export function findEngine(): Engine {
  let dockerHost = process.env.DOCKER_HOST ?? ''
  if (!answers(dockerHost)) {
    const command = process.env.CONTAINER_ENGINE_UP
    if (command === undefined || command === '') throw new Error(REMEDY)
    const started = spawnSync('sh', ['-c', command], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
    dockerHost = /^(?:export )?DOCKER_HOST=(\S+)$/m.exec(started.stdout)?.[1] ?? dockerHost
    if (!answers(dockerHost)) throw new Error(`${REMEDY}\nCONTAINER_ENGINE_UP ended with ${started.status}.`)
  }
  for (const compose of [['docker', 'compose'], ['docker-compose']]) {
    const [command = '', ...rest] = compose
    if (spawnSync(command, [...rest, 'version'], { stdio: 'ignore' }).status === 0) return { dockerHost, compose }
  }
  throw new Error('These tests need `docker compose` (or docker-compose 1.29), and neither is installed.')
}

function answers(dockerHost: string): boolean {
  return spawnSync('docker', ['info'], { stdio: 'ignore', env: environment(dockerHost) }).status === 0
}

function environment(dockerHost: string): NodeJS.ProcessEnv {
  return dockerHost === '' ? process.env : { ...process.env, DOCKER_HOST: dockerHost }
}

/**
 * Runs a command against the engine.
 * @throws Error with what it printed when it fails, unless a failure is an answer (`mayFail`).
 */
export async function run(
  dockerHost: string,
  command: readonly string[],
  options: { readonly mayFail?: true; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<Outcome> {
  const [file = '', ...args] = command
  const child = spawn(file, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...environment(dockerHost), ...options.env },
  })
  const printed = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      printed[name] += text
    })
  }
  const code = await new Promise<number>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', status => resolve(status ?? 1))
  })
  if (code !== 0 && options.mayFail !== true)
    throw new Error(`${command.join(' ')} ended with ${code}:\n${(printed.stdout + printed.stderr).slice(-4_000)}`)
  return { code, ...printed }
}

/**
 * Starts a command that outlives this process and its terminal, after what was interrupted with us has ended. Nobody
 * learns how it ends.
 */
export function runDetached(
  dockerHost: string,
  command: readonly string[],
  env: Readonly<Record<string, string>>,
): void {
  const options = { detached: true, stdio: 'ignore', env: { ...environment(dockerHost), ...env } } as const
  spawn('sh', ['-c', 'sleep 5; exec "$0" "$@"', ...command], options).unref()
}
