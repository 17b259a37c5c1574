import { createHash, X509Certificate } from 'node:crypto'
import { chmodSync, chownSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { accessRules } from '../service/remote-cache/access.ts'
import { type Certificate, makeCertificate } from './certificate.ts'

/*
 * Runs once before the stack of compose.yaml: writes a certificate authority of this machine, the certificates of the
 * cache and the proxy, and the cache's users. Each volume holds only what its reader needs; the authority's key is
 * written nowhere. `node docker/prepare.ts TENANT…`
 *
 * For development only: passwords follow from the names of the users.
 */

const CACHE = '/secrets/cache'
const PROXY = '/secrets/proxy'
const TRUST = '/secrets/trust'
/** Volumes that one service each writes. */
const DATA = '/data'
const CERTIFICATE_DAYS = 365
const CERTIFICATE_DAYS_LEFT_MIN = 30
/** All containers of the stack run as this user. */
const UID = 1000

const tenantIds = process.argv.slice(2)
writeFileSync(join(CACHE, 'users.acl'), `${cacheUsers(tenantIds).join('\n')}\n`)
// A running cache keeps the certificate that it has read, so that one is kept, too.
const renewed = certificateDaysLeft(join(TRUST, 'ca.crt')) < CERTIFICATE_DAYS_LEFT_MIN
if (renewed) writeCertificates()
for (const name of readdirSync(DATA)) own(join(DATA, name), [], 0o700)
own(CACHE, ['users.acl', 'server.crt', 'server.key', 'ca.crt'])
own(PROXY, ['proxy.pem'])
own(TRUST, ['ca.crt'])
process.stdout.write(`${JSON.stringify({ msg: 'stack prepared', users: 3 * tenantIds.length + 1, renewed })}\n`)

function cacheUsers(tenants: readonly string[]): string[] {
  const users = ['user default off resetkeys resetchannels -@all']
  for (const tenant of tenants) {
    for (const role of ['service', 'publisher', 'finance'] as const)
      users.push(cacheUser(`${tenant}-${role}`, accessRules(tenant, role)))
  }
  // Looks after the server and sees no key: health check, and what was refused.
  users.push(cacheUser('operator', ['resetkeys', 'resetchannels', '-@all', '+ping', '+acl|log']))
  return users
}

function cacheUser(name: string, rules: readonly string[]): string {
  const password = createHash('sha256').update(`development-only-${name}`).digest('hex')
  return ['user', name, 'on', `#${password}`, ...rules].join(' ')
}

function certificateDaysLeft(file: string): number {
  if (!existsSync(file)) return 0
  return (new X509Certificate(readFileSync(file)).validToDate.getTime() - Date.now()) / 86_400_000
}

function writeCertificates(): void {
  const lifetime = { notBefore: new Date(Date.now() - 3_600_000), days: CERTIFICATE_DAYS }
  const authority = makeCertificate({ name: 'Bidcell development authority', hosts: [], ...lifetime })
  const server = (name: string): Certificate =>
    makeCertificate({ name, hosts: [name, 'localhost', '127.0.0.1'], issuer: authority, ...lifetime })
  const [cache, proxy] = [server('cache'), server('proxy')]
  writeFileSync(join(CACHE, 'server.crt'), cache.certificatePem)
  writeFileSync(join(CACHE, 'server.key'), cache.keyPem)
  writeFileSync(join(CACHE, 'ca.crt'), authority.certificatePem)
  writeFileSync(join(PROXY, 'proxy.pem'), proxy.certificatePem + proxy.keyPem)
  writeFileSync(join(TRUST, 'ca.crt'), authority.certificatePem)
}

function own(dir: string, files: readonly string[], mode = 0o500): void {
  for (const path of [dir, ...files.map(file => join(dir, file))]) {
    chmodSync(path, path === dir ? mode : 0o400)
    chownSync(path, UID, UID)
  }
}
