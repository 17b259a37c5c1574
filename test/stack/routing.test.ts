import { describe, expect, inject, test } from 'vitest'
import { run } from './engine.ts'
import { askForBid, containerId, evaluate, factsOf, send, TENANTS, type Tenant } from './stack.ts'

const stack = inject('stack')
const BIDS = 20

/** Addresses of a task in the networks of the stack. */
async function addressesOf(tenant: Tenant): Promise<string[]> {
  const format = '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}'
  const command = ['docker', 'inspect', '--format', format, await containerId(stack, tenant)]
  return (await run(stack.dockerHost, command)).stdout.trim().split(' ')
}

describe.each(TENANTS)('through the proxy, %s', tenant => {
  const own = factsOf(tenant).domains
  const foreign = TENANTS.filter(other => other !== tenant).flatMap(other => factsOf(other).domains)

  test('bids for its own advertisers and for no other', async () => {
    const seen = new Set<string>()
    for (let n = 0; n < BIDS; n += 1) {
      const { answer, domains } = await askForBid(stack, tenant, `request-${n}`)
      expect([200, 204]).toContain(answer.status)
      for (const domain of domains) seen.add(domain)
      for (const domain of foreign) expect(answer.body).not.toContain(domain)
      if (answer.status === 200) expect(JSON.parse(answer.body)).toMatchObject({ id: `request-${n}` })
    }
    expect(seen.size).toBeGreaterThan(0)
    expect([...seen].filter(domain => !own.includes(domain))).toEqual([])
  })

  test('refuses what is no bid request, and answers health on its own path', async () => {
    const path = `/${tenant}/openrtb2/${factsOf(tenant).exchangeIds[0]}`
    expect((await send(stack, path, [])).status).toBe(400)
    expect((await send(stack, `/${tenant}/health/ready`)).status).toBe(200)
    expect((await send(stack, `/${tenant}/health/live`)).status).toBe(200)
  })

  test('does not know the path of its neighbour, by whatever route the request came', async () => {
    const paths = TENANTS.filter(other => other !== tenant).map(other => `/${other}/health/ready`)
    const statuses = await evaluate(
      stack,
      tenant,
      `const paths = JSON.parse(process.env.INPUT)
       const answers = paths.map(async path => {
         const answer = await fetch('http://127.0.0.1:8080' + path)
         return { status: answer.status, echoed: (await answer.text()).includes(path.split('/')[1]) }
       })
       console.log(JSON.stringify(await Promise.all(answers)))`,
      paths,
    )
    expect(statuses).toEqual(paths.map(() => ({ status: 404, echoed: false })))
  })

  test('reaches itself and the cache, and not its neighbours', async () => {
    const others = TENANTS.filter(other => other !== tenant)
    const addresses = (await Promise.all([tenant, ...others].map(addressesOf))).flat()
    const reached = await evaluate(
      stack,
      tenant,
      `import { connect } from 'node:net'
       const reach = ({ host, port }) => new Promise(resolve => {
         const socket = connect({ host, port, timeout: 1_000 })
         const end = reached => { socket.destroy(); resolve(reached) }
         socket.on('connect', () => end(true)).on('timeout', () => end(false)).on('error', () => end(false))
       })
       console.log(JSON.stringify(await Promise.all(JSON.parse(process.env.INPUT).map(reach))))`,
      [{ host: 'cache', port: 6379 }, ...addresses.map(host => ({ host, port: 8080 }))],
    )
    expect(reached).toEqual([true, true, ...others.map(() => false)])
  })
})

const MARKER = 'marker-5f1c'

test.each([
  '/',
  `/${MARKER}`,
  `/nobody/openrtb2/${MARKER}`,
  `/acme-outdoor?${MARKER}`,
  `/acme-outdoorx/openrtb2/${MARKER}`,
  `/ACME-OUTDOOR/openrtb2/${MARKER}`,
  `//acme-outdoor/openrtb2/${MARKER}`,
  `/acme-outdoor/../bluebird-games/openrtb2/${MARKER}`,
  `/acme-outdoor/%2e%2e/bluebird-games/health/ready?${MARKER}`,
  `/acme-outdoor/..%2fbluebird-games/health/ready?${MARKER}`,
  `/acme-outdoor/bluebird-games/openrtb2/${MARKER}`,
  `/%61cme-outdoor/openrtb2/${MARKER}`,
  `/health/ready?${MARKER}`,
  `/acme-outdoor/console?${MARKER}`,
  `/acme-outdoor/admin/${MARKER}`,
  `/acme-outdoor/metrics?${MARKER}`,
])('the path %s does not exist, and is not repeated', async path => {
  const answer = await send(stack, path)
  expect(answer.status).toBe(404)
  expect(answer.body).not.toContain(MARKER)
  expect(JSON.stringify(answer.headers)).not.toContain(MARKER)
  const posted = await send(stack, path, { id: '1', imp: [] })
  expect(posted.status).toBe(404)
  expect(posted.body).not.toContain(MARKER)
})
