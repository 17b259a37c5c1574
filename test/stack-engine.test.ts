import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import setup from './stack/start-stack.ts'
import config from './stack/vitest.config.ts'

describe('the tests of the stack', () => {
  beforeEach(() => vi.stubEnv('DOCKER_HOST', 'unix:///nowhere/docker.sock'))
  afterEach(() => vi.unstubAllEnvs())

  const project = { provide: () => expect.unreachable('there is no stack to provide') }

  test('fail with a remedy where no engine answers, and are never skipped', async () => {
    vi.stubEnv('CONTAINER_ENGINE_UP', '')
    await expect(setup(project)).rejects.toThrow(/need a container engine.*Start Docker, or set DOCKER_HOST/)
  })

  test('say so when the command that starts an engine did not', async () => {
    vi.stubEnv('CONTAINER_ENGINE_UP', 'echo export DOCKER_HOST=unix:///elsewhere/docker.sock; exit 3')
    await expect(setup(project)).rejects.toThrow(/CONTAINER_ENGINE_UP ended with 3/)
  })

  test('run one file after the other, since all look at one stack', () => {
    expect(config.test).toMatchObject({ fileParallelism: false, globalSetup: ['start-stack.ts'] })
  })
})
