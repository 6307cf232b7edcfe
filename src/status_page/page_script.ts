/** The script of the status page, which keeps it up to date. */

const REFRESH_EVERY_MS = 5000
const ANSWER_WITHIN_MS = 4000

/**
 * Fetches the page again and replaces its content, keeping the scroll position, opened details and the focus. Does nothing
 * while the tab is hidden, while paused, or while text is selected: replacing it would undo the selection, and nobody could
 * copy a key. If the answer is missing or is another page (a frozen daemon, a proxy's login form), says how old the content is.
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
    if (fresh === null) return say('No answer since ' + asOf.toISOString().slice(11, 19) + ' UTC. This page shows the state at that time.', true)
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
  setInterval(refresh, ${REFRESH_EVERY_MS})
})`
