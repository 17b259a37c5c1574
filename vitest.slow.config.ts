import { defineConfig } from 'vitest/config'
import everyday from './vitest.config.ts'

/** What takes more than its share of five minutes: mostly processes that are waited for. `npm run ok` runs it too. */
export default defineConfig({
  test: { ...everyday.test, include: ['test/**/*.slow.test.ts'], exclude: ['**/node_modules/**'] },
})
