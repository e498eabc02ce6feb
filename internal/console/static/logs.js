// Log lines as they come: only the last ones are kept, and drawn at most five times a second.
import { html, useEffect, useRef, useState } from './lib.js'
import { lines } from './api.js'
import { clock } from './format.js'
import { paused } from './live.js'
import { Problem } from './parts.js'

const kept = 2000
const drawn = 500

export function Logs({ name, namespace }) {
  const [filter, setFilter] = useState('')
  const [replica, setReplica] = useState('')
  const [, draw] = useState(0)
  const [error, setError] = useState(null)
  const [attempt, setAttempt] = useState(0)
  const all = useRef([])
  const frame = useRef()
  const atEnd = useRef(true)
  useEffect(() => {
    if (paused.value) return
    const abort = new AbortController()
    let timer = 0
    let number = 0
    all.current = []
    setError(null)
    const later = () => { timer ||= setTimeout(() => { timer = 0; draw(n => n + 1) }, 200) }
    const read = async () => {
      try {
        for await (const batch of lines('/system/logs', { name, namespace, follow: true, tail: 200 },
          abort.signal)) {
          for (const line of batch) all.current.push({ ...line, n: ++number })
          if (all.current.length > kept) all.current.splice(0, all.current.length - kept)
          later()
        }
        if (!abort.signal.aborted) setError(new Error('The log has ended: the instance closed it.'))
      } catch (err) {
        if (!abort.signal.aborted) setError(err)
      }
    }
    read()
    return () => { abort.abort(); clearTimeout(timer) }
  }, [name, namespace, paused.value, attempt])
  useEffect(() => {
    if (atEnd.current && frame.current) frame.current.scrollTop = frame.current.scrollHeight
  })
  const replicas = [...new Set(all.current.map(l => l.instance))].sort()
  const wanted = filter.toLowerCase()
  const match = all.current.filter(l => (!replica || l.instance === replica)
    && (!wanted || l.text.toLowerCase().includes(wanted)))
  return html`<div class="logs">
    <div class="filters">
      <label>Lines that contain <input type="search" value=${filter} onInput=${e => setFilter(e.target.value)}
        autocomplete="off" spellcheck=${false} /></label>
      <label>Replica <select onChange=${e => setReplica(e.target.value)}><option value="">all</option>${
        replicas.map(r => html`<option value=${r} selected=${r === replica}>${r}</option>`)}</select></label>
      <p class="quiet logs-says">${paused.value ? 'Updates are paused.'
        : `${match.length} of the last ${all.current.length} lines`}</p>
    </div>
    ${error && html`<${Problem} error=${error} retry=${() => setAttempt(n => n + 1)} />`}
    <div class="log-lines" ref=${frame} tabindex="0" role="log" aria-live="off" aria-label="Log lines"
      onScroll=${e => {
      const t = e.target
      atEnd.current = t.scrollHeight - t.scrollTop - t.clientHeight < 30
    }}>${match.length === 0 ? html`<p class="quiet">${all.current.length ? 'No line matches.'
      : 'Nothing was printed yet.'}</p>`
      : match.slice(-drawn).map(l => html`<${LogLine} key=${l.n} line=${l} />`)}</div>
  </div>`
}

export const LogLine = ({ line, found }) => html`<div class=${found ? 'log-line found' : 'log-line'}><span
  class="log-at">${clock(line.timestamp, true)}</span> <span class="log-replica">${line.instance}</span> <span
  class="log-text">${line.text.trimEnd()}</span></div>`
