// One or several pictures, chosen from disk or from the gallery. The value: {"pictures": [ids]}.
const part = (name) => element.querySelector(`[data-part=${name}]`);
const several = element.querySelector('.pile').dataset.several === '1';

const held = () => props.value?.pictures ?? [];
const hold = (ids) => { props.value = { pictures: several ? ids.slice(0, 10) : ids.slice(-1) }; show(); };

function picture(id, does, label) {
  const one = document.createElement('button');
  one.type = 'button';
  one.title = label;
  one.setAttribute('aria-label', label);
  const image = document.createElement('img');
  image.src = `/api/pictures/${id}/thumbnail?side=128`;
  image.alt = '';
  one.append(image);
  one.addEventListener('click', does);
  return one;
}

function show() {
  part('held').replaceChildren(...held().map((id) => {
    const one = picture(id, () => hold(held().filter((each) => each !== id)), 'Leave this picture out');
    one.className = 'is-held';
    return one;
  }));
  part('held').hidden = !held().length;
}

async function look() {
  const reply = await fetch('/api/pictures?limit=24');
  const said = await reply.json();
  const hint = document.createElement('p');
  hint.className = 'facts';
  hint.textContent = 'The gallery is empty: choose a file.';
  const all = said.pictures.map(({ id, prompt }) => picture(
    id, () => hold([...held().filter((each) => each !== id), id]), `Take ${prompt || 'this picture'}`,
  ));
  part('strip').replaceChildren(...(all.length ? all : [hint]));
}

part('look').addEventListener('click', async () => {
  const open = part('strip').hidden;
  if (open) await look();
  part('strip').hidden = !open;
  part('look').setAttribute('aria-expanded', open);
});

element.addEventListener('change', async (event) => {
  if (event.target.type !== 'file') return;
  const line = part('complaint');
  line.hidden = true;
  try {
    hold([...held(), ...await window.limner.bring(event.target.files)]);
  } catch (problem) {
    line.textContent = problem.message[0].toUpperCase() + problem.message.slice(1);
    line.hidden = false;
  }
  event.target.value = '';
});

watch('value', show);
show();
