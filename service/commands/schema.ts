/** `npm run schema -- [KIND]`: prints the JSON Schema of the tenant documents. */
import { DOCUMENT_KIND_NAMES } from '../state/documents.ts'
import { kindSchema, tenantSchema } from '../state/schema.ts'
import { CommandProblem, newCommand, runCommand } from './terminal.ts'

const command = newCommand('schema', 'Prints the JSON Schema (2020-12) of all tenant documents, or of one file.')
  .argument('[kind]', `one of ${DOCUMENT_KIND_NAMES.join(', ')}; all of them when left out`)
  .addHelpText('after', '\nExit codes: 0 printed, 2 wrong arguments.')
  .action((given: string | undefined) => {
    const kind = DOCUMENT_KIND_NAMES.find(each => each === given)
    if (given !== undefined && kind === undefined)
      throw new CommandProblem(`no kind of document is called "${given}"; use one of ${DOCUMENT_KIND_NAMES.join(', ')}`)
    console.log(JSON.stringify(kind === undefined ? tenantSchema() : kindSchema(kind), null, 2))
  })

await runCommand(command)
