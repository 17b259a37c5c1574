/** What commands share that talk to the remote cache: its address, the tenant, and errors without a password. */
import type { Command } from 'commander'
import { tenantIdProblem } from '../config.ts'
import { AssertionFailure } from '../foundation/assert.ts'
import { Random } from '../foundation/random.ts'
import { CacheConnection, type ConnectionOptions } from '../remote-cache/connection.ts'
import { bad, CommandProblem } from './terminal.ts'

/** Exit code of a command whose cache cannot be reached or refuses it: EX_UNAVAILABLE of sysexits.h. */
export const CACHE_UNREACHABLE = 69

/** Values of the options that withCacheOptions adds. */
export interface CacheOptions {
  readonly to: string
  readonly tenant: string
  readonly timeoutMs: number
}

/** Adds --to, --tenant and --timeout-ms, checked. Mutates and returns the command. */
export function withCacheOptions(command: Command): Command {
  return command
    .requiredOption('--to <url>', 'the remote cache: redis://user:password@host:port or rediss://…', cacheUrl)
    .requiredOption('--tenant <id>', 'tenant whose state it is', tenantIdArgument)
    .option('--timeout-ms <ms>', 'longest wait for one answer of the cache', wholeMs, 10_000)
}

/** An argument that says where a cache is. @throws CommandProblem when it cannot be an address of one */
export function cacheUrl(given: string): string {
  if (URL.canParse(given) && /^rediss?:$/.test(new URL(given).protocol)) return given
  throw new CommandProblem('error: a cache must be a URL that begins with redis:// or rediss://')
}

function tenantIdArgument(given: string): string {
  const problem = tenantIdProblem(given)
  if (problem === undefined) return given
  throw new CommandProblem(`error: --tenant ${problem}`)
}

function wholeMs(given: string): number {
  if (/^\d{2,6}$/.test(given)) return Number(given)
  throw new CommandProblem('error: --timeout-ms must be a whole number from 10 to 999999')
}

/** How a command connects: once, to the address that was given. */
export function connectionOptions({ to, timeoutMs }: CacheOptions): ConnectionOptions {
  return { url: to, timeoutMs, pickIndex: new Random(process.pid).pickIndex }
}

/**
 * Works with a connection and closes it. What the cache says against it is printed, with exit code CACHE_UNREACHABLE;
 * defects and problems that a person can repair are thrown on.
 */
export async function withCache(
  options: CacheOptions,
  work: (connection: CacheConnection) => Promise<void>,
): Promise<void> {
  const connection = new CacheConnection(connectionOptions(options))
  try {
    await work(connection)
  } catch (error) {
    if (error instanceof AssertionFailure || error instanceof TypeError || error instanceof CommandProblem) throw error
    // The address may hold a password: the host is enough.
    console.error(bad(`error: ${connection.coded(error).message} (${new URL(options.to).host})`))
    process.exitCode = CACHE_UNREACHABLE
  } finally {
    connection.close()
  }
}
