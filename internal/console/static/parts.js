// The parts that views are made of.
import { html, signal, useEffect, useLayoutEffect, useRef, useState } from './lib.js'
import { isOperator, session } from './api.js'
import { clock, duration, isSet } from './format.js'
import { link, now, problem, refreshing } from './live.js'

// useLoad loads data for a view: {data, error, loading, reload}. While it loads again, the old data stays, so
// that nothing jumps. every is the time between two loads in ms, or 0 for once.
export function useLoad(load, deps, every = 0) {
  const [state, setState] = useState({ loading: true })
  const again = useRef(() => {})
  useEffect(() => {
    const abort = new AbortController()
    let timer = 0
    const run = async () => {
      clearTimeout(timer)
      try {
        const data = await load(abort.signal)
        if (!abort.signal.aborted) setState({ data, loading: false })
      } catch (error) {
        if (error.name !== 'AbortError' && !abort.signal.aborted) {
          setState(old => ({ data: old.data, error, loading: false }))
        }
      }
      schedule()
    }
    const schedule = () => {
      if (!every || abort.signal.aborted) return
      timer = setTimeout(() => refreshing() ? run() : schedule(), every)
    }
    setState(old => ({ ...old, loading: true }))
    again.current = run
    run()
    return () => { abort.abort(); clearTimeout(timer) }
  }, deps)
  return { ...state, reload: () => again.current() }
}

// Page is a view: it names the document, and moves the focus to its heading, as a new document would.
export function Page({ title, sub, actions, children }) {
  const heading = useRef()
  useEffect(() => { document.title = `${title} · Hearth` }, [title])
  useEffect(() => { if (document.body.dataset.moved) heading.current?.focus({ preventScroll: true }) }, [])
  return html`<div class="page">
    <header class="page-head">
      <div class="page-title"><h1 tabindex="-1" ref=${heading}>${title}</h1>${sub}</div>
      ${actions && html`<div class="actions">${actions}</div>`}
    </header>
    ${children}
  </div>`
}

export const Problem = ({ error, retry }) => error && html`<div class="note bad" role="alert">
  <p>${error.message}</p>
  ${retry && html`<button type="button" class="small" onClick=${retry}>Try again</button>`}
</div>`

export const Empty = ({ title, children }) => html`<div class="empty"><p class="empty-title">${title}</p>
  ${children && html`<p>${children}</p>`}</div>`

export const Loading = ({ what }) => html`<div class="loading" role="status">Loading ${what}…</div>`

// Waiting stands for live data that has not come yet, or says why it does not come.
export const Waiting = ({ what }) => link.value === 'unreachable'
  ? html`<${Problem} error=${{ message: problem.value }} />` : html`<${Loading} what=${what} />`

// Loaded shows what useLoad has: the data, an error, or that it loads.
export function Loaded({ from, what, children }) {
  if (from.data !== undefined) {
    return html`${from.error && html`<${Problem} error=${from.error} retry=${from.reload} />`}
      ${children(from.data)}`
  }
  if (from.error) return html`<${Problem} error=${from.error} retry=${from.reload} />`
  return html`<${Loading} what=${what} />`
}

export const Stat = ({ label, value, tone, title }) => html`<div class=${'stat ' + (tone || '')}
  title=${title}>
  <dt>${label}</dt><dd>${value}</dd></div>`

const tones = {
  succeeded: 'good', ready: 'good', available: 'good', dead: 'bad', failed: 'bad', 'cannot start': 'bad',
  unavailable: 'bad', retrying: 'warn', starting: 'warn', delayed: 'info', queued: 'info', in_flight: 'busy',
  updating: 'warn', paused: 'warn',
}

// State is the state of a call, queue or function, as a word with a colour.
export const State = ({ value, children }) => html`<span class=${'state ' + (tones[value] || '')}>${
  children ?? String(value || 'unknown').replace('_', ' ')}</span>`

// Status is an HTTP status.
export const Status = ({ value }) => value
  ? html`<span class=${value >= 500 ? 'bad-text' : value >= 400 ? 'warn-text' : ''}>${value}</span>` : '–'

// Ago is a past time, as a distance that goes on.
export function Ago({ at }) {
  if (!isSet(at)) return '–'
  const ms = now.value - Date.parse(at)
  const text = ms < 1500 ? 'now' : ms < 60000 ? Math.floor(ms / 1000) + ' s ago' : duration(ms) + ' ago'
  return html`<time datetime=${at} title=${clock(at, true)}>${text}</time>`
}

// Until is a coming time.
export function Until({ at }) {
  if (!isSet(at)) return '–'
  const ms = Date.parse(at) - now.value
  return html`<time datetime=${at} title=${clock(at)}>${ms <= 0 ? 'now'
    : 'in ' + duration(Math.ceil(ms / 1000) * 1000)}</time>`
}

export const At = ({ at, ms }) => isSet(at)
  ? html`<time datetime=${at} title=${String(at)}>${clock(at, ms)}</time>` : '–'

// A table of plain columns: {head, cell(row), num, key}. It scrolls inside its own frame when it is too wide.
export function Table({ label, columns, rows, keyOf, row: Row }) {
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${label}>
    <table><thead><tr>${columns.map(c => html`<th scope="col" class=${c.num ? 'num' : ''}>${
      c.hidden ? html`<span class="visually-hidden">${c.head}</span>` : c.head}</th>`)}</tr></thead>
    <tbody>${rows.map(r => Row ? html`<${Row} key=${keyOf(r)} item=${r} />`
      : html`<tr key=${keyOf(r)}>${columns.map(c => html`<td
        class=${c.num ? 'num' : ''}>${c.cell(r)}</td>`)}</tr>`)}
    </tbody></table></div>`
}

export const viewerReason = 'Your role is viewer: it can only read.'

// toasts are short messages about what an action did.
export const toasts = signal([])
let toastID = 0
export function toast(text, tone = 'good') {
  const id = ++toastID
  toasts.value = [...toasts.value.slice(-3), { id, text, tone }]
  setTimeout(() => { toasts.value = toasts.value.filter(t => t.id !== id) }, tone === 'bad' ? 12000 : 5000)
}

// Act is a button that changes something. For a viewer it is disabled, with the reason. onClick returns the
// message to show, or nothing.
export function Act({ onClick, label, danger, primary, small, disabled, reason, submit, title }) {
  const [busy, setBusy] = useState(false)
  const viewer = !isOperator()
  const off = viewer || disabled || busy
  const why = viewer ? viewerReason : reason || title
  const press = async event => {
    if (off) {
      event.preventDefault()
      if (why && !busy) toast(why, 'info')
      return
    }
    if (!onClick) return // it submits its form
    setBusy(true)
    try {
      const done = await onClick(event)
      if (done) toast(done)
    } catch (err) {
      if (err.name !== 'AbortError') toast(err.message, 'bad')
    }
    setBusy(false)
  }
  const kind = [danger && 'danger', primary && 'primary', small && 'small'].filter(Boolean).join(' ')
  return html`<button type=${submit ? 'submit' : 'button'} class=${kind} aria-disabled=${off ? 'true' : null}
    aria-busy=${busy ? 'true' : null} title=${why} onClick=${press}>${label}</button>`
}

export const ViewerNote = () => session.value?.role === 'viewer'
  && html`<p class="viewer-note">${viewerReason} Actions are disabled.</p>`

// Dialog is modal: the browser keeps the focus inside.
export function Dialog({ title, onClose, children, wide }) {
  const ref = useRef()
  useLayoutEffect(() => {
    const dialog = ref.current
    const before = document.activeElement
    dialog.showModal()
    return () => {
      dialog.close()
      setTimeout(() => before?.focus(), 0) // once the dialog is out of the page
    }
  }, [])
  return html`<dialog ref=${ref} class=${wide ? 'wide' : ''} aria-labelledby="dialog-title"
    onCancel=${e => { e.preventDefault(); onClose() }}>
    <h2 id="dialog-title">${title}</h2>${children}</dialog>`
}

const question = signal(null)

// ask asks before an action: {title, text, action, danger, typed}. With typed, the user types that
// text first.
export const ask = q => new Promise(resolve => { question.value = { ...q, resolve } })

export function Question() {
  const q = question.value
  const [text, setText] = useState('')
  useEffect(() => setText(''), [q])
  if (!q) return null
  const answer = yes => { question.value = null; q.resolve(yes) }
  const ready = !q.typed || text.trim() === q.typed
  return html`<${Dialog} title=${q.title} onClose=${() => answer(false)}>
    <form onSubmit=${e => { e.preventDefault(); if (ready) answer(true) }}>
      <p>${q.text}</p>
      ${q.typed && html`<label>Type <code>${q.typed}</code> to confirm
        <input name="typed" autocomplete="off" spellcheck=${false} autofocus value=${text}
          onInput=${e => setText(e.target.value)} /></label>`}
      <div class="dialog-actions">
        <button type="button" onClick=${() => answer(false)}>Cancel</button>
        <button type="submit" class=${q.danger ? 'danger' : 'primary'} disabled=${!ready}>${q.action}</button>
      </div>
    </form>
  </${Dialog}>`
}

// Filters is a form whose fields are the query of the view.
export function Filters({ fields, values, onApply, extra }) {
  const form = useRef()
  const apply = e => {
    e?.preventDefault()
    const data = Object.fromEntries(new FormData(form.current))
    for (const f of fields) {
      if (f.type === 'datetime-local' && data[f.name]) data[f.name] = new Date(data[f.name]).toISOString()
    }
    onApply(data)
  }
  return html`<form class="filters" ref=${form} onSubmit=${apply} role="search" key=${JSON.stringify(values)}>
    ${fields.map(f => html`<label class=${f.class}>${f.label}
      ${f.options
        ? html`<select name=${f.name} onChange=${apply}>${f.options.map(([value, label]) => html`<option
            value=${value} selected=${(values[f.name] || '') === value}>${label}</option>`)}</select>`
        : html`<input name=${f.name} type=${f.type || 'text'} placeholder=${f.placeholder}
          inputmode=${f.inputmode}
            autocomplete="off" spellcheck=${false} step=${f.type === 'datetime-local' ? 1 : null}
            defaultValue=${f.type === 'datetime-local' ? local(values[f.name]) : values[f.name] || ''} />`}
    </label>`)}
    <div class="filter-buttons"><button type="submit">Search</button>
      <button type="button" onClick=${() => onApply({})}>Clear</button>${extra}</div>
  </form>`
}

// local writes a time as the field of a form wants it.
function local(at) {
  if (!at || Number.isNaN(Date.parse(at))) return ''
  const t = new Date(at)
  return new Date(t - t.getTimezoneOffset() * 60000).toISOString().slice(0, 19)
}

// Bar is a meter of parts: [{value, tone, label}].
export function Bar({ parts, label }) {
  const total = parts.reduce((sum, p) => sum + p.value, 0)
  return html`<div class="bar" role="img" aria-label=${label}>${total > 0 && parts.map(p => p.value > 0
    && html`<span class=${p.tone} style=${{ width: p.value / total * 100 + '%' }}
      title=${p.label}></span>`)}</div>`
}

export const Details = ({ rows }) => html`<dl class="details">${rows.filter(Boolean).map(([name, value]) =>
  html`<div key=${name}><dt>${name}</dt><dd>${value ?? '–'}</dd></div>`)}</dl>`
