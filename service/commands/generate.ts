/** `npm run generate -- --line-items N --out DIR`: writes a generated tenant as files. */
import { type FileHandle, mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { InvalidArgumentError, Option } from 'commander'
import { LIMITS } from '../limits.ts'
import { DOCUMENT_KIND_NAMES, DOCUMENT_KINDS, type DocumentKindName } from '../state/documents.ts'
import { generatedCounts, generateTenant, type TenantRequest } from './generator.ts'
import { CommandProblem, newCommand, type Progress, runCommand, startProgress } from './terminal.ts'

const SEED_MAX = 0xffff_ffff
/** Records are written in pieces of about this many characters. */
const WRITE_CHARS = 1_048_576

function fileOf(kind: DocumentKindName): string {
  return `${kind}.${DOCUMENT_KINDS[kind].count === 'one' ? 'json' : 'ndjson'}`
}

/** Makes the directory; one that holds something is refused, or with force loses its tenant documents. */
async function prepare(out: string, force: boolean): Promise<void> {
  try {
    await mkdir(out, { recursive: true })
    const present = await readdir(out)
    if (present.length > 0 && !force)
      throw new CommandProblem(`${out} is not empty; choose another directory, or replace its documents with --force`)
    const documents = DOCUMENT_KIND_NAMES.flatMap(kind => [`${kind}.json`, `${kind}.ndjson`])
    for (const file of documents.filter(each => present.includes(each))) await rm(join(out, file))
  } catch (error) {
    throw problemOf(error)
  }
}

/** What the file system refused, as something that a person can repair. */
function problemOf(error: unknown): unknown {
  return error instanceof Error && 'syscall' in error
    ? new CommandProblem(`cannot write there (${error.message}); choose another --out directory`)
    : error
}

/** Collects the lines of one kind and writes them to NAME.part, which becomes NAME when all kinds are whole. */
class KindFile {
  readonly #handle: FileHandle
  #text = ''

  constructor(handle: FileHandle) {
    this.#handle = handle
  }

  /** @returns a promise only when a piece is full and was written. */
  add(record: unknown): Promise<void> | undefined {
    this.#text += `${JSON.stringify(record)}\n`
    return this.#text.length < WRITE_CHARS ? undefined : this.#write()
  }

  async #write(): Promise<void> {
    const text = this.#text
    this.#text = ''
    await this.#handle.appendFile(text)
  }

  async close(): Promise<void> {
    await this.#write()
    await this.#handle.close()
  }
}

async function write(out: string, request: TenantRequest, progress: Progress): Promise<number> {
  let records = 0
  let current: { readonly kind: DocumentKindName; readonly file: KindFile } | undefined
  for (const { kind, value } of generateTenant(request)) {
    if (current?.kind !== kind) {
      await current?.file.close()
      current = { kind, file: new KindFile(await open(join(out, `${fileOf(kind)}.part`), 'w')) }
    }
    const written = current.file.add(value)
    if (written !== undefined) await written
    if (++records % 500 === 0) progress.update(records)
  }
  await current?.file.close()
  for (const kind of DOCUMENT_KIND_NAMES) await rename(join(out, `${fileOf(kind)}.part`), join(out, fileOf(kind)))
  return records
}

function wholeFrom(min: number, max: number): (given: string) => number {
  return given => {
    const value = Number(given)
    if (/^\d+$/.test(given) && value >= min && value <= max) return value
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`)
  }
}

interface Options extends TenantRequest {
  readonly out: string
  readonly force: boolean
}

const command = newCommand('generate', 'Writes a generated tenant with realistic skew; the same seed, the same bytes.')
  .requiredOption('--line-items <count>', `1 to ${LIMITS.lineItemsMax}`, wholeFrom(1, LIMITS.lineItemsMax))
  .requiredOption('--out <dir>', 'directory for the documents; made when it is not there')
  .option('--seed <number>', `0 to ${SEED_MAX}`, wholeFrom(0, SEED_MAX), 1)
  .addOption(
    new Option('--targeting <style>', 'what line items restrict: what most do, or every dimension')
      .choices(['usual', 'everything'])
      .default('usual'),
  )
  .option('--force', 'replace the tenant documents in a directory that is not empty', false)
  .addHelpText('after', '\nExit codes: 0 written, 2 wrong arguments or a directory that cannot be written.')
  .action(async ({ lineItems, out, seed, targeting = 'usual', force }: Options) => {
    await prepare(out, force)
    const total = Object.values(generatedCounts(lineItems)).reduce((sum, count) => sum + count, 0)
    const progress = startProgress('Writing records', total)
    try {
      const records = await write(out, { lineItems, seed, targeting }, progress)
      progress.stop()
      console.log(`Wrote ${records} records, ${lineItems} of them line items, to ${out} (seed ${seed}).`)
    } catch (error) {
      throw problemOf(error)
    } finally {
      progress.stop()
    }
  })

await runCommand(command)
