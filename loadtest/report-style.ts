/** The look of a report, light and dark. Eight line colours, each distinct from its neighbours on both grounds. */
export const PAGE_STYLE = `
:root{--ground:#fbfbfa;--card:#fff;--ink:#1d2126;--soft:#5d6670;--rule:#dfe2e5;--held:#1a7f4b;--missed:#c0362c;
--invalid:#a35f00;
--c0:#2563b8;--c1:#d9661f;--c2:#15803d;--c3:#9333b0;--c4:#b3261e;--c5:#0e7c86;--c6:#8a6d00;--c7:#5b5f66}
@media(prefers-color-scheme:dark){:root{--ground:#14171a;--card:#1c2024;--ink:#e6e9ec;--soft:#9aa4ae;--rule:#343a40;
--held:#4cc38a;--missed:#ff7b72;--invalid:#f0a94a;--c0:#6aa8ff;--c1:#ff9d5c;--c2:#5fcf86;--c3:#d08bef;--c4:#ff8078;
--c5:#4fc7d1;--c6:#dcc04a;--c7:#b0b6bd}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:960px;margin:0 auto;padding:32px 20px 64px}
h1{font-size:26px;margin:0;display:flex;gap:14px;align-items:center;text-transform:capitalize}
h2{font-size:17px;margin:36px 0 10px}
.sub{color:var(--soft);margin:4px 0 0}
.badge{font-size:13px;font-weight:600;padding:2px 10px;border-radius:99px;border:1px solid currentColor;
white-space:nowrap;text-transform:none;color:var(--soft)}
.badge.held{color:var(--held)}.badge.missed{color:var(--missed)}.badge.invalid{color:var(--invalid)}
.wide{overflow-x:auto;background:var(--card);border:1px solid var(--rule);border-radius:8px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:7px 12px;text-align:right;border-bottom:1px solid var(--rule);vertical-align:top}
.text,.texts th,.texts td{text-align:left}
.texts td:nth-child(2){min-width:110px}
.texts td{overflow-wrap:anywhere}.texts td:last-child{white-space:nowrap}
a{color:var(--c0)}
summary{cursor:pointer;color:var(--soft);margin:10px 0}
th{color:var(--soft);font-weight:600;font-size:13px;white-space:nowrap}
tbody tr:last-child td{border-bottom:0}
pre{background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:12px;overflow-x:auto;
white-space:pre-wrap;overflow-wrap:anywhere;font-size:13px}
dl{display:grid;grid-template-columns:minmax(120px,max-content) 1fr;gap:4px 18px;margin:0}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
figure{margin:0 0 18px;background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:12px 12px 6px}
figcaption{font-weight:600}
figure>svg{width:100%;height:auto;display:block}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:2px 18px;margin:4px 0 6px;padding:0;font-size:13px;
color:var(--soft)}
.key{width:24px;height:8px;margin-right:7px;display:inline-block;vertical-align:middle}
polyline{fill:none;stroke:currentColor;stroke-width:2;stroke-linejoin:round}
.dot{fill:currentColor}
.grid line{stroke:var(--rule)}
.wide+figure{margin-top:14px}
.intervals .neutral{stroke:var(--soft)}.intervals .limit{stroke:var(--missed);stroke-dasharray:5 4}
.within{color:var(--held)}.beyond{color:var(--missed)}
.within line,.beyond line{stroke:currentColor;stroke-width:3}.within circle,.beyond circle{fill:currentColor}
svg text{fill:var(--soft);font-size:12px}
.s0{color:var(--c0)}.s1{color:var(--c1)}.s2{color:var(--c2)}.s3{color:var(--c3)}
.s4{color:var(--c4)}.s5{color:var(--c5)}.s6{color:var(--c6)}.s7{color:var(--c7)}
@media print{main{max-width:none}figure{break-inside:avoid}}
`
