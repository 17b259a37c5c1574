import { execFile } from 'node:child_process'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { TlsFiles } from './redis-server.ts'

const run = promisify(execFile)

/**
 * Makes a certificate authority of its own and one server certificate for localhost and 127.0.0.1, in a new temporary
 * directory, which the caller removes. Needs openssl. Costs about 50 ms.
 */
export async function makeCertificates(): Promise<TlsFiles> {
  const dir = await mkdtemp(join(tmpdir(), 'bidcell-certificates-'))
  const at = (name: string) => join(dir, name)
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  const ca = [
    '-x509',
    '-days',
    '2',
    '-subj',
    '/CN=Bidcell test authority',
    '-keyout',
    at('ca.key'),
    '-out',
    at('ca.crt'),
  ]
  await run('openssl', ['req', ...key, ...ca])
  await run('openssl', ['req', ...key, '-subj', '/CN=localhost', '-keyout', at('server.key'), '-out', at('server.csr')])
  await writeFile(at('server.ext'), 'subjectAltName=DNS:localhost,IP:127.0.0.1\n')
  const authority = ['-CA', at('ca.crt'), '-CAkey', at('ca.key'), '-CAcreateserial']
  const signed = ['-days', '2', '-extfile', at('server.ext'), '-out', at('server.crt')]
  await run('openssl', ['x509', '-req', '-in', at('server.csr'), ...authority, ...signed])
  return { caFile: at('ca.crt'), certFile: at('server.crt'), keyFile: at('server.key') }
}
