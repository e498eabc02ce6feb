// The table of all functions. Each row follows its own function.
import { html, useState } from '../lib.js'
import { compact, duration, plural, rate, shown } from '../format.js'
import { functionKeys, functionOf, loaded, rateOf } from '../live.js'
import { Replicas, replicasText, stateOf } from '../map.js'
import { Empty, Page, Waiting } from '../parts.js'
import { to } from '../route.js'

const perPage = 50

function Row({ id }) {
  const f = functionOf(id).value
  if (!f) return null
  const [state, tone] = stateOf(f)
  return html`<tr>
    <th scope="row"><a href=${to(['function', id])}>${shown(id)}</a></th>
    <td><span class=${'state ' + tone}>${state}</span></td>
    <td><span class="cell-replicas"><${Replicas} f=${f} max=${6} /><span
      class="quiet">${replicasText(f)}</span></span></td>
    <td class="num"><${Rate} id=${id} /></td>
    <td class="num">${compact(f.in_flight || 0)}</td>
    <td class="num">${compact(f.queued || 0)}</td>
    <td class="num">${f.oldest_ms > 0 ? duration(f.oldest_ms) : '–'}</td>
    <td class="num">${f.dead > 0 ? html`<a class="bad-text"
      href=${to(['dead-letters'], { function: id })}>${compact(f.dead)}</a>` : '0'}</td>
  </tr>`
}

const Rate = ({ id }) => rate(rateOf('function ' + id).value.in)

export function FunctionTable() {
  const [filter, setFilter] = useState('')
  const [page, setPage] = useState(0)
  if (!loaded.value) return html`<${Waiting} what="functions" />`
  const all = functionKeys.value.filter(key => key.includes(filter.trim().toLowerCase()))
  const last = Math.max(0, Math.ceil(all.length / perPage) - 1)
  const at = Math.min(page, last)
  return html`<div class="filters"><label>Name contains
      <input type="search" value=${filter} onInput=${e => { setFilter(e.target.value); setPage(0) }}
        autocomplete="off"
        spellcheck=${false} /></label></div>
    ${all.length === 0 ? html`<${Empty} title=${filter ? 'No function has such a name'
      : 'No functions are deployed'} />`
      : html`<div class="scroll" tabindex="0" role="region" aria-label="Functions"><table>
        <thead><tr><th scope="col">Function</th><th scope="col">State</th><th scope="col">Replicas</th>
          <th scope="col" class="num">Calls</th><th scope="col" class="num">In flight</th><th scope="col"
            class="num">Queued</th>
          <th scope="col" class="num">Oldest</th><th scope="col" class="num">Dead</th></tr></thead>
        <tbody>${all.slice(at * perPage, (at + 1) * perPage).map(key => html`<${Row} key=${key}
          id=${key} />`)}</tbody>
      </table></div>`}
    <div class="pager"><span>${plural(all.length, 'function')}${last ? `, page ${at + 1} of ${last + 1}` : ''}
      </span>
      ${last > 0 && html`<button type="button" class="small" disabled=${at === 0}
        onClick=${() => setPage(at - 1)}>Previous</button>
        <button type="button" class="small" disabled=${at === last}
          onClick=${() => setPage(at + 1)}>Next</button>`}</div>`
}

export default function Functions() {
  return html`<${Page} title="Functions"><section class="card"><${FunctionTable} /></section></${Page}>`
}
