import { type ArrowFunctionExpression, type Function as FunctionNode, Visitor } from 'oxc-parser'
import type { Finding, Rule, Source } from './tree.ts'

const FUNCTION_LINES_MAX = 70
const FILE_LINES_MAX = 400
const LINE_CHARS_MAX = 120
const PARAMETERS_MAX = 4

/** Names that say nothing about what is inside. */
const EMPTY_NAMES: readonly string[] = ['util', 'utils', 'helper', 'helpers', 'manager', 'common', 'misc', 'lib']

type AnyFunction = FunctionNode | ArrowFunctionExpression

/** Every function of a file. In tests, one that holds tests is a list of them and not a function to read as one. */
function functionsOf(source: Source): readonly AnyFunction[] {
  const found: AnyFunction[] = []
  new Visitor({
    FunctionDeclaration: node => void found.push(node),
    FunctionExpression: node => void found.push(node),
    ArrowFunctionExpression: node => void found.push(node),
  }).visit(source.program)
  const holdsTests = ({ start, end }: AnyFunction): boolean =>
    /^\s*(describe|test)[.(]/m.test(source.text.slice(start, end))
  return found.filter(node => !(source.isTest && holdsTests(node)))
}

function functionFindings(source: Source): readonly Finding[] {
  const findings: Finding[] = []
  for (const node of functionsOf(source)) {
    const line = source.lineAt(node.start)
    const lines = source.lineAt(node.end) - line + 1
    const name = (node.type !== 'ArrowFunctionExpression' && node.id?.name) || 'a function'
    if (lines > FUNCTION_LINES_MAX) {
      const remedy = `at most ${FUNCTION_LINES_MAX}: push loops down into functions of their own`
      findings.push({ path: source.path, line, what: `${name} has ${lines} lines`, remedy })
    }
    if (node.params.length > PARAMETERS_MAX) {
      const remedy = `at most ${PARAMETERS_MAX}: take one object with named fields`
      findings.push({ path: source.path, line, what: `${name} has ${node.params.length} parameters`, remedy })
    }
  }
  return findings
}

function fileFindings(source: Source): readonly Finding[] {
  const lines = source.text.split('\n')
  const findings: Finding[] = []
  if (lines.length - 1 > FILE_LINES_MAX) {
    const what = `${lines.length - 1} lines`
    findings.push({ path: source.path, line: 1, what, remedy: `at most ${FILE_LINES_MAX}: split it by noun` })
  }
  lines.forEach((text, index) => {
    if (text.length <= LINE_CHARS_MAX) return
    const what = `${text.length} characters in a line`
    findings.push({ path: source.path, line: index + 1, what, remedy: `at most ${LINE_CHARS_MAX}: break it` })
  })
  return findings
}

function nameFindings(path: string): readonly Finding[] {
  const folders = path.split('/')
  const file = folders.pop()!.replace(/\..*$/, '')
  return [...folders, file]
    .filter(word => word.split('-').some(part => EMPTY_NAMES.includes(part)))
    .map(word => ({ path, line: 1, what: `the name ${word}`, remedy: 'name it for what is inside' }))
}

/** Whether a block comment of the doc kind ends right before a declaration. */
function isDocumented(source: Source, start: number): boolean {
  return source.comments.some(({ type, value, end }) => {
    if (type !== 'Block' || !value.startsWith('*') || end > start) return false
    // Line comments (a lint exception with its reason) may stand between.
    return /^\s*(\/\/[^\n]*\s*)*$/.test(source.text.slice(end, start))
  })
}

function docstringFindings(source: Source): readonly Finding[] {
  if (source.isTest) return []
  const findings: Finding[] = []
  const remedy = 'say above it what it is, in which unit, which errors, whether it mutates'
  for (const node of source.program.body) {
    if (node.type !== 'ExportNamedDeclaration' || node.declaration === null) continue
    if (isDocumented(source, node.start)) continue
    const name = /^export\s+(?:declare\s+|async\s+|abstract\s+)*\w+\s+([\w$]+)/.exec(source.text.slice(node.start))?.[1]
    const what = `${name ?? 'an export'} has no docstring`
    findings.push({ path: source.path, line: source.lineAt(node.start), what, remedy })
  }
  return findings
}

/** A source of so many lines, for canaries. */
function linesOf(count: number): string {
  return '// line\n'.repeat(count)
}

/** Lengths, names and docstrings. */
export const SHAPE_RULES: readonly Rule[] = [
  {
    name: 'function-size',
    about: `functions have at most ${FUNCTION_LINES_MAX} lines and ${PARAMETERS_MAX} parameters`,
    check: tree => tree.sources.flatMap(functionFindings),
    canaries: [
      { files: { 'service/a.ts': `function a() {\n${linesOf(FUNCTION_LINES_MAX - 1)}}` } },
      { files: { 'service/a.ts': `const a = {\n  b() {\n${linesOf(FUNCTION_LINES_MAX - 1)}}\n}` } },
      { files: { 'service/a.ts': 'const a = (b: 1, c: 2, d: 3, e: 4, f: 5) => b' } },
      { files: { 'service/a.test.ts': `test('a', () => {\n${linesOf(FUNCTION_LINES_MAX - 1)}})` } },
    ],
  },
  {
    name: 'file-size',
    about: `files have at most ${FILE_LINES_MAX} lines of at most ${LINE_CHARS_MAX} characters`,
    check: tree => tree.sources.flatMap(fileFindings),
    canaries: [
      { files: { 'service/a.ts': linesOf(FILE_LINES_MAX + 1) } },
      { files: { 'service/a.ts': `//${'a'.repeat(LINE_CHARS_MAX - 1)}` } },
    ],
  },
  {
    name: 'file-name',
    about: 'a newcomer guesses the right file from its name',
    check: tree => [...tree.texts.keys()].flatMap(nameFindings),
    canaries: [{ files: { 'service/http/utils.ts': '' } }, { files: { 'service/common/a.ts': '' } }],
  },
  {
    name: 'docstring',
    about: 'every exported symbol says what it is',
    check: tree => tree.sources.flatMap(docstringFindings),
    canaries: [
      { files: { 'service/a.ts': 'export const a = 1' } },
      { files: { 'service/a.ts': '/** b */\nconst b = 1\nexport type A = number' } },
      { files: { 'service/a.ts': '// not a docstring\nexport function a() {}' } },
    ],
  },
]
