/** `npm run format`: writes the tables of REFERENCE.md anew from the code. */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { referenceTables, withTables } from './reference.ts'
import { readTexts, treeOf } from './tree.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const path = `${root}/REFERENCE.md`
const before = readFileSync(path, 'utf8')
const after = withTables(before, referenceTables(treeOf(readTexts(root)).sources))
if (after !== before) {
  writeFileSync(path, after)
  console.log('REFERENCE.md: tables written anew')
}
