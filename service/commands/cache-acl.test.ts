import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { expect, test } from 'vitest'
import { publishRecords } from '../../test/raw-version.ts'
import { startRedis } from '../../test/redis-server.ts'
import { CacheConnection } from '../remote-cache/connection.ts'
import { publishTenant } from '../remote-cache/publisher.ts'
import { RedisSource } from '../remote-cache/redis-source.ts'

function run(...args: string[]) {
  const script = join(import.meta.dirname, 'cache-acl.ts')
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], { encoding: 'utf8' })
  return { status, stdout, stderr }
}

test('a server takes the statements, and both users do their work with them after SCRIPT FLUSH', async () => {
  const server = await startRedis()
  const admin = new Redis(server.url)
  const options = { timeoutMs: 2_000, pickIndex: () => 0 }
  const urlOf = (role: string) => server.url.replace('//', `//acme-${role}:secret@`)
  const publisher = new CacheConnection({ ...options, url: urlOf('publisher') })
  const source = new RedisSource({ ...options, url: urlOf('service'), tenantId: 'acme' })
  try {
    const password = createHash('sha256').update('secret').digest('hex')
    const statements = run('acme').stdout.trimEnd().split('\n')
    expect(statements.length).toBe(3)
    for (const statement of statements) {
      const [verb = '', ...words] = statement.split(' ')
      await expect(admin.call(verb, ...words)).rejects.toThrow(/password hash/)
      expect(await admin.call(verb, ...words.map(word => word.replace('SHA256-OF-PASSWORD', password)))).toBe('OK')
    }
    await admin.script('FLUSH')
    const documents = publishRecords({ lineItems: 20, seed: 1 })
    await publisher.run(redis => publishTenant({ redis, tenantId: 'acme', documents }))
    const { version = '' } = (await source.announced()) ?? {}
    let records = 0
    for await (const { count } of source.read(version)) records += count
    expect(records).toBeGreaterThan(20)
    expect(await admin.acl('LOG')).toEqual([])
    await expect(publisher.run(redis => redis.get('t:{other}:state:announced'))).rejects.toThrow(/NOPERM|permission/i)
    expect(JSON.stringify(await admin.acl('LOG'))).toContain('t:{other}:state:announced')
  } finally {
    source.close()
    publisher.close()
    admin.disconnect()
    await server.stop()
  }
})

test('ElastiCache gets the same rules, and wrong arguments are told', () => {
  const [redis = ''] = run('acme').stdout.split('\n')
  expect(run('acme', '--for', 'valkey').stdout).toBe(run('acme').stdout)
  const rules = redis.slice(redis.indexOf('resetkeys'))
  expect(rules).toContain('%R~t:{acme}:state:*')
  expect(run('acme', '--for', 'elasticache').stdout.split('\n')[0]).toMatch(/^aws elasticache create-user .*'$/)
  expect(run('acme', '--for', 'elasticache').stdout).toContain(`'on ${rules}'`)
  expect(run('ACME')).toMatchObject({ status: 2, stdout: '' })
  expect(run('acme', '--for', 'memcached').status).toBe(2)
  expect(run('--help')).toMatchObject({ status: 0 })
})
