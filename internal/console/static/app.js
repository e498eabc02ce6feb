// The page: login or the frame with the view that the address names.
import { Fragment, html, render, useEffect, useRef, useState } from './lib.js'
import { ended, login, logout, refreshSession, session } from './api.js'
import { clock } from './format.js'
import { functionKeys, instances, ledger, link, loaded, paused, problem, redis, start } from './live.js'
import { reread, route, to } from './route.js'
import { Ago, Question, toasts } from './parts.js'
import { Login } from './views/login.js'

const views = {
  '': ['Overview', () => import('./views/overview.js')],
  functions: ['Functions', () => import('./views/functions.js')],
  calls: ['Calls', () => import('./views/calls.js')],
  queues: ['Queues', () => import('./views/queues.js')],
  'dead-letters': ['Dead letters', () => import('./views/dead.js')],
  schedules: ['Schedules', () => import('./views/schedules.js')],
  usage: ['Usage', () => import('./views/usage.js')],
  instances: ['Instances', () => import('./views/instances.js')],
}

// demonstration is only for instances that show themselves off.
const demonstration = { demo: ['Demonstration', () => import('./views/demo.js')] }

const shownViews = () => session.value?.demo ? { ...views, ...demonstration } : views

// These have no place in the navigation: one of the above leads to them.
const details = {
  function: ['functions', () => import('./views/function.js')],
  call: ['calls', () => import('./views/journey.js')],
  journey: ['calls', () => import('./views/journey.js')],
  'dead-letter': ['dead-letters', () => import('./views/deadletter.js')],
}

const loadedViews = new Map()

function View() {
  const name = route.value.path[0] || ''
  const [, load] = shownViews()[name] || details[name] || []
  const [, setCount] = useState(0)
  const View = loadedViews.get(name)
  useEffect(() => {
    if (!load || loadedViews.has(name)) return
    load().then(module => loadedViews.set(name, module.default), err => {
      loadedViews.set(name, () => html`<div class="note bad"
        role="alert"><p>This view did not load: ${err.message}${' '}
        Reload the page.</p></div>`)
    }).then(() => setCount(n => n + 1))
  }, [name])
  if (!load) {
    return html`<div class="page"><h1>There is no such page</h1><p><a
      href="#/">Go to the overview</a></p></div>`
  }
  return View ? html`<${View} key=${name + '/' + (route.value.path[1] || '')} ...${route.value} />`
    : html`<div class="page"></div>`
}

function Nav() {
  const current = route.value.path[0] || ''
  const here = details[current]?.[0] ?? current
  const nav = useRef()
  useEffect(() => {
    const list = nav.current.querySelector('ul')
    const link = list.querySelector('[aria-current]')
    if (!link) return
    // scrollIntoView would also move the place where the Tab key goes on
    list.scrollLeft += link.getBoundingClientRect().left - list.getBoundingClientRect().left - 40
  }, [here])
  const dead = ledger.value?.dead
  return html`<nav aria-label="Views" ref=${nav}><ul>${Object.entries(shownViews()).map(([name,
    [label]]) => html`<li>
    <a href=${to(name ? [name] : [])} aria-current=${name === here ? 'page' : null}>${label}${
      name === 'dead-letters' && dead > 0 && html`<span class="count">${dead}<span
        class="visually-hidden"> dead</span></span>`
    }${name === 'functions' && loaded.value && html`<span
      class="count quiet">${functionKeys.value.length}</span>`}</a>
  </li>`)}</ul></nav>`
}

const linkText = { connecting: 'Connecting', live: 'Live', paused: 'Paused', unreachable: 'Reconnecting' }

function LiveButton() {
  return html`<div class="live"><span class=${'live-state ' + link.value}
    role="status">${linkText[link.value]}</span>
    <button type="button" class="small" aria-pressed=${paused.value}
      onClick=${() => { paused.value = !paused.value }}>${
      paused.value ? 'Resume updates' : 'Pause updates'}</button></div>`
}

// Trouble says what the page cannot reach. It lies over the page's end, so that nothing moves when it comes.
function Trouble() {
  if (link.value === 'unreachable') {
    return html`<div class="trouble" role="alert"><strong>There are no live updates.</strong> ${problem.value}
      ${seen && html`<span> What you see is of <${Ago}
        at=${seen} />.</span>`} The page tries again by itself.</div>`
  }
  if (redis.value && redis.value.available === false) {
    return html`<div class="trouble" role="alert"><strong>Redis is unavailable${
      redis.value.since ? ` since ${clock(redis.value.since)}` : ''}.</strong> Accepted calls are kept.${' '}
      Sync calls still run; new queued calls get 503 until Redis answers.</div>`
  }
  return null
}

let seen = ''

function Frame() {
  const s = session.value
  if (link.value === 'live') seen = new Date().toISOString()
  const main = useRef()
  const skip = e => { e.preventDefault(); main.current.focus(); main.current.scrollIntoView() }
  const version = instances.value[0]?.version || s.version
  return html`<${Fragment}>
    <header class="top">
      <a class="skip" href="#/" onClick=${skip}>Skip to the content</a>
      <a class="brand" href="#/"><img src="/static/hearth.svg" alt="" width="28" height="28" />Hearth</a>
      <${LiveButton} />
      <div class="who"><span class="role" title=${`The session ends ${clock(s.expires)}`}>${s.role}</span>
        <button type="button" class="small" onClick=${logout}>Log out</button></div>
    </header>
    <${Nav} />
    <main id="main" tabindex="-1" ref=${main}><${View} /></main>
    <footer class="foot">${version ? `hearth ${version}` : 'hearth'}${s.demo ? ' · demo mode' : ''}</footer>
    <${Trouble} />
    <${Question} />
  </${Fragment}>`
}

const Toasts = () => html`<div class="toasts" role="status" aria-live="polite">${toasts.value.map(t => html`<p
  key=${t.id} class=${t.tone}>${t.text}</p>`)}</div>`

const App = () => html`<${Fragment}>${session.value ? html`<${Frame} />` : html`<${Login} />`}<${Toasts} />
  </${Fragment}>`

// useLink takes the one-time token out of the address, so that it is not in the history.
async function useLink() {
  const token = /^#login=(.+)$/.exec(location.hash)?.[1]
  if (!token) return
  history.replaceState(null, '', location.pathname + '#/')
  reread()
  try {
    await login(decodeURIComponent(token))
  } catch (err) {
    ended.value = err.status === 401
      ? 'That link was used already, or has expired. Print a new one with: hearth console' : err.message
  }
}

addEventListener('hashchange', () => { document.body.dataset.moved = 'yes'; useLink() })
await useLink()
if (session.value) refreshSession().catch(() => {}) // without an answer, the frame says so
start()
const root = document.getElementById('app')
root.replaceChildren()
render(html`<${App} />`, root)
