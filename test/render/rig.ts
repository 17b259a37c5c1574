/** Everything that an ad needs to be shown: the service, an exchange, the web, and a browser. */
import { mkdirSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Browser, Locator, Page } from 'playwright-core'
import type { TenantDocuments } from '../../service/state/documents.ts'
import { sampleTenant } from '../sample-catalog.ts'
import { runService, type ServiceRun } from '../wire/service-run.ts'
import { agencyFile } from './agency.ts'
import { openChromium } from './chromium.ts'
import { auction, type Bid } from './exchange.ts'
import { BALANCER_HOST, type LoopbackWeb, openLoopbackWeb, PAGE_HOST, type WebFile } from './loopback-web.ts'
import { AGENCY_MEDIA, type MediaOrder, mediaOf, silentMp3 } from './media.ts'
import type { Stage } from './page/stage.ts'
import type { Box, Colours, Studio } from './page/studio.ts'

/** The tenants that come with the repository. */
export const TENANTS = ['acme-outdoor', 'bluebird-games', 'cinema-now'] as const
/** The name of one. */
export type Tenant = (typeof TENANTS)[number]

/** See openRig. */
export interface Rig {
  readonly web: LoopbackWeb
  /** The bid for a request with one impression, as the exchange passes its markup on. Fails when there is none. */
  bid(tenant: Tenant, imp: object, request?: object, exchange?: string): Promise<Bid>
  /** A fresh publisher's page. Errors on it fail the test that closes it. */
  page(size?: { width: number; height: number }): Promise<Page>
  /** Waits until all images are there and two frames were painted. */
  drawn(page: Page): Promise<void>
  /** Events that services of ours were told, with their answers, such as `impression 200`; at least so many. */
  told(count: number): Promise<readonly string[]>
  /** Calls an address of a bid as its exchange does, from its servers. @returns the status */
  notify(tenant: Tenant, url: string | undefined): Promise<number>
  /** What is to be seen in the elements of a page, which is saved whole as a screenshot. */
  seen(page: Page, name: string, elements: Locator): Promise<readonly Colours[]>
  /** Ends all. @throws Error when a service told of a defect in between */
  close(): Promise<void>
}

const SAMPLES = fileURLToPath(new URL('../tenants/', import.meta.url))
const SCREENSHOTS = new URL('../../reports/render/', import.meta.url)

/** Where a screenshot goes; git ignores the folder. */
export function screenshot(name: string): string {
  mkdirSync(SCREENSHOTS, { recursive: true })
  return fileURLToPath(new URL(`${name}.png`, SCREENSHOTS))
}

/**
 * Starts a service process per sample tenant, a browser, and what the browser takes for the web. Costs 3 s.
 * @param change makes other documents of a tenant's
 */
export async function openRig(change?: (documents: TenantDocuments) => TenantDocuments): Promise<Rig> {
  const orders = new Map([...AGENCY_MEDIA, ...TENANTS.flatMap(tenant => [...mediaOf(sampleTenant(tenant))])])
  const made = new Map<string, Promise<WebFile>>()
  const files = async (address: string): Promise<WebFile | undefined> => {
    const order = orders.get(address)
    if (order === undefined) return agencyFile(address)
    const making = made.get(address) ?? make(studio, order)
    made.set(address, making)
    return await making
  }
  const services = new Map<string, ServiceRun>()
  const web = await openLoopbackWeb({ files, servicePort: tenant => services.get(tenant)?.port })
  const browser = await openChromium(web.port)
  const scratch = await mkdtemp(join(tmpdir(), 'bidcell-render-'))
  for (const tenant of TENANTS) {
    const directory = change === undefined ? SAMPLES + tenant : join(scratch, `${tenant}-changed`)
    if (change !== undefined) await writeDocuments(directory, change(sampleTenant(tenant)))
    services.set(tenant, await openService(tenant, directory, join(scratch, tenant)))
  }
  const context = await browser.newContext({ ignoreHTTPSErrors: true })
  const studio = await context.newPage()
  await studio.goto(`https://${PAGE_HOST}/studio.html`)
  return {
    web,
    bid: async (tenant, imp, request = {}, exchange = 'adx') =>
      await auction(`http://127.0.0.1:${services.get(tenant)!.port}`, `/${tenant}/openrtb2/${exchange}`, {
        imp,
        request,
      }),
    page: async size => await openPage(browser, size),
    drawn,
    told: async count => {
      const hits = await web.hitsOf(({ host }) => host === BALANCER_HOST, count)
      return hits.map(({ path, status }) => `${path.replace('event/', '')} ${status}`)
    },
    notify: async (tenant, url = '') => {
      const { pathname, search } = new URL(url)
      return (await fetch(`http://127.0.0.1:${services.get(tenant)!.port}${pathname}${search}`)).status
    },
    seen: async (page, name, elements) => await seen(studio, page, { name, elements }),
    close: async () => {
      await browser.close()
      web.close()
      for (const service of services.values()) service.kill('SIGTERM')
      await Promise.all([...services.values()].map(service => service.ended))
      await rm(scratch, { recursive: true })
      const defects = [...services.values()].flatMap(({ lines, errors }) => [...lines.filter(isDefect), ...errors])
      if (defects.length > 0) throw new Error(`the services say:\n${defects.join('\n')}`)
    },
  }
}

function isDefect(line: string): boolean {
  return /"code":"(bid-refused|internal-error|crash|thread-lost|record-refused)"/.test(line)
}

async function writeDocuments(directory: string, documents: TenantDocuments): Promise<void> {
  await mkdir(directory)
  for (const [kind, records] of Object.entries(documents))
    await writeFile(join(directory, `${kind}.json`), JSON.stringify(records))
}

async function openService(tenant: Tenant, directory: string, spendDirectory: string): Promise<ServiceRun> {
  const service = await runService({
    TENANT_ID: tenant,
    STATE_URL: `file:${directory}`,
    SPEND_URL: `file:${spendDirectory}`,
    PUBLIC_URL: `https://${BALANCER_HOST}`,
    NOTICE_KEYS: `k1:${'render-test-secret-of-32-letters-'}`,
    BID_THREADS: '1',
  })
  await service.entry('ready')
  return service
}

async function openPage(browser: Browser, size = { width: 1_100, height: 820 }): Promise<Page> {
  const page = await browser.newPage({ ignoreHTTPSErrors: true, viewport: size })
  page.on('pageerror', error => {
    throw error
  })
  await page.goto(`https://${PAGE_HOST}/`)
  await page.waitForFunction(() => 'stage' in globalThis)
  return page
}

async function seen(
  studio: Page,
  page: Page,
  { name, elements }: { name: string; elements: Locator },
): Promise<readonly Colours[]> {
  await drawn(page)
  const boxes: Box[] = []
  for (const element of await elements.all()) boxes.push((await element.boundingBox())!)
  const png = (await page.screenshot({ path: screenshot(name), fullPage: true })).toString('base64')
  return await studio.evaluate(
    async args => await (globalThis as unknown as { studio: Studio }).studio.colours(...args),
    [png, boxes] as const,
  )
}

/** A frame that is out of view is never painted, so only the page is asked for that. */
async function drawn(page: Page): Promise<void> {
  for (const frame of page.frames())
    await frame.evaluate(async () => {
      await Promise.all([...document.images].map(image => image.decode().catch(() => {})))
    })
  await page.evaluate(async () => {
    for (let count = 0; count < 2; count++) await new Promise(requestAnimationFrame)
  })
}

/** The stage of a page, as functions of ours. */
export function stageOf(page: Page) {
  type Held = { stage: Stage }
  return {
    banner: async (...[html, width, height]: Parameters<Stage['banner']>) =>
      await page.evaluate(args => (globalThis as unknown as Held).stage.banner(...args), [
        html,
        width,
        height,
      ] as const),
    hang: async (...[html, width, height]: Parameters<Stage['hang']>) =>
      await page.evaluate(args => (globalThis as unknown as Held).stage.hang(...args), [html, width, height] as const),
    native: async (...[adm, wanted]: Parameters<Stage['native']>) =>
      await page.evaluate(args => (globalThis as unknown as Held).stage.native(...args), [adm, wanted] as const),
    vast: async (...[xml, playing]: Parameters<Stage['vast']>) =>
      await page.evaluate(async args => await (globalThis as unknown as Held).stage.vast(...args), [
        xml,
        playing,
      ] as const),
  }
}

async function make(studio: Page, order: MediaOrder): Promise<WebFile> {
  type Held = { studio: Studio }
  if (order.kind === 'sound') {
    if (order.mime !== 'audio/mpeg') throw new Error(`nobody makes ${order.mime} here`)
    return { mime: order.mime, body: silentMp3(order.durationS) }
  }
  const { artwork, mime } = order
  const text =
    order.kind === 'picture'
      ? await studio.evaluate(async args => await (globalThis as unknown as Held).studio.picture(...args), [
          artwork,
          mime,
          order.width,
          order.height,
        ] as const)
      : await studio.evaluate(async args => await (globalThis as unknown as Held).studio.film(...args), [
          artwork,
          mime,
          order.size,
        ] as const)
  return { mime, body: Buffer.from(text, 'base64') }
}
