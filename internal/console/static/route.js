// The address of a view is in the hash: #/calls?state=dead. The server sees none of it.
import { signal } from './lib.js'

function read() {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?')
  return {
    path: path.split('/').filter(Boolean).map(part => {
      try { return decodeURIComponent(part) } catch { return part }
    }),
    query: Object.fromEntries(new URLSearchParams(query)),
  }
}

export const route = signal(read())

// reread follows the address after a change that makes no event.
export function reread() { route.value = read() }

addEventListener('hashchange', reread)

// to is the address of a view.
export function to(path, query = {}) {
  const text = new URLSearchParams(Object.entries(query).filter(([, v]) => v !== '' && v != null)).toString()
  return '#/' + path.map(encodeURIComponent).join('/') + (text ? '?' + text : '')
}

export function go(path, query) { location.hash = to(path, query) }

// setQuery changes the parameters of this view.
export const setQuery = query => go(route.value.path, query)
