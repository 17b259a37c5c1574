import { Visitor } from 'oxc-parser'
import { type Finding, partOf, type Rule, type Source } from './tree.ts'

interface Ban {
  /** A call or `new`, as its callee is written. */
  readonly callee: RegExp
  readonly remedy: string
  /** Where it is banned; everywhere when absent. */
  readonly where?: (source: Source) => boolean
  /** Files that may, each for the reason beside it. */
  readonly except?: readonly string[]
  readonly canary: string
}

const inService = (source: Source): boolean => partOf(source.path) !== undefined && !source.isTest
const besideProcessEnds = (source: Source): boolean =>
  inService(source) && partOf(source.path) !== 'commands' && !/^service\/(main|shutdown)\.ts$/.test(source.path)

/** Calls that are never made here, each with what to write instead. */
const BANS: readonly Ban[] = [
  {
    callee: /^Math\.random$/,
    remedy: 'use Random of foundation/random.ts with a seed that is printed; node:crypto for secrets',
    canary: 'Math.random()',
  },
  { callee: /^eval$|^Function$/, remedy: 'compile with data, not with text', canary: "new Function('return 1')" },
  {
    callee: /^process\.exit$/,
    where: besideProcessEnds,
    // After an error that nobody caught there is no main.ts to return to.
    except: ['service/telemetry/logger.ts'],
    remedy: 'return; main.ts ends it',
    canary: 'process.exit(1)',
  },
  {
    callee: /^Atomics\.wait$/,
    where: inService,
    // The last lines of a process that is ending: nothing else is to run any more.
    except: ['service/telemetry/line-destination.ts'],
    remedy: 'it stops the event loop: post a message, or Atomics.waitAsync',
    canary: 'Atomics.wait(a, 0, 0)',
  },
  {
    callee: /^(exec|execSync|child_process\.exec)$/,
    remedy: 'spawn or execFile with a list of arguments: no shell reads them',
    canary: "exec('ls')",
  },
  {
    callee: /(^|\.)(readFileSync|writeFileSync|existsSync|spawnSync|execFileSync)$/,
    where: source => inService(source) && ['http', 'spend'].includes(partOf(source.path) ?? ''),
    remedy: 'no synchronous I/O where requests are served',
    canary: "readFileSync('a')",
  },
  {
    callee: /^(test|it|describe)\.(only|skip|todo|skipIf|runIf|fails)$/,
    remedy: 'every test runs, always: mend it or delete it',
    canary: "test.only('a', () => {})",
  },
  {
    callee: /^vi\.(mock|doMock|spyOn|stubGlobal|useFakeTimers)$/,
    remedy: 'test the real part, or pass a port or a clock as an argument',
    canary: "vi.mock('./b.ts')",
  },
  {
    callee: /\.(flushall|flushdb|keys\('.*)$/,
    where: inService,
    remedy: 'no command that touches keys of other tenants',
    canary: 'redis.flushall()',
  },
  {
    callee: /^structuredClone$/,
    where: inService,
    remedy: 'build the next value by its parts',
    canary: 'structuredClone(a)',
  },
]

function callFindings(source: Source): readonly Finding[] {
  const findings: Finding[] = []
  const look = (node: { start: number; callee: { start: number; end: number } }): void => {
    const callee = source.text.slice(node.callee.start, node.callee.end)
    for (const { callee: banned, where, except, remedy } of BANS) {
      if (!banned.test(callee) || where?.(source) === false || except?.includes(source.path) === true) continue
      findings.push({ path: source.path, line: source.lineAt(node.start), what: `${callee}()`, remedy })
    }
  }
  new Visitor({ CallExpression: look, NewExpression: look }).visit(source.program)
  return findings
}

/** Timers whose handle is dropped: they keep a drained process alive and can never be ended. */
function timerFindings(source: Source): readonly Finding[] {
  if (!inService(source)) return []
  const findings: Finding[] = []
  new Visitor({
    ExpressionStatement: ({ expression, start }) => {
      if (expression.type !== 'CallExpression' || expression.callee.type !== 'Identifier') return
      const name = expression.callee.name
      if (name !== 'setInterval' && name !== 'setTimeout') return
      const remedy = 'keep its handle and clear it at shutdown, or add .unref()'
      findings.push({ path: source.path, line: source.lineAt(start), what: `${name}() with no handle`, remedy })
    },
  }).visit(source.program)
  return findings
}

/** Words in comments that mean "not finished", and comments that switch a check off. */
const OPEN_ENDS = /\b(TODO|FIXME|XXX|HACK)\b|@ts-(?:ignore|nocheck|expect-error)/

function leftoverFindings(source: Source): readonly Finding[] {
  const findings: Finding[] = []
  for (const { value, start } of source.comments) {
    const word = OPEN_ENDS.exec(value)?.[0]
    if (word === undefined) continue
    const remedy = 'finish it, or open an issue and say in the comment what is so'
    findings.push({ path: source.path, line: source.lineAt(start), what: `${word} in a comment`, remedy })
  }
  const add = (start: number, what: string, remedy: string): void => {
    findings.push({ path: source.path, line: source.lineAt(start), what, remedy })
  }
  new Visitor({
    DebuggerStatement: node => add(node.start, 'debugger', 'remove it'),
    TSAsExpression: ({ typeAnnotation, start }) => {
      if (typeAnnotation.type === 'TSAnyKeyword') add(start, 'as any', 'name the type, or unknown and a check')
    },
  }).visit(source.program)
  return findings
}

/** Calls, timers and leftovers that do not belong in the repository. */
export const BANNED_RULES: readonly Rule[] = [
  {
    name: 'banned-call',
    about: 'calls that have a better replacement here are not made',
    check: tree => tree.sources.flatMap(callFindings),
    canaries: BANS.map(({ canary }) => ({ files: { 'service/http/a.ts': canary } })),
  },
  {
    name: 'lost-timer',
    about: 'every timer of the service can be ended',
    check: tree => tree.sources.flatMap(timerFindings),
    canaries: [{ files: { 'service/http/a.ts': 'setInterval(() => {}, 1)' } }],
  },
  {
    name: 'leftover',
    about: 'nothing unfinished and no check switched off',
    check: tree => tree.sources.flatMap(leftoverFindings),
    canaries: [
      { files: { 'service/a.ts': `// ${'TO'}DO: think` } },
      { files: { 'service/a.ts': `// @ts-${'ignore'}` } },
      { files: { 'service/a.ts': 'debugger' } },
      { files: { 'service/a.ts': 'const a = 1 as any' } },
    ],
  },
]
