import { adminTokens, noticeKeys, priceKeys } from './key-settings.ts'
import { LIMITS } from './limits.ts'
import type { Read, Setting } from './setting.ts'

function whole(min: number, max: number, byDefault: number): Pick<Setting<number>, 'read' | 'default'> {
  return {
    default: String(byDefault),
    read: given => {
      if (given === undefined) return { value: byDefault }
      const value = Number(given)
      if (/^-?\d+$/.test(given) && value >= min && value <= max) return { value }
      return { problem: `must be a whole number from ${min} to ${max}` }
    },
  }
}

/** Like whole, but absent means that the service finds the number itself. */
function wholeOrFound(min: number, max: number, found: string): Pick<Setting<number | undefined>, 'read' | 'default'> {
  return {
    default: found,
    read: given => (given === undefined ? { value: undefined } : whole(min, max, min).read(given)),
  }
}

/** Text of one pattern with a default. */
function word(pattern: RegExp, like: string, byDefault: string): Pick<Setting<string>, 'read' | 'default'> {
  return {
    default: byDefault,
    read: given => (given === undefined ? { value: byDefault } : needed(pattern, like).read(given)),
  }
}

function needed(pattern: RegExp, like: string): Pick<Setting<string>, 'read' | 'default'> {
  return {
    default: 'needed',
    read: given => (given !== undefined && pattern.test(given) ? { value: given } : { problem: `must be ${like}` }),
  }
}

function optionalText(pattern: RegExp, like: string): Pick<Setting<string | undefined>, 'read' | 'default'> {
  return {
    default: '',
    read: given => {
      if (given === undefined || pattern.test(given)) return { value: given }
      return { problem: `must be ${like}` }
    },
  }
}

function oneOf<const W extends readonly string[]>(
  words: W,
  byDefault: W[number],
): Pick<Setting<W[number]>, 'read' | 'default'> {
  return {
    default: byDefault,
    read: given => {
      if (given === undefined) return { value: byDefault }
      return words.includes(given) ? { value: given } : { problem: `must be one of ${words.join(', ')}` }
    },
  }
}

const TENANT_ID = /^[a-z][a-z0-9-]{1,18}[a-z0-9]$/
const RESERVED_TENANT_IDS: readonly string[] = ['health', 'console', 'admin', 'metrics']

/** @returns why a text cannot be a tenant id, or undefined when it can. */
export function tenantIdProblem(given: string | undefined): string | undefined {
  if (given === undefined || !TENANT_ID.test(given))
    return 'must be 3 to 20 lower-case letters, digits and hyphens, first a letter and last no hyphen'
  if (RESERVED_TENANT_IDS.includes(given))
    return 'must not be one of the reserved words health, console, admin, metrics'
  return undefined
}

const tenantId: Pick<Setting<string>, 'read' | 'default'> = {
  default: 'needed',
  read: given => {
    const problem = tenantIdProblem(given)
    return problem === undefined ? { value: String(given) } : { problem }
  },
}

const STATE_SCHEMES: readonly string[] = ['redis:', 'rediss:', 'file:']

const stateUrl: Pick<Setting<string>, 'read' | 'default'> = {
  default: 'needed',
  read: given => {
    const scheme = given !== undefined && URL.canParse(given) ? new URL(given).protocol : ''
    if (STATE_SCHEMES.includes(scheme)) return { value: String(given) }
    return { problem: 'must be a URL that begins with redis://, rediss:// or file:' }
  },
}

const LOCAL_HOSTS: readonly string[] = ['localhost', '127.0.0.1', '[::1]']

const publicUrl: Pick<Setting<string | undefined>, 'read' | 'default'> = {
  default: '',
  read: given => {
    if (given === undefined) return { value: undefined }
    const url = URL.canParse(given) ? new URL(given) : undefined
    const isSafe = url?.protocol === 'https:' || (url?.protocol === 'http:' && LOCAL_HOSTS.includes(url.hostname))
    if (isSafe && url !== undefined && given === url.origin) return { value: given }
    return { problem: 'must be the https:// address of the load balancer without a path, like https://ads.example.com' }
  },
}

const optionalStateUrl: Pick<Setting<string | undefined>, 'read' | 'default'> = {
  default: '',
  read: given => (given === undefined ? { value: undefined } : stateUrl.read(given)),
}

const WORD = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
const ADDRESS = /^[0-9a-fA-F.:]+$/
const WORD_LIKE = 'letters, digits and . _ -, at most 64'

/** Every setting: its variable, meaning, default and reader. The type Config and REFERENCE.md follow from it. */
export const SETTINGS = {
  tenantId: { env: 'TENANT_ID', about: 'The one tenant that this task serves.', ...tenantId },
  tierId: { env: 'TIER_ID', about: 'SLA class of the tenant.', ...needed(WORD, WORD_LIKE) },
  region: { env: 'REGION', about: 'Cloud region in which the task runs.', ...needed(WORD, WORD_LIKE) },
  cellId: { env: 'CELL_ID', about: 'Account in which the task runs.', ...optionalText(WORD, WORD_LIKE) },
  infraGroupId: {
    env: 'INFRA_GROUP_ID',
    about: 'Network and load balancer of the task.',
    ...optionalText(WORD, WORD_LIKE),
  },
  stateUrl: {
    env: 'STATE_URL',
    about: "Where the tenant's state is: redis://, rediss:// or file: (a directory of tenant documents).",
    secret: true,
    ...stateUrl,
  },
  spendUrl: {
    env: 'SPEND_URL',
    about:
      'Where the spend ledger and the event stream are: redis://, rediss:// or file: (a folder of this task alone). ' +
      'Without it beside the state: the same cache, or the folder of the state with .spend at its end.',
    secret: true,
    ...optionalStateUrl,
  },
  journalDir: {
    env: 'JOURNAL_DIR',
    about:
      'Folder on a durable disk, absolute, for notices that come while the ledger is away; the tasks of a tenant may ' +
      'share it. Without it they are refused with 503 and sent again by the exchange, or lost.',
    ...optionalText(/^\/[^\0]{0,511}$/, 'an absolute path'),
  },
  publicUrl: {
    env: 'PUBLIC_URL',
    about: 'How exchanges and devices reach the load balancer. Without it bids carry no notice addresses.',
    ...publicUrl,
  },
  noticeKeys: {
    env: 'NOTICE_KEYS',
    about:
      'Keys id:secret that sign notice addresses: the first signs, one more is still taken. Needs a comma between.',
    secret: true,
    ...noticeKeys,
  },
  priceKeys: {
    env: 'PRICE_KEYS',
    about: 'Keys exchange:encryption-key:integrity-key of exchanges that encrypt prices as Google does.',
    secret: true,
    ...priceKeys,
  },
  statePollMs: {
    env: 'STATE_POLL_MS',
    about: 'Longest pause between looks for what is announced, in ms: a change bids after it and what taking it costs.',
    ...whole(20, 3_600_000, 250),
  },
  stateCopyDir: {
    env: 'STATE_COPY_DIR',
    about: 'Folder, absolute, for a copy of state and users, to start with while the cache is away. Without it none.',
    ...optionalText(/^\/[^\0]{0,511}$/, 'an absolute path'),
  },
  stateCheckMin: {
    env: 'STATE_CHECK_MIN',
    about: 'Longest pause between comparisons of what is served with all that the source has, in minutes.',
    ...whole(1, 1_440, 60),
  },
  cacheTimeoutMs: {
    env: 'CACHE_TIMEOUT_MS',
    about: 'A cache command slower than this has failed.',
    ...whole(50, 60_000, 5_000),
  },
  host: {
    env: 'HOST',
    about: 'Address on which the public port listens.',
    ...word(ADDRESS, 'an IP address', '0.0.0.0'),
  },
  port: { env: 'PORT', about: 'Public port.', ...whole(0, 65_535, 8080) },
  tlsCertFile: {
    env: 'TLS_CERT_FILE',
    about: 'File, absolute, of the certificate with which the public port speaks TLS, with its chain, as PEM.',
    ...optionalText(/^\/[^\0]{0,511}$/, 'an absolute path'),
  },
  tlsKeyFile: {
    env: 'TLS_KEY_FILE',
    about:
      'File, absolute, of its key, as PEM. Both are read again when they change. Without them the port speaks HTTP.',
    ...optionalText(/^\/[^\0]{0,511}$/, 'an absolute path'),
  },
  adminHost: {
    env: 'ADMIN_HOST',
    about: 'Address on which the admin port listens.',
    ...word(ADDRESS, 'an IP address', '127.0.0.1'),
  },
  adminPort: {
    env: 'ADMIN_PORT',
    about: 'Admin port: metrics and state. Never routed by the load balancer.',
    ...whole(0, 65_535, 9090),
  },
  adminTokens: {
    env: 'ADMIN_TOKENS',
    about:
      'Tokens name:token of those who may use the admin port, sent as bearer or as password of a browser. Needed ' +
      'where ADMIN_HOST is not loopback; without them whoever is on this machine may.',
    secret: true,
    ...adminTokens,
  },
  bidThreads: {
    env: 'BID_THREADS',
    about: 'Threads that answer bid requests.',
    ...wholeOrFound(1, LIMITS.bidThreadsMax, 'vCPUs of the task − 1, at least 1'),
  },
  memoryLimitMib: {
    env: 'MEMORY_LIMIT_MIB',
    about: "The task's memory limit, where the cgroup does not tell it.",
    ...wholeOrFound(64, 1_048_576, 'read from the cgroup'),
  },
  memoryWarnPercent: {
    env: 'MEMORY_WARN_PERCENT',
    about: 'Share of the memory limit that warns.',
    ...whole(1, 99, 70),
  },
  memoryCriticalPercent: {
    env: 'MEMORY_CRITICAL_PERCENT',
    about: 'Share of the memory limit that is critical.',
    ...whole(2, 100, 85),
  },
  albIdleTimeoutS: {
    env: 'ALB_IDLE_TIMEOUT_S',
    about: "The load balancer's idle timeout; the service keeps idle connections longer than this.",
    ...whole(1, 4_000, 60),
  },
  forwardedHops: {
    env: 'FORWARDED_HOPS',
    about:
      'Proxies before the task that append to X-Forwarded-For: 1 is the load balancer alone. The caller is who the ' +
      'outermost of them saw; with 0 who connects, and no certificate is believed.',
    ...whole(0, 5, 1),
  },
  drainS: {
    env: 'DRAIN_S',
    about: 'Longest time from SIGTERM to exit, below the stop timeout of the task.',
    ...whole(1, 110, 25),
  },
  metricsSink: {
    env: 'METRICS_SINK',
    about: 'Where metrics go: embedded metric format on stdout, CloudWatch by its API, or nowhere.',
    ...oneOf(['emf', 'cloudwatch', 'none'], 'emf'),
  },
  metricsPeriodS: { env: 'METRICS_PERIOD_S', about: 'Seconds between two metric reports.', ...whole(1, 3_600, 60) },
  sampleTraffic: {
    env: 'SAMPLE_TRAFFIC',
    about:
      'Whether made-up bid requests are sent to the task, which the log and the console then say. npm start sends ' +
      'them and sets it; the service itself sends nothing.',
    ...oneOf(['on', 'off'], 'off'),
  },
  logLevel: {
    env: 'LOG_LEVEL',
    about: 'Least severe line that is written.',
    ...oneOf(['debug', 'info', 'warn', 'error'], 'info'),
  },
} as const satisfies Record<string, Setting<unknown>>

type ValueOf<S> = S extends { read: (given: string | undefined) => Read<infer T> } ? T : never
/** The settings as read, with units in their names. Frozen; only main.ts holds it. */
export type Config = { readonly [K in keyof typeof SETTINGS]: ValueOf<(typeof SETTINGS)[K]> }

/** Relations between settings; each answers with the problem or nothing. */
const RELATIONS: readonly ((config: Config) => string | undefined)[] = [
  ({ memoryWarnPercent: warn, memoryCriticalPercent: critical }) =>
    warn < critical
      ? undefined
      : `MEMORY_WARN_PERCENT must be below MEMORY_CRITICAL_PERCENT, got ${warn} and ${critical}`,
  ({ port, adminPort }) =>
    port !== adminPort || port === 0 ? undefined : `PORT and ADMIN_PORT must differ, got ${port} for both`,
  ({ tlsCertFile: cert, tlsKeyFile: key }) =>
    (cert === undefined) === (key === undefined)
      ? undefined
      : `TLS_CERT_FILE and TLS_KEY_FILE go together, got ${cert === undefined ? 'the key' : 'the certificate'} alone`,
  ({ adminHost, adminTokens: tokens }) =>
    tokens.length > 0 || adminHost === '::1' || /^127\.\d+\.\d+\.\d+$/.test(adminHost)
      ? undefined
      : `ADMIN_TOKENS must hold a token where ADMIN_HOST is not loopback, got nothing and ${adminHost}`,
  ({ publicUrl: url, noticeKeys: keys }) =>
    url === undefined || keys.length > 0
      ? undefined
      : `NOTICE_KEYS must hold a key where PUBLIC_URL is set, because notice addresses are signed, got nothing`,
  ({ metricsSink: sink, metricsPeriodS: seconds }) =>
    sink !== 'cloudwatch' || seconds >= LIMITS.cloudWatchPeriodSMin
      ? undefined
      : `METRICS_PERIOD_S must be at least ${LIMITS.cloudWatchPeriodSMin} with METRICS_SINK=cloudwatch, got ${seconds}`,
]

/**
 * Reads all settings from an environment.
 * @returns the frozen configuration, or every problem at once. Nothing is clamped. Secrets appear in no problem.
 */
export function readConfig(
  env: Readonly<Record<string, string | undefined>>,
): Config | { readonly problems: readonly string[] } {
  const problems: string[] = []
  const values: Record<string, unknown> = {}
  for (const [key, setting] of Object.entries(SETTINGS) as [string, Setting<unknown>][]) {
    const given = env[setting.env] === '' ? undefined : env[setting.env]
    const read = setting.read(given)
    if ('value' in read) values[key] = read.value
    else problems.push(`${setting.env} ${read.problem}, got ${shownGiven(given, setting.secret === true)}`)
  }
  const config = Object.freeze(values) as Config
  if (problems.length > 0) return { problems }
  for (const relation of RELATIONS) {
    const problem = relation(config)
    if (problem !== undefined) problems.push(problem)
  }
  return problems.length > 0 ? { problems } : config
}

function shownGiven(given: string | undefined, secret: boolean): string {
  if (given === undefined) return 'nothing'
  return secret ? 'something else' : JSON.stringify(given.slice(0, 80))
}

/** What the system says of a port that a process may not have, and what to do about it. */
const PORT_ERRORS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'is taken by another process; end that one, or choose another port',
  EACCES: 'may not be opened by this user; choose one above 1023',
  EADDRNOTAVAIL: 'is on an address that this machine does not have; correct the host',
}

/** The problem of a setting whose port could not be opened; undefined when that was not the reason of the error. */
export function portProblem(setting: 'PORT' | 'ADMIN_PORT', port: number, error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const what = PORT_ERRORS[code]
  return what === undefined ? undefined : `${setting} ${port} ${what}`
}
