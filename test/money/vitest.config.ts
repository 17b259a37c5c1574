import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

/** Proofs that take real time, outside of the everyday suite. */
export default defineConfig({
  test: {
    root: fileURLToPath(new URL('.', import.meta.url)),
    include: ['*.test.ts'],
    pool: 'forks',
    // A deadline is no verdict: Vitest's own second is short for a busy machine.
    expect: { poll: { timeout: 30_000 } },
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
