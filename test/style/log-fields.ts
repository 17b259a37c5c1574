import { type Expression, type ObjectExpression, Visitor } from 'oxc-parser'
import { LOG_FIELDS } from '../../service/telemetry/log-fields.ts'
import type { Finding, Rule, Source } from './tree.ts'

const LOGS = /\b(log|logger)\??\.(debug|info|warn|error|fatal|write)\(|#pino\b/

/** Literals that are the fields of a line: `fields: { … }`, and `const fields = { … }` beside a call of the log. */
function fieldLiterals(source: Source): readonly ObjectExpression[] {
  const found: ObjectExpression[] = []
  const keep = (value: Expression | null) => {
    if (value?.type === 'ObjectExpression') found.push(value)
  }
  new Visitor({
    Property: ({ key, value }) => {
      if (key.type === 'Identifier' && key.name === 'fields') keep(value as Expression)
    },
    VariableDeclarator: ({ id, init }) => {
      if (id.type === 'Identifier' && id.name === 'fields') keep(init)
    },
  }).visit(source.program)
  return found
}

function findingsOf(source: Source): readonly Finding[] {
  if (!source.path.startsWith('service/') || source.isTest || !LOGS.test(source.text)) return []
  return fieldLiterals(source).flatMap(({ properties }) =>
    properties.flatMap(property => {
      if (property.type !== 'Property' || property.computed || property.key.type !== 'Identifier') return []
      const { name } = property.key
      if (Object.hasOwn(LOG_FIELDS, name)) return []
      const remedy = 'give it a row in telemetry/log-fields.ts, or use a field that is there'
      return [{ path: source.path, line: source.lineAt(property.start), what: `no field ${name}`, remedy }]
    }),
  )
}

/** Rules about log lines. */
export const LOG_RULES: readonly Rule[] = [
  {
    name: 'log-field',
    about: 'every field of a log line stands in the schema',
    check: tree => tree.sources.flatMap(findingsOf),
    canaries: [
      { files: { 'service/a.ts': "log.info('ready', 'it is', { fields: { no_such_field: 1 } })" } },
      { files: { 'service/a.ts': "const fields = { port: 1, no_such_field: 1 }\nlog.warn('a', 'b', { fields })" } },
    ],
  },
]
