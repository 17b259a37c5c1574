import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import type { TestProject } from 'vitest/node'
import { freePort } from '../redis-server.ts'
import { type Engine, findEngine, run, runDetached } from './engine.ts'
import { containerId, runningStack, type Stack, TENANTS, untilReady } from './stack.ts'

const COMPOSE_FILE = fileURLToPath(new URL('../../docker/compose.yaml', import.meta.url))
const READY_LIMIT_MS = 90_000

declare module 'vitest' {
  interface ProvidedContext {
    stack: Stack
  }
}

/** Builds the image, starts the stack and hands it to the tests; takes it down whatever happens. */
export default async function setup(project: Pick<TestProject, 'provide'>): Promise<() => Promise<void>> {
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
  // Vitest ends at once when it is interrupted, without a teardown.
  process.once('exit', interrupted)
  try {
    await compose('build', 'prepare')
    await compose('up', '--detach')
    project.provide('stack', await readyStack(engine, { project: name, port }))
  } catch (error) {
    const logs = await compose('logs', '--no-color', '--tail', '40').catch(() => ({ stdout: '' }))
    await down()
    throw new Error(`The stack did not start. Its last lines:\n${logs.stdout.slice(-12_000)}`, { cause: error })
  }
  return down
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
