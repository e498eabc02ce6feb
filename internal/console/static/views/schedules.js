// The schedules: what runs when, and what happened last.
import { html } from '../lib.js'
import { get, post } from '../api.js'
import { clock, keyOf, shown } from '../format.js'
import { Act, Ago, Empty, Loaded, Page, State, Table, Until, useLoad, ViewerNote } from '../parts.js'
import { to } from '../route.js'

export default function Schedules() {
  const schedules = useLoad(abort => get('/system/schedules', {}, abort), [], 5000)
  const change = (verb, s, text) => async () => {
    await post(`/system/schedules/${verb}`, { function: s.function, namespace: s.namespace })
    schedules.reload()
    return text
  }
  const columns = [
    { head: 'Function', cell: s => html`<a href=${to(['function', keyOf(s)])}>${shown(keyOf(s))}</a>` },
    { head: 'Schedule', cell: s => html`<code>${s.schedule}</code>` },
    { head: 'State', cell: s => s.paused ? html`<${State} value="paused" />` : html`<span
      class="quiet">on</span>` },
    { head: 'Next runs', cell: s => s.paused ? html`<span
      class="quiet">none while paused</span>` : !s.next?.length ? '–'
      : html`<${Until} at=${s.next[0]} /><div
        class="why">${s.next.slice(0, 3).map(t => clock(t)).join(' · ')}</div>` },
    { head: 'Last run', cell: s => s.last?.at ? html`<${Ago} at=${s.last.at} />${' '}
      ${s.last.state && html`<${State} value=${s.last.state} />`}${' '}
      ${s.last.call_id && html`<a href=${to(['call', s.last.call_id])}>the call</a>`}` : 'never' },
    { head: 'Actions', hidden: true, cell: s => html`<div class="row-actions">
      <${Act} small label="Run now" onClick=${change('run', s, `${shown(keyOf(s))} was queued.`)} />
      <${Act} small label=${s.paused ? 'Resume' : 'Pause'} onClick=${change(s.paused ? 'resume' : 'pause', s,
        s.paused ? `The schedule of ${shown(keyOf(s))} runs again.`
          : `The schedule of ${shown(keyOf(s))} is paused.`)} /></div>` },
  ]
  return html`<${Page} title="Schedules" sub=${html`<p class="sub">Functions that run by cron.</p>`}>
    <${ViewerNote} />
    <section class="card"><${Loaded} from=${schedules} what="schedules">${list => !list.length
      ? html`<${Empty} title="No function has a schedule">Give one the annotations${' '}
        <code>topic: cron-function</code> and${' '}
        <code>schedule: "*/5 * * * *"</code>.</${Empty}>`
      : html`<${Table} label="Schedules" columns=${columns} rows=${list}
        keyOf=${s => keyOf(s) + s.schedule} />`}</${Loaded}></section>
  </${Page}>`
}
