// Requests to the instance. The token is in sessionStorage, never in a cookie, so no other page can use it.
import { signal } from './lib.js'

const stored = 'hearth-session'

function load() {
  try {
    const s = JSON.parse(sessionStorage.getItem(stored))
    return s?.token ? s : null
  } catch {
    return null
  }
}

// session is {token, role, expires, version, demo}, or null before the login.
export const session = signal(load())

// ended says why there is no session any more.
export const ended = signal('')

export function setSession(s) {
  session.value = s
  if (s) sessionStorage.setItem(stored, JSON.stringify(s))
  else sessionStorage.removeItem(stored)
}

export const isOperator = () => session.value?.role === 'operator'

// An ApiError has the status of the answer, or 0 if there was none.
export class ApiError extends Error {
  constructor(status, message) {
    super(message)
    this.status = status
  }
}

const unreachable = 'The instance does not answer. It may be restarting.'

async function errorOf(response, method, path) {
  const text = (await response.text().catch(() => '')).trim()
  let message = text
  if ((response.headers.get('Content-Type') || '').includes('json')) {
    try {
      const problem = JSON.parse(text)
      message = problem.detail || problem.title || problem.error || text
    } catch { /* it is shown as it is */ }
  }
  if (response.status === 404 && (!message || message === '404 page not found')) {
    message = `This instance has no API for this: ${method} ${path.split('?')[0]} answers 404.`
  }
  return new ApiError(response.status, message.slice(0, 2000) || `The instance answers ${response.status}.`)
}

// request sends a request and returns the response. It throws an ApiError for any status from 400.
export async function request(method, path, { body, abort, accept } = {}) {
  const headers = { Accept: accept || 'application/json' }
  const used = session.value?.token
  if (used) headers.Authorization = 'Bearer ' + used
  if (body !== undefined) headers['Content-Type'] = 'application/json'
  let response
  try {
    response = await fetch(path, {
      method, headers, signal: abort, credentials: 'omit', cache: 'no-store', redirect: 'error',
      body: body === undefined ? undefined : JSON.stringify(body),
    })
  } catch (err) {
    if (err.name === 'AbortError') throw err
    throw new ApiError(0, unreachable)
  }
  if (response.status === 401 && used && session.value?.token === used) {
    ended.value = 'Your session has ended. Log in again.'
    setSession(null)
  }
  if (!response.ok) throw await errorOf(response, method, path)
  return response
}

// withQuery appends the parameters that have a value.
export function withQuery(path, params = {}) {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined && value !== null && value !== '') query.set(name, value)
  }
  const text = query.toString()
  return text ? `${path}?${text}` : path
}

async function json(response) {
  const text = await response.text()
  if (!text.trim()) return null
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

export const get = async (path, params, abort) => json(await request('GET', withQuery(path, params),
  { abort }))
export const post = async (path, body) => json(await request('POST', path, { body }))
export const remove = async (path, body) => json(await request('DELETE', path, { body }))

// chunks yields the text of a streaming answer as it comes.
async function* chunks(response) {
  const reader = response.body.getReader()
  const decoder = new TextDecoder()
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      yield decoder.decode(value, { stream: true })
    }
  } finally {
    reader.cancel().catch(() => {})
  }
}

// lines yields the values of an NDJSON answer in batches, one for each piece that arrives.
export async function* lines(path, params, abort) {
  const response = await request('GET', withQuery(path, params), { abort, accept: 'application/x-ndjson' })
  let rest = ''
  for await (const chunk of chunks(response)) {
    const parts = (rest + chunk).split('\n')
    rest = parts.pop()
    const batch = []
    for (const part of parts) {
      if (part.trim()) batch.push(JSON.parse(part))
    }
    if (batch.length) yield batch
  }
}

// events yields {event, data} of server-sent events, with 'open' and 'comment' as signs of life. EventSource
// cannot send the bearer token.
export async function* events(path, abort) {
  const response = await request('GET', path, { abort, accept: 'text/event-stream' })
  yield { event: 'open' }
  let rest = ''
  for await (const chunk of chunks(response)) {
    const parts = (rest + chunk).replaceAll('\r\n', '\n').split('\n\n')
    rest = parts.pop()
    for (const part of parts) {
      let event = 'message'
      const data = []
      for (const line of part.split('\n')) {
        if (line.startsWith('event:')) event = line.slice(6).trim()
        else if (line.startsWith('data:')) data.push(line.slice(5).replace(/^ /, ''))
      }
      yield data.length ? { event, data: JSON.parse(data.join('\n')) } : { event: 'comment' }
    }
  }
}

// tokenIn finds the one-time token in a pasted link, or takes the text for the token.
export function tokenIn(text) {
  const match = /[#?&]login=([^&\s]+)/.exec(text)
  return match ? decodeURIComponent(match[1]) : text.trim()
}

// login changes a one-time token into a session.
export async function login(token) {
  setSession(null)
  const got = await post('/session', { login: token })
  ended.value = ''
  setSession(got)
  await refreshSession()
}

// refreshSession asks what the session may do; a session that has ended leads to the login.
export async function refreshSession() {
  const now = await get('/session')
  if (now && session.value) setSession({ ...session.value, ...now, token: session.value.token })
}

export async function logout() {
  await request('DELETE', '/session').catch(() => {})
  ended.value = 'You have logged out.'
  setSession(null)
}
