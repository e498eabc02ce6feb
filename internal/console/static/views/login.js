// The login: there is no password to type. The terminal of the machine prints a link.
import { html, useState } from '../lib.js'
import { ended, login, tokenIn } from '../api.js'

export function Login() {
  const [text, setText] = useState('')
  const [busy, setBusy] = useState(false)
  const submit = async e => {
    e.preventDefault()
    const token = tokenIn(text)
    if (!token || busy) return
    setBusy(true)
    try {
      await login(token)
    } catch (err) {
      ended.value = err.status === 401 ? 'That login was used already, or has expired. Print a new one.'
        : err.message
      setBusy(false)
    }
  }
  return html`<main class="login" id="main">
    <div class="login-box">
      <img src="/static/hearth.svg" alt="" width="56" height="56" />
      <h1>Hearth</h1>
      <p>On the machine that runs Hearth, print a login link:</p>
      <pre><code>hearth console</code></pre>
      <p>Open that link, or paste it here. It works once.</p>
      <form onSubmit=${submit}>
        <label>Link or token
          <input name="login" value=${text} onInput=${e => setText(e.target.value)} autocomplete="off"
            spellcheck=${false} aria-describedby="login-says" /></label>
        <button type="submit" class="primary" disabled=${busy}>Log in</button>
      </form>
      <p id="login-says" class="login-says" role="status">${ended.value}</p>
      <p class="quiet">For somebody who should only look: <code>hearth console --viewer</code></p>
    </div>
  </main>`
}
