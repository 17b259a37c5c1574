/** What the cache users of a tenant may do: exactly what the code issues, on exactly the tenant's keys. */
import { eventStreamKey, frequencyPrefix, spendPrefix, statePrefix } from './layout.ts'

/** Every command that the service issues, those of its client on connecting and of the ledger's scripts included. */
export const SERVICE_COMMANDS = [
  'auth',
  'eval',
  'evalsha',
  'exists',
  'get',
  'hdel',
  'hget',
  'hgetall',
  'hincrby',
  'hmget',
  'hset',
  'pexpire',
  'sadd',
  'set',
  'time',
  'unlink',
  'xadd',
  'xrange',
  'zadd',
  'zcard',
  'zrangebyscore',
  'zrem',
  'zremrangebyscore',
  'zscore',
] as const

/** Every command that publishing and `npm run state` issue, those of its client on connecting included. */
export const PUBLISHER_COMMANDS = [
  'auth',
  'exec',
  'exists',
  'get',
  'hdel',
  'hgetall',
  'hmget',
  'hset',
  'hsetnx',
  'multi',
  'persist',
  'set',
  'unlink',
  'unwatch',
  'watch',
  'xadd',
  'xrange',
  'xrevrange',
] as const

/** Every command that the reports of `npm run spend` issue, those of their client on connecting included. */
export const FINANCE_COMMANDS = ['auth', 'hgetall', 'smembers', 'xrange'] as const

/** Who uses the cache: tasks that serve, the control plane that publishes, or who reads what was spent. */
export type CacheRole = 'service' | 'publisher' | 'finance'

/**
 * The rules of one cache user, without its name and password, as ACL SETUSER and an access string want them. The
 * service reads the tenant's state and writes its ledger, its counts and its event stream; the publisher only touches
 * the state, and finance only reads what was spent.
 * What a script may touch is checked like any other command.
 */
export function accessRules(tenantId: string, role: CacheRole): string[] {
  const state = `~${statePrefix(tenantId)}*`
  const [spend, events] = [`~${spendPrefix(tenantId)}*`, `~${eventStreamKey(tenantId)}`]
  const counts = `~${frequencyPrefix(tenantId)}*`
  const rules = {
    service: { commands: SERVICE_COMMANDS, keys: [`%R${state}`, spend, events, counts] },
    publisher: { commands: PUBLISHER_COMMANDS, keys: [state] },
    finance: { commands: FINANCE_COMMANDS, keys: [`%R${spend}`, `%R${events}`] },
  }
  const { commands, keys } = rules[role]
  return ['resetkeys', 'resetchannels', '-@all', ...commands.map(command => `+${command}`), ...keys]
}
