// The instances, Redis, and records that Hearth cannot use.
import { html } from '../lib.js'
import { get } from '../api.js'
import { clock, duration } from '../format.js'
import { instances, loaded, redis } from '../live.js'
import { Details, Empty, Loaded, Page, Table, useLoad, Waiting } from '../parts.js'

export default function Instances() {
  const info = useLoad(abort => get('/system/info', {}, abort), [], 10000)
  const records = useLoad(abort => get('/system/records', {}, abort), [], 60000)
  const r = redis.value || {}
  return html`<${Page} title="Instances" sub=${html`<p
    class="sub">The processes of Hearth that share one Redis.</p>`}>
    <section class="card"><h2>Instances</h2>
      ${!loaded.value ? html`<${Waiting} what="instances" />` : !instances.value.length ? html`<${Empty}
        title="No instance has reported yet" />`
        : html`<${Table} label="Instances" rows=${instances.value} keyOf=${i => i.name} columns=${[
          { head: 'Instance', cell: i => html`<code>${i.name}</code>` }, { head: 'Version',
            cell: i => i.version },
          { head: 'Up for', num: true, cell: i => duration((i.uptime_s || 0) * 1000) },
        ]} />`}
    </section>
    <div class="two">
      <section class="card"><h2>Redis</h2>
        <${Details} rows=${[
          ['State', html`<span class=${'state ' + (r.available === false ? 'bad'
            : 'good')}>${r.available === false ? 'unavailable' : 'available'}</span>${
            r.since ? ` since ${clock(r.since)}` : ''}`],
          info.data?.hearth?.redis?.durability && ['Durability', info.data.hearth.redis.durability],
          info.data?.hearth?.redis?.risk && ['Risk', info.data.hearth.redis.risk],
        ]} /></section>
      <section class="card"><h2>Provider</h2>
        <${Loaded} from=${info} what="the provider">${i => html`<${Details} rows=${[
          ['Provider', i.provider?.provider], ['Functions run as', i.provider?.orchestration], ['Version',
            i.version?.release],
          ['Architecture', i.arch],
        ]} />`}</${Loaded}></section>
    </div>
    <section class="card" id="records"><h2>Unreadable records</h2>
      <${Loaded} from=${records} what="records">${list => !list.length
        ? html`<p>None: Hearth can read all of its records in Redis.</p>`
        : html`<p>Hearth does not use these records. Look at each before you remove it with${' '}
            <code>hearth records</code>.</p>
          <${Table} label="Unreadable records" rows=${list} keyOf=${x => x.kind + ' ' + x.name} columns=${[
            { head: 'Kind', cell: x => x.kind }, { head: 'Name', cell: x => html`<code>${x.name}</code>` },
            { head: 'Reason', cell: x => x.reason }, { head: 'What to do', cell: x => x.fix },
          ]} />`}</${Loaded}></section>
  </${Page}>`
}
