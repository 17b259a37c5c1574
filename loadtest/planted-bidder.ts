/**
 * A small bidder with faults on purpose, by which the harness itself is tested: each fault must fail its scenario. It
 * bids on every impression with a banner, and books what it is billed.
 */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { isGoodRequest } from './acceptance.ts'
import { type Json, objectFrom, objectsFrom, textFrom } from './acceptance-rules.ts'

/** Faults of the bidder; without any it is an honest one. */
export interface PlantedFaults {
  /** Books every billing notice, also those that come again. */
  readonly booksTwice?: boolean
  /** Shows its line item to a user again, though a user may see it once. */
  readonly forgetsUsers?: boolean
  /** Blocks its event loop for so long, once a second. */
  readonly stallMs?: number
  /** Puts this text into its answers: an identifier of another tenant. */
  readonly leaks?: string
}

/** A running bidder. */
export interface PlantedBidder {
  /** With the tenant's path. */
  readonly url: string
  /** What it has booked, in the currency of its bids. */
  readonly booked: () => number
  stop(): void
}

const CPM = 2
const TENANT = 'planted'

/** Starts it on a free port of this machine. */
export async function startPlantedBidder(faults: PlantedFaults): Promise<PlantedBidder> {
  const seenUsers = new Set<string>()
  const bookedBids = new Set<string>()
  let booked = 0
  let bids = 0
  const answer = (request: Json, origin: string): string | undefined => {
    const user = textFrom(objectFrom(request.user).id) ?? ''
    const impression = objectsFrom(request.imp).find(each => each.banner !== undefined)
    if (impression === undefined || (seenUsers.has(user) && faults.forgetsUsers !== true)) return undefined
    seenUsers.add(user)
    const id = `b${bids++}`
    const burl = `${origin}/${TENANT}/notice/billing/${id}?price=\${AUCTION_PRICE}`
    const { w, h } = objectFrom(impression.banner)
    const price = Math.max(CPM, 2 * Number(impression.bidfloor ?? 0))
    const own = { id, impid: impression.id, price, burl, w, h, cid: 'capped', crid: 'one', mtype: 1 }
    const bid = { ...own, adomain: ['brand.example'], cat: ['IAB1'], adm: `<p>${faults.leaks ?? 'ad'}</p>` }
    return JSON.stringify({ id: request.id, cur: textsOf(request.cur)[0] ?? 'USD', seatbid: [{ bid: [bid] }] })
  }
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://h')
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      if (pathname.includes('/notice/')) {
        const id = pathname.slice(pathname.lastIndexOf('/') + 1)
        if (faults.booksTwice === true || !bookedBids.has(id)) booked += Number(searchParams.get('price')) / 1_000
        bookedBids.add(id)
        response.writeHead(204).end()
        return
      }
      const asked = requestFrom(Buffer.concat(chunks).toString())
      const body = asked && answer(asked, originOf(server))
      if (asked === undefined) response.writeHead(400).end()
      else if (body === undefined) response.writeHead(204).end()
      else
        response
          .writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
          .end(body)
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const stall = setInterval(() => {
    for (const endMs = performance.now() + (faults.stallMs ?? 0); performance.now() < endMs; );
  }, 1_000)
  return {
    url: `${originOf(server)}/${TENANT}`,
    booked: () => booked,
    stop: () => {
      clearInterval(stall)
      server.close().closeAllConnections()
    },
  }
}

function originOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

function requestFrom(text: string): Json | undefined {
  try {
    const request = objectFrom(JSON.parse(text))
    return isGoodRequest(request) ? request : undefined
  } catch {
    return undefined
  }
}

function textsOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(String) : []
}
