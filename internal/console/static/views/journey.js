// A journey: all hops that one call caused, as a waterfall. #/call/CALL-ID finds the trace of a call first.
import { html, useState } from '../lib.js'
import { get, lines, remove } from '../api.js'
import { duration, isSet, keyOf, plural, shown, textOf } from '../format.js'
import { pretty } from '../invoke.js'
import { LogLine } from '../logs.js'
import { Act, Ago, ask, At, Details, Empty, Loaded, Page, State, Status, Table, useLoad,
  ViewerNote } from '../parts.js'
import { to } from '../route.js'

const phases = [
  ['queue_wait_ms', 'queue wait', 'wait'], ['cold_start_ms', 'cold start', 'cold'], ['run_ms', 'run', 'run'],
  ['commit_ms', 'commit', 'commit'], ['hand_off_ms', 'hand off', 'hand'],
]

const waiting = ['queued', 'delayed', 'in_flight', 'retrying']

export default function Journey({ path, query }) {
  const [kind, id] = path
  const journey = useLoad(async abort => {
    if (kind === 'journey') return get(`/system/traces/${encodeURIComponent(id)}`, {}, abort)
    const call = await get(`/async-function/${encodeURIComponent(id)}`, {}, abort)
    if (call.trace_id) {
      try {
        return await get(`/system/traces/${encodeURIComponent(call.trace_id)}`, {}, abort)
      } catch (err) {
        if (err.name === 'AbortError' || err.status !== 404) throw err
      }
    }
    return { trace_id: call.trace_id, call_id: call.call_id, hops: [call, ...(call.caused || [])] }
  }, [kind, id], 2000)
  const first = journey.data?.hops?.[0]
  const title = kind === 'call' ? `Call ${id}` : first?.call_id || journey.data?.call_id
    ? `Journey of ${first?.call_id || journey.data.call_id}` : 'Journey'
  return html`<${Page} title=${title} sub=${html`<p class="sub">What one call caused, across functions.</p>`}>
    <${ViewerNote} />
    ${journey.error?.status === 404 && !journey.data
      ? html`<${Empty} title="This call is not in the record">${journey.error.message}</${Empty}>`
      : html`<${Loaded} from=${journey} what="the journey">${j => html`<${Hops} journey=${j}
        chosen=${query.call} reload=${journey.reload} />`}</${Loaded}>`}
  </${Page}>`
}

// tree orders hops by parent, depth first, and says how deep each is.
export function tree(hops) {
  const known = new Map(hops.map(h => [h.span || h.id, h]))
  const children = new Map()
  const roots = []
  for (const h of [...hops].sort((a, b) => startOf(a) - startOf(b))) {
    if (h.parent && known.has(h.parent) && known.get(h.parent) !== h) {
      children.set(h.parent, [...(children.get(h.parent) || []), h])
    } else roots.push(h)
  }
  const out = []
  const seen = new Set()
  const visit = (h, depth) => {
    if (seen.has(h)) return
    seen.add(h)
    out.push({ hop: h, depth })
    for (const c of children.get(h.span || h.id) || []) visit(c, depth + 1)
  }
  roots.forEach(h => visit(h, 0))
  hops.forEach(h => visit(h, 0))
  return out
}

const first = (...list) => list.find(isSet)
const startOf = h => Date.parse(first(h.queued_at, h.started_at, h.ended_at)) || 0

function segments(h) {
  const p = h.phases || { queue_wait_ms: h.queue_wait_ms, run_ms: h.run_ms }
  const list = phases.map(([field, label, tone]) => ({ ms: p[field] || 0, label, tone }))
    .filter(s => s.ms > 0)
  if (waiting.includes(h.state)) {
    const rest = Date.now() - startOf(h) - list.reduce((sum, s) => sum + s.ms, 0)
    const [label, tone] = h.state === 'in_flight' ? ['running', 'run'] : ['waiting', 'wait']
    if (rest > 0) list.push({ ms: rest, label, tone })
  }
  return list
}

function Hops({ journey, chosen, reload }) {
  const [open, setOpen] = useState(chosen || '')
  const rows = tree(journey.hops || [])
  if (!rows.length) return html`<${Empty} title="This journey has no hops in the record" />`
  const spans = rows.map(({ hop }) => {
    const parts = segments(hop)
    const start = startOf(hop)
    return { parts, start, end: Math.max(start + parts.reduce((sum, s) => sum + s.ms, 0),
      Date.parse(hop.ended_at) || 0) }
  })
  const from = Math.min(...spans.map(s => s.start))
  const total = Math.max(1, Math.max(...spans.map(s => s.end)) - from)
  const dead = rows.filter(r => r.hop.state === 'dead').length
  const still = rows.filter(r => waiting.includes(r.hop.state))
  return html`<section class="card">
    <dl class="summary"><div><dt>Took</dt><dd>${duration(total)}</dd></div>
      <div><dt>Hops</dt><dd>${rows.length}</dd></div>
      <div><dt>Result</dt><dd>${dead ? html`<span class="bad-text">${plural(dead, 'dead hop')}</span>`
        : still.length ? 'still on its way' : 'finished'}</dd></div>
      <div><dt>Started</dt><dd><${At} at=${new Date(from).toISOString()} ms /></dd></div>
      ${journey.trace_id && html`<div><dt>Trace</dt><dd><code>${journey.trace_id}</code></dd></div>`}</dl>
    ${still.filter(r => r.hop.why).map(r => html`<p class="note info"
      key=${r.hop.id}><strong>${shown(keyOf(r.hop))}:</strong> ${r.hop.why}</p>`)}
    <h2 class="visually-hidden">Hops</h2>
    <p class="legend" aria-hidden="true">${phases.map(([, label, tone]) => html`<span><i
      class=${'phase ' + tone}></i>${label}</span>`)}</p>
    <div class="waterfall" role="list">
      ${rows.map(({ hop, depth }, i) => html`<${Hop} key=${hop.id || hop.span || i} hop=${hop} depth=${depth}
        span=${spans[i]}
        from=${from} total=${total} open=${open === (hop.id || hop.span)} reload=${reload}
        toggle=${() => setOpen(open === (hop.id || hop.span) ? '' : hop.id || hop.span)} />`)}
    </div>
  </section>`
}

function Hop({ hop, depth, span, from, total, open, toggle, reload }) {
  const took = span.parts.reduce((sum, s) => sum + s.ms, 0)
  const text = span.parts.map(s => `${s.label} ${duration(s.ms)}`).join(', ')
  return html`<div class=${'hop' + (open ? ' open' : '')} role="listitem">
    <button type="button" class="hop-row" aria-expanded=${open} onClick=${toggle}>
      <span class="hop-name" style=${{ paddingLeft: Math.min(depth, 8) * 14 + 'px' }}>
        <b>${shown(keyOf(hop))}</b>
        <span class="quiet">${hop.topic || hop.kind || ''}</span></span>
      <span class="hop-state"><${State} value=${hop.state} /></span>
      <span class="track" title=${text}><span class="visually-hidden">${text}</span>
        <span class="hop-bar" style=${{ left: (span.start - from) / total * 100 + '%',
          width: Math.max(took / total * 100, 0.4) + '%' }}>
          ${span.parts.map(s => html`<i class=${'phase ' + s.tone}
            style=${{ width: s.ms / took * 100 + '%' }}></i>`)}</span></span>
      <span class="hop-took">${duration(took)}</span>
    </button>
    ${open && html`<${HopDetails} hop=${hop} reload=${reload} text=${text} />`}
  </div>`
}

function HopDetails({ hop, text, reload }) {
  const attempts = useLoad(async abort => {
    if (hop.attempts) return hop.attempts
    try {
      return (await get(`/async-function/${encodeURIComponent(hop.call_id)}`, {}, abort)).attempts || []
    } catch (err) {
      if (err.status === 404) return []
      throw err
    }
  }, [hop.id, hop.state, hop.attempt])
  const bodies = hop.bodies || {}
  return html`<div class="hop-details">
    <${Details} rows=${[
      ['Phases', text || 'none yet'], ['Call id', html`<a
        href=${to(['call', hop.call_id])}><code>${hop.call_id}</code></a>`],
      ['Request', `${hop.method || 'POST'} ${hop.path || '/'}`], hop.queue && ['Queue', hop.queue],
      ['Status', html`<${Status} value=${hop.status} />`], hop.reason && ['Reason', hop.reason],
      hop.replica && ['Replica', html`<code>${hop.replica}</code>`], hop.why && ['Why it waits', hop.why],
      ['Queued', html`<${At} at=${hop.queued_at} ms />`], ['Started', html`<${At}
        at=${hop.started_at} ms />`],
      ['Ended', html`<${At} at=${hop.ended_at} ms />`],
    ]} />
    ${bodies.request && html`<h3>Body</h3><${Body} label="Body of the call" base64=${bodies.request} />`}
    ${bodies.too_large && html`<p class="quiet">The body is larger than what the record keeps.</p>`}
    ${bodies.answer && html`<h3>Answer</h3><${Body} label="Body of the answer" base64=${bodies.answer} />`}
    <h3>Attempts</h3>
    <${Loaded} from=${attempts} what="attempts">${list => html`<${Attempts} list=${list} />`}</${Loaded}>
    <h3>Log lines</h3>
    <${CallLogs} hop=${hop} />
    ${['queued', 'delayed', 'retrying', 'in_flight'].includes(hop.state) && hop.kind !== 'sync'
      && hop.kind !== 'topic' && html`<div class="actions"><${Act}
      danger small label="Cancel this call" onClick=${async () => {
        if (!await ask({ title: 'Cancel this call?', action: 'Cancel the call', danger: true,
          text: 'It leaves its queue, or is ended if it runs. It makes no callback.' })) return
        const call = encodeURIComponent(hop.call_id)
        await remove(`/async-function/${call}?function=${encodeURIComponent(keyOf(hop))}`)
        reload()
        return 'The call is cancelled.'
      }} /></div>`}
    ${hop.state === 'dead' && hop.queue && html`<p><a
      href=${to(['dead-letters'], { queue: hop.queue })}>Dead letters of ${hop.queue}</a></p>`}
  </div>`
}

function Body({ base64, label }) {
  const body = textOf(base64)
  return html`<pre class="body" tabindex="0" aria-label=${label}>${
    body.ok ? pretty(body.text) : `${body.size} bytes that are not text`}</pre>`
}

export function Attempts({ list }) {
  if (!list?.length) return html`<p class="quiet">No attempt has failed or is recorded.</p>`
  return html`<${Table} label="Attempts" rows=${list} keyOf=${a => a.attempt + a.at} columns=${[
    { head: 'Attempt', cell: a => a.attempt },
    { head: 'When', cell: a => html`<${Ago} at=${a.at} />` },
    { head: 'Status', num: true, cell: a => html`<${Status} value=${a.status} />` },
    { head: 'Reason', cell: a => html`${a.reason || '–'}${a.body && html`<pre
      class="excerpt">${a.body}</pre>`}` },
    { head: 'Replica', cell: a => a.replica ? html`<code>${a.replica}</code>` : '–' },
  ]} />`
}

// CallLogs shows what the replica printed while it ran the call; lines with the call's id stand out.
function CallLogs({ hop }) {
  const logs = useLoad(async abort => {
    const start = Date.parse(first(hop.started_at, hop.queued_at))
    if (!start) return []
    const end = isSet(hop.ended_at) ? Date.parse(hop.ended_at) + 250 : Date.now() + 1000
    const found = []
    for await (const batch of lines('/system/logs', { name: hop.function, namespace: hop.namespace,
      follow: false,
      since: new Date(start - 250).toISOString(), tail: -1, instance: hop.replica }, abort)) {
      for (const l of batch) {
        const at = Date.parse(l.timestamp)
        const own = hop.call_id && l.text.includes(hop.call_id)
        if (own || (at >= start - 250 && at <= end)) found.push({ ...l, own })
      }
      if (found.length > 300) break
    }
    return found.slice(0, 300)
  }, [hop.id, hop.state])
  return html`<${Loaded} from=${logs} what="log lines">${list => list.length === 0
    ? html`<p class="quiet">No line was printed while it ran, or the log no longer has it.</p>`
    : html`<p class="quiet">What the ${hop.replica ? 'replica' : 'function'} printed while the call ran.${' '}
        Other calls may have printed some of it.</p>
      <div class="log-lines short" tabindex="0" role="log" aria-live="off"
        aria-label="Log lines of this call">${
        list.map((l, i) => html`<${LogLine} key=${i} line=${l} found=${l.own} />`)}</div>`}</${Loaded}>`
}
