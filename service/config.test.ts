import { describe, expect, test } from 'vitest'
import { type Config, readConfig, SETTINGS } from './config.ts'

const SECRET = 'a'.repeat(32)
const KEY = `k1:${SECRET}`
const GOOD = {
  ...{ TENANT_ID: 'acme', TIER_ID: 'standard', REGION: 'eu-central-1', STATE_URL: 'redis://cache:6379' },
  NOTICE_KEYS: KEY,
}

function problemsOf(env: Record<string, string | undefined>): readonly string[] {
  const read = readConfig({ ...GOOD, ...env })
  return 'problems' in read ? read.problems : []
}
function configOf(env: Record<string, string | undefined> = {}): Config {
  const read = readConfig({ ...GOOD, ...env })
  if ('problems' in read) throw new Error(read.problems.join('\n'))
  return read
}

/** Per variable: values that are taken, and values that are refused. */
const VALUES: Readonly<Record<string, readonly [good: readonly string[], bad: readonly string[]]>> = {
  TENANT_ID: [
    ['acme', 'a-b', 'a12', `a${'b'.repeat(19)}`],
    ['', 'ab', 'Acme', '1acme', 'acme-', 'a_b', `a${'b'.repeat(20)}`, 'health', 'console', 'admin', 'metrics', 'a\n'],
  ],
  TIER_ID: [
    ['standard', 'A.1_x-y'],
    ['', '-x', 'a b', 'a'.repeat(65), 'a\n'],
  ],
  REGION: [
    ['eu-central-1', 'x'],
    ['', ' x', 'é'],
  ],
  CELL_ID: [['123456789012'], ['-', 'a/b']],
  INFRA_GROUP_ID: [['ig-1'], ['ig 1']],
  STATE_URL: [
    ['redis://c:1', 'rediss://u:p@c:1/0', 'file:/data', 'file:///data'],
    ['', 'cache:6379', 'http://c', 'redis', '//c'],
  ],
  SPEND_URL: [
    ['redis://c:1', 'rediss://u:p@c:1/0', 'file:/data/spend'],
    ['cache:6379', 'http://c'],
  ],
  JOURNAL_DIR: [['/var/lib/bidcell'], ['journal', './journal', '~']],
  PUBLIC_URL: [
    ['https://ads.example.com', 'https://ads.example.com:8443', 'http://127.0.0.1:8080', 'http://localhost'],
    ['http://ads.example.com', 'https://ads.example.com/', 'https://a/b', 'https://u@a', 'ads.example.com', 'ftp://a'],
  ],
  NOTICE_KEYS: [
    [KEY, `${KEY},k2:${'b'.repeat(128)}`],
    ['k1', 'k1:short', `k-1:${'a'.repeat(32)}`, `${KEY},${KEY}`, `${KEY},k2:${SECRET},k3:${SECRET}`, `${KEY},`],
  ],
  PRICE_KEYS: [
    [
      `adx:${'A'.repeat(43)}=:${'b'.repeat(43)}`,
      `a:${'A'.repeat(43)}:${'-'.repeat(43)},b:${'A'.repeat(43)}:${'A'.repeat(43)}`,
    ],
    ['adx', `adx:${'A'.repeat(42)}:${'A'.repeat(43)}`, `ADX:${'A'.repeat(43)}:${'A'.repeat(43)}`],
  ],
  STATE_POLL_MS: [
    ['20', '3600000'],
    ['19', '3600001', '20.5', '20ms', '-20', ' 20', '2e2', '0x20', 'NaN'],
  ],
  STATE_COPY_DIR: [['/var/lib/bidcell-state'], ['state', './state', '~']],
  STATE_CHECK_MIN: [
    ['1', '1440'],
    ['0', '1441', 'x'],
  ],
  CACHE_TIMEOUT_MS: [
    ['50', '60000'],
    ['49', '60001', 'x'],
  ],
  HOST: [
    ['0.0.0.0', '::1'],
    ['localhost', '1.2.3.4/8'],
  ],
  PORT: [
    ['0', '65535'],
    ['-1', '65536', '8080 '],
  ],
  ADMIN_HOST: [['127.0.0.1', '::1'], ['admin']],
  ADMIN_PORT: [['0', '1'], ['65536']],
  BID_THREADS: [
    ['1', '64'],
    ['0', '65', 'all'],
  ],
  MEMORY_LIMIT_MIB: [
    ['64', '1048576'],
    ['63', '1048577', '1g'],
  ],
  MEMORY_WARN_PERCENT: [
    ['1', '84'],
    ['0', '100', '70%'],
  ],
  MEMORY_CRITICAL_PERCENT: [
    ['71', '100'],
    ['1', '101'],
  ],
  ALB_IDLE_TIMEOUT_S: [
    ['1', '4000'],
    ['0', '4001'],
  ],
  TLS_CERT_FILE: [[], ['cert.pem', './x']],
  TLS_KEY_FILE: [[], ['key.pem', './x']],
  ADMIN_TOKENS: [
    [`ops:${'t'.repeat(32)}`, `ops:${'t'.repeat(32)},grafana:${'g'.repeat(128)}`],
    [
      ...['t'.repeat(40), `ops:${'t'.repeat(31)}`, `OPS:${'t'.repeat(32)}`, `ops:${'t'.repeat(32)},`],
      ...[`a:${'t'.repeat(32)},b:${'t'.repeat(32)}`, `a:${'t'.repeat(32)},a:${'u'.repeat(32)}`],
    ],
  ],
  FORWARDED_HOPS: [
    ['0', '1', '5'],
    ['-1', '6', '1.5', 'one'],
  ],
  DRAIN_S: [
    ['1', '110'],
    ['0', '111'],
  ],
  METRICS_SINK: [
    ['emf', 'cloudwatch', 'none'],
    ['EMF', 'emf,none'],
  ],
  METRICS_PERIOD_S: [
    ['1', '3600'],
    ['0', '3601'],
  ],
  SAMPLE_TRAFFIC: [
    ['on', 'off'],
    ['yes', 'ON'],
  ],
  LOG_LEVEL: [
    ['debug', 'info', 'warn', 'error'],
    ['trace', 'INFO'],
  ],
}
const VARIABLES = Object.values(SETTINGS).map(({ env }) => env)

describe('settings', () => {
  test('are all in these tests', () => {
    expect(VARIABLES.filter(name => VALUES[name] === undefined)).toEqual([])
  })

  test.each(VARIABLES)('take good values of %s', name => {
    for (const value of VALUES[name]?.[0] ?? []) expect(problemsOf({ [name]: value }), value).toEqual([])
  })

  test.each(VARIABLES)('refuse bad values of %s and name it', name => {
    for (const value of VALUES[name]?.[1] ?? []) {
      const problems = problemsOf({ [name]: value })
      expect(problems.length, JSON.stringify(value)).toBe(1)
      expect(problems[0], JSON.stringify(value)).toMatch(new RegExp(`^${name} must .*, got `))
    }
  })

  test('that are needed have no default, and the others do without', () => {
    const read = readConfig({})
    const problems = 'problems' in read ? read.problems : []
    expect(problems.map(problem => problem.split(' ')[0])).toEqual(['TENANT_ID', 'TIER_ID', 'REGION', 'STATE_URL'])
  })

  test('take an empty text for nothing', () => {
    expect(configOf({ PORT: '', BID_THREADS: '' })).toMatchObject({ port: 8080, bidThreads: undefined })
  })

  test('are all judged at once', () => {
    const problems = problemsOf({ TENANT_ID: 'X', PORT: 'x', LOG_LEVEL: 'x', DRAIN_S: 'x', REGION: '' })
    expect(problems.length).toBe(5)
  })

  test('are never clamped and never changed', () => {
    const config = configOf({ STATE_POLL_MS: '3600', CACHE_TIMEOUT_MS: '50' })
    expect(config).toMatchObject({ statePollMs: 3_600, cacheTimeoutMs: 50 })
    expect(Object.isFrozen(config)).toBe(true)
  })

  test('show no secret in a problem', () => {
    const secrets = { SPEND_URL: 'http://user:hunter2@cache', NOTICE_KEYS: 'k1:hunter2', PRICE_KEYS: 'adx:hunter2' }
    const problems = problemsOf({ STATE_URL: 'http://user:hunter2@cache', ...secrets }).join()
    for (const name of ['STATE_URL', ...Object.keys(secrets)]) expect(problems).toContain(name)
    expect(problems).not.toContain('hunter2')
  })

  test('are shown short in a problem, on one line', () => {
    const [problem = ''] = problemsOf({ LOG_LEVEL: `a\nb${'x'.repeat(10_000)}` })
    expect(problem.length).toBeLessThan(200)
    expect(problem).not.toContain('\n')
  })
})

describe('settings that must fit each other', () => {
  test('are the public address and the keys that sign what it leads to', () => {
    const [problem] = problemsOf({ PUBLIC_URL: 'https://ads.example.com', NOTICE_KEYS: '' })
    expect(problem).toMatch(/^NOTICE_KEYS must hold a key where PUBLIC_URL is set/)
    expect(problemsOf({ PUBLIC_URL: '', NOTICE_KEYS: '' })).toEqual([])
  })

  test('are the files of certificate and key', () => {
    const files = { TLS_CERT_FILE: '/tls/tls.crt', TLS_KEY_FILE: '/tls/tls.key' }
    expect(problemsOf(files)).toEqual([])
    for (const name of Object.keys(files))
      expect(problemsOf({ ...files, [name]: '' })[0]).toMatch(/^TLS_CERT_FILE and TLS_KEY_FILE go together, got the /)
  })

  test('are the address of the admin port and its tokens', () => {
    for (const host of ['127.0.0.1', '127.0.0.2', '::1']) expect(problemsOf({ ADMIN_HOST: host })).toEqual([])
    for (const host of ['0.0.0.0', '::', '10.0.0.1']) {
      expect(problemsOf({ ADMIN_HOST: host })[0]).toMatch(/^ADMIN_TOKENS must hold a token where ADMIN_HOST/)
      expect(problemsOf({ ADMIN_HOST: host, ADMIN_TOKENS: `ops:${'t'.repeat(32)}` })).toEqual([])
    }
  })

  test('are the two lines of memory', () => {
    const lines = (warn: string, critical: string) =>
      problemsOf({ MEMORY_WARN_PERCENT: warn, MEMORY_CRITICAL_PERCENT: critical })
    expect(lines('70', '71')).toEqual([])
    for (const [warn, critical] of [
      ['85', '85'],
      ['90', '85'],
    ] as const)
      expect(lines(warn, critical)).toEqual([
        `MEMORY_WARN_PERCENT must be below MEMORY_CRITICAL_PERCENT, got ${warn} and ${critical}`,
      ])
  })

  test('are the two ports', () => {
    expect(problemsOf({ PORT: '8080', ADMIN_PORT: '8080' })).toEqual([
      'PORT and ADMIN_PORT must differ, got 8080 for both',
    ])
    expect(problemsOf({ PORT: '0', ADMIN_PORT: '0' })).toEqual([])
  })
  test('are the calls of CloudWatch, whose quota all tasks of an account share', () => {
    expect(problemsOf({ METRICS_SINK: 'cloudwatch', METRICS_PERIOD_S: '59' })).toEqual([
      'METRICS_PERIOD_S must be at least 60 with METRICS_SINK=cloudwatch, got 59',
    ])
    expect(problemsOf({ METRICS_SINK: 'cloudwatch', METRICS_PERIOD_S: '60' })).toEqual([])
    expect(problemsOf({ METRICS_SINK: 'emf', METRICS_PERIOD_S: '5' })).toEqual([])
  })
})
