// The live part of the console. A page is complete without it; this keeps values, ages, counts and regions current and
// says loudly when it can no longer do so.

const state = document.getElementById('live');
const banner = document.getElementById('lost');
const words = JSON.parse(state.dataset.words);

// Three missed ticks: the line is dead even if the browser has not noticed.
const QUIET_MS = Math.max(3 * Number(state.dataset.tickMs), 2000);
let offset = Number(state.dataset.now) - Date.now(); // the platform's clock minus ours
let heard = Date.now(); // last event
let tried = 0; // last attempt to connect
let source;

const now = () => Date.now() + offset;

/** Writes how long ago `ms` was, in the same steps as the server. */
export function age(ms) {
  const seconds = Math.max(0, Math.floor((now() - ms) / 1000));
  const [word, count] = seconds < 90 ? ['seconds', seconds]
    : seconds < 5400 ? ['minutes', Math.floor(seconds / 60)]
    : seconds < 129_600 ? ['hours', Math.floor(seconds / 3600)]
    : ['days', Math.floor(seconds / 86_400)];
  return words[`age.${word}`].replace('{}', count);
}

/** Writes a number the way `zero` ("0.0 °C") is written, with a true minus sign. */
export function number(value, zero = '0.0') {
  const decimals = (zero.match(/^0[.](0+)/)?.[1] ?? '').length;
  const text = value.toLocaleString('en', { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
  return Number(text.replaceAll(',', '')) === 0 ? text.replace('-', '') : text.replace('-', '−');
}

const clock = new Intl.DateTimeFormat('sv', { timeZone: 'Asia/Shanghai', dateStyle: 'short', timeStyle: 'short' });
export const time = (ms) => clock.format(ms);

function show(which) {
  if (state.dataset.state === which) return;
  state.dataset.state = which;
  state.textContent = words[`live.${which}`];
  banner.hidden = which !== 'off';
  document.dispatchEvent(new CustomEvent('hanlu:live', { detail: which }));
}

// ---- what the events change -----------------------------------------------------------------------------------------

function reading([channel, observed, value]) {
  for (const place of document.querySelectorAll(`[data-channel="${channel}"]`)) {
    if (place.dataset.on) place.textContent = value >= 0.5 ? place.dataset.on : place.dataset.off;
    else {
      place.querySelector('[data-number]').textContent = number(value, place.dataset.zero);
      // How a zone stands is said by the server, which knows all reasons to be worried; we know when to ask: when it
      // speaks again, and when a value has crossed a limit.
      const beyond = value > Number(place.dataset.high ?? NaN) || value < Number(place.dataset.low ?? NaN);
      if (place.closest('.card--stale') || beyond !== place.hasAttribute('data-beyond')) refresh();
      place.toggleAttribute('data-beyond', beyond);
    }
  }
  for (const place of document.querySelectorAll(`[data-age-of="${channel}"]`)) {
    if (observed > Number(place.dataset.age)) place.dataset.age = observed;
    place.textContent = age(Number(place.dataset.age));
  }
  for (const place of document.querySelectorAll(`[data-time-of="${channel}"]`)) place.textContent = time(observed);
}

function tick(counts) {
  for (const place of document.querySelectorAll('[data-count]')) {
    const count = counts[place.dataset.count];
    if (count !== undefined) place.textContent = count.toLocaleString('en');
  }
  for (const place of document.querySelectorAll('[data-age-count]')) {
    place.dataset.age = counts[place.dataset.ageCount] ?? place.dataset.age;
  }
  for (const place of document.querySelectorAll('[data-when-positive]')) {
    place.classList.toggle('is-alarm', counts[place.dataset.whenPositive] > 0);
  }
  for (const place of document.querySelectorAll('[data-when-less]')) {
    const [part, whole] = place.dataset.whenLess.split(' ');
    place.classList.toggle('is-warn', counts[part] < counts[whole]);
  }
}

/** Ages grow by themselves, also while nothing comes: that is the point of them. */
function grow() {
  for (const place of document.querySelectorAll('[data-age]')) {
    place.textContent = age(Number(place.dataset.age));
    const stale = Number(place.dataset.staleS);
    const card = stale && now() - Number(place.dataset.age) > stale * 1000 && place.closest('.zone:not(.card--stale)');
    if (card) {
      card.classList.add('card--stale');
      refresh();
    }
  }
  if (!banner.hidden) banner.querySelector('[data-lost-age]').textContent = age(heard + offset);
  if (Date.now() - heard > QUIET_MS) {
    show('off');
    if (Date.now() - tried > 2 * QUIET_MS) connect();
  }
}

// ---- regions: parts of the page the server makes better than we could -------------------------------------------------

let pending;

/** Takes the page's regions anew from the server, those somebody is writing in excepted; a focused link stays focused. */
export function refresh(selector = '[data-region]', delay = 100) {
  if (pending) return;
  pending = setTimeout(async () => {
    pending = undefined;
    try {
      const answer = await fetch(location.href, { headers: { Accept: 'text/html' } });
      if (!answer.ok || answer.redirected) return;
      const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
      for (const region of document.querySelectorAll(selector)) {
        const fresh = page.querySelector(`[data-region="${region.dataset.region}"]`);
        if (!fresh || region.querySelector('details[open], :focus:not(a)')) continue;
        const link = region.querySelector('a:focus')?.getAttribute('href');
        region.replaceChildren(...fresh.childNodes);
        if (link) region.querySelector(`a[href="${CSS.escape(link)}"]`)?.focus({ preventScroll: true });
      }
      grow();
    } catch { /* the banner tells already when the platform is away */ }
  }, delay);
}

// ---- the stream -----------------------------------------------------------------------------------------------------

function connect() {
  const after = source?.lastId ?? state.dataset.position;
  source?.close();
  tried = Date.now();
  const url = new URL(state.dataset.url, location.href);
  url.searchParams.set('after', after);
  if (state.dataset.zone) url.searchParams.set('zone', state.dataset.zone);
  const stream = source = new EventSource(url);
  stream.lastId = after;
  const on = (name, does) => stream.addEventListener(name, (event) => {
    if (stream !== source) return;
    stream.lastId = event.lastEventId || stream.lastId;
    heard = Date.now();
    show('on');
    does(JSON.parse(event.data));
  });
  on('tick', (data) => {
    offset = data.now - Date.now();
    tick(data);
    if (document.querySelector('[data-region-tick]')) refresh('[data-region-tick]', 0);
    document.dispatchEvent(new CustomEvent('hanlu:tick', { detail: data }));
  });
  on('reading', (data) => {
    offset = data.now - Date.now();
    data.readings.forEach(reading);
    document.dispatchEvent(new CustomEvent('hanlu:reading', { detail: data.readings }));
  });
  on('alarm', (data) => {
    refresh();
    document.dispatchEvent(new CustomEvent('hanlu:alarm', { detail: data }));
  });
  on('reset', () => refresh());
  stream.onerror = () => {
    show(Date.now() - heard > 3000 ? 'off' : 'wait');
    // A refusal (signed out, restarted) ends an EventSource for good: ask anew, gently.
    if (stream.readyState === EventSource.CLOSED) setTimeout(() => stream === source && connect(), 5000);
  };
}

connect();
setInterval(grow, 1000);
setInterval(() => state.dataset.state === 'on' && !document.hidden && refresh('[data-region]:not([data-region-tick])'), 60_000);
addEventListener('pagehide', () => source.close());
addEventListener('pageshow', (event) => event.persisted && connect());
document.addEventListener('toggle', (event) => {
  if (event.target.matches?.('.acknowledge[open]')) event.target.querySelector('textarea').focus();
}, true);
