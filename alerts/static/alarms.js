// The alarm list: lines that come and change by themselves, and the keys of an operator who has no hand for a mouse.

import { refresh, replace } from './console.js';

const csrf = document.querySelector('meta[name="csrf"]').content;

const said = document.getElementById('said');
const bulk = document.getElementById('bulk');
const HEAL_MS = 4000; // after lines came singly the server arranges the list anew: floods, groups, counts

const table = () => document.getElementById('alarms');
const lines = () => [...document.querySelectorAll('#alarms > tbody, #alarms details[open] tbody.line')];
const current = () => document.querySelector('#alarms .is-current');

// ---- lines that come live ---------------------------------------------------------------------------------------------

/** Whether a line belongs on this tab and under this filter. */
function wanted(line) {
  const { tab, wantSite, wantPriority, wantProcess, wantKind } = table().dataset;
  const tabs = { NONE: 'open', SUPPRESSED_BY_DESIGN: 'held', SHELVED: 'shelved', OUT_OF_SERVICE: 'out' };
  const { process, quiet, site, priority, kind } = line.dataset;
  if (process === 'NORMAL' ? tab !== 'all' : tab !== 'all' && tabs[quiet] !== tab) return false;
  return (!wantSite || wantSite === site) && (!wantPriority || wantPriority === priority)
    && (!wantProcess || wantProcess === process) && (!wantKind || wantKind === kind);
}

function put(html) {
  const line = new DOMParser().parseFromString(`<table>${html}</table>`, 'text/html').querySelector('tbody');
  if (!line) return;
  for (const field of line.querySelectorAll('input[name=csrf]')) field.value = csrf;
  const old = document.querySelector(`#alarms tbody[data-key="${line.dataset.key}"]`);
  if (!wanted(line)) {
    if (old && !old.querySelector('.acknowledge[open]')) {
      if (old.classList.contains('is-current')) move(1);
      // Earlier ones folded under it wait as well: the next of them takes its place at once.
      if (old.querySelector('.line__under')) refresh();
      old.remove();
    }
  } else if (old) replace(old, line);
  else if (table().dataset.page === '1' && table().dataset.tab !== 'all') {
    const next = [...table().tBodies].find((each) => each.dataset.order > line.dataset.order);
    table().insertBefore(line, next ?? null);
    line.classList.add('is-new');
    if (line.dataset.quiet === 'NONE') said.textContent = said.dataset.new.replace('{}', line.dataset.name);
  }
}

let healing;
document.addEventListener('hanlu:rows', ({ detail }) => {
  if (!table() || detail.more) {
    refresh();
    return;
  }
  detail.rows.forEach(put);
  count();
  clearTimeout(healing?.timer);
  // Not put off for ever by a storm: the first of its lines sets the latest moment.
  healing = { by: healing?.by ?? Date.now() + 2 * HEAL_MS };
  healing.timer = setTimeout(() => {
    healing = undefined;
    refresh();
  }, Math.max(0, Math.min(HEAL_MS * (0.5 + Math.random()), healing.by - Date.now())));
});
document.addEventListener('hanlu:refreshed', () => count());

// ---- ticks ------------------------------------------------------------------------------------------------------------

const all = document.getElementById('tick-all');

function count() {
  const boxes = [...document.querySelectorAll('#alarms .tick[name=alarm]')];
  const ticked = boxes.filter((each) => each.checked).length;
  document.getElementById('ticked').textContent = ticked;
  const box = document.getElementById('tick-all');
  if (!box) return;
  box.hidden = !boxes.length;
  box.checked = ticked > 0 && ticked === boxes.length;
  box.indeterminate = ticked > 0 && ticked < boxes.length;
}
document.addEventListener('change', (event) => {
  if (event.target.id === 'tick-all') {
    for (const each of document.querySelectorAll('#alarms .tick[name=alarm]')) each.checked = event.target.checked;
  }
  if (event.target.classList.contains('tick')) count();
});

// ---- keys -------------------------------------------------------------------------------------------------------------

function go(line) {
  current()?.classList.remove('is-current');
  if (!line) return;
  line.classList.add('is-current');
  (line.querySelector('.place') ?? line.querySelector('summary'))?.focus({ preventScroll: true });
  line.scrollIntoView({ block: 'nearest' });
}

function move(step) {
  const places = lines();
  const at = places.indexOf(current());
  go(places[Math.min(places.length - 1, Math.max(0, at < 0 ? 0 : at + step))]);
}

async function acknowledge() {
  if (document.querySelector('#alarms .tick[name=alarm]:checked')) {
    document.getElementById('bulk-note').focus();
    return;
  }
  const line = current();
  const form = line?.querySelector('.acknowledge form');
  if (!form) return;
  const name = line.dataset.name;
  const answer = await fetch(form.action, {
    method: 'POST',
    headers: { 'X-CSRF': csrf, Accept: 'application/json' },
    body: new URLSearchParams({ version: form.version.value, note: '', back: '/console/alarms' }),
  }).catch(() => undefined);
  // 409: it has changed, and the line as it stands now is on its way.
  tell((answer?.ok ? said.dataset.acked : said.dataset.changed).replace('{}', name));
  if (!answer?.ok) refresh();
}

/** Says something to eyes and ears alike. */
function tell(sentence) {
  said.textContent = sentence;
  said.classList.add('toast');
  clearTimeout(tell.timer);
  tell.timer = setTimeout(() => said.classList.remove('toast'), 4000);
}

const shelf = document.getElementById('shelve');

function shelve(line) {
  const link = line?.querySelector('[data-shelve]');
  if (!link) return;
  shelf.querySelector('form').action = `/console/alarms/${link.dataset.shelve}/quiet`;
  shelf.querySelector('[data-name]').textContent = line.dataset.name;
  shelf.showModal();
}

const help = document.getElementById('keys');
const KEYS = {
  j: () => move(1), ArrowDown: () => move(1), k: () => move(-1), ArrowUp: () => move(-1),
  a: acknowledge,
  s: () => shelve(current()),
  x: () => {
    const box = current()?.querySelector('.tick[name=alarm]');
    if (box) box.checked = !box.checked;
    count();
  },
  '/': () => {
    document.getElementById('filter-box').open = true;
    document.querySelector('#filter select, #filter input:not([type=hidden])').focus();
  },
  '?': () => help.showModal(),
  Enter: () => {
    const line = current();
    const flood = line?.querySelector(':scope > tr > td > details');
    if (flood) flood.open = !flood.open;
    else line?.querySelector('.place')?.click();
  },
};

document.addEventListener('keydown', (event) => {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const does = KEYS[key];
  if (!does || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.target.closest('input:not([type=checkbox]), select, textarea, dialog[open]')) return;
  // What has the focus by itself keeps its own keys: a link or button its Enter, an open menu its arrows.
  if (event.key === 'Enter' && event.target.closest('a, button, summary')) return;
  if (event.repeat && !['j', 'k', 'ArrowDown', 'ArrowUp'].includes(key)) return;
  event.preventDefault();
  does();
});

document.addEventListener('focusin', (event) => {
  const line = event.target.closest?.('#alarms tbody.line');
  if (!line || line === current()) return;
  current()?.classList.remove('is-current');
  line.classList.add('is-current');
});

document.addEventListener('click', (event) => {
  const link = event.target.closest('[data-shelve]');
  if (link && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    shelve(link.closest('tbody'));
  }
  if (event.target.closest('[data-keys]')) help.showModal();
  if (event.target.closest('[data-close]')) event.target.closest('dialog').close();
});

for (const button of document.querySelectorAll('[data-keys]')) button.hidden = false;
if (all) all.hidden = false;
bulk.addEventListener('submit', () => { bulk.dataset.sent = ''; });
count();
