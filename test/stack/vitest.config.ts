import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    root: fileURLToPath(new URL('.', import.meta.url)),
    include: ['*.test.ts'],
    globalSetup: ['start-stack.ts'],
    pool: 'forks',
    // A deadline is no verdict: Vitest's own second is short for a busy machine.
    expect: { poll: { timeout: 30_000 } },
    // All files look at one stack, and one of them kills its tasks.
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 120_000,
    teardownTimeout: 180_000,
  },
})
