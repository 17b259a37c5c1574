import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['service/**/*.test.ts', 'loadtest/**/*.test.ts', 'test/**/*.test.ts'],
    exclude: [
      '**/*.slow.test.ts',
      'test/stack/**',
      'test/money/**',
      'test/render/**',
      'test/rolling/**',
      '**/node_modules/**',
    ],
    pool: 'forks',
    // A deadline is no verdict: Vitest's own second is short for a busy machine.
    expect: { poll: { timeout: 30_000 } },
    // Most tests wait for processes of their own: one at a time would leave a small machine idle.
    maxWorkers: 3,
    testTimeout: 90_000,
    hookTimeout: 120_000,
  },
})
