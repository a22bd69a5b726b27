// Keeps the county's numbers fresh, and says so when it cannot.

const EVERY_MS = 5000;
const live = document.getElementById('live');
const format = new Intl.NumberFormat('en');

function show(numbers) {
  for (const place of document.querySelectorAll('[data-number]')) {
    const value = numbers[place.dataset.number];
    place.firstChild.nodeValue = typeof value === 'number' ? format.format(value) : value;
    if (place.dataset.of) place.querySelector('.unit').textContent = `/ ${format.format(numbers[place.dataset.of])}`;
  }
}

function state(name) {
  live.dataset.state = name;
  live.textContent = live.dataset[name];
}

async function refresh() {
  if (document.hidden) return;
  try {
    const answer = await fetch('/summary.json', { headers: { Accept: 'application/json' } });
    if (!answer.ok) throw new Error(String(answer.status));
    show(await answer.json());
    state('on');
  } catch {
    state('off');
  }
}

state('on');
setInterval(refresh, EVERY_MS);
document.addEventListener('visibilitychange', refresh);
