// The dead letters: a filter, and redrive or purge of one, some or all that match.
import { html, useState } from '../lib.js'
import { get, post } from '../api.js'
import { count, fullName, plural } from '../format.js'
import { ledger, queueNames, queueOf } from '../live.js'
import { Act, Ago, ask, Empty, Filters, Loaded, Page, Status, Table, useLoad, ViewerNote } from '../parts.js'
import { setQuery, to } from '../route.js'

const limit = 200

const fields = () => [
  { name: 'queue', label: 'Queue', placeholder: 'NAME:calls' },
  { name: 'function', label: 'Function', placeholder: 'NAME' },
  { name: 'status', label: 'Status', placeholder: '500', inputmode: 'numeric', class: 'narrow' },
  { name: 'reason', label: 'Reason contains' },
  { name: 'after', label: 'After', type: 'datetime-local' },
  { name: 'before', label: 'Before', type: 'datetime-local' },
]

const idOf = l => `${l.queue} ${l.id}`
export const statusOf = l => l.failures?.at(-1)?.status

function selection(query) {
  const s = Object.fromEntries(Object.entries(query).filter(([, v]) => v))
  if (s.status) s.status = Number(s.status)
  if (s.function) s.function = fullName(s.function)
  return s
}

// matching counts those that a bulk action changes. The list has at most its limit.
async function matching(query) {
  const filtered = ['status', 'reason', 'after', 'before'].some(f => query[f])
  if (!filtered) {
    let n = 0
    for (const name of queueNames.value) {
      const q = queueOf(name).value
      if (!q || (query.queue && q.queue !== query.queue)) continue
      if (!query.function || q.function === fullName(query.function)) n += q.dead || 0
    }
    return n
  }
  return (await get('/system/dead-letters', { ...selection(query), limit: 1000 })).length
}

export default function Dead({ query }) {
  const [chosen, setChosen] = useState(new Set())
  const letters = useLoad(abort => get('/system/dead-letters', { ...selection(query), limit }, abort),
    [JSON.stringify(query), ledger.value?.dead], 10000)
  const act = async (verb, done, all) => {
    const list = letters.data || []
    const some = list.filter(l => chosen.has(idOf(l)))
    const n = all ? await matching(query) : some.length
    if (!n) return
    const many = n >= 1000 && all && (query.status || query.reason || query.after || query.before)
      ? '1,000 or more' : count(n)
    const purge = verb === 'purge'
    if (!await ask({
      title: `${purge ? 'Purge' : 'Redrive'} ${many} dead ${n === 1 ? 'letter' : 'letters'}?`,
      action: purge ? 'Purge' : 'Redrive',
      danger: purge, typed: purge || n > 1 ? String(n) : '',
      text: purge ? 'They are deleted for good.' : 'They are queued again, with all attempts ahead of them.',
    })) return
    let changed = 0
    if (all) {
      changed = (await post(`/system/dead-letters/${verb}`, { ...selection(query), all: true }))?.[done] || 0
    } else {
      const byQueue = new Map()
      for (const l of some) byQueue.set(l.queue, [...(byQueue.get(l.queue) || []), l.id])
      for (const [queue, ids] of byQueue) {
        changed += (await post(`/system/dead-letters/${verb}`, { queue, ids }))?.[done] || 0
      }
    }
    setChosen(new Set())
    letters.reload()
    return `${purge ? 'Purged' : 'Redriven'}: ${plural(changed, 'dead letter')}.`
  }
  const toggle = l => setChosen(old => {
    const now = new Set(old)
    now.delete(idOf(l)) || now.add(idOf(l))
    return now
  })
  const columns = [
    { head: 'Choose', hidden: true, cell: l => html`<input type="checkbox" checked=${chosen.has(idOf(l))}
      onChange=${() => toggle(l)}
      aria-label=${`Choose ${l.id} of ${l.queue}`} />` },
    { head: 'Message', cell: l => html`<a
      href=${to(['dead-letter', l.queue, l.id])}><code>${l.id}</code></a>` },
    { head: 'Queue', cell: l => l.queue },
    { head: 'Dead since', cell: l => html`<${Ago} at=${l.dead_since || l.buried} />` },
    { head: 'Attempts', num: true, cell: l => l.attempts },
    { head: 'Status', num: true, cell: l => html`<${Status} value=${statusOf(l)} />` },
    { head: 'Reason', cell: l => l.bad || l.unreadable || l.reason },
  ]
  const filtered = Object.values(query).some(Boolean)
  const n = chosen.size
  return html`<${Page} title="Dead letters" sub=${html`<p
    class="sub">Messages that failed permanently, kept until you redrive or purge them.</p>`}>
    <${ViewerNote} />
    <section class="card">
      <${Filters} fields=${fields()} values=${query} onApply=${q => { setChosen(new Set()); setQuery(q) }} />
      <${Loaded} from=${letters} what="dead letters">${list => list.length === 0
        ? html`<${Empty} title=${filtered ? 'No dead letter matches' : 'No dead letters'}>
          ${filtered ? '' : 'Nothing has failed permanently.'}</${Empty}>`
        : html`<div class="bulk">
            <span class="quiet">${list.length === limit ? `The oldest ${limit}`
              : plural(list.length, 'dead letter')}${n ? `, ${n} chosen` : ''}</span>
            <${Act} small label=${`Redrive chosen (${n})`} disabled=${!n} reason="Choose dead letters first."
              onClick=${() => act('redrive', 'redriven')} />
            <${Act} small danger label=${`Purge chosen (${n})`} disabled=${!n}
              reason="Choose dead letters first." onClick=${() => act('purge', 'purged')} />
            <${Act} small label=${filtered ? 'Redrive all that match' : 'Redrive all'}
              onClick=${() => act('redrive', 'redriven', true)} />
            <${Act} small danger label=${filtered ? 'Purge all that match' : 'Purge all'}
              onClick=${() => act('purge', 'purged', true)} />
          </div>
          <${Table} label="Dead letters" columns=${columns} rows=${list} keyOf=${idOf} />`}
      </${Loaded}>
    </section>
  </${Page}>`
}
