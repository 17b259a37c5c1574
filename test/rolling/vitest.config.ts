import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

/** Rolling updates behind a real load balancer, as many as ROLLING_REPETITIONS says, 20 without it. */
export default defineConfig({
  test: {
    root: fileURLToPath(new URL('.', import.meta.url)),
    include: ['*.test.ts'],
    pool: 'forks',
    testTimeout: 900_000,
    hookTimeout: 60_000,
  },
})
