// The queues: how many messages each has, how fast they come and go, and what can be done about it.
import { html, useState } from '../lib.js'
import { post } from '../api.js'
import { compact, count, duration, plural, rate, shown } from '../format.js'
import { loaded, queueNames, queueOf, rateOf, redis } from '../live.js'
import { Act, Ago, ask, Empty, Page, State, ViewerNote, Waiting } from '../parts.js'
import { to } from '../route.js'

const perPage = 50

const RateOf = ({ name, side }) => rate(rateOf('queue ' + name).value[side])

async function pause(q) {
  if (!q.paused && !await ask({ title: `Pause ${q.queue}?`, action: 'Pause',
    text: 'Calls are still accepted and kept. None is delivered until you resume the queue, '
      + 'also after a restart.' })) return
  await post(`/system/queues/${q.paused ? 'resume' : 'pause'}`, { queue: q.queue })
  return q.paused ? `${q.queue} is delivered again.` : `${q.queue} is paused.`
}

async function purge(q) {
  const n = (q.queued || 0) + (q.delayed || 0)
  if (!await ask({ title: `Purge ${q.queue}?`, action: 'Purge', danger: true, typed: String(n),
    text: `This deletes ${plural(n, 'queued or delayed message')} for good. `
      + 'Those in flight and dead letters stay.' })) return
  const done = await post('/system/queues/purge', { queue: q.queue, queued: true, delayed: true })
  return `Purged ${plural((done?.queued || 0) + (done?.delayed || 0), 'message')} of ${q.queue}.`
}

function Row({ id }) {
  const q = queueOf(id).value
  if (!q) return null
  const n = (q.queued || 0) + (q.delayed || 0)
  return html`<tr>
    <th scope="row">${q.queue}${!q.deployed && html`<div class="why">its function is not deployed</div>`}${
      q.last_error && html`<div class="why">last error: ${q.last_error.reason}</div>`}</th>
    <td>${q.paused ? html`<${State} value="paused" />${q.paused_at && html`<div class="why"><${Ago}
      at=${q.paused_at} /></div>`}`
      : html`<span class="quiet">delivering</span>`}</td>
    <td class="num">${count(q.queued)}${q.retrying > 0 && html`<div
      class="why">${compact(q.retrying)} retry</div>`}</td>
    <td class="num">${count(q.in_flight)}</td><td class="num">${count(q.delayed)}</td>
    <td class="num">${q.dead > 0 ? html`<a class="bad-text"
      href=${to(['dead-letters'], { queue: q.queue })}>${count(q.dead)}</a>` : '0'}</td>
    <td class="num"><${RateOf} name=${id} side="in" /></td><td class="num"><${RateOf} name=${id}
      side="out" /></td>
    <td class="num">${q.oldest_seconds > 0 ? duration(q.oldest_seconds * 1000) : '–'}</td>
    <td class="row-actions"><${Act} small label=${q.paused ? 'Resume' : 'Pause'} onClick=${() => pause(q)} />
      <${Act} small danger label="Purge" disabled=${n === 0 || !q.queue.endsWith(':calls')}
        reason=${n === 0 ? 'Nothing waits in this queue.' : 'Only queues of calls can be purged.'}
          onClick=${() => purge(q)} /></td>
  </tr>`
}

export default function Queues({ query }) {
  const [filter, setFilter] = useState(query.queue || '')
  const [page, setPage] = useState(0)
  const all = queueNames.value.filter(name => shown(name).includes(filter.trim()))
  const last = Math.max(0, Math.ceil(all.length / perPage) - 1)
  const at = Math.min(page, last)
  let content
  if (!loaded.value) content = html`<${Waiting} what="queues" />`
  else if (!queueNames.value.length) {
    content = redis.value?.available === false
      ? html`<${Empty} title="Queue depths unavailable">Redis does not answer.</${Empty}>`
      : html`<${Empty} title="No queues">
        A queue exists once a call is queued or a topic is subscribed to.</${Empty}>`
  } else if (!all.length) content = html`<${Empty} title="No queue has such a name" />`
  else {
    content = html`<div class="scroll" tabindex="0" role="region" aria-label="Queues"><table><thead><tr>
      <th scope="col">Queue</th><th scope="col">State</th><th scope="col" class="num">Queued</th>
      <th scope="col" class="num">In flight</th><th scope="col" class="num">Delayed</th><th scope="col"
        class="num">Dead</th>
      <th scope="col" class="num">In</th><th scope="col" class="num">Out</th><th scope="col"
        class="num">Oldest</th>
      <th scope="col"><span class="visually-hidden">Actions</span></th></tr></thead>
      <tbody>${all.slice(at * perPage, (at + 1) * perPage).map(name => html`<${Row} key=${name}
        id=${name} />`)}</tbody></table></div>`
  }
  return html`<${Page} title="Queues" sub=${html`<p
    class="sub">Messages that wait for a function, and how fast they come and go.</p>`}>
    <${ViewerNote} />
    <section class="card"><div class="filters"><label>Name contains <input type="search" value=${filter}
      autocomplete="off"
      spellcheck=${false} onInput=${e => { setFilter(e.target.value); setPage(0) }} /></label></div>
    ${content}
    ${last > 0 && html`<div class="pager"><span>${plural(all.length, 'queue')}, page ${at + 1} of ${last + 1}
      </span>
      <button type="button" class="small" disabled=${at === 0}
        onClick=${() => setPage(at - 1)}>Previous</button>
      <button type="button" class="small" disabled=${at === last}
        onClick=${() => setPage(at + 1)}>Next</button></div>`}
    </section>
  </${Page}>`
}
