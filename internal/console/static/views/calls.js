// The record of calls: a search, newest first, page by page.
import { html } from '../lib.js'
import { get } from '../api.js'
import { count, duration, fullName, keyOf, shown } from '../format.js'
import { functionKeys } from '../live.js'
import { Ago, Empty, Filters, Loaded, Page, State, Status, Table, useLoad } from '../parts.js'
import { setQuery, to } from '../route.js'

const perPage = 50
const states = ['queued', 'delayed', 'in_flight', 'retrying', 'succeeded', 'failed', 'dead', 'cancelled']
const kinds = ['sync', 'queued', 'topic', 'callback', 'schedule']

const names = () => [['', 'all'], ...functionKeys.value.map(key => [key, shown(key)])]

const fields = () => [
  functionKeys.value.length > 0 && functionKeys.value.length <= 100
    ? { name: 'function', label: 'Function', options: names() }
    : { name: 'function', label: 'Function', placeholder: 'NAME' },
  { name: 'state', label: 'State', options: [['', 'any'], ...states.map(s => [s, s.replace('_', ' ')])] },
  { name: 'kind', label: 'Kind', options: [['', 'any'], ...kinds.map(k => [k, k])] },
  { name: 'status', label: 'Status', placeholder: '500', inputmode: 'numeric', class: 'narrow' },
  { name: 'call_id', label: 'Call id' },
  { name: 'trace_id', label: 'Trace id' },
  { name: 'after', label: 'After', type: 'datetime-local' },
  { name: 'before', label: 'Before', type: 'datetime-local' },
  { name: 'min_ms', label: 'Longer than (ms)', inputmode: 'numeric', class: 'narrow' },
  { name: 'max_ms', label: 'Shorter than (ms)', inputmode: 'numeric', class: 'narrow' },
]

export const callLink = c => c.trace_id ? to(['journey', c.trace_id], { call: c.id || c.call_id })
  : to(['call', c.call_id || c.id])

export const columns = [
  { head: 'Call', cell: c => html`<a class="call-id"
    href=${callLink(c)}><code>${c.call_id || c.id}</code></a>` },
  { head: 'Function', cell: c => shown(keyOf(c)) },
  { head: 'Kind', cell: c => html`${c.kind}${c.topic && html` <span class="quiet">${c.topic}</span>`}` },
  { head: 'State', cell: c => html`<${State} value=${c.state} />${c.why && html`<div
    class="why">${c.why}</div>`}` },
  { head: 'Status', num: true, cell: c => html`<${Status} value=${c.status} />` },
  { head: 'When', cell: c => html`<${Ago} at=${c.queued_at || c.started_at} />` },
  { head: 'Waited', num: true, cell: c => duration(c.queue_wait_ms) },
  { head: 'Ran', num: true, cell: c => duration(c.run_ms) },
  { head: 'Attempt', num: true, cell: c => c.attempt || '–' },
]

export default function Calls({ query }) {
  const { cursor, ...filters } = query
  const text = JSON.stringify(query)
  const params = { ...filters, cursor, limit: perPage }
  if (filters.function) params.function = fullName(filters.function)
  const calls = useLoad(abort => get('/system/calls', params, abort), [text], cursor ? 0 : 3000)
  return html`<${Page} title="Calls" sub=${html`<p
    class="sub">Waiting calls, and finished ones as long as the record keeps them.</p>`}>
    <section class="card">
      <${Filters} fields=${fields()} values=${filters} onApply=${setQuery} />
      <${Loaded} from=${calls} what="calls">${data => data.calls.length === 0
        ? html`<${Empty} title=${Object.keys(filters).length ? 'No call matches'
        : 'No calls yet'}>${Object.keys(filters).length
          ? 'The record keeps finished calls for a limited time: by default 24 hours, or the last 100,000.'
          : 'Call a function, and it appears here.'}</${Empty}>`
        : html`<${Table} label="Calls" columns=${columns} rows=${data.calls}
          keyOf=${c => c.id || c.call_id} />
          <div class="pager"><span>${count(data.calls.length)} calls on this page</span>
            ${cursor && html`<a class="button small" href=${to(['calls'], filters)}>Newest</a>`}
            ${data.next && html`<a class="button small"
              href=${to(['calls'], { ...filters, cursor: data.next })}>Older</a>`}</div>`}
      </${Loaded}>
    </section>
  </${Page}>`
}
