/** The style of the status page, for light and dark themes and for wide and narrow screens. */
export const PAGE_STYLE = `
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; --good: #2a7d4f; --bad: #b3370a; --line: #7c3aed; --quiet: #57606a; --rule: color-mix(in srgb, currentColor 20%, transparent); }
@media (prefers-color-scheme: dark) { :root { --good: #4ade80; --bad: #fb923c; --line: #c4b5fd; --quiet: #a3abb5; } }
html { background: Canvas; color: CanvasText; }
body { max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: .5rem 1rem; }
h1 { margin: 0; flex: 1; } h1 small { font-size: 1rem; font-weight: normal; color: var(--quiet); }
button { font: inherit; font-size: .9rem; } button[aria-pressed=true] { background: var(--line); color: Canvas; }
#notice { flex-basis: 100%; margin: 0; }
.verdict, #notice:not(:empty) { padding: .6rem 1rem; border-left: .3rem solid var(--quiet); background: color-mix(in srgb, var(--quiet) 10%, transparent); }
.verdict { font-size: 1.1rem; }
.bad { border-color: var(--bad) !important; background: color-mix(in srgb, var(--bad) 10%, transparent) !important; }
.good { border-color: var(--good) !important; background: color-mix(in srgb, var(--good) 10%, transparent) !important; }
h2 { margin-top: 2rem; font-size: 1.1rem; }
dl { display: grid; grid-template-columns: max-content 1fr max-content 1fr; gap: .25rem 1.5rem; }
dt { color: var(--quiet); } dd { margin: 0; overflow-wrap: anywhere; }
figure { margin: 0; }
.chart { width: 100%; height: auto; display: block; }
.chart text { font-size: 12px; fill: var(--quiet); } .chart .base { stroke: var(--rule); }
.removed { fill: var(--good); } .failure { fill: url(#hatch); stroke: var(--bad); stroke-width: .5; }
#hatch rect { fill: color-mix(in srgb, var(--bad) 15%, transparent); } #hatch line { stroke: var(--bad); stroke-width: 3; }
.duration { fill: none; stroke: var(--line); stroke-width: 1.5; }
figcaption { color: var(--quiet); font-size: .9rem; } figcaption p { margin: .4rem 0 .2rem; }
figcaption ul { margin: 0; padding: 0; list-style: none; display: flex; flex-wrap: wrap; gap: 0 1.5rem; }
figcaption svg { width: .8rem; height: .8rem; margin-right: .4rem; }
details { margin-top: .6rem; font-size: .9rem; } summary { width: max-content; cursor: pointer; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--rule); overflow-wrap: break-word; }
th:last-child, td:last-child { padding-right: 0; }
th[scope=row] { font-weight: normal; overflow-wrap: anywhere; min-width: 5rem; }
.n { text-align: right; font-variant-numeric: tabular-nums; } td.n { white-space: nowrap; }
.length { width: 8rem; max-width: 100%; vertical-align: middle; }
.track { fill: color-mix(in srgb, currentColor 10%, transparent); } .kept { fill: var(--good); } .excess { fill: var(--bad); }
.limit { stroke: currentColor; stroke-width: 2; }
footer { margin-top: 2rem; } nav { display: flex; gap: 1rem; }
:focus-visible { outline: 2px solid var(--line); outline-offset: 2px; }
@media (max-width: 55rem) { dl { grid-template-columns: max-content 1fr; } }
@media (max-width: 40rem) { body { padding: 0 .7rem; } table { font-size: .8rem; } th, td { padding-right: .5rem; overflow-wrap: anywhere; min-width: 2.4rem; } thead th { overflow-wrap: normal; } .chart text { font-size: 24px; } dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .4rem; } .length { width: 3rem; } }`
