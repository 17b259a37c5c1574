/** Where the explainer's documents come from: a directory, or what is announced in the remote cache. */
import { pathToFileURL } from 'node:url'
import { tenantIdProblem } from '../config.ts'
import { Random } from '../foundation/random.ts'
import { lookUpUsers } from '../remote-cache/audience-lookup.ts'
import { RedisAudienceSource } from '../remote-cache/audience-source.ts'
import { DirectoryAudience } from '../remote-cache/directory-audience.ts'
import { FileSource } from '../remote-cache/file-source.ts'
import { readDocuments } from '../remote-cache/read-documents.ts'
import { RedisSource } from '../remote-cache/redis-source.ts'
import { type OpenSource, SourceError } from '../remote-cache/source.ts'
import type { AudienceReader } from '../state/audience-reader.ts'
import type { TenantDocuments } from '../state/documents.ts'
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
  /** Problems of records that are left out, as the service leaves them out. */
  readonly problems: number
}

/** Reads what the options name. Memory: O(documents). @throws CommandProblem for what a person can repair */
export async function findDocuments(options: DocumentOptions): Promise<FoundDocuments> {
  const { tenantDir, from, timeoutMs } = options
  if ((tenantDir === undefined) === (from === undefined))
    throw new CommandProblem('error: give either --tenant-dir DIR, or --from redis://… with --tenant ID')
  if (tenantDir !== undefined)
    return await readAnnounced(new FileSource(pathToFileURL(tenantDir).href), { what: tenantDir, exitCode: EXIT.usage })
  const url = from as string
  if (!URL.canParse(url) || !/^rediss?:$/.test(new URL(url).protocol))
    throw new CommandProblem('error: --from must be a URL that begins with redis:// or rediss://')
  const tenantId = tenantIdOf(options)
  const source = new RedisSource({ url, tenantId, timeoutMs, pickIndex: new Random(process.pid).pickIndex })
  // The address may hold a password: the host is enough.
  return await readAnnounced(source, { what: `${tenantId} at ${new URL(url).host}`, exitCode: CACHE_UNREACHABLE })
}

/** Looks up users, by the texts of their ids, where the documents are. Call it after findDocuments. */
export async function findUsers(options: DocumentOptions, idTexts: readonly string[]): Promise<AudienceReader> {
  const { tenantDir, from: url = '', tenant: tenantId = '', timeoutMs } = options
  const pickIndex = new Random(process.pid).pickIndex
  const source =
    tenantDir === undefined
      ? new RedisAudienceSource({ url, tenantId, timeoutMs, pickIndex })
      : new DirectoryAudience(pathToFileURL(tenantDir).href, [1, 2], Date.now)
  try {
    return await lookUpUsers(source, idTexts)
  } catch (error) {
    if (!(error instanceof SourceError)) throw error
    const exitCode = error.retry && tenantDir === undefined ? CACHE_UNREACHABLE : EXIT.usage
    throw new CommandProblem(`error: users of ${tenantDir ?? tenantId}: ${error.message}`, exitCode)
  } finally {
    source.close()
  }
}

function tenantIdOf({ tenant }: DocumentOptions): string {
  if (tenant === undefined) throw new CommandProblem('error: --from needs --tenant ID: whose state it is')
  const problem = tenantIdProblem(tenant)
  if (problem !== undefined) throw new CommandProblem(`error: --tenant ${problem}`)
  return tenant
}

interface Origin {
  /** For people. */
  readonly what: string
  /** Where it cannot be reached. */
  readonly exitCode: number
}

async function readAnnounced(source: OpenSource, { what, exitCode }: Origin): Promise<FoundDocuments> {
  const progress = startProgress('Reading records', 0)
  try {
    const announced = await source.announced()
    if (announced === undefined)
      throw new CommandProblem(`error: ${what} has nothing to read; publish a directory first`)
    const { documents, problems } = await readDocuments(source, announced, progress.update)
    if (documents === undefined)
      throw new CommandProblem(`error: ${what} holds no good settings, so nobody could bid; see npm run validate`)
    const { version, deltas } = announced
    const changes = deltas === undefined ? '' : ` with ${deltas.length} changes`
    return { documents, where: `${what}, version ${version}${changes}`, problems }
  } catch (error) {
    if (!(error instanceof SourceError)) throw error
    throw new CommandProblem(`error: ${what}: ${error.message}`, error.retry ? exitCode : EXIT.usage)
  } finally {
    progress.stop()
    source.close()
  }
}
