/** `npm run validate -- DIR`: checks a directory of tenant documents as the service would, and says what to repair. */
import { readTenantDirectory, TenantDirectoryError } from '../remote-cache/tenant-directory.ts'
import { DOCUMENT_KIND_NAMES } from '../state/documents.ts'
import { DocumentReader, problemLine, type ReadReport } from '../state/validate.ts'
import { CommandProblem, EXIT, newCommand, runCommand, startProgress, styled, table } from './terminal.ts'

async function readReport(directory: string): Promise<ReadReport> {
  const progress = startProgress('Checking records', 0)
  const reader = new DocumentReader(() => {})
  let records = 0
  try {
    for await (const { kind, value, where } of readTenantDirectory(directory)) {
      reader.read(kind, value, where)
      if (++records % 1_000 === 0) progress.update(records)
    }
  } catch (error) {
    throw error instanceof TenantDirectoryError ? new CommandProblem(error.message) : error
  } finally {
    progress.stop()
  }
  return reader.finish()
}

function print(report: ReadReport): void {
  for (const problem of report.problems) console.log(problemLine(problem))
  const hidden = report.problemsTotal - report.problems.length
  if (hidden > 0) console.log(`… and ${hidden} more problems`)
  if (report.problemsTotal > 0) console.log()
  const rows = DOCUMENT_KIND_NAMES.map(kind => {
    const { good, bad } = report.counts[kind]
    return [kind, String(good), String(bad)]
  })
  console.log(table([['', 'good', 'bad'], ...rows]))
  console.log()
  if (report.problemsTotal === 0) console.log(styled('green', 'All records are good.'))
  else if (report.usable)
    console.log(styled('yellow', `${report.problemsTotal} problems. The service would load the good records only.`))
  else console.log(styled('red', `${report.problemsTotal} problems. The service could not load this tenant.`))
}

const command = newCommand('validate', 'Checks a directory of tenant documents and names every bad record.')
  .argument('<dir>', 'directory with settings.json, rates.json and NAME.json or NAME.ndjson for the other kinds')
  .addHelpText('after', '\nExit codes: 0 all good, 1 bad records, 2 wrong arguments or unreadable files.')
  .action(async (directory: string) => {
    const report = await readReport(directory)
    print(report)
    process.exitCode = report.problemsTotal === 0 ? EXIT.good : EXIT.bad
  })

await runCommand(command)
