/**
 * Which members of a bid request anybody reads: what is not listed here is passed over, and for a reader it is as if it
 * had not been sent. OpenRTB 2.6, 3.2, with the places of 2.5.
 */
import { type Shape, shape } from './request-json.ts'

// Formatted, each name of the long ones would take two lines.

const ID = shape(([id]) => ({ id }))
const FLOOR_OF_LENGTH = shape(([mindur, maxdur, bidfloor]) => ({ mindur, maxdur, bidfloor }))
const FORMAT = shape(([w, h, wratio, hratio, wmin]) => ({ w, h, wratio, hratio, wmin }))
// biome-ignore format: see above
const BANNER = shape(
  ([w, h, format, wratio, hratio, wmin, mimes, battr, btype, api, pos]) =>
    ({ w, h, format, wratio, hratio, wmin, mimes, battr, btype, api, pos }),
  { format: FORMAT },
)
/** Of video and of audio. */
// biome-ignore format: see above
const MEDIA = shape(
  ([
    mimes, protocols, protocol, battr, api, linearity, w, h, pos, plcmt, ext, minduration, maxduration, poddur, rqddurs,
    mincpmpersec, durfloors,
  ]) => ({
    mimes, protocols, protocol, battr, api, linearity, w, h, pos, plcmt, ext, minduration, maxduration, poddur, rqddurs,
    mincpmpersec, durfloors,
  }),
  { durfloors: FLOOR_OF_LENGTH, ext: shape(([rewarded]) => ({ rewarded })) },
)
/** The request is an object where it is not a text. */
const NATIVE = shape(([request, ver, battr, api]) => ({ request, ver, battr, api }), { request: 'whole' })
// biome-ignore format: see above
const DEAL = shape(
  ([id, bidfloor, bidfloorcur, at, wseat, wadomain, mincpmpersec, durfloors]) =>
    ({ id, bidfloor, bidfloorcur, at, wseat, wadomain, mincpmpersec, durfloors }),
  { durfloors: FLOOR_OF_LENGTH },
)
// biome-ignore format: see above
const IMP = shape(
  ([
    id, banner, video, audio, native, pmp, instl, tagid, bidfloor, bidfloorcur, secure, rwdd, exp, qty,
  ]) => ({
    id, banner, video, audio, native, pmp, instl, tagid, bidfloor, bidfloorcur, secure, rwdd, exp, qty,
  }),
  {
    ...{ banner: BANNER, video: MEDIA, audio: MEDIA, native: NATIVE },
    pmp: shape(([private_auction, deals]) => ({ private_auction, deals }), { deals: DEAL }),
    qty: shape(([multiplier]) => ({ multiplier })),
  },
)
/** Of site, app and dooh. */
// biome-ignore format: see above
const PLACE = shape(
  ([id, domain, page, bundle, cat, sectioncat, pagecat, cattax, keywords, kwarray, publisher, content]) =>
    ({ id, domain, page, bundle, cat, sectioncat, pagecat, cattax, keywords, kwarray, publisher, content }),
  { publisher: ID, content: shape(([cat, cattax, keywords, kwarray]) => ({ cat, cattax, keywords, kwarray })) },
)
// biome-ignore format: see above
const GEO = shape(
  ([lat, lon, country, region, metro, city, zip, utcoffset]) =>
    ({ lat, lon, country, region, metro, city, zip, utcoffset }),
)
const BRAND = shape(([brand, version]) => ({ brand, version }))
// biome-ignore format: see above
const DEVICE = shape(
  ([
    ua, sua, geo, ip, ipv6, ifa, dnt, lmt, devicetype, make, model, os, osv, language, langb, connectiontype, carrier,
    mccmnc,
  ]) => ({
    ua, sua, geo, ip, ipv6, ifa, dnt, lmt, devicetype, make, model, os, osv, language, langb, connectiontype, carrier,
    mccmnc,
  }),
  { geo: GEO, sua: shape(([browsers, platform]) => ({ browsers, platform }), { browsers: BRAND, platform: BRAND }) },
)
const EID = shape(([source, uids]) => ({ source, uids }), { uids: ID })
// biome-ignore format: see above
const USER = shape(
  ([id, buyeruid, keywords, kwarray, geo, data, consent, eids, ext]) =>
    ({ id, buyeruid, keywords, kwarray, geo, data, consent, eids, ext }),
  {
    ...{ geo: GEO, data: shape(([id, segment]) => ({ id, segment }), { segment: ID }), eids: EID },
    ext: shape(([consent, eids]) => ({ consent, eids }), { eids: EID }),
  },
)
// biome-ignore format: see above
const REGS = shape(
  ([coppa, gdpr, us_privacy, gpp, gpp_sid, ext]) => ({ coppa, gdpr, us_privacy, gpp, gpp_sid, ext }),
  {
    ext: shape(([gdpr, us_privacy, gpp, gpp_sid, gpc, dsa]) => ({ gdpr, us_privacy, gpp, gpp_sid, gpc, dsa }), {
      dsa: shape(([dsarequired, pubrender]) => ({ dsarequired, pubrender })),
    }),
  },
)

/** A bid request: what of it is read. */
// biome-ignore format: see above
export const BID_REQUEST: Shape = shape(
  ([
    id, imp, site, app, dooh, device, user, test, tmax, wseat, bseat, allimps, cur, wlang, wlangb, acat, bcat, cattax,
    badv, bapp, regs,
  ]) => ({
    id, imp, site, app, dooh, device, user, test, tmax, wseat, bseat, allimps, cur, wlang, wlangb, acat, bcat, cattax,
    badv, bapp, regs,
  }),
  { imp: IMP, site: PLACE, app: PLACE, dooh: PLACE, device: DEVICE, user: USER, regs: REGS },
)
