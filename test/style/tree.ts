/** The repository as the style rules see it: every file's text, and the syntax tree of every source file. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { type Comment, type EcmaScriptModule, type Program, parseSync } from 'oxc-parser'

/** One TypeScript (or plain JavaScript) file. */
export interface Source {
  readonly path: string
  readonly text: string
  /** Tests (x.test.ts, and x.contract.ts that several tests run) may do more than the code beside them. */
  readonly isTest: boolean
  readonly program: Program
  readonly module: EcmaScriptModule
  readonly comments: readonly Comment[]
  /** 1-based line of an offset. Cost: O(log lines). */
  lineAt(offset: number): number
}

/** One Markdown document. */
export interface Document {
  readonly path: string
  readonly text: string
  readonly lines: readonly string[]
}

/** The parts of package.json that the rules read. */
export interface Manifest {
  readonly scripts: Readonly<Record<string, string>>
  readonly dependencies: Readonly<Record<string, string>>
  readonly devDependencies: Readonly<Record<string, string>>
  readonly optionalDependencies: Readonly<Record<string, string>>
}

/** A whole repository, or a canary's few files. */
export interface Tree {
  /** Path → text; '' for files that are neither code, documents nor configuration. */
  readonly texts: ReadonlyMap<string, string>
  readonly sources: readonly Source[]
  readonly documents: readonly Document[]
  readonly manifest: Manifest
  /** The tables that REFERENCE.md must show, made from the code: name → Markdown. */
  readonly tables: ReadonlyMap<string, string>
}

/** Something that breaks a rule. */
export interface Finding {
  readonly path: string
  readonly line: number
  readonly what: string
  readonly remedy: string
}

/** One rule, with a small tree that must be found wanting: no rule can silently stop working. */
export interface Rule {
  readonly name: string
  /** Completes the sentence "no file breaks this:" */
  readonly about: string
  readonly check: (tree: Tree) => readonly Finding[]
  /** Each of these alone must give at least one finding. */
  readonly canaries: readonly Canary[]
}

/** A few files, and where the rule compares documents with code, the tables of the code. */
export interface Canary {
  readonly files: Readonly<Record<string, string>>
  readonly tables?: Readonly<Record<string, string>>
}

const SKIPPED_FOLDERS: readonly string[] = ['node_modules', '.git', 'reports', 'data']
const READ = /\.(ts|mjs|md|json|jsonc|ya?ml|cfg|sh|lua)$|Dockerfile$|\.ci\/run$/
const READ_BYTES_MAX = 1024 * 1024

/** Path → text of every file below a root, folders of generated files left out. Cost: reads all of them. */
export function readTexts(root: string): ReadonlyMap<string, string> {
  const texts = new Map<string, string>()
  const visit = (folder: string): void => {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`
      if (entry.isDirectory()) {
        if (!SKIPPED_FOLDERS.includes(entry.name)) visit(path)
      } else if (entry.isFile()) {
        const small = READ.test(path) && statSync(join(root, path)).size <= READ_BYTES_MAX
        texts.set(path, small ? readFileSync(join(root, path), 'utf8') : '')
      }
    }
  }
  visit('')
  return texts
}

/** Parses every source file. Throws when one does not parse: the compiler says more about that. */
export function treeOf(texts: ReadonlyMap<string, string>, tables: ReadonlyMap<string, string> = new Map()): Tree {
  const sources: Source[] = []
  const documents: Document[] = []
  for (const [path, text] of texts) {
    if (/\.(ts|mjs)$/.test(path)) sources.push(parsed(path, text))
    if (path.endsWith('.md')) documents.push({ path, text, lines: text.split('\n') })
  }
  const manifest = { scripts: {}, dependencies: {}, devDependencies: {}, optionalDependencies: {} }
  Object.assign(manifest, JSON.parse(texts.get('package.json') ?? '{}'))
  return { texts, sources, documents, manifest, tables }
}

function parsed(path: string, text: string): Source {
  const { program, module, comments, errors } = parseSync(path, text)
  const first = errors[0]
  if (first !== undefined) throw new Error(`${path} does not parse: ${first.message}`)
  const starts = [0]
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) starts.push(at + 1)
  const lineAt = (offset: number): number => {
    let [low, high] = [0, starts.length]
    while (high - low > 1) {
      const middle = (low + high) >> 1
      if (starts[middle]! <= offset) low = middle
      else high = middle
    }
    return low + 1
  }
  return { path, text, isTest: /\.(test|contract)\.ts$/.test(path), program, module, comments, lineAt }
}

/** A path relative to the file that names it, as one from the root; undefined when it leaves the repository. */
export function resolvePath(from: string, relative: string): string | undefined {
  const parts = from.split('/').slice(0, -1)
  for (const part of relative.split('/')) {
    if (part === '..') {
      if (parts.pop() === undefined) return undefined
    } else if (part !== '.' && part !== '') parts.push(part)
  }
  return parts.join('/')
}

/** The part of the service a file belongs to: its folder, or its own name when it lies at the top; else undefined. */
export function partOf(path: string): string | undefined {
  const [top, part] = path.split('/')
  return top === 'service' ? part : undefined
}

/** A finding as one line: `path:line rule: what → remedy`. */
export function shown(rule: Rule, finding: Finding): string {
  return `${finding.path}:${finding.line} ${rule.name}: ${finding.what} → ${finding.remedy}`
}
