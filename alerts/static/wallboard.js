// The wallboard by itself: a clock, pages that turn only while nothing waits, and a picture that never stands quite still.

import { now } from './console.js';

const board = document.getElementById('tiles');
const clock = document.getElementById('wall-clock');
const pages = document.getElementById('wall-pages');
const frozen = document.getElementById('wall-frozen');
const main = document.getElementById('main');

const TURN_MS = 15_000;
const OLD_MS = 5 * 60_000; // no gateway has said anything for so long: marked, whatever the link to the platform says
const SHIFT_MS = 60_000; // one step of a few pixels a minute spares the screen
const PATH = [[0, 0], [4, 0], [8, 2], [8, 6], [4, 8], [0, 6], [0, 2]];
const wide = matchMedia('(min-width: 60rem) and (orientation: landscape)');
const face = new Intl.DateTimeFormat('en-GB', { timeZone: 'Asia/Shanghai', hour: '2-digit', minute: '2-digit', second: '2-digit' });

let page = 0;
let touched = 0;

const waiting = () => Number(document.querySelector('[data-count=waiting]').textContent.replaceAll(',', '')) > 0;

/** Shows one page of tiles; where there is no room for a grid, all of them. */
function lay() {
  const tiles = [...board.querySelectorAll('.tile')];
  const style = getComputedStyle(board);
  const size = wide.matches ? Number(style.getPropertyValue('--columns')) * Number(style.getPropertyValue('--rows')) : tiles.length;
  const count = Math.max(1, Math.ceil(tiles.length / size));
  page = waiting() ? 0 : page % count;
  tiles.forEach((tile, index) => { tile.hidden = Math.floor(index / size) !== page; });
  const [first, second] = [page + 1, count];
  pages.textContent = count > 1 ? pages.dataset.word.replace('{}', first).replace('{}', second) : '';
  board.dataset.page = page;
}

function turn() {
  if (!waiting() && Date.now() - touched > TURN_MS && document.body.classList.contains('is-lost') === false) page += 1;
  lay();
}

let step = 0;
function shift() {
  step = (step + 1) % PATH.length;
  const [x, y] = PATH[step];
  main.style.setProperty('--shift-x', `${x}px`);
  main.style.setProperty('--shift-y', `${y}px`);
}

function beat() {
  clock.textContent = face.format(now());
  const heard = document.querySelector('[data-age-count=heard_ms]');
  heard?.parentElement.classList.toggle('is-old', now() - Number(heard.dataset.age) > OLD_MS);
}

document.addEventListener('hanlu:live', ({ detail }) => { frozen.hidden = detail !== 'off'; });
document.addEventListener('hanlu:refreshed', lay);
document.addEventListener('hanlu:tick', () => waiting() && page && lay());
for (const kind of ['pointermove', 'keydown']) addEventListener(kind, () => { touched = Date.now(); }, { passive: true });
addEventListener('resize', lay);
setInterval(beat, 1000);
setInterval(turn, TURN_MS);
setInterval(shift, SHIFT_MS);
beat();
lay();
// A wall has nobody to move the mouse.
navigator.wakeLock?.request('screen').catch(() => {});
