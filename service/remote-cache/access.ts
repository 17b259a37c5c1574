/** What the cache users of a tenant may do: exactly what the code issues, on exactly the tenant's keys. */
import { statePrefix } from './layout.ts'

/** Every command that the service issues, those of its client on connecting included. */
export const SERVICE_COMMANDS = ['auth', 'get', 'hmget'] as const

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
] as const

/** Who uses the cache: tasks that serve, or the control plane that publishes. */
export type CacheRole = 'service' | 'publisher'

/**
 * The rules of one cache user, without its name and password, as ACL SETUSER and an access string want them. The
 * service can only read, the publisher only touches the tenant's state.
 */
export function accessRules(tenantId: string, role: CacheRole): string[] {
  const commands = role === 'service' ? SERVICE_COMMANDS : PUBLISHER_COMMANDS
  const keys = `${role === 'service' ? '%R' : ''}~${statePrefix(tenantId)}*`
  return ['resetkeys', 'resetchannels', '-@all', ...commands.map(command => `+${command}`), keys]
}
