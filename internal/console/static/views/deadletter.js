// One dead letter: its call and all attempts. Its body can be edited before it is redriven.
import { html, useState } from '../lib.js'
import { get, post } from '../api.js'
import { textOf } from '../format.js'
import { pretty } from '../invoke.js'
import { Act, ask, At, Details, Empty, Loaded, Page, useLoad, ViewerNote } from '../parts.js'
import { go, to } from '../route.js'
import { Attempts } from './journey.js'

export default function DeadLetter({ path }) {
  const [, queue, id] = path
  const letter = useLoad(abort =>
    get(`/system/dead-letters/${encodeURIComponent(queue)}/${encodeURIComponent(id)}`, {}, abort),
  [queue, id])
  return html`<${Page} title="Dead letter" sub=${html`<p class="sub"><code>${id}</code> of <a
    href=${to(['dead-letters'], { queue })}>${queue}</a></p>`}>
    <${ViewerNote} />
    ${letter.error?.status === 404 ? html`<${Empty}
      title="This dead letter is gone">It was redriven or purged.${' '}
      <a href="#/dead-letters">All dead letters</a></${Empty}>`
      : html`<${Loaded} from=${letter} what="the dead letter">${l => html`<${Letter} l=${l} queue=${queue}
        id=${id} />`}</${Loaded}>`}
  </${Page}>`
}

function Letter({ l, queue, id }) {
  const body = textOf(l.body)
  const [text, setText] = useState(body.text)
  const changed = body.ok && text !== body.text
  const redrive = async () => {
    if (changed) {
      await post('/system/dead-letters/edit', { queue, id, body: text })
    } else {
      const done = await post('/system/dead-letters/redrive', { queue, ids: [id] })
      if (done?.redriven === 0) {
        throw new Error('This dead letter is gone: it was redriven or purged meanwhile.')
      }
    }
    if (l.call_id) go(['call', l.call_id])
    else go(['dead-letters'])
    return changed ? 'Redriven with the new body.' : 'Redriven.'
  }
  const purge = async () => {
    if (!await ask({
      title: 'Purge this dead letter?', text: 'It is deleted for good.', action: 'Purge', danger: true,
    })) return
    await post('/system/dead-letters/purge', { queue, ids: [id] })
    go(['dead-letters'])
    return 'Purged.'
  }
  return html`<section class="card"><h2>Why it is dead</h2><p
    class="reason">${l.bad || l.unreadable || l.reason}</p>
      <${Attempts} list=${l.failures} />
    </section>
    <div class="two">
      <section class="card"><h2>Body</h2>
        ${body.ok ? html`<form onSubmit=${e => e.preventDefault()}>
          <label>${changed ? 'Edited body' : 'Body'} <textarea name="body" rows="12" spellcheck=${false}
            value=${text}
            onInput=${e => setText(e.target.value)}></textarea></label>
          <div class="actions left">
            <${Act} primary submit label=${changed ? 'Redrive with this body' : 'Redrive'}
              onClick=${e => { e.preventDefault(); return redrive() }} />
            <button type="button" onClick=${() => setText(pretty(text))}>Indent JSON</button>
            <button type="button" disabled=${!changed} onClick=${() => setText(body.text)}>Undo</button>
            <${Act} danger label="Purge" onClick=${purge} /></div>
        </form>` : html`<p>The body has ${body.size} bytes that are not text. It can be redriven as it is.</p>
          <div class="actions left"><${Act} primary label="Redrive" onClick=${redrive} /><${Act} danger
            label="Purge" onClick=${purge} /></div>`}
      </section>
      <section class="card"><h2>Call</h2>
        <${Details} rows=${[
          ['Call id', l.call_id ? html`<a
            href=${to(['call', l.call_id])}><code>${l.call_id}</code></a>` : 'none'],
          ['Request', `${l.method || 'POST'} ${l.path || '/'}${l.query ? '?' + l.query : ''}`],
          ['Content type', l.content_type], ['Queued', html`<${At} at=${l.queued} />`],
          ['Dead since', html`<${At} at=${l.dead_since || l.buried} />`], ['Attempts', l.attempts],
          l.callback && ['Callback', l.callback],
          ['Headers', html`<ul class="pairs">${Object.entries(l.header || {}).map(([n, v]) => html`<li>
            <code>${n}</code> <span>${v.join(', ')}</span></li>`)}</ul>`],
        ]} />
      </section>
    </div>`
}
