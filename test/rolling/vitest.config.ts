import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

/** Rolling updates behind a real load balancer, as many as ROLLING_REPETITIONS says, 20 without it. */
export default defineConfig({
  test: {
    root: fileURLToPath(new URL('.', import.meta.url)),
    include: ['*.test.ts'],
    pool: 'forks',
    // A deadline is no verdict: Vitest's own second is short for a busy machine.
    expect: { poll: { timeout: 30_000 } },
    testTimeout: 900_000,
    hookTimeout: 60_000,
  },
})
