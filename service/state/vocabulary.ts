/** Closed word lists of the field: ISO countries and currencies, media types. Requests are normalised to them. */

/** ISO 3166-1: three-letter code directly followed by its two-letter code. */
const COUNTRY_PAIRS =
  'ABWAW AFGAF AGOAO AIAAI ALAAX ALBAL ANDAD AREAE ARGAR ARMAM ASMAS ATAAQ ATFTF ATGAG AUSAU AUTAT AZEAZ ' +
  'BDIBI BELBE BENBJ BESBQ BFABF BGDBD BGRBG BHRBH BHSBS BIHBA BLMBL BLRBY BLZBZ BMUBM BOLBO BRABR BRBBB ' +
  'BRNBN BTNBT BVTBV BWABW CAFCF CANCA CCKCC CHECH CHLCL CHNCN CIVCI CMRCM CODCD COGCG COKCK COLCO COMKM ' +
  'CPVCV CRICR CUBCU CUWCW CXRCX CYMKY CYPCY CZECZ DEUDE DJIDJ DMADM DNKDK DOMDO DZADZ ECUEC EGYEG ERIER ' +
  'ESHEH ESPES ESTEE ETHET FINFI FJIFJ FLKFK FRAFR FROFO FSMFM GABGA GBRGB GEOGE GGYGG GHAGH GIBGI GINGN ' +
  'GLPGP GMBGM GNBGW GNQGQ GRCGR GRDGD GRLGL GTMGT GUFGF GUMGU GUYGY HKGHK HMDHM HNDHN HRVHR HTIHT HUNHU ' +
  'IDNID IMNIM INDIN IOTIO IRLIE IRNIR IRQIQ ISLIS ISRIL ITAIT JAMJM JEYJE JORJO JPNJP KAZKZ KENKE KGZKG ' +
  'KHMKH KIRKI KNAKN KORKR KWTKW LAOLA LBNLB LBRLR LBYLY LCALC LIELI LKALK LSOLS LTULT LUXLU LVALV MACMO ' +
  'MAFMF MARMA MCOMC MDAMD MDGMG MDVMV MEXMX MHLMH MKDMK MLIML MLTMT MMRMM MNEME MNGMN MNPMP MOZMZ MRTMR ' +
  'MSRMS MTQMQ MUSMU MWIMW MYSMY MYTYT NAMNA NCLNC NERNE NFKNF NGANG NICNI NIUNU NLDNL NORNO NPLNP NRUNR ' +
  'NZLNZ OMNOM PAKPK PANPA PCNPN PERPE PHLPH PLWPW PNGPG POLPL PRIPR PRKKP PRTPT PRYPY PSEPS PYFPF QATQA ' +
  'REURE ROURO RUSRU RWARW SAUSA SDNSD SENSN SGPSG SGSGS SHNSH SJMSJ SLBSB SLESL SLVSV SMRSM SOMSO SPMPM ' +
  'SRBRS SSDSS STPST SURSR SVKSK SVNSI SWESE SWZSZ SXMSX SYCSC SYRSY TCATC TCDTD TGOTG THATH TJKTJ TKLTK ' +
  'TKMTM TLSTL TONTO TTOTT TUNTN TURTR TUVTV TWNTW TZATZ UGAUG UKRUA UMIUM URYUY USAUS UZBUZ VATVA VCTVC ' +
  'VENVE VGBVG VIRVI VNMVN VUTVU WLFWF WSMWS YEMYE ZAFZA ZMBZM ZWEZW '

/** ISO 4217 currencies. */
const CURRENCY_CODES =
  'AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF ' +
  'CHE CHF CHW CLF CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP ' +
  'GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT ' +
  'LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR ' +
  'NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN ' +
  'SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED VES VND VUV WST XAD ' +
  'XAF XAG XAU XBA XBB XBC XBD XCD XCG XDR XOF XPD XPF XPT XSU XTS XUA XXX YER ZAR ZMW ZWG '

const alpha3ToAlpha2 = new Map<string, string>()
const alpha2ToAlpha3 = new Map<string, string>()
for (const pair of COUNTRY_PAIRS.trim().split(' ')) {
  alpha3ToAlpha2.set(pair.slice(0, 3), pair.slice(3))
  alpha2ToAlpha3.set(pair.slice(3), pair.slice(0, 3))
}

/** Currency codes that documents may name. */
export const CURRENCIES: ReadonlySet<string> = new Set(CURRENCY_CODES.trim().split(' '))

/** ISO 3166-1 alpha-3, as OpenRTB's geo.country asks; alpha-2, which some exchanges send, is read too. '' = unknown. */
export function countryFrom(text: string): string {
  if (alpha3ToAlpha2.has(text)) return text
  const code = text.toUpperCase()
  if (alpha3ToAlpha2.has(code)) return code
  return alpha2ToAlpha3.get(code) ?? ''
}

/** Two-letter code of a three-letter country, '' when unknown. */
export function countryAlpha2(alpha3: string): string {
  return alpha3ToAlpha2.get(alpha3) ?? ''
}

/** Browsers that line items can name; see openrtb/user-agent.ts for how they are recognised. */
export const BROWSERS = [
  'chrome',
  'safari',
  'firefox',
  'edge',
  'opera',
  'samsung',
  'brave',
  'vivaldi',
  'yandex',
  'ucbrowser',
  'duckduckgo',
  'silk',
  'explorer',
] as const

/**
 * Media types that a creative can have, in a fixed order: the position is its bit in a mask. At most 32.
 * A type that a request names and that is not here matches nothing.
 */
export const MIMES = [
  'image/jpeg',
  'image/png',
  'image/gif',
  'image/webp',
  'image/svg+xml',
  'image/avif',
  'text/html',
  'application/javascript',
  'text/javascript',
  'application/x-javascript',
  'video/mp4',
  'video/webm',
  'video/ogg',
  'video/3gpp',
  'video/quicktime',
  'video/x-ms-wmv',
  'application/x-mpegURL',
  'application/dash+xml',
  'audio/mp4',
  'audio/mpeg',
  'audio/mp3',
  'audio/ogg',
  'audio/aac',
  'audio/wav',
] as const

const mimeBits = new Map<string, number>(MIMES.map((mime, bit) => [mime.toLowerCase(), 1 << bit]))

/** The mask bit of a media type, 0 when it is not one of MIMES. Case and parameters (`; charset=`) do not matter. */
export function mimeBit(text: string): number {
  const known = mimeBits.get(text)
  if (known !== undefined) return known
  const bare = text.split(';', 1)[0] ?? ''
  return mimeBits.get(bare.trim().toLowerCase()) ?? 0
}

/** An ISO 639-1 language as one number, 0 when it is not two letters. */
export function languageCode(language: string): number {
  return /^[a-z]{2}$/.test(language) ? language.charCodeAt(0) * 256 + language.charCodeAt(1) : 0
}
