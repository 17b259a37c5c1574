/** `npm run format`: writes the tables of REFERENCE.md and the sample task definition anew from the code. */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { SAMPLE_TASK, taskDefinition } from '../../service/commands/task-definition.ts'
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
writeFileSync(`${root}/ecs-task-def.json`, JSON.stringify(taskDefinition(SAMPLE_TASK), null, 2))
