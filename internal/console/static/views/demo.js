// The demonstration: faults to cause, and the proof that nothing was lost. Only an instance that was started
// with --demo has this view.
import { html, useState } from '../lib.js'
import { get, post } from '../api.js'
import { shown } from '../format.js'
import { functionKeys } from '../live.js'
import { Act, Loaded, Page, useLoad, ViewerNote } from '../parts.js'
import { Ledger } from './overview.js'

// The faults in the order of the buttons: what each is, and whether it needs a function.
const texts = {
  'kill-replica': ['Kill a replica',
    'One replica of the function ends at once, in the middle of its calls.', true],
  'kill-fleet': ['Kill the whole fleet', 'All replicas of the function end at once.', true],
  'deploy-crashing': ['Deploy a version that crashes',
    'No replica of the new version gets ready, so Hearth goes back to the version before.', true],
  'kill-redis': ['Kill Redis', 'The private Redis ends as in a power cut, and is started again.'],
  'slow-redis': ['Slow Redis down', 'For ten seconds, Redis answers nobody a third of the time.'],
  'kill-instance': ['Kill Hearth', `Gateway, dispatcher and autoscaler end at once. make demo starts them again;
    then you need a new link: hearth console.`],
}

export default function Demo() {
  const offered = useLoad(abort => get('/demo', {}, abort), [])
  const [target, setTarget] = useState('')
  const [audit, setAudit] = useState(null)
  const first = functionKeys.value.find(key => key.startsWith('oven.')) || functionKeys.value[0]
  const chosen = target || first || ''
  const cause = async fault => {
    const { did } = await post('/demo/faults', { fault, function: chosen })
    return did
  }
  const check = async () => { setAudit(await post('/demo/audit')) }
  return html`<${Page} title="Demonstration" sub=${html`<p
    class="sub">Break something, and watch that nothing is lost.</p>`}>
    <${ViewerNote} />
    <${Loaded} from=${offered} what="the demonstration">${d => html`<div class="two">
      <section class="card"><h2>Faults</h2>
        <label>Function <select value=${chosen} onChange=${e => setTarget(e.target.value)}>${
          functionKeys.value.map(key => html`<option value=${key}>${shown(key)}</option>`)}</select></label>
        <dl class="faults">${Object.entries(texts).filter(([name]) => d.faults.includes(name)).map(([name,
          [label, text, needsFunction]]) => html`<div>
            <dt><${Act} danger label=${label} disabled=${needsFunction && !chosen}
              reason="There is no function." onClick=${() => cause(name)} /></dt>
            <dd>${text}</dd></div>`)}</dl>
      </section>
      <div>
        <${Ledger} />
        ${d.audit && html`<section class="card"><h2>The application's audit</h2>
          <p>The bakery's own books: every order, tray and ingredient.</p>
          <p><${Act} primary label="Run the audit" onClick=${check} /></p>
          ${audit && html`<p class=${'verdict ' + (audit.ok ? 'good' : 'bad')} role="status">${audit.ok
            ? 'The books balance' : 'The books do not balance'}</p><pre>${audit.text}</pre>`}
        </section>`}
      </div>
    </div>`}</${Loaded}>
  </${Page}>`
}
