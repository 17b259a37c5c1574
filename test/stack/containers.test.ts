import { describe, expect, inject, test } from 'vitest'
import { run } from './engine.ts'
import { containerId, evaluate, execute, TENANTS } from './stack.ts'

interface Inspected {
  readonly Config: { readonly User: string; readonly Env: readonly string[] }
  readonly State: { readonly OOMKilled: boolean; readonly Health?: { readonly Status: string } }
  readonly HostConfig: {
    readonly Memory: number
    readonly MemorySwap: number
    readonly NanoCpus: number
    readonly PidsLimit: number
    readonly ReadonlyRootfs: boolean
    readonly CapDrop: readonly string[] | null
    readonly CapAdd: readonly string[] | null
    readonly SecurityOpt: readonly string[]
    readonly Init: boolean
    readonly Privileged: boolean
  }
  readonly NetworkSettings: { readonly Ports: Readonly<Record<string, readonly { HostIp: string }[] | null>> }
  readonly Mounts: readonly { readonly Destination: string; readonly RW: boolean }[]
}

const stack = inject('stack')
const MIB = 1024 * 1024

async function inspect(service: string): Promise<Inspected> {
  const { stdout } = await run(stack.dockerHost, ['docker', 'inspect', await containerId(stack, service)])
  return (JSON.parse(stdout) as [Inspected])[0]
}

describe.each(TENANTS)('the container of %s', tenant => {
  test('is declared confined, and publishes nothing on the host', async () => {
    const { Config, HostConfig, NetworkSettings, Mounts, State } = await inspect(tenant)
    expect(Config.User).toBe('1000:1000')
    expect(HostConfig).toMatchObject({ ReadonlyRootfs: true, Privileged: false, Init: true, NanoCpus: 1e9 })
    expect(HostConfig).toMatchObject({ Memory: 512 * MIB, MemorySwap: 512 * MIB, PidsLimit: 128 })
    expect(HostConfig.CapDrop).toEqual(['ALL'])
    expect(HostConfig.CapAdd ?? []).toEqual([])
    expect(HostConfig.SecurityOpt.join()).toContain('no-new-privileges')
    expect(Object.values(NetworkSettings.Ports).filter(ports => ports !== null && ports.length > 0)).toEqual([])
    expect(Mounts.filter(mount => mount.RW).map(mount => mount.Destination)).toEqual(['/journal'])
    expect(State.OOMKilled).toBe(false)
  })

  test('is confined in truth: no root, no capability, no file, its own memory', async () => {
    const found = await evaluate(
      stack,
      tenant,
      `import fs from 'node:fs'
       const refused = path => {
         try { fs.writeFileSync(path, 'x') } catch (error) { return error.code }
         return 'written'
       }
       const tools = ['/bin/sh', '/usr/bin/sh', '/usr/local/bin/npm', '/usr/bin/apt-get']
       const status = fs.readFileSync('/proc/self/status', 'utf8')
       console.log(JSON.stringify({
         uid: process.getuid(),
         gid: process.getgid(),
         capabilities: /CapEff:\\s+(\\S+)/.exec(status)[1],
         noNewPrivileges: /NoNewPrivs:\\s+(\\S+)/.exec(status)[1],
         writes: ['/app/x', '/app/service/x', '/tmp/x', '/trust/x', '/x'].map(refused),
         memory: process.constrainedMemory(),
         tools: tools.filter(path => fs.existsSync(path)),
         secrets: fs.existsSync('/secrets'),
       }))`,
    )
    expect(found).toEqual({
      uid: 1000,
      gid: 1000,
      capabilities: '0000000000000000',
      noNewPrivileges: '1',
      writes: ['EROFS', 'EROFS', 'EROFS', 'EROFS', 'EROFS'],
      memory: 512 * MIB,
      tools: [],
      secrets: false,
    })
  })

  test('runs Node and the service as uid 1000, and nothing more', async () => {
    const expected = /^node service\/(main\.ts|commands\/health-check\.ts .*)$|(docker-init|tini) -- /
    const others = async () => {
      const processes = (await evaluate(
        stack,
        tenant,
        `import fs from 'node:fs'
         const pids = fs.readdirSync('/proc').filter(name => /^\\d+$/.test(name) && Number(name) !== process.pid)
         console.log(JSON.stringify(pids.map(pid => ({
           uid: fs.statSync('/proc/' + pid).uid,
           command: fs.readFileSync('/proc/' + pid + '/cmdline', 'utf8').split('\\0').filter(Boolean).join(' '),
         }))))`,
      )) as { uid: number; command: string }[]
      return processes.filter(({ uid, command }) => uid !== 1000 || !expected.test(command))
    }
    // The engine starts each health check as root, and is seen at it now and then.
    await expect.poll(others).toEqual([])
  })

  test('answers the network on its public port and keeps its admin port to itself', async () => {
    const knock = async (port: string) =>
      (await execute(stack, 'cache', ['redis-cli', '-h', tenant, '-p', port, 'ping'], { mayFail: true })).stderr
    expect(await knock('9090')).toContain('Connection refused')
    expect(await knock('8080')).not.toContain('Connection refused')
  })

  test('knows no name and no password of its neighbours', async () => {
    const { Config } = await inspect(tenant)
    const others = TENANTS.filter(other => other !== tenant)
    for (const other of others) expect(Config.Env.join('\n')).not.toContain(other)
    expect(Config.Env.join('\n')).not.toContain('publisher')
  })
})

test('only the proxy is published, on loopback alone', async () => {
  for (const service of ['cache', 'proxy']) {
    const { NetworkSettings, Config, HostConfig } = await inspect(service)
    expect(Config.User).toBe('1000:1000')
    expect(HostConfig).toMatchObject({ ReadonlyRootfs: true, CapDrop: ['ALL'] })
    const published = Object.values(NetworkSettings.Ports).flatMap(ports => ports ?? [])
    expect(published.map(port => port.HostIp)).toEqual(service === 'proxy' ? ['127.0.0.1'] : [])
  }
})
