import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['service/**/*.test.ts', 'loadtest/**/*.test.ts', 'test/**/*.test.ts'],
    exclude: ['test/stack/**', 'test/money/**', 'test/render/**', 'test/rolling/**', '**/node_modules/**'],
    pool: 'forks',
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
})
