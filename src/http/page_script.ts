/** What the page does by itself, in the browser. */

/** How often it asks, and how long it waits for an answer, in milliseconds. */
const EVERY_MS = 5000
const ANSWER_WITHIN_MS = 4000

/**
 * Fetches the page again and swaps its content: what is scrolled to, opened, and has the focus stays. Not while text is
 * selected, which a swap would undo, and nobody could copy a key; not in a tab that nobody sees; not while paused. Without an
 * answer that is such a page (a frozen daemon, a proxy that asks to log in) it says since when it is old.
 */
export const PAGE_SCRIPT = `
addEventListener('DOMContentLoaded', () => {
  const notice = document.getElementById('notice')
  const pause = document.getElementById('pause')
  const isPaused = () => pause.getAttribute('aria-pressed') === 'true'
  const isSelecting = () => getSelection().type === 'Range'
  const say = (text, isBad = false) => {
    notice.classList.toggle('bad', isBad)
    if (notice.textContent !== text) notice.textContent = text
  }
  let asOf = new Date()
  let asking = false
  const ask = async () => {
    const answer = await fetch(location.href, { cache: 'no-store', signal: AbortSignal.timeout(${ANSWER_WITHIN_MS}) })
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html')
    return answer.ok ? page.getElementById('xtrimd') : null
  }
  const swap = (fresh) => {
    const main = document.getElementById('xtrimd')
    for (const { id } of main.querySelectorAll('details[open]')) fresh.querySelector('#' + id)?.setAttribute('open', '')
    const focused = main.contains(document.activeElement) ? document.activeElement.id : ''
    main.replaceWith(fresh)
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true })
  }
  const refresh = async () => {
    if (asking || document.hidden) return
    if (isPaused()) return say('Paused.')
    if (isSelecting()) return say('Paused while text is selected.')
    asking = true
    const fresh = await ask().catch(() => null)
    asking = false
    if (fresh === null) return say('No answer since ' + asOf.toISOString().slice(11, 19) + ' UTC: what is shown is as old as that.', true)
    if (isPaused() || isSelecting()) return
    swap(fresh)
    asOf = new Date()
    say('')
  }
  pause.hidden = false
  pause.addEventListener('click', () => {
    pause.setAttribute('aria-pressed', String(!isPaused()))
    refresh()
  })
  document.addEventListener('visibilitychange', refresh)
  setInterval(refresh, ${EVERY_MS})
})`
