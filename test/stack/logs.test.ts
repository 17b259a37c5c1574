import { describe, expect, inject, test } from 'vitest'
import { LIMITS } from '../../service/limits.ts'
import { run } from './engine.ts'
import { containerId, factsOf, TENANTS } from './stack.ts'

const stack = inject('stack')
/** Above METRICS_PERIOD_S of compose.yaml: metrics are lines, too. */
const METRICS_LIMIT_MS = 30_000

describe.each(TENANTS)('every line that %s writes', tenant => {
  test('is one JSON object with its identity, and shows no neighbour and no secret', async () => {
    const id = await containerId(stack, tenant)
    const read = async () => (await run(stack.dockerHost, ['docker', 'logs', id])).stdout
    await expect.poll(read, { timeout: METRICS_LIMIT_MS, interval: 500 }).toContain('"_aws"')
    const lines = (await read()).split('\n').filter(line => line !== '')
    const others = TENANTS.filter(other => other !== tenant)
    const foreign = [...others, ...others.flatMap(other => factsOf(other).domains)]
    for (const line of lines) {
      const fields = JSON.parse(line) as Record<string, unknown>
      const identity = { tenant_id: tenant, tier_id: 'standard', region: 'local', cell_id: 'cell-local' }
      expect(fields).toMatchObject({ ...identity, infra_group_id: 'compose' })
      expect(Buffer.byteLength(line)).toBeLessThanOrEqual(LIMITS.logLineBytesMax)
      for (const word of foreign) expect(line).not.toContain(word)
      expect(line).not.toContain('development-only')
    }
  })
})
