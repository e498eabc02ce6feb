// The overview: the live map, and the ledger beside it.
import { computed, html } from '../lib.js'
import { count, clock, isSet, plural, shown } from '../format.js'
import { functionKeys, functionOf, ledger, loaded, queueNames, queueOf } from '../live.js'
import { LiveMap, stateOf } from '../map.js'
import { Bar, Empty, Page, Waiting } from '../parts.js'
import { to } from '../route.js'
import { FunctionTable } from './functions.js'

const mapLimit = 60

export function Ledger() {
  const l = ledger.value
  if (!l) return html`<section class="card ledger"><h2>Ledger</h2><${Waiting} what="the ledger" /></section>`
  const sound = l.lost === 0 && l.doubled === 0
  const unknown = l.lost == null || l.doubled == null
  const parts = [
    { value: l.done || 0, tone: 'good', label: `${count(l.done)} done` },
    { value: l.waiting || 0, tone: 'info', label: `${count(l.waiting)} waiting` },
    { value: l.dead || 0, tone: 'warn', label: `${count(l.dead)} dead` },
    { value: l.lost || 0, tone: 'bad', label: `${count(l.lost)} lost` },
  ]
  return html`<section class="card ledger" aria-labelledby="ledger-title">
    <h2 id="ledger-title">Ledger</h2>
    <p class=${'verdict ' + (unknown ? '' : sound ? 'good' : 'bad')}>${unknown
      ? 'Lost and doubled are unknown: ended calls are not recorded'
      : sound ? 'Nothing lost, nothing doubled' : 'The books do not balance'}</p>
    <${Bar} parts=${parts} label=${`Of ${count(l.accepted)} accepted messages: ${parts.map(p =>
      p.label).join(', ')}`} />
    <dl class="books">
      <div class="total"><dt>Accepted</dt><dd>${count(l.accepted)}</dd></div>
      <div><dt><i class="key good"></i>Done</dt><dd>${count(l.done)}</dd></div>
      <div><dt><i class="key info"></i>Waiting</dt><dd>${count(l.waiting)}</dd></div>
      <div><dt><i class="key warn"></i><a href="#/dead-letters">Dead</a></dt><dd>${count(l.dead)}</dd></div>
      <div class=${l.lost ? 'bad' : ''}><dt><i class="key bad"></i>Lost</dt><dd>${count(l.lost)}</dd></div>
      <div class=${l.doubled ? 'bad' : ''}><dt>Doubled</dt><dd>${count(l.doubled)}</dd></div>
    </dl>
    <p class="quiet">Queued calls and messages${isSet(l.since) ? ` since ${clock(l.since)}` : ''}.</p>
  </section>`
}

// troubles are what an operator may have to act on, the worst first.
const troubles = computed(() => {
  const list = []
  for (const key of functionKeys.value) {
    const f = functionOf(key).value
    if (!f) continue
    const [state, tone] = stateOf(f)
    if (tone === 'bad') {
      list.push({ tone, word: state, rank: 0, href: to(['function', key]), name: shown(key),
        text: `${plural(f.queued || 0, 'call')} wait for it.` })
    }
  }
  for (const name of queueNames.value) {
    const q = queueOf(name).value
    if (!q) continue
    if (q.dead > 0) {
      list.push({ tone: 'bad', word: 'dead', rank: 1, href: to(['dead-letters'], { queue: name }), name,
        text: `${plural(q.dead, 'dead letter')}: redrive or purge.` })
    }
    if (q.paused) {
      list.push({ tone: 'warn', word: 'paused', rank: 2, href: to(['queues'], { queue: name }), name,
        text: `${plural(q.queued || 0, 'message')} wait until you resume it.` })
    } else if (q.last_error && q.retrying > 0) {
      list.push({ tone: 'warn', word: 'retrying', rank: 3, href: to(['queues'], { queue: name }), name,
        text: `${plural(q.retrying, 'message')} wait for a retry: ${q.last_error.reason}` })
    }
  }
  return list.sort((a, b) => a.rank - b.rank)
})

const mostTroubles = 8

function Attention() {
  const list = troubles.value
  return html`<section class="card" aria-labelledby="attention-title"><h2
    id="attention-title">Needs attention</h2>
    ${list.length === 0 ? html`<p class="quiet">Nothing. All functions can be called,${' '}
      and no message has failed for good.</p>`
      : html`<ul class="attention">${list.slice(0, mostTroubles).map(t => html`<li key=${t.word + t.name}>
        <span class=${'state ' + t.tone}>${t.word}</span><span><a
          href=${t.href}>${t.name}</a> ${t.text}</span></li>`)}</ul>`}
    ${list.length > mostTroubles && html`<p class="quiet">And ${list.length - mostTroubles} more.</p>`}
  </section>`
}

export default function Overview() {
  const n = functionKeys.value.length
  let content
  if (!loaded.value) content = html`<${Waiting} what="functions" />`
  else if (n === 0) {
    content = html`<${Empty} title="No functions are deployed">Deploy one with${' '}
      <code>faas-cli deploy</code> or <code>hearth deploy</code>. It appears here at once.</${Empty}>`
  } else if (n > mapLimit) {
    content = html`<p class="quiet pad">${plural(n,
      'function')} are too many for a map. The table has all of them.</p>
      <${FunctionTable} />`
  } else content = html`<${LiveMap} />`
  return html`<${Page} title="Overview" sub=${html`<p class="sub">What every function does now.</p>`}>
    <div class="overview">
      <div class="left"><section class="card map-card" aria-label="Functions">${content}
        ${loaded.value && n > 0 && n <= mapLimit && html`<p class="legend" aria-hidden="true">
          <span><i class="ready"></i>ready</span><span><i class="busy"></i>busy</span>
          <span><i class="starting"></i>starting</span><span><i class="standby"></i>standby</span>
          <span><i class="moving"></i>messages on their way</span></p>`}
      </section>
      ${loaded.value && n > 0 && html`<${Attention} />`}</div>
      <${Ledger} />
    </div>
  </${Page}>`
}
