import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

/** Ads in a real browser. One file after the other: each has a browser and a service of its own. */
export default defineConfig({
  test: {
    root: fileURLToPath(new URL('.', import.meta.url)),
    include: ['*.test.ts'],
    pool: 'forks',
    // A deadline is no verdict: Vitest's own second is short for a busy machine.
    expect: { poll: { timeout: 30_000 } },
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
})
