import { beforeAll, describe, expect, inject, test } from 'vitest'
import { containerId, evaluate, execute, TENANTS, type Tenant } from './stack.ts'

/** One command as it is sent, and the error that came back, or that there was none. */
interface Tried {
  readonly command: readonly string[]
  readonly error: string | null
}

const stack = inject('stack')

/** Runs in a task: connects as INPUT.url, or as the task itself, and tries each command. */
const TRY_COMMANDS = `
  import { Redis } from 'ioredis'
  const { url, commands } = JSON.parse(process.env.INPUT)
  const options = { protocol: 2, disableClientInfo: true, enableReadyCheck: false, retryStrategy: () => null }
  const redis = new Redis(url ?? process.env.STATE_URL, { ...options, maxRetriesPerRequest: 0 })
  redis.on('error', () => {})
  const tried = []
  for (const command of commands) {
    const error = await redis.call(...command).then(() => null, error => error.message)
    tried.push({ command, error })
  }
  redis.disconnect()
  console.log(JSON.stringify(tried))`

async function tryCommands(tenant: Tenant, commands: readonly string[][], url?: string): Promise<readonly Tried[]> {
  return (await evaluate(stack, tenant, TRY_COMMANDS, { url, commands })) as readonly Tried[]
}

async function operate(...command: string[]): Promise<string> {
  const tls = ['--tls', '--cacert', '/secrets/ca.crt', '-h', 'localhost']
  const cli = ['redis-cli', '-e', ...tls, '--user', 'operator', '--no-auth-warning']
  return (await execute(stack, 'cache', [...cli, ...command])).stdout
}

const stateKey = (tenant: Tenant, rest = 'announced'): string => `t:{${tenant}}:state:${rest}`

let refusedBefore = ''

beforeAll(async () => {
  refusedBefore = (await operate('ACL', 'LOG', '500')).trim()
  await operate('ACL', 'LOG', 'RESET')
})

test('services and publishers were refused nothing that they asked for', () => {
  expect(refusedBefore).toBe('')
})

describe.each(TENANTS)('the cache user of %s', tenant => {
  const others = TENANTS.filter(other => other !== tenant)

  test('reads the state of its own tenant', async () => {
    const own = [['HMGET', stateKey(tenant), 'number', 'version']]
    expect(await tryCommands(tenant, own)).toEqual(own.map(command => ({ command, error: null })))
  })

  test('is denied the keys of its neighbours, and the log of the server says so', async () => {
    const foreign = others.flatMap(other => [
      ['HMGET', stateKey(other), 'number', 'version'],
      ['GET', stateKey(other, 'v:1:manifest')],
      ['GET', `t:{${other}}:spend:x`],
    ])
    for (const { command, error } of await tryCommands(tenant, foreign))
      expect(error, command.join(' ')).toMatch(/^NOPERM/)
    const log = await operate('ACL', 'LOG', '500')
    for (const other of others) expect(log).toContain(stateKey(other))
    expect(log).toContain(`${tenant}-service`)
  })

  test('is denied keys beside the state, its own prefix spelled otherwise included', async () => {
    const beside = [
      'announced',
      `t:${tenant}:state:announced`,
      `t:{${tenant}x}:state:announced`,
      `x${stateKey(tenant)}`,
    ]
    for (const { command, error } of await tryCommands(
      tenant,
      beside.map(key => ['GET', key]),
    ))
      expect(error, command.join(' ')).toMatch(/^NOPERM/)
  })

  test('writes nothing, its own state included', async () => {
    const key = stateKey(tenant)
    const writes = [
      ['SET', key, '1'],
      ['DEL', key],
      ['UNLINK', key],
      ['HSET', key, 'number', '1'],
      ['HINCRBY', key, 'number', '1'],
      ['HDEL', key, 'number'],
      ['INCR', key],
      ['APPEND', key, '1'],
      ['EXPIRE', key, '1'],
      ['PERSIST', key],
      ['RENAME', key, `${key}2`],
      ['COPY', key, `${key}2`],
      ['GETDEL', key],
      ['XADD', key, '*', 'a', '1'],
      ['EVAL', "return redis.call('SET', KEYS[1], '1')", '1', key],
      ['RESTORE', key, '0', 'x'],
      ['MULTI'],
    ]
    for (const { command, error } of await tryCommands(tenant, writes))
      expect(error, command.join(' ')).toMatch(/^NOPERM/)
  })

  test('cannot look around, listen or administer', async () => {
    const looks = [
      ['KEYS', '*'],
      ['SCAN', '0'],
      ['RANDOMKEY'],
      ['DBSIZE'],
      ['INFO'],
      ['MONITOR'],
      ['SUBSCRIBE', 'x'],
      ['PSUBSCRIBE', '*'],
      ['PUBLISH', 'x', '1'],
      ['CONFIG', 'GET', '*'],
      ['CLIENT', 'LIST'],
      ['CLIENT', 'KILL', 'TYPE', 'normal'],
      ['CLIENT', 'TRACKING', 'ON', 'BCAST'],
      ['ACL', 'LIST'],
      ['ACL', 'SETUSER', 'default', 'on', 'nopass', '~*', '+@all'],
      ['MEMORY', 'STATS'],
      ['FLUSHALL'],
      ['FLUSHDB'],
      ['SHUTDOWN'],
      ['REPLICAOF', 'NO', 'ONE'],
      ['SELECT', '1'],
    ]
    for (const { command, error } of await tryCommands(tenant, looks))
      expect(error, command.join(' ')).toMatch(/^NOPERM/)
    expect((await operate('ACL', 'LOG', '500')).toLowerCase()).toContain('randomkey')
  })

  test("its publisher writes its own tenant's state and nothing else", async () => {
    const user = `${tenant}-publisher`
    const url = `rediss://${user}:development-only-${user}@cache:6379`
    const probe = stateKey(tenant, 'v:probe:manifest')
    const own = [
      ['SET', probe, '{}'],
      ['UNLINK', probe],
    ]
    expect(await tryCommands(tenant, own, url)).toEqual(own.map(command => ({ command, error: null })))
    const foreign = [
      ...others.map(other => ['SET', stateKey(other), '1']),
      ['SET', `t:{${tenant}}:spend:x`, '1'],
      ['KEYS', '*'],
    ]
    for (const { command, error } of await tryCommands(tenant, foreign, url))
      expect(error, command.join(' ')).toMatch(/^NOPERM/)
  })

  test("is not let in with a neighbour's password, nor anybody without one", async () => {
    const [neighbour = ''] = others
    const wrong = `rediss://${tenant}-service:development-only-${neighbour}-service@cache:6379`
    for (const url of [wrong, 'rediss://cache:6379', 'redis://cache:6379']) {
      const [tried] = await tryCommands(tenant, [['GET', stateKey(tenant)]], url)
      expect(tried?.error, url).not.toBeNull()
    }
  })
})

test('the cache keeps its own container confined, too', async () => {
  expect(await containerId(stack, 'cache')).toMatch(/^[0-9a-f]{64}$/)
  const written = await execute(stack, 'cache', ['sh', '-c', 'echo x > /secrets/x'], { mayFail: true })
  expect(written.code).not.toBe(0)
})
