// Sound for alarms: a tone of its own for each priority, again and again until somebody acknowledges. What would make it
// fail silently (a browser that blocks it, a card that does not play) is shown instead.

const place = document.getElementById('sound');
const banner = document.getElementById('sound-blocked');
const word = place?.querySelector('[data-sound-word]');
const MUTED = 'hanlu.sound.muted';

// Hertz and seconds; 0 Hz is a pause. Critical: fast and high, like a smoke alarm. High: two notes falling. Low: one.
const TONES = {
  1: [[988, 0.12], [0, 0.06], [988, 0.12], [0, 0.06], [988, 0.12], [0, 0.2], [1319, 0.3]],
  2: [[784, 0.22], [0, 0.05], [587, 0.35]],
  3: [[523, 0.4]],
};
const AGAIN_MS = { 1: 4000, 2: 10_000, 3: 30_000 };
const LOUDNESS = 0.35;

let context;
let worst = 0; // priority that waits, 0 none
let rung = 0;
let broken = false;

const stored = () => {
  try { return localStorage.getItem(MUTED) === '1'; } catch { return false; }
};
let muted = stored();

function sounds() {
  const Context = window.AudioContext;
  if (!context && Context) {
    context = new Context();
    context.addEventListener('statechange', show);
  }
  return context;
}

/** Shows whether one would hear anything; alarms that cannot be heard are a warning. */
function show() {
  const state = muted ? 'muted' : broken ? 'broken' : context?.state === 'running' ? 'on' : 'locked';
  place.dataset.state = state;
  word.textContent = place.dataset[`word${state[0].toUpperCase()}${state.slice(1)}`];
  const mute = place.querySelector('[data-sound=mute]');
  mute.textContent = mute.dataset[muted ? 'wordUnmute' : 'wordMute'];
  mute.setAttribute('aria-pressed', String(muted));
  place.querySelector('[data-sound=unlock]').hidden = state === 'on' || muted;
  banner.hidden = !worst || state === 'on' || state === 'muted';
  if (!banner.hidden) banner.textContent = banner.dataset[state];
}

/** Plays the tone of a priority, and looks whether the clock of the sound card has moved. */
function play(priority) {
  if (!sounds() || context.state !== 'running') {
    show();
    return;
  }
  const gain = context.createGain();
  gain.connect(context.destination);
  gain.gain.value = 0;
  let at = context.currentTime + 0.03;
  const began = context.currentTime;
  for (const [hertz, seconds] of TONES[priority]) {
    if (hertz) {
      const tone = context.createOscillator();
      tone.type = 'triangle';
      tone.frequency.value = hertz;
      tone.connect(gain);
      gain.gain.setValueAtTime(0, at);
      gain.gain.linearRampToValueAtTime(LOUDNESS, at + 0.01);
      gain.gain.setValueAtTime(LOUDNESS, at + seconds - 0.02);
      gain.gain.linearRampToValueAtTime(0, at + seconds);
      tone.start(at);
      tone.stop(at + seconds);
    }
    at += seconds;
  }
  place.dataset.rings = Number(place.dataset.rings ?? 0) + 1;
  place.dataset.tone = priority;
  setTimeout(() => {
    broken = context.state === 'running' && context.currentTime <= began;
    gain.disconnect();
    show();
  }, (at - context.currentTime) * 1000 + 500);
}

function ring() {
  if (!worst || muted || Date.now() - rung < AGAIN_MS[worst]) return;
  rung = Date.now();
  play(worst);
}

/** A browser lets us sound once somebody has touched the page. */
async function unlock() {
  if (!sounds() || context.state === 'running') return;
  await context.resume().catch(() => {});
  show();
  rung = 0;
  ring();
}

if (place && window.AudioContext) {
  place.hidden = false;
  sounds();
  show();
  document.addEventListener('hanlu:tick', ({ detail }) => {
    const before = worst;
    worst = [1, 2, 3].find((each) => detail[`waiting_${each}`] > 0) ?? 0;
    if (worst && (!before || worst < before)) rung = 0; // new, or worse than what already sounds
    if (worst !== before) show();
    ring();
  });
  setInterval(ring, 1000);
  for (const kind of ['pointerdown', 'keydown']) addEventListener(kind, unlock, { capture: true, passive: true });
  banner.addEventListener('click', unlock);
  place.addEventListener('click', async ({ target }) => {
    const { sound, soundTest } = target.dataset;
    if (sound === 'mute') {
      muted = !muted;
      try { localStorage.setItem(MUTED, muted ? '1' : '0'); } catch { /* private window: for this page only */ }
      rung = 0;
      show();
      ring();
    }
    if (soundTest) {
      await unlock();
      play(Number(soundTest));
    }
  });
  addEventListener('storage', () => {
    muted = stored();
    show();
  });
}
