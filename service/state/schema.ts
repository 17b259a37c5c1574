/** The published JSON Schema (2020-12) of the tenant documents, made from the same fields that validate them. */
import { DOCUMENT_KIND_NAMES, DOCUMENT_KINDS, type DocumentKindName } from './documents.ts'
import type { JsonSchema } from './fields.ts'

const DIALECT = 'https://json-schema.org/draft/2020-12/schema'

/** The schema of what NAME.json holds: one record, or a list of records. Cost: O(fields of the kind). */
function fileSchema(kind: DocumentKindName): JsonSchema {
  const { field, count, max } = DOCUMENT_KINDS[kind]
  if (count === 'one') return field.schema
  return { type: 'array', items: field.schema, maxItems: max }
}

/** The schema of one kind's file, such as lineItems.json. Rules between fields and between records are not in it. */
export function kindSchema(kind: DocumentKindName): JsonSchema {
  return { $schema: DIALECT, title: `${kind}.json`, ...fileSchema(kind) }
}

/** The schema of all documents of a tenant as one object with a property per kind. Only the settings are required. */
export function tenantSchema(): JsonSchema {
  return {
    $schema: DIALECT,
    title: 'A tenant',
    type: 'object',
    properties: Object.fromEntries(DOCUMENT_KIND_NAMES.map(kind => [kind, fileSchema(kind)])),
    required: ['settings'],
    additionalProperties: false,
  }
}
