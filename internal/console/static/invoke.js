// The form that calls a function. The answer is shown as text, never as a page.
import { html, useRef, useState } from './lib.js'
import { isOperator, post } from './api.js'
import { duration, textOf } from './format.js'
import { Act, Problem, Status } from './parts.js'
import { to } from './route.js'

const methods = ['POST', 'GET', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS']

// headersOf reads lines of "Name: value".
function headersOf(text) {
  const headers = {}
  for (const line of text.split('\n')) {
    if (!line.trim()) continue
    const i = line.indexOf(':')
    if (i < 1) throw new Error(`The header "${line.trim()}" has no colon: write Name: value`)
    headers[line.slice(0, i).trim()] = line.slice(i + 1).trim()
  }
  return headers
}

export function Invoke({ name, namespace }) {
  const form = useRef()
  const [answer, setAnswer] = useState(null)
  const [error, setError] = useState(null)
  const [queued, setQueued] = useState(false)
  const send = async () => {
    const data = Object.fromEntries(new FormData(form.current))
    setError(null)
    try {
      setAnswer(await post('/invoke', {
        function: name, namespace, async: queued, method: queued ? 'POST' : data.method, path: data.path,
        query: data.query.replace(/^\?/, ''), headers: headersOf(data.headers), body: data.body,
          base64: false,
      }))
    } catch (err) {
      setAnswer(null)
      setError(err)
    }
  }
  return html`<div class="two"><section class="card"><h2>Invoke</h2>
    <form class="invoke" ref=${form} onSubmit=${e => e.preventDefault()}>
      <fieldset class="choice"><legend>How</legend>
        <label class="inline"><input type="radio" name="how" value="sync" checked=${!queued}
          onChange=${() => setQueued(false)} /> Now, and wait</label>
        <label class="inline"><input type="radio" name="how" value="async" checked=${queued}
          onChange=${() => setQueued(true)} /> Queue it</label>
      </fieldset>
      <div class="row">
        <label class="narrow">Method <select name="method"
          disabled=${queued}>${methods.map(m => html`<option>${m}</option>`)}</select></label>
        <label>Path <input name="path" placeholder="/" autocomplete="off" spellcheck=${false} /></label>
        <label>Query <input name="query" placeholder="a=1&b=2" autocomplete="off"
          spellcheck=${false} /></label>
      </div>
      <label>Headers, one in a line <textarea name="headers" rows="2" spellcheck=${false}
        placeholder="Content-Type: application/json"></textarea></label>
      <label>Body <textarea name="body" rows="8" spellcheck=${false}></textarea></label>
      <${Act} primary submit label=${queued ? 'Queue call' : 'Call'}
        onClick=${e => { e.preventDefault(); return send() }} />
      ${!isOperator() && html`<p class="quiet">A viewer cannot call functions.</p>`}
    </form></section>
    <section class="card" aria-live="polite"><h2>Answer</h2>
      ${error && html`<${Problem} error=${error} />`}
      ${!error && !answer && html`<p class="quiet">Nothing was called yet.</p>`}
      ${answer && html`<${Answer} answer=${answer} />`}
    </section></div>`
}

function Answer({ answer }) {
  const header = wanted => Object.entries(answer.headers
    || {}).find(([n]) => n.toLowerCase() === wanted)?.[1]?.[0]
  const call = header('x-call-id')
  const decoded = answer.base64 ? textOf(answer.body) : { ok: true, text: answer.body || '' }
  return html`<p class="answer-line"><strong>Status <${Status} value=${answer.status} /></strong>
      <span class="quiet">${duration(answer.took_ms)}</span> ${call && html`<a
        href=${to(['call', call])}>See this call</a>`}</p>
    <details><summary>Headers</summary><ul
      class="pairs">${Object.entries(answer.headers || {}).map(([n, values]) =>
      html`<li><code>${n}</code> <span>${values.join(', ')}</span></li>`)}</ul></details>
    ${decoded.ok ? html`<pre class="body" tabindex="0"
      aria-label="Body of the answer">${pretty(decoded.text) || '(empty)'}</pre>`
      : html`<p class="quiet">${decoded.size} bytes that are not text.</p>`}`
}

// pretty indents JSON, and leaves other text as it is.
export function pretty(text) {
  if (text.length > 200000 || !/^\s*[[{]/.test(text)) return text
  try { return JSON.stringify(JSON.parse(text), null, 2) } catch { return text }
}
