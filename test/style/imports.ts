import { Visitor } from 'oxc-parser'
import { type Finding, partOf, type Rule, resolvePath, type Source } from './tree.ts'

/** What each part of the service may import besides itself. Files that wire parts together may import everything. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  foundation: [],
  'limits.ts': ['foundation'],
  'config.ts': ['key-settings.ts', 'setting.ts', 'limits.ts', 'foundation'],
  'key-settings.ts': ['setting.ts', 'limits.ts'],
  'setting.ts': [],
  'certificate-files.ts': ['http', 'telemetry', 'config.ts', 'limits.ts'],
  'shutdown.ts': ['limits.ts', 'foundation'],
  'memory-ladder.ts': ['limits.ts', 'foundation'],
  'memory-plan.ts': ['limits.ts', 'foundation'],
  'stop-list.ts': [],
  'v8-settings.ts': [],
  'thread-modules.ts': [],
  'thread-start.mjs': [],
  'estimates.ts': [],
  'event-tail.ts': ['remote-cache', 'openrtb', 'telemetry', 'limits.ts'],
  state: ['limits.ts', 'foundation'],
  decision: ['state', 'limits.ts', 'foundation'],
  openrtb: ['decision', 'state', 'limits.ts', 'foundation'],
  spend: ['state', 'limits.ts', 'foundation'],
  // The recorder, its signals and the metrics' content type are leaves: they count, and know nothing of what is served.
  http: ['stop-list.ts', 'openrtb', 'decision', 'state', 'telemetry', 'limits.ts', 'foundation'],
  'remote-cache': ['spend', 'state', 'limits.ts', 'foundation'],
  // Runs in a browser: only types of what it is told.
  console: ['http', 'openrtb', 'decision', 'spend', 'telemetry', 'estimates.ts', 'event-tail.ts'],
  // Closed lists of reasons, kinds and outcomes are the labels of signals.
  telemetry: ['openrtb', 'decision', 'limits.ts', 'foundation'],
  'thread-messages.ts': ['stop-list.ts', 'http', 'openrtb', 'remote-cache', 'spend', 'state', 'telemetry'],
  'thread-ports.ts': ['thread-messages.ts', 'spend', 'state', 'telemetry'],
  'compiled-chunks.ts': ['remote-cache', 'openrtb', 'state', 'foundation'],
}
const WIRING: readonly string[] = [
  'main.ts',
  'money.ts',
  'journal-disk.ts',
  'arrived-notice.ts',
  'frequency.ts',
  'audience.ts',
  'guards.ts',
  'plans.ts',
  'spend-store.ts',
  'bid-threads.ts',
  'bid-thread.ts',
  'state-events.ts',
  'catalog-load.ts',
  'next-state.ts',
  'loader-thread.ts',
  'chunk-collector.ts',
  'explain-thread.ts',
  'explainer.ts',
  'insight.ts',
  'dry-run.ts',
  'sampled-requests.ts',
]

/** Packages that one part alone may know. */
const OWNERS: Readonly<Record<string, string>> = {
  ioredis: 'remote-cache',
  fastify: 'http',
  pino: 'telemetry',
  '@aws-sdk/client-cloudwatch': 'telemetry',
  '@opentelemetry/api': 'telemetry',
  '@opentelemetry/sdk-node': 'telemetry',
  commander: 'commands',
  'cli-progress': 'commands',
}

/** Parts that compute and do nothing else. */
const PURE: readonly string[] = ['foundation', 'state', 'decision', 'openrtb']
/** The port's one real clock lies beside the port. */
const CLOCK = 'service/foundation/clock.ts'

interface Import {
  readonly to: string
  readonly typeOnly: boolean
  readonly line: number
}

/** Every import and re-export of a file, dynamic ones with a literal path included. */
export function importsOf(source: Source): readonly Import[] {
  const found: Import[] = source.module.staticImports.map(({ moduleRequest, entries, start }) => ({
    to: moduleRequest.value,
    typeOnly: entries.length > 0 && entries.every(entry => entry.isType),
    line: source.lineAt(start),
  }))
  for (const { entries, start } of source.module.staticExports) {
    const from = entries.find(entry => entry.moduleRequest !== null)
    if (from?.moduleRequest)
      found.push({ to: from.moduleRequest.value, typeOnly: from.isType, line: source.lineAt(start) })
  }
  for (const { moduleRequest, start } of source.module.dynamicImports) {
    const literal = source.text.slice(moduleRequest.start, moduleRequest.end)
    if (/^['"]/.test(literal)) found.push({ to: literal.slice(1, -1), typeOnly: false, line: source.lineAt(start) })
  }
  return found
}

/** The name of the package that an import path belongs to. */
export function packageOf(to: string): string {
  return to
    .split('/')
    .slice(0, to.startsWith('@') ? 2 : 1)
    .join('/')
}

function directionFindings(source: Source): readonly Finding[] {
  const part = partOf(source.path)
  if (part === undefined || source.isTest || WIRING.includes(part)) return []
  const at = { path: source.path }
  if (part !== 'commands' && MAY_IMPORT[part] === undefined)
    return [{ ...at, line: 1, what: `${part} has no place in the import order`, remedy: 'give it one in MAY_IMPORT' }]
  const findings: Finding[] = []
  for (const { to, line } of importsOf(source)) {
    if (!to.startsWith('.')) continue
    const target = resolvePath(source.path, to)
    const targetPart = target === undefined ? undefined : partOf(target)
    if (targetPart === part) continue
    if (targetPart === undefined)
      findings.push({ ...at, line, what: `the service imports ${to}`, remedy: 'move what it needs into service/' })
    else if (WIRING.includes(targetPart))
      findings.push({ ...at, line, what: `imports ${targetPart}`, remedy: 'nothing imports the files that wire' })
    else if (part !== 'commands' && !MAY_IMPORT[part]!.includes(targetPart)) {
      const allowed = MAY_IMPORT[part]!.join(', ') || 'nothing'
      const remedy = `${part} may import ${allowed}; take a port as an argument and wire it in main.ts`
      findings.push({ ...at, line, what: `${part} imports ${targetPart}`, remedy })
    }
  }
  return findings
}

function ownerFindings(source: Source): readonly Finding[] {
  const part = partOf(source.path)
  if (part === undefined || source.isTest) return []
  return importsOf(source).flatMap(({ to, line }) => {
    const owner = OWNERS[packageOf(to)]
    if (owner === undefined || owner === part) return []
    return [{ path: source.path, line, what: `${part} imports ${to}`, remedy: `only ${owner} knows this package` }]
  })
}

/** Names whose use makes an answer depend on more than the arguments. */
const IMPURE_NAMES: readonly string[] = [
  'process',
  'console',
  'performance',
  'setTimeout',
  'setInterval',
  'setImmediate',
  'queueMicrotask',
  'fetch',
  'crypto',
]
const IMPURE_MEMBERS: readonly string[] = ['Date.now', 'Math.random', 'Atomics.wait', 'Atomics.waitAsync']

function purityFindings(source: Source): readonly Finding[] {
  if (!PURE.includes(partOf(source.path) ?? '') || source.isTest || source.path === CLOCK) return []
  const findings: Finding[] = []
  const add = (start: number, what: string, remedy: string): void => {
    findings.push({ path: source.path, line: source.lineAt(start), what, remedy })
  }
  for (const { to, typeOnly, line } of importsOf(source)) {
    if (!to.startsWith('.') && !typeOnly)
      findings.push({ path: source.path, line, what: `imports ${to}`, remedy: 'this part uses no package, only types' })
  }
  const argument = 'pass time, chance and settings in as arguments, and log at the edge'
  new Visitor({
    AwaitExpression: node => add(node.start, 'await in a pure part', 'compute only; wait at the edge'),
    ForOfStatement: node => {
      if (node.await) add(node.start, 'for await in a pure part', 'compute only; wait at the edge')
    },
    MemberExpression: node => {
      const name = source.text.slice(node.start, node.end)
      if (IMPURE_MEMBERS.includes(name)) add(node.start, `${name} in a pure part`, argument)
      if (node.object.type === 'Identifier' && IMPURE_NAMES.includes(node.object.name))
        add(node.start, `${name} in a pure part`, argument)
    },
    CallExpression: node => {
      if (node.callee.type === 'Identifier' && IMPURE_NAMES.includes(node.callee.name))
        add(node.start, `${node.callee.name}() in a pure part`, argument)
    },
    NewExpression: node => {
      if (source.text.slice(node.start, node.end) === 'new Date()') add(node.start, 'new Date() is a clock', argument)
    },
  }).visit(source.program)
  return findings
}

function environmentFindings(source: Source): readonly Finding[] {
  if (partOf(source.path) === undefined || source.isTest || source.path.endsWith('.mjs')) return []
  if (['service/main.ts', 'service/commands/start.ts'].includes(source.path)) return []
  const findings: Finding[] = []
  new Visitor({
    MemberExpression: node => {
      if (source.text.slice(node.start, node.end) !== 'process.env') return
      const remedy = 'only main.ts reads the environment; take a setting from config.ts as an argument'
      findings.push({ path: source.path, line: source.lineAt(node.start), what: 'process.env', remedy })
    },
  }).visit(source.program)
  return findings
}

/** Who may import whom, which parts are pure, and who reads the environment. */
export const IMPORT_RULES: readonly Rule[] = [
  {
    name: 'import-direction',
    about: 'imports run http → openrtb → decision → state → foundation, and only the wiring files know all parts',
    check: tree => tree.sources.flatMap(directionFindings),
    canaries: [
      { files: { 'service/state/a.ts': "import { b } from '../decision/b.ts'" } },
      { files: { 'service/foundation/a.ts': "export type { B } from '../limits.ts'" } },
      { files: { 'service/commands/a.ts': "import { b } from '../main.ts'" } },
      { files: { 'service/http/a.ts': "const b = await import('../remote-cache/b.ts')" } },
      { files: { 'service/state/a.ts': "import { b } from '../../test/b.ts'" } },
      { files: { 'service/cleverness/a.ts': '' } },
    ],
  },
  {
    name: 'package-owner',
    about: 'a package that one part wraps is imported by no other part',
    check: tree => tree.sources.flatMap(ownerFindings),
    canaries: [{ files: { 'service/http/a.ts': "import { Redis } from 'ioredis'" } }],
  },
  {
    name: 'pure-part',
    about: 'foundation, state, decision and openrtb use no package, await, environment, log, clock or chance',
    check: tree => tree.sources.flatMap(purityFindings),
    canaries: [
      { files: { 'service/state/a.ts': "import { readFileSync } from 'node:fs'" } },
      { files: { 'service/decision/a.ts': 'export const a = async () => { await 0 }' } },
      { files: { 'service/decision/a.ts': 'export const a = Date.now()' } },
      { files: { 'service/decision/a.ts': 'export const a = new Date()' } },
      { files: { 'service/openrtb/a.ts': 'export const a = Math.random()' } },
      { files: { 'service/openrtb/a.ts': "console.log('a')" } },
      { files: { 'service/foundation/a.ts': 'export const a = process.env' } },
      { files: { 'service/foundation/a.ts': 'setTimeout(() => {}, 1)' } },
    ],
  },
  {
    name: 'environment',
    about: 'only main.ts reads the environment',
    check: tree => tree.sources.flatMap(environmentFindings),
    canaries: [{ files: { 'service/http/a.ts': "export const a = process.env['PORT']" } }],
  },
]
