// What every page shares: nothing here is needed to read a page, only to make it kinder.

/** The token every changing request of a signed-in page carries in the header X-CSRF. */
export const csrf = document.querySelector('meta[name="csrf"]')?.content ?? '';

/** Sends `form fields` to `url` with the token; throws an Error with the server's own sentence when it refuses. */
export async function post(url, fields) {
  const answer = await fetch(url, {
    method: 'POST',
    headers: { 'X-CSRF': csrf, Accept: 'application/json' },
    body: new URLSearchParams(fields),
  });
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    throw new Error(problem.detail || problem.title || String(answer.status));
  }
  return answer;
}

/** Shows a sentence at the foot of the window for a few seconds; screen readers speak it. */
export function toast(sentence) {
  const note = document.createElement('div');
  note.className = 'toast';
  note.setAttribute('role', 'status');
  note.textContent = sentence;
  document.body.append(note);
  setTimeout(() => note.remove(), 5000);
}

// A form is sent once, however often the button is pressed.
document.addEventListener('submit', (event) => {
  const form = event.target;
  if (form.method !== 'post' || event.defaultPrevented) return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = '1';
});
addEventListener('pageshow', () => {
  for (const form of document.querySelectorAll('form[data-sent]')) delete form.dataset.sent;
});
