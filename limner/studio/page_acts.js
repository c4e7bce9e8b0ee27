// What is clicked, sent or brought in within this piece of HTML becomes the event "act", with the
// data of the element that it was done to.
const say = (data) => trigger('act', data);

function done(holder, more = {}) {
  const data = { ...holder.dataset, ...more };
  if (data.do === 'favourite') { // shown at once; the gallery follows
    holder.classList.toggle('is-on', !!data.on);
    holder.dataset.on = data.on ? '' : '1';
  }
  if (data.go) window.limner.go(data.go);
  if (data.do) say(data);
}

element.addEventListener('click', (event) => {
  const holder = event.target.closest('[data-do], [data-go]');
  if (!holder || holder.tagName === 'FORM' || holder.tagName === 'INPUT') return;
  event.preventDefault();
  if (holder.dataset.sure && holder.dataset.asked === undefined) {
    holder.dataset.asked = '';
    holder.querySelector('span').textContent = holder.dataset.sure;
    return;
  }
  done(holder);
});

element.addEventListener('submit', (event) => {
  event.preventDefault();
  done(event.target, Object.fromEntries(new FormData(event.target)));
  event.target.reset();
});

element.addEventListener('input', (event) => {
  const bar = event.target.closest('[data-frames]');
  if (!bar) return;
  const frames = element.querySelectorAll('.frame');
  frames.forEach((frame, place) => frame.classList.toggle('is-shown', place === +bar.value));
});

element.addEventListener('change', async (event) => {
  const input = event.target.closest('input[type=file]');
  if (!input) return;
  try {
    const ids = await window.limner.bring(input.files);
    done(input, { ids: ids.join(',') });
  } catch (problem) {
    done(input, { do: 'problem', go: '', message: problem.message });
  }
  input.value = '';
});
