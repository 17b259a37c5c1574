import { describe, expect, inject, test } from 'vitest'
import { LIMITS } from '../../service/limits.ts'
import { run } from './engine.ts'
import { containerId, factsOf, TENANTS } from './stack.ts'

const stack = inject('stack')

describe.each(TENANTS)('every line that %s writes', tenant => {
  test('is one JSON object with its identity, and shows no neighbour and no secret', async () => {
    const { stdout } = await run(stack.dockerHost, ['docker', 'logs', await containerId(stack, tenant)])
    const lines = stdout.split('\n').filter(line => line !== '')
    expect(lines.length).toBeGreaterThan(0)
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
