// What functions used, and what it costs: one bar for each day, one colour for each function.
import { html } from '../lib.js'
import { get } from '../api.js'
import { compact, count, duration, money, shown } from '../format.js'
import { Empty, Loaded, Page, Table, useLoad } from '../parts.js'
import { setQuery, to } from '../route.js'

const day = 86400000
const ranges = { 1: 'Today', 7: '7 days', 30: '30 days' }
const shownFunctions = 7

const dayOf = t => new Date(t).toISOString().slice(0, 10)

export default function Usage({ query }) {
  const days = ranges[query.days] ? Number(query.days) : 7
  const from = dayOf(Date.now() - (days - 1) * day)
  const usage = useLoad(async abort => {
    const [daily, total] = await Promise.all([get('/system/usage', { from, by: 'day' }, abort),
      get('/system/usage', { from, by: 'total' }, abort)])
    return { daily, total }
  }, [from], 60000)
  return html`<${Page} title="Usage" 
      sub=${html`<p class="sub">What functions used, and what it would cost.</p>`}>
    <section class="card"><header class="card-head"><h2>Cost by day</h2>
        <div class="switch" role="group" aria-label="Time span">${Object.entries(ranges).map(([n, label]) =>
          html`<button type="button" class="small" aria-pressed=${Number(n) === days}
            onClick=${() => setQuery({ days: n })}>${label}</button>`)}</div>
      </header>
      <${Loaded} from=${usage} what="usage">${({ daily, total }) => !daily.rows?.length
        ? html`<${Empty} title="Nothing was used in this time">
          A function that is scaled to zero costs nothing.</${Empty}>`
        : html`<${Bill} daily=${daily} total=${total} from=${from} days=${days} />`}</${Loaded}>
    </section>
  </${Page}>`
}

function Bill({ daily, total, from, days }) {
  const currency = daily.prices?.currency || ''
  const byFunction = [...total.rows].filter(r => r.function).sort((a, b) => b.cost.total - a.cost.total
    || b.calls - a.calls)
  const named = byFunction.slice(0, shownFunctions).map(r => r.function)
  const colourOf = name => { const i = named.indexOf(name); return i < 0 ? 'c-other' : 'c-' + i }
  const list = Array.from({ length: days }, (_, i) => dayOf(Date.parse(from) + i * day))
  const parts = new Map(list.map(d => [d, []]))
  for (const r of daily.rows) parts.get(dayOf(r.start))?.push(r)
  const sum = rows => rows.reduce((n, r) => n + r.cost.total, 0)
  const top = Math.max(...list.map(d => sum(parts.get(d))), 1e-12)
  const barOf = (day, label) => {
    const rows = parts.get(day).sort((a, b) => named.indexOf(b.function) - named.indexOf(a.function))
    const all = sum(rows)
    const titleOf = r =>
      `${shown(r.function || 'others')}: ${money(r.cost.total, currency)}, ${compact(r.calls)} calls`
    return html`<div class="day" key=${day}>
      <span class="day-sum">${days <= 7 && all > 0 ? money(all) : ''}</span>
      <div class="day-bar" style=${{ height: all / top * 80 + '%' }}>${rows.map(r => r.cost.total > 0 &&
        html`<i class=${colourOf(r.function)} style=${{ flexGrow: r.cost.total / all * 100 }}
          title=${titleOf(r)}></i>`)}</div>
      <span class="day-name">${label}</span></div>`
  }
  const asText = list.map(d => `${d} ${money(sum(parts.get(d)), currency)}`).join(', ')
  return html`<p class="bill-total"><strong>${money(total.total?.cost?.total, currency)}</strong>${' '}
      for ${count(total.total?.calls)} calls since ${from}${' '}
      <span class="quiet">${daily.prices?.name ? `at the prices of ${daily.prices.name}` : ''}</span></p>
    <div class="days" role="img" aria-label=${'Cost by day: ' + asText}>${
      list.map((d, i) => barOf(d, days <= 7 || i % 5 === 0 ? d.slice(5) : ''))}</div>
    <p class="legend">${named.map((n, i) => html`<span><i class=${'key c-' + i}></i>${shown(n)}</span>`)}${
      byFunction.length > named.length && html`<span><i class="key c-other"></i>others</span>`}</p>
    <h2>By function</h2>
    <${Table} label="Usage by function" rows=${byFunction} keyOf=${r => r.function} columns=${[
      { head: 'Function', cell: r => html`<a href=${to(['function', r.function])}>${shown(r.function)}</a>` },
      { head: 'Calls', num: true, cell: r => count(r.calls) },
      { head: 'Busy', num: true, cell: r => duration(r.busy_seconds * 1000) },
      { head: 'Replicas lived', num: true, cell: r => duration(r.replica_seconds * 1000) },
      { head: 'GB-seconds', num: true, cell: r => (r.gb_seconds || 0).toFixed(1) },
      { head: 'Cold starts', num: true, cell: r => count(r.cold_starts?.count) },
      { head: 'Queue wait (mean)', num: true, cell: r => r.queue_wait?.count ? duration(r.queue_wait.mean_ms)
        : '–' },
      { head: `Cost${currency ? ` (${currency})` : ''}`, num: true, cell: r => money(r.cost.total) },
    ]} />
    <p class="quiet">Days are in UTC. The command line has the same: <code>hearth bill</code>.</p>`
}
