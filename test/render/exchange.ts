/** An exchange with one bidder: it asks, fills its macros, and takes markup where the bid says that it is. */

/** A bid as the tests look at it. */
export interface Bid {
  readonly id: string
  readonly impid: string
  readonly price: number
  readonly adm: string
  readonly crid: string
  readonly adomain: readonly string[]
  readonly mtype: number
  readonly w?: number
  readonly h?: number
  readonly protocol?: number
  /** Where the exchange tells of a win, of a bill and of a loss. */
  readonly nurl?: string
  readonly burl?: string
  readonly lurl?: string
}

/**
 * The bid for a request with one impression, as the exchange passes its markup on.
 * @param origin where the service listens
 * @throws Error when there is none
 */
export async function auction(
  origin: string,
  path: string,
  { imp, request }: { readonly imp: object; readonly request: object },
): Promise<Bid> {
  const body = JSON.stringify({ ...REQUEST, ...request, imp: [{ id: '1', secure: 1, ...imp }] })
  const response = await fetch(origin + path, { method: 'POST', body, headers: { 'Content-Type': 'application/json' } })
  const text = await response.text()
  if (response.status !== 200) throw new Error(`${path} answers ${response.status} ${text} to ${body}`)
  const answer = JSON.parse(text) as Answer
  const { bid: [bid] = [], seat } = answer.seatbid[0]!
  const fill = (text: string) => filled(text, { ...answer, bid: bid!, seat })
  const notices = Object.entries(bid!).filter(([name]) => ['nurl', 'burl', 'lurl'].includes(name))
  const told = Object.fromEntries(notices.map(([name, url]) => [name, fill(String(url))]))
  const adm = bid!.adm ?? (await markupOfWin(origin, told.nurl))
  return { ...bid!, ...told, adm: fill(adm) }
}

interface Answer {
  readonly id: string
  readonly cur: string
  readonly seatbid: readonly { readonly seat: string; readonly bid: readonly (Bid & { readonly adm?: string })[] }[]
}

/** OpenRTB 2.6, 4.3.1: the answer to the win notice is the markup where the bid has none. */
async function markupOfWin(origin: string, nurl = ''): Promise<string> {
  const { pathname, search } = new URL(nurl)
  const response = await fetch(origin + pathname + search)
  const markup = await response.text()
  if (response.status !== 200 || markup === '') throw new Error(`the win notice answers ${response.status} ${markup}`)
  return markup
}

const REQUEST = {
  id: '8f2c1d5e-auction',
  at: 1,
  tmax: 500,
  site: { domain: 'ridgepost.example', page: 'https://www.ridgepost.example/' },
  device: { ua: 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36', devicetype: 2 },
}

/** Fills macros as OpenRTB 2.6, section 4.4, spells them, and the price as one exchange of the samples does. */
function filled(
  text: string,
  of: { readonly id: string; readonly bid: Bid; readonly seat: string; readonly cur: string },
): string {
  const values: Readonly<Record<string, string>> = {
    AUCTION_ID: of.id,
    AUCTION_BID_ID: of.bid.id,
    AUCTION_IMP_ID: of.bid.impid,
    AUCTION_SEAT_ID: of.seat,
    AUCTION_PRICE: String(of.bid.price),
    AUCTION_CURRENCY: of.cur,
  }
  return text
    .replaceAll(/\$\{([A-Z_]+)(?::[A-Z0-9]+)?\}/g, (_, name: string) => values[name] ?? '')
    .replaceAll('%%WIN_PRICE%%', String(of.bid.price))
}
