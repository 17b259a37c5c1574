import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { freePort } from '../redis-server.ts'
import { type Engine, findEngine, run, runDetached } from './engine.ts'
import { containerId, runningStack, type Stack, TENANTS, untilReady } from './stack.ts'

const COMPOSE_FILE = fileURLToPath(new URL('../../docker/compose.yaml', import.meta.url))
const READY_LIMIT_MS = 90_000

/** A stack that runs. */
interface RunningStack {
  readonly stack: Stack
  /** Takes it down with its volumes and its image. */
  down(): Promise<void>
}

/**
 * Builds the image and starts a stack of its own on a free port; an interrupted process takes it down, too.
 * @throws Error with the remedy when there is no container engine, and with the last lines when it does not start
 */
export async function composeStack(): Promise<RunningStack> {
  const engine = findEngine()
  const name = `bidcell-test-${randomBytes(4).toString('hex')}`
  const port = await freePort()
  const env = {
    BIDCELL_PORT: String(port),
    BIDCELL_TAG: name,
    BIDCELL_BUILD_NETWORK: process.env.BIDCELL_BUILD_NETWORK ?? 'host',
  }
  const composed = [...engine.compose, '-p', name, '-f', COMPOSE_FILE]
  const compose = (...args: string[]) => run(engine.dockerHost, [...composed, ...args], { env })
  const ending = ['down', '--volumes', '--timeout', '1'] as const
  const interrupted = () => runDetached(engine.dockerHost, [...composed, ...ending], env)
  const down = async () => {
    process.removeListener('exit', interrupted)
    await compose(...ending)
    await run(engine.dockerHost, ['docker', 'image', 'rm', '--force', `bidcell:${name}`], { mayFail: true })
  }
  // Whoever is interrupted ends at once, without a teardown.
  process.once('exit', interrupted)
  try {
    await compose('build', 'prepare')
    await compose('up', '--detach')
    return { stack: await readyStack(engine, { project: name, port }), down }
  } catch (error) {
    const logs = await compose('logs', '--no-color', '--tail', '40').catch(() => ({ stdout: '' }))
    await down()
    throw new Error(`The stack did not start. Its last lines:\n${logs.stdout.slice(-12_000)}`, { cause: error })
  }
}

async function readyStack(engine: Engine, at: { project: string; port: number }): Promise<Stack> {
  const stack = await runningStack(engine.dockerHost, at)
  await Promise.all(TENANTS.map(tenant => untilReady(stack, tenant, READY_LIMIT_MS)))
  for (const tenant of TENANTS) {
    const publisher = await containerId(stack, `${tenant}-publisher`)
    await run(engine.dockerHost, ['docker', 'wait', publisher])
  }
  return stack
}
