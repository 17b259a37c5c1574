/** Which fields of OpenRTB the stories show: the must-honour list held against them. */
import { readGround, readStories, type StoryFile } from './story.ts'

/** One field of the list, and how it is honoured. */
export interface Field {
  /** `Banner.battr`: object and field as the specification names them. */
  readonly name: string
  readonly section: string
  /** Where it stands in the ground request: `imp[0].banner.battr`. */
  readonly place: string
  readonly rule: string
  /** A rule that pairs of stories show; not honoured yet; left out on purpose; information that restricts no bid. */
  readonly kind: 'shown' | 'later' | 'unsent' | 'tells'
  /** Why not yet, or why not. */
  readonly why: string
  /** A value of what only tells. */
  readonly example: unknown
}

type FieldText =
  | string
  | { readonly rule: string; readonly later: string }
  | { readonly rule: string; readonly unsent: string }
  | { readonly tells: string; example: unknown }

interface MustHonour {
  readonly objects: readonly {
    readonly object: string
    readonly section: string
    readonly place: string
    readonly fields: Readonly<Record<string, FieldText>>
  }[]
}

/** Every field of the must-honour list, in its order. */
export function mustHonour(): readonly Field[] {
  const { objects } = readGround('must-honour') as MustHonour
  return objects.flatMap(({ object, section, place, fields }) =>
    Object.entries(fields).map(([name, text]) => {
      const at = { name: `${object}.${name}`, section, place: place === '' ? name : `${place}.${name}` }
      if (typeof text === 'string') return { ...at, kind: 'shown', rule: text, why: '', example: undefined } as const
      if ('later' in text)
        return { ...at, kind: 'later', rule: text.rule, why: text.later, example: undefined } as const
      if ('unsent' in text)
        return { ...at, kind: 'unsent', rule: text.rule, why: text.unsent, example: undefined } as const
      return { ...at, kind: 'tells', rule: text.tells, why: '', example: text.example } as const
    }),
  )
}

/** What is wrong between list and stories, as sentences: a rule without a pair, an exception that has one. */
export function coverageProblems(fields: readonly Field[], files: readonly StoryFile[]): readonly string[] {
  const shown = new Set(files.flatMap(({ pairs }) => pairs.flatMap(pair => pair.fields)))
  const known = new Set(fields.map(({ name }) => name))
  return [
    ...fields
      .filter(({ name, kind }) => kind === 'shown' && !shown.has(name))
      .map(({ name }) => `${name} has no pair of stories: write one, or say in must-honour.json why it is for later`),
    ...fields
      .filter(({ name, kind }) => kind !== 'shown' && shown.has(name))
      .map(({ name, kind }) => `${name} has a pair of stories, but must-honour.json says "${kind}": give it its rule`),
    ...[...shown].filter(name => !known.has(name)).map(name => `${name} is not in must-honour.json: add it`),
  ]
}

/** What a field that only tells may also hold: a value of another kind than its example's. */
export function oddValue(example: unknown): unknown {
  return typeof example === 'string' ? 7 : 'odd'
}

/** The table of REFERENCE.md as rows: field, section, what it asks, what shows it. */
export function coverageRows(): readonly (readonly string[])[] {
  const files = readStories()
  return mustHonour().map(({ name, section, rule, kind, why }) => {
    const pairs = files.flatMap(file => file.pairs.filter(pair => pair.fields.includes(name)).map(() => file.name))
    const where = [...new Set(pairs)].map(file => `\`${file}.json\``).join(', ')
    const shown = `${pairs.length} ${pairs.length === 1 ? 'pair' : 'pairs'}: ${where}`
    const how = {
      shown,
      later: `**not yet**: ${why}`,
      unsent: `**not sent**: ${why}`,
      tells: 'any value: the same answer',
    }[kind]
    return [`\`${name}\``, section, rule, how]
  })
}
