import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { BANNED_RULES } from './style/banned.ts'
import { DEAD_RULES } from './style/dead.ts'
import { DOCUMENT_RULES } from './style/documents.ts'
import { IMPORT_RULES } from './style/imports.ts'
import { LOG_RULES } from './style/log-fields.ts'
import { referenceTables } from './style/reference.ts'
import { SHAPE_RULES } from './style/shape.ts'
import { type Canary, type Rule, readTexts, shown, type Tree, treeOf } from './style/tree.ts'

const RULES: readonly Rule[] = [
  ...IMPORT_RULES,
  ...SHAPE_RULES,
  ...BANNED_RULES,
  ...DEAD_RULES,
  ...DOCUMENT_RULES,
  ...LOG_RULES,
]

function repository(): Tree {
  const tree = treeOf(readTexts(fileURLToPath(new URL('..', import.meta.url))))
  return { ...tree, tables: referenceTables(tree.sources) }
}

function canaryTree({ files, tables }: Canary): Tree {
  return treeOf(new Map(Object.entries(files)), new Map(Object.entries(tables ?? {})))
}

describe('the repository keeps its style', () => {
  const tree = repository()

  test.each(RULES)('$name: $about', rule => {
    const findings = rule.check(tree).map(finding => shown(rule, finding))
    expect(findings.join('\n')).toBe('')
  })
})

describe('every rule of style finds what it is there to find', () => {
  test.each(RULES)('$name', rule => {
    const missed = rule.canaries.filter(canary => rule.check(canaryTree(canary)).length === 0)
    expect(rule.canaries.length).toBeGreaterThan(0)
    expect(missed).toEqual([])
  })
})
