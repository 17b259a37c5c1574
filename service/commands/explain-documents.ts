/** Where the explainer's documents come from: a directory, or what is announced in the remote cache. */
import { tenantIdProblem } from '../config.ts'
import { Random } from '../foundation/random.ts'
import { recordsOf } from '../remote-cache/chunks.ts'
import { RedisSource } from '../remote-cache/redis-source.ts'
import { SourceError } from '../remote-cache/source.ts'
import { readTenantDirectory, TenantDirectoryError } from '../remote-cache/tenant-directory.ts'
import { DocumentCollection } from '../state/document-collection.ts'
import type { TenantDocuments } from '../state/documents.ts'
import { DocumentReader } from '../state/validate.ts'
import { CACHE_UNREACHABLE } from './cache-arguments.ts'
import { CommandProblem, EXIT, startProgress } from './terminal.ts'

/** One of tenantDir, or from and tenant. */
export interface DocumentOptions {
  readonly tenantDir?: string
  readonly from?: string
  readonly tenant?: string
  readonly timeoutMs: number
}

/** Documents, and where they were read. */
export interface FoundDocuments {
  readonly documents: TenantDocuments
  readonly where: string
  /** Records that are bad and left out, as the service leaves them out. */
  readonly bad: number
}

/** Reads what the options name. Memory: O(documents). @throws CommandProblem for what a person can repair */
export async function findDocuments(options: DocumentOptions): Promise<FoundDocuments> {
  const { tenantDir, from, tenant, timeoutMs } = options
  if ((tenantDir === undefined) === (from === undefined))
    throw new CommandProblem('error: give either --tenant-dir DIR, or --from redis://… with --tenant ID')
  if (tenantDir !== undefined) return await readDirectory(tenantDir)
  if (tenant === undefined) throw new CommandProblem('error: --from needs --tenant ID: whose state it is')
  const problem = tenantIdProblem(tenant)
  if (problem !== undefined) throw new CommandProblem(`error: --tenant ${problem}`)
  const url = from as string
  if (!URL.canParse(url) || !/^rediss?:$/.test(new URL(url).protocol))
    throw new CommandProblem('error: --from must be a URL that begins with redis:// or rediss://')
  const source = new RedisSource({ url, tenantId: tenant, timeoutMs, pickIndex: new Random(process.pid).pickIndex })
  try {
    return await readAnnounced(source, tenant)
  } catch (error) {
    if (!(error instanceof SourceError)) throw error
    // The address may hold a password: the host is enough.
    const exitCode = error.retry ? CACHE_UNREACHABLE : EXIT.usage
    throw new CommandProblem(`error: ${error.message} (${new URL(url).host})`, exitCode)
  } finally {
    source.close()
  }
}

async function readDirectory(directory: string): Promise<FoundDocuments> {
  const { reader, finish } = collecting()
  try {
    for await (const { kind, value, where } of readTenantDirectory(directory)) reader.read(kind, value, where)
  } catch (error) {
    throw error instanceof TenantDirectoryError ? new CommandProblem(`error: ${error.message}`) : error
  }
  return finish(directory)
}

async function readAnnounced(source: RedisSource, tenant: string): Promise<FoundDocuments> {
  const announced = await source.announced()
  if (announced === undefined)
    throw new CommandProblem(`error: nothing was ever announced for ${tenant}; publish a directory first`)
  const { version, deltas } = announced
  const { reader, collection, finish } = collecting()
  const { records } = await source.summary(version)
  const progress = startProgress('Reading records', records)
  let read = 0
  try {
    for await (const batch of source.read(version)) {
      const { kind, file, firstRecord } = batch
      for (const [i, value] of recordsOf(batch).entries()) reader.read(kind, value, { file, record: firstRecord + i })
      read += batch.count
      progress.update(read)
    }
    if (deltas !== undefined)
      for await (const { delta } of source.deltas(version, { length: 0, digest: '' }, deltas)) collection.apply(delta)
  } finally {
    progress.stop()
  }
  return finish(`version ${version}${deltas === undefined ? '' : ` with ${deltas.length} changes`}`)
}

function collecting() {
  const collection = new DocumentCollection()
  const reader = new DocumentReader(good => collection.add(good))
  const finish = (where: string): FoundDocuments => {
    const { problemsTotal } = reader.finish()
    const documents = collection.documents()
    if (documents === undefined)
      throw new CommandProblem(`error: ${where} holds no good settings, so that nobody could bid; see npm run validate`)
    return { documents, where, bad: problemsTotal }
  }
  return { reader, collection, finish }
}
