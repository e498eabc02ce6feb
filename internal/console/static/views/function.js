// One function: charts, replicas, spec, revisions, scaling, logs, and what can be done to it.
import { html } from '../lib.js'
import { get, post, remove } from '../api.js'
import { bytes, compact, count, duration, plural, rate, shown, split } from '../format.js'
import { Chart } from '../chart.js'
import { functionOf, loaded, queueNames, queueOf } from '../live.js'
import { Logs } from '../logs.js'
import { Replicas, replicasText, stateOf } from '../map.js'
import { Act, Ago, ask, At, Details, Empty, Loaded, Page, Table, useLoad, ViewerNote } from '../parts.js'
import { go, route, setQuery, to } from '../route.js'
import { Invoke } from '../invoke.js'

const tabs = { '': 'Now', logs: 'Logs', invoke: 'Invoke', spec: 'Spec', history: 'History' }

export default function FunctionView({ path }) {
  const id = path[1] || ''
  const tab = tabs[path[2]] ? path[2] : ''
  const [name, namespace] = split(id)
  const status = useLoad(abort =>
    get(`/system/function/${encodeURIComponent(name)}`, { namespace, usage: 1 }, abort), [id], 10000)
  const live = functionOf(id).value
  const gone = status.error?.status === 404
  const [state, tone] = live ? stateOf(live) : ['', '']
  const sub = html`<p class="sub">${live && html`<span class=${'state ' + tone}>${state}</span>`}
    ${live && !live.replicas && !live.queued && html`<span
      class="quiet">Scaled to zero: costs nothing until it is called.</span>`}
    ${namespace !== 'openfaas-fn' && html`<span class="quiet">Namespace ${namespace}</span>`}</p>`
  return html`<${Page} title=${shown(id)} sub=${sub}
      actions=${!gone && html`<${Actions} id=${id} live=${live} reload=${status.reload} />`}>
    <${ViewerNote} />
    ${gone && !status.data ? html`<${Empty}
      title=${`There is no function ${shown(id)}`}>It was removed, or never deployed.${' '}
      <a href="#/functions">All functions</a></${Empty}>` : html`
    <${Warnings} status=${status.data} />
    <nav class="tabs" aria-label="Parts of this page"><ul>${
      Object.entries(tabs).map(([part, label]) => html`<li>
      <a href=${to(['function', id, ...(part ? [part] : [])])}
        aria-current=${part === tab ? 'page' : null}>${label}</a></li>`)}</ul></nav>
    ${tab === '' && html`<${Now} id=${id} live=${live} status=${status.data} />`}
    ${tab === 'logs' && html`<section class="card"><h2>Logs</h2><${Logs} name=${name}
      namespace=${namespace} /></section>`}
    ${tab === 'invoke' && html`<${Invoke} name=${name} namespace=${namespace} />`}
    ${tab === 'spec' && html`<section class="card"><h2>Spec</h2><${Loaded} from=${status} what="the spec">${
      s => html`<${Spec} s=${s} />`}</${Loaded}></section>`}
    ${tab === 'history' && html`<${History} id=${id} />`}`}
  </${Page}>`
}

function Warnings({ status }) {
  if (!status) return null
  return html`${status.failing && html`<div
    class="note bad"><p><strong>It cannot start:</strong> ${status.failing}</p></div>`}
    ${status.rollback && html`<div class="note warn"><p>
      <strong>Rolled back</strong> from ${status.rollback.image}: ${
      status.rollback.reason} (<${Ago} at=${status.rollback.at} />)</p></div>`}
    ${status.terminating && html`<div class="note warn">
      <p>It was removed. Its last replicas finish their calls.</p></div>`}`
}

function Actions({ id, live, reload }) {
  const [name, namespace] = split(id)
  const body = { namespace }
  return html`<${ScaleForm} id=${id} live=${live} onDone=${reload} />
    <${Act} label="Restart" onClick=${async () => {
      if (!await ask({ title: `Restart ${shown(id)}?`, action: 'Restart',
        text: 'New replicas start, then the old ones finish their calls and stop. No call is lost.' })) return
      await post(`/system/functions/${encodeURIComponent(id)}/restart`, body)
      reload()
      return `${shown(id)} restarts.`
    }} />
    <${Act} label="Delete" danger onClick=${async () => {
      if (!await ask({ title: `Delete ${shown(id)}?`, action: 'Delete', danger: true, typed: name,
        text: 'Its replicas finish their calls and stop. Its queued calls and dead letters stay until '
          + 'they are purged, or the function is deployed again.' })) return
      await remove('/system/functions', { functionName: name, namespace })
      go(['functions'])
      return `${shown(id)} is being removed.`
    }} />`
}

function ScaleForm({ id, live, onDone }) {
  const [name, namespace] = split(id)
  return html`<form class="scale" onSubmit=${e => e.preventDefault()}>
    <label class="inline">Replicas <input type="number" name="replicas" min="0" max="1000"
      defaultValue=${live?.replicas ?? 0}
      key=${live?.replicas} /></label>
    <${Act} label="Scale" submit onClick=${async e => {
      e.preventDefault()
      const replicas = Number(e.target.form.elements.replicas.value)
      await post(`/system/scale-function/${encodeURIComponent(name)}`, {
        serviceName: name, namespace, replicas,
      })
      onDone()
      return `${shown(id)} scales to ${plural(replicas, 'replica')}.`
    }} /></form>`
}

function Now({ id, live, status }) {
  const queues = queueNames.value.map(n => queueOf(n).value)
    .filter(q => q && (q.function === id || q.function === shown(id)))
  return html`<${Red} id=${id} />
    <div class="two">
      <section class="card"><h2>Replicas</h2>
        ${live ? html`<p class="big-replicas"><${Replicas} f=${live}
          max=${40} /></p><p>${replicasText(live)}${
          status?.draining ? `, ${status.draining} draining` : ''}</p>` : loaded.value && html`<p
            class="quiet">Not deployed.</p>`}
        <${Details} rows=${[
          ['Wanted', live && count(live.replicas)],
          ['Calls in flight', live && count(live.in_flight || 0)],
          ['Calls so far', live && count(live.invocations)],
          ['Memory', status?.usage && bytes(status.usage.totalMemoryBytes)],
          ['CPU', status?.usage && `${(status.usage.cpu || 0).toFixed(0)} millicores`],
          ['Restarts', status && count(status.restarts || 0)],
          status?.last_exit && ['Last exit', html`${status.last_exit.reason} (<${Ago}
            at=${status.last_exit.at} />)`],
        ]} />
      </section>
      <section class="card"><h2>Queues</h2>
        ${queues.length === 0 ? html`<p class="quiet">Nothing was queued for it yet.</p>` : html`<${Table}
          label="Queues"
          keyOf=${q => q.queue} rows=${queues} columns=${[
            { head: 'Queue', cell: q => html`<a href=${to(['queues'], { queue: q.queue })}>${q.queue}</a>` },
            { head: 'Queued', num: true, cell: q => compact(q.queued) },
            { head: 'In flight', num: true, cell: q => compact(q.in_flight) },
            { head: 'Dead', num: true, cell: q => compact(q.dead) },
          ]} />`}
        ${status?.last_error && html`<div
          class="note warn"><p><strong>Last failed attempt:</strong> ${status.last_error.reason}${' '}
          (attempt ${status.last_error.attempt}, <${Ago} at=${status.last_error.at} />)</p></div>`}
        <p><a href=${to(['calls'], { function: id })}>Calls of ${shown(id)}</a> · <a
          href=${to(['dead-letters'], { function: id })}>Dead letters</a></p>
      </section>
    </div>`
}

const spans = { '15m': '15 minutes', '24h': '24 hours' }

function Red({ id }) {
  const span = spans[route.value.query.span] ? route.value.query.span : '15m'
  const history = useLoad(abort =>
    get(`/system/history/${encodeURIComponent(id)}`, { span }, abort), [id, span],
    span === '15m' ? 5000 : 60000)
  return html`<section class="card"><header class="card-head"><h2>Rate, errors, duration</h2>
      <div class="switch" role="group" aria-label="Time span">${
        Object.entries(spans).map(([value, label]) => html`<button type="button" class="small"
          aria-pressed=${value === span} onClick=${() => setQuery({ span: value })}>${label}</button>`)}</div>
    </header>
    <div class="charts-space"><${Loaded} from=${history} what="the charts">${h => html`<${Charts}
      points=${h.points || []} />`}</${Loaded}></div>
  </section>`
}

function Charts({ points }) {
  if (points.length === 0) {
    return html`<${Empty} title="No calls in this time">
      A function that is scaled to zero costs nothing.</${Empty}>`
  }
  const times = points.map(p => typeof p.t === 'number' ? p.t : Date.parse(p.t) / 1000)
  const values = field => points.map(p => p[field] ?? null)
  return html`<div class="charts">
    <${Chart} title="Calls per second" times=${times} write=${rate} series=${[
      { label: 'calls', colour: '--blue', fill: '--blue-fill', values: values('rate') },
      { label: 'errors', colour: '--red', values: values('errors') }]} />
    <${Chart} title="Duration" times=${times} write=${duration} series=${[
      { label: 'p50', colour: '--green', values: values('p50_ms') },
      { label: 'p95', colour: '--amber', values: values('p95_ms') },
      { label: 'p99', colour: '--red', values: values('p99_ms') }]} />
    <${Chart} title="Replicas and queue" times=${times} write=${n => compact(Math.round(n))} series=${[
      { label: 'replicas', colour: '--ember', fill: '--ember-fill', values: values('replicas') },
      { label: 'queued', colour: '--blue', values: values('queued') }]} />
  </div>`
}

function Spec({ s }) {
  const map = m => m && Object.keys(m).length
    ? html`<ul class="pairs">${Object.keys(m).sort().map(k =>
      html`<li><code>${k}</code> <span>${String(m[k])}</span></li>`)}</ul>` : 'none'
  return html`<${Details} rows=${[
    ['Image', html`<code>${s.image}</code>`], ['Process', s.envProcess && html`<code>${s.envProcess}</code>`],
    ['Created', html`<${At} at=${s.createdAt} />`], ['Labels', map(s.labels)],
    ['Annotations', map(s.annotations)],
    ['Environment', map(s.envVars)], ['Secrets', s.secrets?.length ? s.secrets.join(', ') : 'none'],
    ['Limits', map(s.limits)], ['Requests', map(s.requests)], ['Limits are enforced by', s.enforced],
    ['Read-only root', s.readOnlyRootFilesystem ? 'yes' : 'no'],
    s.warnings?.length > 0 && ['Warnings', html`<ul>${s.warnings.map(w => html`<li>${w}</li>`)}</ul>`],
  ]} />`
}

function History({ id }) {
  const history = useLoad(abort =>
    get(`/system/history/${encodeURIComponent(id)}`, { span: '24h' }, abort), [id], 10000)
  return html`<${Loaded} from=${history} what="the history">${h => {
    const current = h.revisions?.find(r => r.current) || h.revisions?.[0]
    return html`<section class="card"><h2>Revisions</h2>
      ${!h.revisions?.length ? html`<p class="quiet">No revision is known.</p>` : html`<${Table}
        label="Revisions"
        keyOf=${r => r.revision} rows=${h.revisions} columns=${[
          { head: 'Revision', cell: r => html`<code>${r.revision}</code> ${r === current && html`<span
            class="state good">current</span>`}` },
          { head: 'Deployed', cell: r => html`<${Ago} at=${r.deployed_at} />` },
          { head: 'Commit', cell: r => r.sha ? html`<code>${r.sha.slice(0, 12)}</code>` : '–' },
          { head: 'Image', cell: r => html`<code>${r.image}</code>` },
          { head: 'Action', hidden: true, cell: r => r !== current && html`<${Act} small
            label="Roll back to this" onClick=${async () => {
            if (!await ask({ title: `Roll ${shown(id)} back?`, action: 'Roll back',
              text: `Replicas of revision ${r.revision} start. Then those of the current one finish their `
                + 'calls and stop.' })) return
            await post(`/system/functions/${encodeURIComponent(id)}/rollback`, {
              namespace: split(id)[1], revision: r.revision,
            })
            history.reload()
            return `${shown(id)} rolls back to ${r.revision}.`
          }} />` },
        ]} />`}</section>
      <section class="card"><h2>Scaling</h2>
      ${!h.scaling?.length ? html`<p class="quiet">The number of replicas did not change.</p>`
        : html`<${Table} label="Scaling"
        keyOf=${c => c.at + c.from + c.to} rows=${newest(h.scaling)} columns=${[
          { head: 'When', cell: c => html`<${Ago} at=${c.at} />` },
          { head: 'Replicas', cell: c => `${c.from} → ${c.to}` },
          { head: 'Reason', cell: c => c.reason },
        ]} />`}</section>`
  }}</${Loaded}>`
}

const newest = list => [...list].sort((a, b) => Date.parse(b.at) - Date.parse(a.at)).slice(0, 200)
