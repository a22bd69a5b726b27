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

export const now = () => Date.now() + offset;

/** Writes how long ago `ms` was, in the same steps as the server. */
export function age(ms) {
  const seconds = Math.max(0, Math.floor((now() - ms) / 1000));
  const [word, count] = seconds < 90 ? ['seconds', seconds]
    : seconds < 5400 ? ['minutes', Math.floor(seconds / 60)]
    : seconds < 129_600 ? ['hours', Math.floor(seconds / 3600)]
    : ['days', Math.floor(seconds / 86_400)];
  return words[`age.${word}`].replace('{}', count);
}

/** Writes a length of time as the server does: `2 h 5 min`, `3 days`. */
export function span(ms) {
  const say = (word, count) => words[`span.${word}`].replace('{}', count);
  const minutes = Math.max(0, Math.floor(ms / 60_000));
  if (minutes < 60) return say('minutes', minutes);
  const hours = Math.floor(minutes / 60);
  if (hours >= 48) return say('days', Math.floor(hours / 24));
  return say('hours', hours) + (minutes % 60 && hours < 12 ? ` ${say('minutes', minutes % 60)}` : '');
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
  document.body.classList.toggle('is-lost', which === 'off');
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

const title = document.title;
const icon = document.querySelector('link[rel="icon"]');
const calm = icon.href;
let marked;

/** Says in the tab itself how many alarms wait, for whoever looks at another page. */
function mark(waiting) {
  document.title = waiting ? `(${waiting}) ${title}` : title;
  const top = document.getElementById('calls');
  if (top) {
    top.hidden = !waiting;
    top.querySelector('[data-top]').textContent = waiting.toLocaleString('en');
  }
  const count = waiting > 99 ? '99+' : String(waiting);
  if (marked === count) return;
  marked = count;
  icon.href = waiting ? `data:image/svg+xml,${encodeURIComponent(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><path fill="#c2161d" d="M0 0h32v32H0z"/><text x="16" y="24" font-family="sans-serif" font-size="${count.length > 2 ? 15 : 22}" font-weight="700" text-anchor="middle" fill="#fff">${count}</text></svg>`)}` : calm;
}

function tick(counts) {
  mark(counts.waiting);
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
  for (const place of document.querySelectorAll('[data-since]')) {
    place.textContent = place.dataset.word.replace('{}', span(now() - Number(place.dataset.since)));
  }
  for (const place of document.querySelectorAll('[data-respond]')) {
    const left = Number(place.dataset.respond) - now();
    place.textContent = words[left > 0 ? 'left.left' : 'left.over'].replace('{}', span(Math.abs(left)));
    place.classList.toggle('left--over', left <= 0);
  }
  if (!banner.hidden) banner.querySelector('[data-lost-age]').textContent = age(heard + offset);
  if (Date.now() - heard > QUIET_MS) {
    show('off');
    if (Date.now() - tried > 2 * QUIET_MS) connect();
  }
}

// ---- regions: parts of the page the server makes better than we could -------------------------------------------------

const QUIET_AFTER_MS = 1500; // between two looks: in a storm the server makes the page once in a while, not each time
let pending;
let looked = 0;

/** What a person is at in an element: must survive its being made anew. */
function carry(old, fresh) {
  const same = (element) => {
    const name = element.getAttribute('href') ? `[href="${CSS.escape(element.getAttribute('href'))}"]`
      : element.dataset.key ? `[data-key="${CSS.escape(element.dataset.key)}"]`
      : element.name ? `[name="${element.name}"]` : '';
    return fresh.querySelector(element.localName + name);
  };
  for (const box of old.querySelectorAll('input[type=checkbox]:checked')) {
    const other = [...fresh.querySelectorAll('input[type=checkbox]')].find((each) => each.value.split(':')[0] === box.value.split(':')[0]);
    if (other) other.checked = true;
  }
  for (const open of old.querySelectorAll('details[open][data-key]')) {
    const other = same(open);
    if (other) other.open = true;
  }
  if (old.classList.contains('is-current')) fresh.classList.add('is-current');
  return old.contains(document.activeElement) ? same(document.activeElement) : undefined;
}

// What is being pressed is left as well: a button put anew between press and release would not feel the click.
const busy = (element) => element.querySelector('details.acknowledge[open], .quiet-form :focus, dialog[open], :active');

/** Puts `fresh` in the place of `old`, focus and ticks kept; not while somebody is writing in it. */
export function replace(old, fresh) {
  if (busy(old)) return old;
  const focused = carry(old, fresh);
  old.replaceWith(fresh);
  focused?.focus({ preventScroll: true });
  return fresh;
}

/** Makes the keyed children of `place` those of `fresh`, in its order; what is the same stays untouched. */
function merge(place, fresh) {
  const known = new Map([...place.children].filter((each) => each.dataset.key).map((each) => [each.dataset.key, each]));
  let before = place.firstElementChild;
  while (before && !before.dataset.key) before = before.nextElementSibling;
  for (const each of [...fresh.children].filter((child) => child.dataset.key)) {
    const old = known.get(each.dataset.key);
    known.delete(each.dataset.key);
    const put = old ? replace(old, each) : each;
    if (old && before === old) before = put;
    if (put === before) before = before.nextElementSibling;
    else place.insertBefore(put, before);
  }
  for (const gone of known.values()) if (!busy(gone)) gone.remove();
}

/** Takes the page's regions anew from the server. */
export function refresh(selector = '[data-region]', delay = 100) {
  if (pending) return;
  const wait = Math.max(delay, looked + QUIET_AFTER_MS + Math.random() * QUIET_AFTER_MS - Date.now());
  pending = setTimeout(async () => {
    pending = undefined;
    looked = Date.now();
    try {
      const answer = await fetch(location.href, { headers: { Accept: 'text/html' } });
      if (!answer.ok || answer.redirected) return;
      const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
      for (const region of document.querySelectorAll(selector)) {
        const fresh = page.querySelector(`[data-region="${region.dataset.region}"]`);
        if (!fresh) continue;
        const [mine, theirs] = [region, fresh].map((each) => (each.matches('[data-keyed]') ? each : each.querySelector('[data-keyed]')));
        if (mine && theirs) merge(mine, theirs);
        else if (!busy(region)) {
          const focused = carry(region, fresh);
          region.replaceChildren(...fresh.childNodes);
          focused?.focus({ preventScroll: true });
        }
      }
      grow();
      document.dispatchEvent(new CustomEvent('hanlu:refreshed'));
    } catch { /* the banner tells already when the platform is away */ }
  }, wait);
}

// ---- the stream -----------------------------------------------------------------------------------------------------

function connect() {
  const after = source?.lastId ?? state.dataset.position;
  source?.close();
  tried = Date.now();
  const url = new URL(state.dataset.url, location.href);
  url.searchParams.set('after', after);
  for (const part of ['zone', 'rows']) if (state.dataset[part]) url.searchParams.set(part, state.dataset[part]);
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
    if (!state.dataset.rows) refresh(); // a list is told its lines
    document.dispatchEvent(new CustomEvent('hanlu:alarm', { detail: data }));
  });
  on('rows', (data) => document.dispatchEvent(new CustomEvent('hanlu:rows', { detail: data })));
  on('reset', () => refresh());
  stream.onerror = () => {
    show(Date.now() - heard > 3000 ? 'off' : 'wait');
    // A refusal (signed out, restarted) ends an EventSource for good: ask anew, gently.
    if (stream.readyState === EventSource.CLOSED) setTimeout(() => stream === source && connect(), 5000);
  };
}

// On a phone the row of pages is longer than the screen.
for (const link of document.querySelectorAll(':is(.page-head .segmented, .tabs) [aria-current]')) link.parentElement.scrollLeft = link.offsetLeft - 40;

// A link may point into what is folded away.
const aim = location.hash && document.getElementById(location.hash.slice(1));
if (aim?.localName === 'details') aim.open = true;

connect();
setInterval(grow, 1000);
setInterval(() => state.dataset.state === 'on' && !document.hidden && refresh('[data-region]:not([data-region-tick])'), 60_000);
addEventListener('pagehide', () => source.close());
addEventListener('pageshow', (event) => event.persisted && connect());
document.addEventListener('toggle', (event) => {
  if (event.target.matches?.('.acknowledge[open]')) event.target.querySelector('textarea, input:not([type=hidden])')?.focus();
}, true);
