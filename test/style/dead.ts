import { Visitor } from 'oxc-parser'
import { importsOf, packageOf } from './imports.ts'
import { type Finding, type Rule, resolvePath, type Source, type Tree } from './tree.ts'

/** Configuration that tools find by its name. */
const FOUND_BY_TOOLS = /(^|\/)vitest\.config\.ts$|\.test\.ts$/

/** Source files that a text which is not source (a script, an image, a workflow) runs by path, and tests. */
function entriesOf(tree: Tree): readonly string[] {
  const runners = [...tree.texts].filter(([path]) => !/\.(ts|mjs|md)$/.test(path)).map(([, text]) => text)
  const named = new Set(runners.flatMap(text => text.match(/[\w./-]+\.(?:ts|mjs)\b/g) ?? []).map(withoutRoot))
  return tree.sources.map(({ path }) => path).filter(path => named.has(path) || FOUND_BY_TOOLS.test(path))
}

function withoutRoot(path: string): string {
  return path.replace(/^(\.\/|\/app\/)/, '')
}

/** Source files that a file imports, or names in a string (workers, child processes). */
function targetsOf(source: Source): readonly string[] {
  const targets: string[] = []
  new Visitor({
    Literal: node => {
      if (typeof node.value !== 'string' || !/\.(ts|mjs)$/.test(node.value)) return
      const relative = resolvePath(source.path, node.value)
      if (relative !== undefined) targets.push(relative)
      targets.push(withoutRoot(node.value))
    },
  }).visit(source.program)
  return targets
}

function deadFiles(tree: Tree): readonly Finding[] {
  const byPath = new Map(tree.sources.map(source => [source.path, source]))
  const reached = new Set(entriesOf(tree))
  for (const path of reached) {
    const source = byPath.get(path)
    if (source !== undefined) for (const target of targetsOf(source)) reached.add(target)
  }
  return tree.sources
    .filter(({ path }) => !reached.has(path))
    .map(({ path }) => ({ path, line: 1, what: 'nothing uses this file', remedy: 'wire it, test it or delete it' }))
}

/** `path#name` of all that is imported somewhere; `path#*` where a whole module is. */
function usedNames(tree: Tree): ReadonlySet<string> {
  const used = new Set<string>()
  const add = (source: Source, to: string, name: string | null | undefined): void => {
    const target = to.startsWith('.') ? resolvePath(source.path, to) : undefined
    if (target !== undefined) used.add(`${target}#${name ?? '*'}`)
  }
  for (const source of tree.sources) {
    for (const { moduleRequest, entries } of source.module.staticImports)
      for (const { importName } of entries) add(source, moduleRequest.value, importName.name ?? importName.kind)
    for (const { entries } of source.module.staticExports)
      for (const entry of entries)
        if (entry.moduleRequest) add(source, entry.moduleRequest.value, entry.importName.name)
    for (const { moduleRequest } of source.module.dynamicImports)
      add(source, source.text.slice(moduleRequest.start + 1, moduleRequest.end - 1), '*')
    // `import('./x.ts').Name` in a type.
    for (const [, to, name] of source.text.matchAll(/import\('(\.[^']+)'\)\.(\w+)/g)) add(source, to!, name)
  }
  return used
}

/** Whether an exported type is part of what another export of its file takes or gives. */
function isInSignature(source: Source, name: string): boolean {
  const exported = source.program.body.filter(node => node.type === 'ExportNamedDeclaration')
  const isType = exported.some(
    ({ declaration }) =>
      (declaration?.type === 'TSInterfaceDeclaration' || declaration?.type === 'TSTypeAliasDeclaration') &&
      declaration.id.name === name,
  )
  const mention = new RegExp(`[^.\\w]${name}\\b`)
  const mentions = exported.filter(({ start, end }) => mention.test(source.text.slice(start, end)))
  return isType && mentions.length > 1
}

function deadExports(tree: Tree): readonly Finding[] {
  const used = usedNames(tree)
  const findings: Finding[] = []
  for (const source of tree.sources) {
    if (used.has(`${source.path}#*`) || used.has(`${source.path}#NamespaceObject`)) continue
    for (const { entries, start } of source.module.staticExports) {
      for (const { exportName } of entries) {
        const name = exportName.name
        // Default exports are for tools, which find them by the file's path.
        if (name === null || used.has(`${source.path}#${name}`) || isInSignature(source, name)) continue
        const what = `nothing imports ${name}`
        findings.push({ path: source.path, line: source.lineAt(start), what, remedy: 'drop `export`, or delete it' })
      }
    }
  }
  return findings
}

/** Packages that no file imports and no script runs. Types and the pinned Node serve without being named. */
function deadPackages(tree: Tree): readonly Finding[] {
  const imported = new Set(tree.sources.flatMap(source => importsOf(source).map(({ to }) => packageOf(to))))
  const scripts = Object.values(tree.manifest.scripts).join(' ')
  const tools: Readonly<Record<string, string>> = { '@biomejs/biome': 'biome', typescript: 'tsc' }
  const { dependencies, devDependencies } = tree.manifest
  return Object.keys({ ...dependencies, ...devDependencies })
    .filter(name => !name.startsWith('@types/') && !imported.has(name))
    .filter(name => !new RegExp(`\\b${tools[name] ?? name}\\b`).test(scripts))
    .map(name => ({ path: 'package.json', line: 1, what: `nothing uses ${name}`, remedy: 'use it or remove it' }))
}

/** Packages that are imported and not declared, and development packages that the service would need at run time. */
function undeclaredPackages(tree: Tree): readonly Finding[] {
  const { dependencies, devDependencies } = tree.manifest
  const findings: Finding[] = []
  for (const source of tree.sources) {
    const inImage = source.path.startsWith('service/') && !source.isTest
    for (const { to, typeOnly, line } of importsOf(source)) {
      if (to.startsWith('.') || to.startsWith('node:')) continue
      const name = packageOf(to)
      if (name in dependencies || (name in devDependencies && (!inImage || typeOnly))) continue
      const remedy = `add it to ${inImage ? 'dependencies' : 'devDependencies'} with its exact version`
      findings.push({ path: source.path, line, what: `${name} is not declared for this use`, remedy })
    }
  }
  return findings
}

interface LockedPackage {
  readonly dependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

/**
 * Packages that a locked package names and the lockfile lacks. npm leaves out optional ones that the registry does not
 * have when the lockfile is made, and then `npm ci` refuses the lockfile on every fresh clone.
 */
function unlockedPackages(tree: Tree): readonly Finding[] {
  const lock = JSON.parse(tree.texts.get('package-lock.json') ?? '{}') as { packages?: Record<string, LockedPackage> }
  const packages = lock.packages ?? {}
  const isLocked = (from: string, name: string): boolean => {
    // As Node looks for it: beside the package, then in every folder above.
    for (let at = from; ; at = at.slice(0, Math.max(0, at.lastIndexOf('/node_modules/')))) {
      if (`${at === '' ? '' : `${at}/`}node_modules/${name}` in packages) return true
      if (at === '') return false
    }
  }
  const remedy = 'take a version whose packages exist for every platform'
  return Object.entries(packages).flatMap(([from, { dependencies, optionalDependencies }]) =>
    Object.keys({ ...dependencies, ...optionalDependencies })
      .filter(name => !isLocked(from, name))
      .map(name => ({ path: 'package-lock.json', line: 1, what: `${from || 'the project'} lacks ${name}`, remedy })),
  )
}

/** Code and packages that nothing needs, and packages that something needs. */
export const DEAD_RULES: readonly Rule[] = [
  {
    name: 'dead-file',
    about: 'every source file is imported, tested, or run by a script, an image or a worker',
    check: deadFiles,
    canaries: [
      { files: { 'service/a.ts': '' } },
      { files: { 'service/a.ts': "import './b.ts'", 'service/b.ts': "import './a.ts'" } },
    ],
  },
  {
    name: 'dead-export',
    about: 'every export is imported somewhere',
    check: deadExports,
    canaries: [
      { files: { 'service/a.ts': 'export const a = 1', 'service/b.ts': "import { b } from './a.ts'" } },
      { files: { 'service/a.ts': 'export type A = number\nconst a: A = 1' } },
    ],
  },
  {
    name: 'dead-package',
    about: 'every package in package.json is used',
    check: deadPackages,
    canaries: [{ files: { 'package.json': '{"dependencies":{"left-pad":"1.0.0"}}' } }],
  },
  {
    name: 'lockfile',
    about: 'the lockfile has every package that a locked package names, so that npm ci works on every platform',
    check: unlockedPackages,
    canaries: [
      {
        files: {
          'package-lock.json': '{"packages":{"node_modules/a":{"optionalDependencies":{"@a/darwin":"1.0.0"}}}}',
        },
      },
    ],
  },
  {
    name: 'undeclared-package',
    about: 'every imported package is in package.json, and what the service imports is in its dependencies',
    check: undeclaredPackages,
    canaries: [
      { files: { 'service/a.ts': "import { a } from 'left-pad'" } },
      {
        files: { 'service/a.ts': "import { a } from 'b'", 'package.json': '{"devDependencies":{"b":"1.0.0"}}' },
      },
    ],
  },
]
