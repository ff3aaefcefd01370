/** The style of the report: no font, image or script from anywhere. It is hashed into the page's content security policy. */
export const REPORT_STYLE = `
:root {
  color-scheme: light dark;
  --ink: #1b1f24; --paper: #ffffff; --dim: #59636e; --line: #d1d9e0; --soft: #f6f8fa; --bad: #b3261e; --warn: #7d4e00; --accent: #0b57b7;
}
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --paper: #11151a; --dim: #9aa6b2; --line: #333c46; --soft: #1a2028; --bad: #ff8a80; --warn: #e8b04a; --accent: #79b8ff; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1.5rem 1.25rem 3rem; color: var(--ink); background: var(--paper); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h1 strong { color: var(--bad); }
h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; border-bottom: 1px solid var(--line); padding-bottom: .25rem; }
.who { margin: 0 0 .25rem; overflow-wrap: anywhere; }
.meaning { margin: 0 0 1.25rem; color: var(--dim); overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.25rem; margin: 0; }
dt { color: var(--dim); }
dd { margin: 0; overflow-wrap: anywhere; }
code, pre, td.mono, dd { font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: .86rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .86rem; }
th { text-align: left; color: var(--dim); font-weight: 600; padding: .25rem 1rem .25rem 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
td { padding: .2rem 1rem .2rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.mono { white-space: nowrap; }
td.path { white-space: normal; overflow-wrap: anywhere; min-width: 14rem; }
td.number { text-align: right; white-space: nowrap; }
tr.crashed td { color: var(--bad); font-weight: 600; }
.registers { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(23rem, 100%), 1fr)); gap: .1rem 1.25rem; margin: 0; }
.registers div { display: flex; gap: .6rem; font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: .84rem; white-space: nowrap; overflow: hidden; }
.registers dt { width: 4.5em; flex: none; }
.registers span { color: var(--accent); overflow: hidden; text-overflow: ellipsis; }
pre + dl { margin-top: .75rem; }
.scroll + .scroll { margin-top: 1.25rem; }
pre { background: var(--soft); border: 1px solid var(--line); border-radius: 6px; padding: .75rem; margin: 0; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
.problem { color: var(--warn); }
footer { margin-top: 2.5rem; color: var(--dim); font-size: .82rem; }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .5rem; } }
@media print {
  :root { --ink: #000; --paper: #fff; --dim: #444; --line: #bbb; --soft: #fff; --bad: #900; --warn: #630; --accent: #036; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  h2 { break-after: avoid; }
  tr, .registers div { break-inside: avoid; }
}
`;
