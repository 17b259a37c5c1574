/** The tables of REFERENCE.md, made from the code, so that documents and code cannot differ. */
import { type Expression, Visitor } from 'oxc-parser'
import { SETTINGS } from '../../service/config.ts'
import { NO_BID_REASONS } from '../../service/decision/reasons.ts'
import { audienceKeys } from '../../service/remote-cache/audience-layout.ts'
import {
  eventStreamKey,
  frequencyPrefix,
  type StateKeys,
  spendPrefix,
  stateKeys,
} from '../../service/remote-cache/layout.ts'
import type { DocumentKindName } from '../../service/state/documents.ts'
import { EXCHANGE } from '../../service/state/exchange-document.ts'
import type { JsonSchema } from '../../service/state/fields.ts'
import { MACRO_ENCODINGS, MACROS } from '../../service/state/macros.ts'
import { EVENTS, type EventCode, remedyOf } from '../../service/telemetry/events.ts'
import { TASK_GAUGES, THREAD_GAUGES } from '../../service/telemetry/gauges.ts'
import { AUDIT_ACTIONS, LINE_KEYS, LOG_FIELDS } from '../../service/telemetry/log-fields.ts'
import { COUNTERS, HISTOGRAMS, type Signal } from '../../service/telemetry/signals.ts'
import { coverageRows } from '../stories/coverage.ts'
import type { Source } from './tree.ts'

/** What the process's exit codes mean. The rule `exit-code` holds the list against the code. */
export const EXIT_CODES: Readonly<Record<number, string>> = {
  0: 'Done; for the service: drained after SIGTERM or SIGINT.',
  1: 'The command failed, or what it checked is not in order; for the service: a defect ended it.',
  2: 'The command could not do its work: wrong arguments, or files that cannot be read.',
  69: 'The remote cache cannot be reached, or refuses the user.',
  78: 'Settings are missing or wrong. Every problem is on stderr; nothing was started.',
}

const STATE_KEY_MEANINGS: Readonly<Record<keyof StateKeys, readonly [type: string, meaning: string]>> = {
  announced: ['hash', 'Number and version of what the tasks are to serve, and whether it is pinned.'],
  versions: ['hash', 'Version → its record as JSON: what is stored, for listing and removal.'],
  manifest: ['string', 'Manifest of a version as JSON: its chunks with their checksums. Written last.'],
  chunk: ['string', 'Chunk i of one kind of document: one JSON record per line.'],
  deltas: ['stream', 'Changes of single records of a version: entry n-0 is the n-th.'],
  compiled: ['string', 'What the publisher made of chunk i, for tasks of its very release. May be missing.'],
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|')
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

function settingsTable(): string {
  const rows = Object.values(SETTINGS).map(({ env, about, default: byDefault }) => {
    const shownDefault = byDefault === 'needed' ? '**needed**' : byDefault || '—'
    return [`\`${env}\``, shownDefault, about]
  })
  return table(['setting', 'default', 'what it is'], rows)
}

function signalsTable(): string {
  const kinds: readonly (readonly [string, Readonly<Record<string, Signal>>])[] = [
    ['counter', COUNTERS],
    ['histogram', HISTOGRAMS],
    ['gauge', TASK_GAUGES],
    ['gauge of each thread', THREAD_GAUGES],
  ]
  const rows = kinds.flatMap(([kind, signals]) =>
    Object.values(signals).map(({ name, unit, meaning, label }) => {
      const values =
        label === undefined ? '—' : `${label.name}${label.name === 'reason' ? '' : `: ${label.values.join(', ')}`}`
      return [`\`${name}\``, kind, unit, values, meaning]
    }),
  )
  return table(['signal', 'kind', 'unit', 'label', 'what it is'], rows)
}

function eventsTable(): string {
  const codes = Object.keys(EVENTS) as EventCode[]
  return table(
    ['code', 'meaning', 'what to do'],
    codes.map(code => [`\`${code}\``, EVENTS[code].meaning, remedyOf(code) ?? '—']),
  )
}

function fieldsTable(): string {
  const rows = Object.entries({ ...LINE_KEYS, ...LOG_FIELDS }).map(([name, { type, meaning }]) => [
    `\`${name}\``,
    type,
    meaning,
  ])
  return table(['field', 'type', 'meaning'], rows)
}

function keysTable(): string {
  const keys = stateKeys('<tenant>')
  const audience = audienceKeys('<tenant>')
  const anyKind = '<kind>' as DocumentKindName
  const named: Readonly<Record<keyof StateKeys, string>> = {
    announced: keys.announced,
    versions: keys.versions,
    manifest: keys.manifest('<version>'),
    chunk: keys.chunk('<version>', anyKind, 0).replace(/0$/, '<i>'),
    compiled: keys.compiled('<version>', anyKind, 0).replace(':0:', ':<i>:'),
    deltas: keys.deltas('<version>'),
  }
  const names = Object.keys(named) as (keyof StateKeys)[]
  return table(
    ['key', 'type', 'what it holds'],
    [
      ...names.map(name => [`\`${named[name]}\``, ...STATE_KEY_MEANINGS[name]]),
      [
        `\`${audience.index}\``,
        'hash',
        "Index of the tenant's users: number, key of their hashes, shards with checksums.",
      ],
      [`\`${audience.chunk('<name>')}\``, 'string', 'One shard of users: hashes and their sets of segments.'],
      [`\`${audience.forgotten}\``, 'hash', 'Hashes of users who asked to be forgotten, and when.'],
      [
        `\`${spendPrefix('<tenant>')}…\``,
        'several',
        'The spend ledger; `service/remote-cache/ledger-scripts.ts` says which.',
      ],
      [`\`${frequencyPrefix('<tenant>')}stream\``, 'stream', 'What tasks count for frequency caps, as hashes.'],
      [`\`${frequencyPrefix('<tenant>')}part:<i>\``, 'string', 'One of 64 parts of all counts, saved each minute.'],
      [`\`${eventStreamKey('<tenant>')}\``, 'stream', 'What became of bids: notices and events, one field per name.'],
    ],
  )
}

/** One coded operating error. */
export interface ErrorCode {
  readonly code: string
  readonly meaning: string | undefined
  readonly path: string
  readonly line: number
}

/** The codes of every `export const …_ERRORS = { code: { meaning } }` of the service. */
export function errorCodesOf(source: Source): readonly ErrorCode[] {
  const found: ErrorCode[] = []
  new Visitor({
    VariableDeclarator: ({ id, init }) => {
      if (id.type !== 'Identifier' || !/(^|_)ERRORS$/.test(id.name)) return
      const literal = init === null ? undefined : unwrapped(init)
      if (literal?.type !== 'ObjectExpression') return
      for (const property of literal.properties) {
        if (property.type !== 'Property') continue
        const { key, value } = property
        const code = key.type === 'Literal' ? String(key.value) : source.text.slice(key.start, key.end)
        const at = { path: source.path, line: source.lineAt(property.start) }
        found.push({ code, meaning: meaningOf(value), ...at })
      }
    },
  }).visit(source.program)
  return found
}

/** The expression inside `as const` and `satisfies …`. */
function unwrapped(expression: Expression): Expression {
  if (expression.type === 'TSAsExpression' || expression.type === 'TSSatisfiesExpression')
    return unwrapped(expression.expression)
  return expression
}

function meaningOf(value: Expression): string | undefined {
  if (value.type === 'Literal' && typeof value.value === 'string') return value.value
  if (value.type !== 'ObjectExpression') return undefined
  for (const property of value.properties) {
    if (property.type !== 'Property' || property.key.type !== 'Identifier' || property.key.name !== 'meaning') continue
    return property.value.type === 'Literal' ? String(property.value.value) : undefined
  }
  return undefined
}

function errorsTable(sources: readonly Source[]): string {
  const codes = sources
    .filter(({ path, isTest }) => path.startsWith('service/') && !isTest)
    .flatMap(errorCodesOf)
    .sort((a, b) => (a.path === b.path ? a.line - b.line : a.path < b.path ? -1 : 1))
  return table(
    ['code', 'where', 'meaning'],
    codes.map(({ code, path, meaning }) => [`\`${code}\``, `\`${path}\``, meaning ?? '']),
  )
}

/** OpenRTB's number of each reason, as it stands in openrtb/no-bid.ts. */
function openrtbNumber(sources: readonly Source[], reason: string): string {
  const source = sources.find(({ path }) => path === 'service/openrtb/no-bid.ts')
  return new RegExp(`^ {2}'${reason}': (\\d+),$`, 'm').exec(source?.text ?? '')?.[1] ?? '—'
}

/** The fields of an exchange's record, from its JSON Schema. */
function exchangeTable(): string {
  const { properties, required } = EXCHANGE.schema as {
    readonly properties: Readonly<Record<string, { readonly description?: string; readonly items?: JsonSchema }>>
    readonly required: readonly string[]
  }
  const rows = Object.entries(properties).map(([name, { description, items }]) => [
    `\`${name}\``,
    required.includes(name) ? '**needed**' : '—',
    String(description ?? items?.description),
  ])
  return table(['field', 'needed', 'what it is'], rows)
}

function macroRows(meanings: Readonly<Record<string, string>>, shown: (name: string) => string) {
  return Object.entries(meanings).map(([name, meaning]) => [`\`${shown(name)}\``, meaning])
}

/** Every table of REFERENCE.md by its name. Error codes come from the sources; the rest from the running code. */
export function referenceTables(sources: readonly Source[]): ReadonlyMap<string, string> {
  const reasons = Object.entries(NO_BID_REASONS).map(([name, { alarm, meaning }]) => [
    `\`${name}\``,
    openrtbNumber(sources, name),
    alarm ? 'yes' : 'no',
    meaning,
  ])
  const exits = Object.entries(EXIT_CODES).map(([code, meaning]) => [code, meaning])
  return new Map([
    ['settings', settingsTable()],
    ['no-bid reasons', table(['reason', 'nbr', 'alarm', 'meaning'], reasons)],
    ['error codes', errorsTable(sources)],
    ['signals', signalsTable()],
    ['log events', eventsTable()],
    ['log fields', fieldsTable()],
    [
      'audit actions',
      table(
        ['action', 'meaning'],
        Object.entries(AUDIT_ACTIONS).map(([a, b]) => [`\`${a}\``, b]),
      ),
    ],
    ['exit codes', table(['code', 'meaning'], exits)],
    ['keys', keysTable()],
    ['exchange settings', exchangeTable()],
    [
      'macros',
      table(
        ['macro', 'what it stands for'],
        macroRows(MACROS, name => `{{${name}}}`),
      ),
    ],
    [
      'macro encodings',
      table(
        ['encoding', 'what it does'],
        macroRows(MACRO_ENCODINGS, name => `:${name}`),
      ),
    ],
    ['openrtb fields', table(['field', 'section', 'what it asks', 'shown by'], coverageRows())],
  ])
}

const OPEN = /^<!-- table: (.+) -->$/
const CLOSE = '<!-- end of table -->'

/** One marked table of a document. */
export interface MarkedTable {
  readonly name: string
  /** 1-based line of the opening mark. */
  readonly line: number
  readonly text: string
}

/** The tables that a document marks with comments. A mark without its end takes the rest of the document. */
export function markedTables(lines: readonly string[]): readonly MarkedTable[] {
  const found: MarkedTable[] = []
  lines.forEach((text, index) => {
    const name = OPEN.exec(text)?.[1]
    if (name === undefined) return
    const end = lines.indexOf(CLOSE, index)
    const inside = lines.slice(index + 1, end < 0 ? lines.length : end)
    found.push({ name, line: index + 1, text: inside.join('\n').trim() })
  })
  return found
}

/** The document with each marked table that the code makes replaced by the code's. */
export function withTables(text: string, tables: ReadonlyMap<string, string>): string {
  return text.replace(/(<!-- table: (.+) -->\n)[\s\S]*?(<!-- end of table -->)/g, (all, open, name, close) => {
    const made = tables.get(name)
    return made === undefined ? all : `${open}\n${made}\n\n${close}`
  })
}
