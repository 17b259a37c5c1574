/** What the cache users of a tenant may do: exactly what the code issues, on exactly the tenant's keys. */
import { eventStreamKey, spendPrefix, statePrefix } from './layout.ts'

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
  'set',
  'time',
  'unlink',
  'xadd',
  'xrange',
  'zadd',
  'zrangebyscore',
  'zrem',
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

/** Who uses the cache: tasks that serve, or the control plane that publishes. */
export type CacheRole = 'service' | 'publisher'

/**
 * The rules of one cache user, without its name and password, as ACL SETUSER and an access string want them. The
 * service reads the tenant's state and writes its ledger and its event stream; the publisher only touches the state.
 * What a script may touch is checked like any other command.
 */
export function accessRules(tenantId: string, role: CacheRole): string[] {
  const commands = role === 'service' ? SERVICE_COMMANDS : PUBLISHER_COMMANDS
  const state = `~${statePrefix(tenantId)}*`
  const keys =
    role === 'service' ? [`%R${state}`, `~${spendPrefix(tenantId)}*`, `~${eventStreamKey(tenantId)}`] : [state]
  return ['resetkeys', 'resetchannels', '-@all', ...commands.map(command => `+${command}`), ...keys]
}
