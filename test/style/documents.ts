import { Visitor } from 'oxc-parser'
import { EXIT_CODES, errorCodesOf, markedTables } from './reference.ts'
import { type Document, type Finding, type Rule, resolvePath, type Source, type Tree } from './tree.ts'

/** Environment names that documents may mention though they are no settings of ours. */
const FOREIGN_NAMES = /^(OTEL|AWS|ECS|NODE|AUCTION|NPM|CI|DOCKER)_/
const NPM_WORDS: readonly string[] = ['ci', 'install', 'run', 'audit', 'outdated', 'update', 'view', 'ls']

/** Lines of a document outside of code blocks, with their 1-based numbers. */
function proseOf(document: Document): readonly (readonly [number, string])[] {
  let inCode = false
  const prose: (readonly [number, string])[] = []
  document.lines.forEach((text, index) => {
    if (text.startsWith('```')) inCode = !inCode
    else if (!inCode) prose.push([index + 1, text])
  })
  return prose
}

/** The anchor that GitHub gives a heading. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .trim()
    .replaceAll(' ', '-')
}

function anchorsOf(document: Document): ReadonlySet<string> {
  const anchors = new Set<string>()
  for (const [, text] of proseOf(document)) {
    const heading = /^#{1,6} (.+)$/.exec(text)?.[1]
    if (heading !== undefined) anchors.add(anchorOf(heading))
  }
  return anchors
}

function isThere(tree: Tree, path: string): boolean {
  return path === '' || tree.texts.has(path) || [...tree.texts.keys()].some(each => each.startsWith(`${path}/`))
}

function linkFindings(tree: Tree, document: Document): readonly Finding[] {
  const findings: Finding[] = []
  for (const [line, text] of proseOf(document)) {
    for (const [, link] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(link!)) continue
      const [to, anchor] = link!.split('#')
      const path = to === '' ? document.path : resolvePath(document.path, to!)
      const target = tree.documents.find(each => each.path === path)
      const broken = path === undefined || !isThere(tree, path)
      if (!broken && (anchor === undefined || target === undefined || anchorsOf(target).has(anchor))) continue
      findings.push({ path: document.path, line, what: `${link} leads nowhere`, remedy: 'mend or remove the link' })
    }
  }
  return findings
}

function scriptFindings(tree: Tree, document: Document): readonly Finding[] {
  const findings: Finding[] = []
  document.lines.forEach((text, index) => {
    for (const [all, run, word] of text.matchAll(/\bnpm (run (?:--silent )?)?([a-z][\w:-]*)/g)) {
      if (run === undefined && (NPM_WORDS.includes(word!) || !['start', 'test', 'stop'].includes(word!))) continue
      if (word! in tree.manifest.scripts) continue
      const remedy = 'name a script of package.json'
      findings.push({ path: document.path, line: index + 1, what: `${all} does not exist`, remedy })
    }
  })
  return findings
}

function pathFindings(tree: Tree, document: Document): readonly Finding[] {
  const findings: Finding[] = []
  for (const [line, text] of proseOf(document)) {
    for (const [, path] of text.matchAll(/`((?:service|loadtest|docker|test|\.ci|\.github)\/[\w./-]*)`/g)) {
      // `test/NAME`: a place for any name.
      if (isThere(tree, path!.replace(/\/$/, '')) || /\/[A-Z]+(\/|$)/.test(path!)) continue
      findings.push({ path: document.path, line, what: `${path} does not exist`, remedy: 'mend or remove the path' })
    }
  }
  return findings
}

/** Whether a name stands in code or configuration: a constant, or what a compose file or a test reads. */
function isInCode(tree: Tree, name: string): boolean {
  return [...tree.texts].some(([path, text]) => !path.endsWith('.md') && text.includes(name))
}

function settingFindings(tree: Tree, document: Document): readonly Finding[] {
  const known = new Set([...(tree.tables.get('settings') ?? '').matchAll(/^\| `(\w+)`/gm)].map(([, name]) => name!))
  const findings: Finding[] = []
  for (const [line, text] of proseOf(document)) {
    for (const [, name] of text.matchAll(/`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?:=[^`]*)?`/g)) {
      if (known.has(name!) || FOREIGN_NAMES.test(name!)) continue
      if (isInCode(tree, name!)) continue
      const remedy = 'name a setting of config.ts'
      findings.push({ path: document.path, line, what: `${name} is no setting`, remedy })
    }
  }
  return findings
}

function tableFindings(tree: Tree): readonly Finding[] {
  if (tree.tables.size === 0) return []
  const path = 'REFERENCE.md'
  const marked = markedTables(tree.documents.find(document => document.path === path)?.lines ?? [])
  const findings: Finding[] = []
  for (const { name, line, text } of marked) {
    const made = tree.tables.get(name)
    if (made === undefined) findings.push({ path, line, what: `the code has no table ${name}`, remedy: 'remove it' })
    else if (made !== text) {
      const [shownRows, madeRows] = [text.split('\n'), made.split('\n')]
      const differing = madeRows.find(row => !shownRows.includes(row)) ?? shownRows.find(row => !madeRows.includes(row))
      const what = `table ${name} differs from the code, first at ${differing ?? 'the order of its rows'}`
      findings.push({ path, line, what, remedy: 'npm run format' })
    }
  }
  for (const name of tree.tables.keys()) {
    if (marked.some(each => each.name === name)) continue
    findings.push({ path, line: 1, what: `table ${name} is missing`, remedy: 'add its marks, then npm run format' })
  }
  return findings
}

function dependencyFindings(tree: Tree): readonly Finding[] {
  const path = 'CONTRIBUTING.md'
  const { dependencies, devDependencies, optionalDependencies } = tree.manifest
  const declared = Object.entries({ ...dependencies, ...devDependencies, ...optionalDependencies })
  if (declared.length === 0) return []
  const lines = tree.documents.find(document => document.path === path)?.lines ?? []
  const marked = markedTables(lines).find(({ name }) => name === 'dependencies')
  const rows = (marked?.text ?? '').split('\n').slice(2)
  const listed = new Map(rows.map(row => [/^\| `([^`]+)`/.exec(row)?.[1] ?? row, row.split('|').slice(2, -1)]))
  const at = { path, line: marked?.line ?? 1 }
  const findings: Finding[] = []
  for (const [name, version] of declared) {
    if (!/^\d+\.\d+\.\d+$/.test(version)) {
      findings.push({ path: 'package.json', line: 1, what: `${name} ${version}`, remedy: 'pin one exact version' })
    }
    const cells = listed.get(name)
    if (cells === undefined || cells.length < 2 || cells.some(text => text.trim() === '')) {
      const remedy = 'say in the table what it is for, and why it is not our own code'
      findings.push({ ...at, what: `${name} is not justified`, remedy })
    }
  }
  for (const name of listed.keys()) {
    if (name !== '' && !declared.some(([each]) => each === name))
      findings.push({ ...at, what: `${name} is not in package.json`, remedy: 'remove its row' })
  }
  return findings
}

function errorFindings(source: Source): readonly Finding[] {
  if (!source.path.startsWith('service/') || source.isTest) return []
  const findings: Finding[] = errorCodesOf(source)
    .filter(({ meaning }) => meaning === undefined)
    .map(({ code, path, line }) => ({ path, line, what: `${code} has no meaning`, remedy: 'say it in the table' }))
  new Visitor({
    TSTypeAliasDeclaration: ({ id, typeAnnotation, start }) => {
      if (!/(Error|Refusal)Code$/.test(id.name) || typeAnnotation.type !== 'TSUnionType') return
      if (!typeAnnotation.types.some(type => type.type === 'TSLiteralType')) return
      const remedy = 'make it keyof typeof X_ERRORS, a table of code → meaning'
      findings.push({ path: source.path, line: source.lineAt(start), what: `${id.name} is a list`, remedy })
    },
  }).visit(source.program)
  return findings
}

/** The numbers with which a file ends the process. */
function exitCodesOf(source: Source): readonly (readonly [code: number, line: number])[] {
  const constant = (name: string): string => new RegExp(`const ${name} = (\\d+)`).exec(source.text)?.[1] ?? 'NaN'
  const found: (readonly [number, number])[] = []
  const exits = /process\.exit\(([^\n]*)\)|process\.exitCode = ([^\n]*)|\bexitCode: (\d+)/g
  for (const match of source.text.matchAll(exits)) {
    const said = match[1] ?? match[2] ?? match[3] ?? ''
    for (const [word] of said.matchAll(/\b(\d+|[A-Z][A-Z_]+)\b/g))
      found.push([Number(/^\d/.test(word) ? word : constant(word)), source.lineAt(match.index)])
  }
  // The commands' own table.
  for (const { 0: list, index } of source.text.matchAll(/const EXIT = \{[^}]*\}/g))
    for (const [, code] of list.matchAll(/: (\d+),/g)) found.push([Number(code), source.lineAt(index)])
  return found
}

function exitFindings(tree: Tree): readonly Finding[] {
  return tree.sources
    .filter(({ path, isTest }) => path.startsWith('service/') && !isTest)
    .flatMap(source =>
      exitCodesOf(source)
        .filter(([code]) => !Number.isNaN(code) && !(code in EXIT_CODES))
        .map(([code, line]) => {
          const remedy = 'use one of EXIT_CODES, or give it a meaning there'
          return { path: source.path, line, what: `exit code ${code} has no meaning`, remedy }
        }),
    )
}

/** Tables of the code that the runbook answers, by the head of its own; rows that ask nothing are not meant. */
const RUNBOOK_TABLES: Readonly<Record<string, { readonly table: string; readonly silent: RegExp }>> = {
  '| code |': { table: 'log events', silent: /\| — \|$/ },
  '| error code |': { table: 'error codes', silent: /^$/ },
}

/** Codes in the first cells of a table's rows. */
function codesOf(rows: readonly string[]): readonly string[] {
  return rows.flatMap(row => [...(row.split('|')[1] ?? '').matchAll(/`([\w-]+)`/g)].map(([, code]) => code!))
}

function runbookFindings(tree: Tree): readonly Finding[] {
  const path = 'RUNBOOK.md'
  const lines = tree.documents.find(document => document.path === path)?.lines ?? []
  return Object.entries(RUNBOOK_TABLES).flatMap(([head, { table, silent }]) => {
    const made = tree.tables.get(table)
    if (made === undefined) return []
    const asked = new Set(codesOf(made.split('\n').filter(row => !silent.test(row))))
    const start = lines.findIndex(line => line.startsWith(head))
    const rest = start < 0 ? [] : lines.slice(start)
    const end = rest.indexOf('')
    const told = codesOf(end < 0 ? rest : rest.slice(0, end))
    const at = { path, line: start + 1 }
    const missing = [...asked].filter(code => !told.includes(code))
    const twice = told.filter((code, index) => told.indexOf(code) < index || !asked.has(code))
    return [
      ...missing.map(code => ({ ...at, what: `${code} has no row`, remedy: 'say what to look at, and what to do' })),
      ...twice.map(code => ({ ...at, what: `${code} is not asked for, or told twice`, remedy: 'remove it' })),
    ]
  })
}

const everyDocument =
  (findingsOf: (tree: Tree, document: Document) => readonly Finding[]) =>
  (tree: Tree): readonly Finding[] =>
    tree.documents.flatMap(document => findingsOf(tree, document))

/** Documents say what is so, and all of it. */
export const DOCUMENT_RULES: readonly Rule[] = [
  {
    name: 'link',
    about: 'links in documents lead somewhere',
    check: everyDocument(linkFindings),
    canaries: [
      { files: { 'README.md': '[a](nowhere.md)' } },
      { files: { 'README.md': '# Here\n[a](#there)' } },
      { files: { 'README.md': '[a](../outside.md)' } },
    ],
  },
  {
    name: 'script-name',
    about: 'documents name only scripts that exist',
    check: everyDocument(scriptFindings),
    canaries: [
      { files: { 'README.md': '```\nnpm run nothing\n```' } },
      { files: { 'README.md': '`npm start`', 'package.json': '{"scripts":{"test":"vitest"}}' } },
    ],
  },
  {
    name: 'path-name',
    about: 'documents name only files and folders that exist',
    check: everyDocument(pathFindings),
    canaries: [{ files: { 'README.md': 'see `service/nothing.ts`' } }],
  },
  {
    name: 'setting-name',
    about: 'documents name only settings that exist',
    check: everyDocument(settingFindings),
    canaries: [{ files: { 'README.md': 'set `NO_SUCH_SETTING=1`' }, tables: { settings: '| `PORT` | 1 | a |' } }],
  },
  {
    name: 'reference-table',
    about: 'REFERENCE.md has every setting, no-bid reason, error code, signal, exit code and key, and nothing else',
    check: tableFindings,
    canaries: [
      { files: { 'REFERENCE.md': '' }, tables: { a: '| b |' } },
      { files: { 'REFERENCE.md': '<!-- table: a -->\n| c |\n<!-- end of table -->' }, tables: { a: '| b |' } },
      {
        files: { 'REFERENCE.md': '<!-- table: a -->\n| b |\n<!-- end of table -->\n<!-- table: c -->' },
        tables: { a: '| b |' },
      },
    ],
  },
  {
    name: 'runbook-code',
    about: 'the runbook says what to do about each error code and each log code that asks for something, and no other',
    check: runbookFindings,
    canaries: [
      { files: { 'RUNBOOK.md': '' }, tables: { 'log events': '| `a` | b | c |' } },
      { files: { 'RUNBOOK.md': '| code | do |\n| `a` | b |' }, tables: { 'log events': '| `a` | b | — |' } },
      {
        files: { 'RUNBOOK.md': '| error code | do |\n| `a`, `b` | c |' },
        tables: { 'error codes': '| `a` | b | c |' },
      },
    ],
  },
  {
    name: 'error-code',
    about: 'every error code has its meaning in a table',
    check: tree => tree.sources.flatMap(errorFindings),
    canaries: [
      { files: { 'service/a.ts': "type AErrorCode = 'b' | 'c'" } },
      { files: { 'service/a.ts': "type RefusalCode = BErrorCode | 'c'" } },
      { files: { 'service/a.ts': "const A_ERRORS = { 'b': { retry: true } } as const" } },
    ],
  },
  {
    name: 'exit-code',
    about: 'the process ends only with codes that have a meaning',
    check: exitFindings,
    canaries: [
      { files: { 'service/a.ts': 'process.exit(77)' } },
      { files: { 'service/a.ts': 'const BAD = 77\nprocess.exitCode = BAD' } },
      { files: { 'service/a.ts': 'export const EXIT = {\n  bad: 77,\n}' } },
    ],
  },
  {
    name: 'dependency',
    about: 'CONTRIBUTING.md justifies every package in package.json and no other; each is pinned exactly',
    check: dependencyFindings,
    canaries: [
      { files: { 'package.json': '{"dependencies":{"a":"1.0.0"}}' } },
      {
        files: {
          'package.json': '{"dependencies":{"a":"^1.0.0"}}',
          'CONTRIBUTING.md': '<!-- table: dependencies -->\n| n | f | w |\n| - | - | - |\n| `a` | b | c |',
        },
      },
    ],
  },
]
